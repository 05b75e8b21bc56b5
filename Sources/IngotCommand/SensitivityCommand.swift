import ArgumentParser
import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer

struct SensitivityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sensitivity",
    abstract: "Measure what quantizing each tensor would cost, for 'ingot plan' to choose by.",
    usage: "ingot sensitivity <model> --text <file> ... --output <file.sens> [options]",
    discussion: """
      One pass through the model. In each layer every tensor is quantized to every candidate encoding, \
      and copies of the hidden states, each with one tensor (or one projection of all experts) at the \
      reference encoding, go on beside the exact ones to the logits. The file says for every tensor \
      and candidate what KL divergence to expect; one file serves every budget and machine.
      With --importance tensors are quantized as 'ingot quantize --importance' does it; measure with \
      it what will be made with it.
      In the end plans of some budgets are run through the model whole, on other contexts than they \
      were chosen by: twice as many, the last of each text. Predictions go by these. They are best \
      where the evidence is of neither: give 'ingot calibrate' fewer contexts than the text has.
      A few contexts are enough: errors are averaged over tokens. Use text like your own, and other \
      text than you verify with.
      A run that was stopped is continued by the same command after the last layer it kept.
      """)

  @Argument(help: "Model: folder, .safetensors or .ingot file, or name in the Hugging Face cache.")
  var model: String

  @OptionGroup var texts: TextOptions

  @Option(name: [.short, .long], help: ArgumentHelp("File to write.", valueName: "file"))
  var output: String

  @Option(
    name: .long, help: ArgumentHelp("What 'ingot calibrate' gathered: quantize by GPTQ.", valueName: "file"))
  var importance: String?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Measure the encodings of these formats.", valueName: "format"))
  var format: [String] = ["ingot"]

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Measure these encodings too, such as 'int3 g128 zero f16'.", valueName: "encoding"))
  var candidates: [String] = []

  @Option(
    name: .long, help: ArgumentHelp("Encoding of the copies (default: one of 3 bits).", valueName: "encoding")
  )
  var reference: String?

  @OptionGroup var effort: SensitivityOptions
  @OptionGroup var techniques: TechniqueOptions

  @Flag(name: .long, help: "Replace what stands at the output path, and discard an unfinished output there.")
  var force = false

  @Flag(
    name: .long, help: "Continue an unfinished output of a run on another host, which must have ended.")
  var takeOver = false

  @Flag(name: .long, help: "Only say what the run would cost on this machine.")
  var cost = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    restartWithBetterBLAS()
    let source = try Model.read(model, reading.options)
    try source.requireForwardPass()
    let choice = try SensitivityChoice(source, formats: format, more: candidates, reference: reference)
    if cost {
      let cost = SensitivityCost(
        source, tokens: try mostTokens(source), choice, effort,
        isCalibrated: importance != nil)
      print(json.json ? cost.json.text(indented: true) : cost.text)
      return
    }
    let (contexts, others) = try texts.contextsApart(try Tokenizer(of: source))
    // A run that ended between naming the file and forgetting how it came to it goes on.
    if !SensitivityJournal.exists(beside: output) { try WholeFile.check(output, force: force) }
    Interrupt.handle()
    let progress = Progress("sensitivity", total: 0)
    defer { progress.finish() }
    var run = try await SensitivityRun(
      source, contexts, judging: others, choice, importance: importance, techniques, effort,
      workers: work.workers)
    run.progress = { progress.set($0, of: $1) }
    var identity = try CalibrationRun.identity(source, texts, coverage: nil)
    identity["candidates"] = .array(choice.candidates.map { .string($0.description) })
    identity["reference"] = .string(choice.reference.description)
    if let importance { identity["importance"] = try fileIdentity(importance) }
    identity["mixtures"] = .array(choice.formats.map { .string($0) })
    identity["sample"] = JSON(effort.sample)
    identity["quick"] = .bool(effort.quick)
    identity["drops"] = true
    identity["techniques"] = .array(techniques.without.map { .string($0.rawValue) })
    let kept = try SensitivityJournal(
      output, identity: identity, discard: force, takeOver: takeOver, shouldStop: Interrupt.isRequested)
    let found: Sensitivity
    do throws(FormatError) {
      found = try await run.measure(kept)
      try WholeFile.write(Array(found.text.utf8), to: output, force: force, again: true)
      kept.end()
    } catch {
      progress.finish()
      throw kept.left(error)
    }
    progress.finish()
    let table = SensitivityTable(found)
    if json.json {
      var object = table.json
      object["output"] = .string(output)
      object["seconds"] = JSON(progress.seconds)
      print(JSON.object(object).text(indented: true))
    } else {
      print(table.text)
      print(
        "\(grouped(found.tokens)) tokens in \(grouped(contexts.count)) contexts, \(duration(progress.seconds))"
      )
      print(output)
    }
  }
}

extension SensitivityCommand {
  /// Tokens that tensors and mixtures would be measured on; with --chunks, at most, without a look at the texts.
  private func mostTokens(_ model: Model) throws(FormatError) -> (tensors: Int, mixtures: Int) {
    if let chunks = texts.chunks {
      let tokens = texts.text.count * chunks * texts.context
      return (tokens, 2 * tokens)
    }
    let (tensors, mixtures) = try texts.contextsApart(try Tokenizer(of: model))
    func tokens(_ contexts: [Context]) -> Int { contexts.reduce(0) { $0 + $1.tokens.count } }
    return (tokens(tensors), tokens(mixtures))
  }
}

/// How much of GPTQ, which is most of the cost, is tried.
struct SensitivityOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Experts of each layer that GPTQ is tried on; others follow from these.", valueName: "n"))
  var sample: Int = 8

  @Flag(
    name: .long, help: "Do not quantize whole plans by GPTQ to see how parts add up: the search has to do.")
  var quick = false

  func validate() throws {
    guard sample >= 1 else { throw ValidationError("--sample must be at least 1.") }
  }
}

/// What is measured: candidates, the reference and the encodings of whole models.
struct SensitivityChoice {
  let candidates: [Encoding]
  let reference: Encoding
  /// Encodings that whole models are quantized to, to see how parts add up.
  let uniform: [Encoding]
  /// That plans are run whole for.
  let formats: [String]

  init(_ model: Model, formats: [String], more: [String], reference: String?) throws {
    var candidates: [Encoding] = []
    var uniform: [Encoding] = []
    var usual: Encoding?
    for format in formats {
      guard let known = Sensitivity.candidates(format: format, for: model) else {
        throw ValidationError(
          "--format \(format): expected ingot, gguf, mlx or compressed-tensors, with encodings that fit this model."
        )
      }
      candidates += known.all.filter { !candidates.contains($0) }
      usual = usual ?? known.reference
      // Around the bits that plans have on the whole, and where the best of their tensors are.
      for bits in [3.4, 4.4, 6.4] {
        let nearest = known.all.min {
          abs($0.bitsPerWeight - bits) < abs($1.bitsPerWeight - bits)
        }!
        if !uniform.contains(nearest) { uniform.append(nearest) }
      }
    }
    func encoding(_ name: String, _ option: String) throws -> Encoding {
      guard let encoding = Encoding(name: name), !Quantizer.filling(encoding).isEmpty,
        model.tensors.allSatisfy({ !model.canQuantize($0) || encoding.planes($0.shape) != nil })
      else {
        throw ValidationError(
          "\(option) '\(name)': expected an encoding that fits every tensor of the model.")
      }
      return encoding
    }
    for name in more {
      let encoding = try encoding(name, "--candidates")
      if !candidates.contains(encoding) { candidates.append(encoding) }
    }
    if let reference { usual = try encoding(reference, "--reference") }
    guard let chosen = usual else { throw ValidationError("--format: expected at least one.") }
    if !candidates.contains(chosen) { candidates.append(chosen) }
    self.candidates = candidates
    self.reference = chosen
    self.uniform = uniform
    self.formats = formats.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}

extension Encoding {
  /// Of a large matrix.
  var bitsPerWeight: Double { Double(8 * (bytes([1024, 4096]) ?? 0)) / Double(1024 * 4096) }
}
