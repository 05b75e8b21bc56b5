import ArgumentParser
import IngotModels
import IngotReports
import IngotSystem
import IngotWorkflows

struct Calibrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Collect calibration statistics of each linear layer and each expert.",
    usage: """
      ingot calibrate <model> --text <file> ... --output <file.calib> [options]
      ingot calibrate <model> --generate <n> --output <file.calib> [options]
      """,
    discussion: """
      Runs the reference forward pass over the texts, one layer at a time, and saves the statistics \
      that quantizers need: 'ingot quantize --importance FILE' uses them. A text is a .txt file, or a \
      .jsonl file with one object per line: {"text": ...} or {"messages": [...], "tools": [...]} as \
      chat APIs take them, rendered by the model's own chat template. A .json file is a list of such objects.
      An output that ends in .gguf or .dat is a llama.cpp importance matrix, in the new or old format.
      With --shard i/n it collects the statistics of the i-th share of the contexts, into the folder --output; \
      'ingot assemble' puts the shares together.
      An interrupted run resumes after the last completed layer when the same command is run again.
      With --generate the model makes its own text: n contexts that continue starts of a few tokens, taken from \
      the texts or, without --text, from those that are part of this program.
      Never calibrate on the text you measure with. The last eighth of each text is left out for \
      'ingot sensitivity', which finds by the file which contexts it has seen; --chunks leaves out more.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Texts in UTF-8, .jsonl with one text or conversation per line, or .json with a list of conversations.",
      valueName: "file"), completion: .path)
  var text: [String] = []

  @OptionGroup var contexts: ContextOptions

  @Option(
    name: .long,
    help: ArgumentHelp("Calibrate on n contexts of text that the model makes itself.", valueName: "n"))
  var generate: Int?

  @Option(
    name: .long, help: ArgumentHelp("With --generate: another seed gives another text.", valueName: "n"))
  var seed: UInt64?

  @Option(
    name: .long, help: ArgumentHelp("With --generate: 1 is the model's own distribution.", valueName: "t"))
  var temperature: Double?

  @Option(name: [.short, .long], help: ArgumentHelp("Output file.", valueName: "file"), completion: .path)
  var output: String

  @Flag(name: .long, help: "Replace an existing output, and discard an unfinished one.")
  var force = false

  @Flag(
    name: .long, help: "Resume an unfinished output of another host, whose run must have ended.")
  var takeOver = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Minimum tokens per expert: more contexts than --chunks are used where the texts have them, then "
        + "tokens are forced to experts that lack them, for statistics only.", valueName: "n"))
  var untilCovered: Int?

  @Flag(
    name: .long,
    help: "Use every context of the texts, and leave none to 'ingot sensitivity' and 'ingot verify'.")
  var allContexts = false

  @OptionGroup var sharing: ShareOptions

  @Flag(name: .long, help: "Print one line per expert.")
  var experts = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard !text.isEmpty || generate != nil else {
      throw ValidationError("Give a --text <file>, or --generate <n> for text that the model makes itself.")
    }
    guard generate.map({ (1...1 << 20).contains($0) }) ?? true else {
      throw ValidationError("--generate must be 1 to 1048576.")
    }
    guard generate != nil || (seed == nil && temperature == nil) else {
      throw ValidationError("--seed and --temperature need --generate.")
    }
    guard temperature.map({ (0...100).contains($0) }) ?? true else {
      throw ValidationError("--temperature must be 0 to 100.")
    }
    guard generate == nil || !allContexts else {
      throw ValidationError("--generate excludes --all-contexts: contexts that the model makes are all used.")
    }
    guard untilCovered.map({ (1...1 << 24).contains($0) }) ?? true else {
      throw ValidationError("--until-covered must be 1 to 16777216.")
    }
  }

  func run() async throws {
    var request = CalibrateRequest(model, texts: contexts.selection(text), to: output)
    if let generate {
      var own = OwnText(generate)
      own.seed = seed ?? 0
      own.temperature = temperature ?? 1
      request.ownText = own
    }
    request.coverage = untilCovered
    request.usesAllContexts = allContexts
    request.share = try sharing.share()
    request.force = force
    request.takeOver = takeOver
    request.reading = reading.options
    let result = try await Progress.showing("calibrate", work) { try await request.run($0) }
    if json.json {
      print(result.json.text(indented: true))
      return
    }
    print(result.ledger.table(experts: experts))
    if let coverage = result.coverage { print(coverage.text) }
    print(
      "\(grouped(result.tokens)) tokens in \(grouped(result.contexts)) contexts, \(duration(result.seconds))")
    if result.contextsLeft > 0 {
      print("left for 'ingot sensitivity' and 'ingot verify': \(grouped(result.contextsLeft)) contexts")
    }
    print(output)
  }
}
