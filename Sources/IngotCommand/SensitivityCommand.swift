import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotReports
import IngotSystem
import IngotWorkflows

struct SensitivityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sensitivity",
    abstract: "Measure what quantizing each tensor would cost, as a basis for 'ingot plan'.",
    usage: "ingot sensitivity <model> --text <file> ... --output <file.sens> [options]",
    discussion: """
      One pass through the model. In each layer every tensor is quantized to every candidate encoding. \
      Perturbed runs, each with one tensor (or one projection of all experts) at the reference \
      encoding, continue beside the exact run to the logits. The file gives the expected KL divergence \
      of every tensor and candidate; one file serves every budget and machine.
      With --importance, tensors are quantized as by 'ingot quantize --importance'; use it here if you \
      will use it there.
      At the end, plans for several budgets are run through the whole model on other contexts than \
      they were chosen on: twice as many, the last of each text. They calibrate the predictions. \
      Contexts that the calibration file was made of are used for neither, where the texts have others.
      A few contexts are enough, because errors are averaged over tokens. Use text like your own, of \
      several kinds if you can, but not the text you verify with.
      With --shard i/n it measures the i-th share of the layers, into the folder --output; 'ingot assemble' puts \
      the shares together to the same bytes as one run, and runs the plans, a quarter of the work or more.
      An interrupted run resumes after the last saved layer when the same command is run again.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @OptionGroup var texts: TextOptions

  @Option(name: [.short, .long], help: ArgumentHelp("Output file.", valueName: "file"), completion: .path)
  var output: String

  @Option(
    name: .long, help: ArgumentHelp("Calibration file (.calib): quantize by GPTQ.", valueName: "file"),
    completion: .path)
  var importance: String?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Formats whose encodings are measured.", valueName: "format"),
    completion: .format)
  var format: [String] = [Format.ingot.name]

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Further encodings to measure, such as 'int3 g128 zero f16'.", valueName: "encoding"),
    completion: .encoding)
  var candidates: [String] = []

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Encodings not to measure, by name or its beginning, such as trellis.", valueName: "encoding"),
    completion: .encoding)
  var exclude: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Encoding of the perturbed runs (default: one of 3 bits).", valueName: "encoding"),
    completion: .encoding)
  var reference: String?

  @OptionGroup var sharing: ShareOptions
  @OptionGroup var effort: SensitivityOptions
  @OptionGroup var techniques: TechniqueOptions

  @Flag(name: .long, help: "Replace an existing output, and discard an unfinished one.")
  var force = false

  @Flag(
    name: .long, help: "Resume an unfinished output of another host, whose run must have ended.")
  var takeOver = false

  @Flag(name: .long, help: "Only estimate the cost of the run on this machine.")
  var cost = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard try sharing.share() == nil || !cost else {
      throw ValidationError("--cost is of the whole run: leave --shard out.")
    }
  }

  var request: SensitivityRequest {
    var request = SensitivityRequest(model, texts: texts.selection, to: output)
    request.importance = importance
    request.formats = format
    request.candidates = candidates
    request.excluded = exclude
    request.reference = reference
    request.effort = effort.effort
    request.techniques = techniques.techniques
    request.force = force
    request.takeOver = takeOver
    request.reading = reading.options
    return request
  }

  func run() async throws {
    let request = request
    if cost {
      let cost = try request.cost(workers: work.workers)
      print(json.json ? cost.json.text(indented: true) : cost.text)
      return
    }
    if let share = try sharing.share() { return try await run(share, request) }
    show(
      try await Progress.showing("sensitivity", work) { try await request.run($0) }, isJSON: json.json)
  }

  func show(_ result: SensitivityResult, isJSON: Bool) {
    let table = SensitivityTable(result.sensitivity)
    if isJSON {
      var object = table.json
      object["output"] = .string(result.output)
      object["seconds"] = JSON(result.seconds)
      object["contexts"] = result.contextsRecord
      print(JSON.object(object).text(indented: true))
      return
    }
    print(table.text)
    print(
      "\(grouped(result.sensitivity.tokens)) tokens in \(grouped(result.contexts)) contexts, plans on "
        + "\(grouped(result.judgingContexts)) others, \(duration(result.seconds))")
    if result.seenContexts > 0 {
      print("left out, since the statistics were made of them: \(grouped(result.seenContexts)) contexts")
    }
    print(result.output)
  }
}

/// How much of GPTQ, which is most of the cost, is tried.
struct SensitivityOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Experts per layer that GPTQ is run on; the others are extrapolated.", valueName: "n"))
  var sample: Int = 8

  @Flag(
    name: .long, help: "Run whole plans with codes by least squares (mse) instead of GPTQ.")
  var quick = false

  func validate() throws {
    guard sample >= 1 else { throw ValidationError("--sample must be at least 1.") }
  }

  var effort: SensitivityEffort {
    var effort = SensitivityEffort()
    (effort.sample, effort.quick) = (sample, quick)
    return effort
  }
}

extension SensitivityCost {
  var text: String {
    var table = Table(["", "operations", "core-hours"])
    func add(_ what: String, _ operations: Double, _ hours: Double) {
      table.add([what, "\(significant(operations / 1e12))e12", significant(hours)])
    }
    for row in rows { add(row.what, row.operations, hours(row)) }
    add("all", rows.reduce(0) { $0 + $1.operations }, hours)
    let threads = workers == 1 ? "1 thread" : "\(workers) threads"
    return table.text
      + "\nabout \(duration(60 * minutes)) with \(threads), \(decimal(memory)) of memory and \(decimal(states)) of disk;"
      + "\nat \(fixed(rate / 1e9, 0)) GFLOP/s per core and the times of codes, as measured now; reading is not counted"
  }
}
