import ArgumentParser
import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotReports
import IngotSystem
import IngotTensors
import IngotTokenizer

struct Verify: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how far a model drifted from its original.",
    usage: "ingot verify <candidate> --against <original> --text <file> ... [options]",
    discussion: """
      Runs the reference forward pass of both, one layer at a time, on the same text, and compares \
      what they predict and which experts they choose. Each text is cut into contexts that follow \
      each other; as llama-perplexity does, the second half of each is scored (of 512 tokens, 255 \
      predictions).
      Exit code 2 when a figure is outside a tolerance that was given, or with --plan when the size is \
      not the planned one or the KL divergence above the predicted interval.
      A run that was stopped is continued by the same command.
      """)

  @Argument(help: "Model to judge: folder, .safetensors or .ingot file, or name in the Hugging Face cache.")
  var candidate: String

  @Option(name: .long, help: ArgumentHelp("Model it was made from.", valueName: "original"))
  var against: String

  @OptionGroup var texts: TextOptions

  @Flag(name: .long, help: "Write the result into the candidate's model card, README.md of its folder.")
  var card = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Keep here after each layer what a stopped run goes on from (default: beside the candidate, every 30 s).",
      valueName: "path"))
  var state: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Compare size and KL divergence with what this plan predicted.", valueName: "plan.json"))
  var plan: String?

  @Option(name: .long, help: ArgumentHelp("Predictions to show of those that diverge most.", valueName: "n"))
  var worst: Int = 20

  @OptionGroup var page: PageOption

  @Flag(name: .long, help: "Replace what stands at the path of --html.")
  var force = false

  @OptionGroup var tolerances: Tolerances
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard (0...1000).contains(worst) else { throw ValidationError("--worst must be 0 to 1000.") }
  }

  func run() async throws {
    try page.writer(force: force).check()
    restartWithBetterBLAS()
    let original = try Model.read(against, reading.options)
    let folder = self.candidate
    let candidate = try Model.read(folder, reading.options)
    if card, Folder.kind(folder + "/README.md") != .file {
      throw ValidationError("--card: \(printable(folder)) is no folder with a README.md.")
    }
    let tokenizer = try Tokenizer(of: original)
    if let mine = candidate.sideFile("tokenizer.json"), let other = original.sideFile("tokenizer.json"),
      mine.bytes.array != other.bytes.array, try !Tokenizer(of: candidate).isEquivalent(to: tokenizer)
    {
      Terminal.error(
        "warning: the candidate's tokenizer.json is another one; the original's is used for both")
    }
    let planned = try plan.map { path throws(FormatError) in try PlanOutcome.read(path, for: original) }
    let contexts = try texts.contexts(tokenizer)
    let progress = Progress("verify", total: 0)
    defer { progress.finish() }
    var options = VerificationOptions()
    options.workers = work.workers
    options.progress = { progress.set($0.bytes, of: $0.totalBytes) }
    options.store = store(original)
    options.worst = worst
    var violations: [String] = []
    try await verify(candidate, against: original, contexts, options) { report throws(FormatError) in
      progress.finish()
      if card {
        try ModelCard.record(
          "## Against \(printable(original.sourceName))\n\n```\n\(report.table)\n```", inFolder: folder)
      }
      let outcome = try planned.map { plan throws(FormatError) in
        try PlanOutcome(plan, candidate: candidate, report)
      }
      violations = tolerances.violations(report) + (outcome?.violations ?? [])
      let record = VerificationRecord(
        candidate: candidate, original: original, texts: texts, workers: work.workers)
      let result = try record.json(report, tokenizer, violations: violations, plan: outcome?.json)
      try Terminal.output(
        json.json ? result.text(indented: true) : report.table + (outcome.map { "\n\n" + $0.text } ?? ""))
      // Last: where a page stands, the next run is refused.
      try page.writer(force: force).write { () throws(FormatError) in VerificationPage(result).html }
    }
    for violation in violations { Terminal.error("outside tolerance: \(violation)") }
    if !violations.isEmpty { throw ExitCode(2) }
  }

  /// Where the run keeps its state. Without --state it is a name of its own for each set of arguments, beside the candidate;
  /// nothing when that folder cannot be written.
  private func store(_ original: Model) -> PassStore? {
    Interrupt.handle()
    let identity: JSONObject = [
      "tool": .string("ingot \(RootCommand.version)"), "context": JSON(texts.context),
      "original": .string(original.path),
    ]
    let arguments = JSON.array(
      [candidate, against, "\(texts.context)", "\(texts.chunks ?? 0)"].map { .string($0) }
        + texts.text.map { .string($0) })
    let name = hexDigits(XXH3.hash(Bytes(Array(arguments.text().utf8)).span)).suffix(8)
    let base = Folder.resolved(candidate) ?? candidate
    var store = PassStore(
      path: state ?? "\(base).verify-\(name)", identity: identity,
      interval: state == nil ? .seconds(30) : .zero)
    store.isOptional = state == nil
    store.shouldStop = Interrupt.isRequested
    guard state == nil, !Folder.isWritable(Folder.parent(of: base)) else { return store }
    return nil
  }
}

/// Figures a candidate must keep to.
struct Tolerances: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Largest mean KL divergence, in nats.", valueName: "x"))
  var maxKld: Double?
  @Option(name: .long, help: ArgumentHelp("Largest 99th percentile of KL divergence.", valueName: "x"))
  var maxKldP99: Double?
  @Option(name: .long, help: ArgumentHelp("Largest perplexity, candidate / original.", valueName: "x"))
  var maxPplRatio: Double?
  @Option(
    name: .long, help: ArgumentHelp("Largest RMS change of the next token's probability.", valueName: "x"))
  var maxDeltaP: Double?
  @Option(name: .long, help: ArgumentHelp("Smallest share of equal top tokens, in percent.", valueName: "x"))
  var minTop1: Double?
  @Option(
    name: .long,
    help: ArgumentHelp("Smallest mean overlap of expert sets in any layer, in percent.", valueName: "x"))
  var minRouterOverlap: Double?

  /// What is outside, one line each.
  func violations(_ report: VerificationReport) -> [String] {
    var lines: [String] = []
    func above(_ name: String, _ option: String, _ value: Double, _ limit: Double?) {
      guard let limit, !(value <= limit) else { return }
      lines.append("\(name) \(significant(value)) is above \(option) \(significant(limit))")
    }
    func below(_ name: String, _ option: String, _ value: Double, _ limit: Double?) {
      guard let limit, !(value >= limit) else { return }
      lines.append("\(name) \(fixed(value, 3)) % is below \(option) \(significant(limit))")
    }
    above("mean KL divergence", "--max-kld", report.divergence.mean.value, maxKld)
    above("99th percentile of KL divergence", "--max-kld-p99", report.divergence.p99, maxKldP99)
    above("perplexity ratio", "--max-ppl-ratio", report.perplexity.ratio.value, maxPplRatio)
    above("RMS of Δp", "--max-delta-p", report.deltaP.rms, maxDeltaP)
    below("same top token", "--min-top1", 100 * report.sameTop, minTop1)
    let overlaps = report.layers.compactMap { layer in layer.router.map { (layer.layer, $0.overlap) } }
    if let worst = overlaps.min(by: { $0.1 < $1.1 }) {
      below(
        "overlap of experts in layer \(worst.0)", "--min-router-overlap", 100 * worst.1,
        minRouterOverlap)
    }
    return lines
  }
}

extension Tokenizer {
  /// The tokenizer among a model's side files.
  init(of model: Model) throws(FormatError) {
    guard let file = model.sideFile("tokenizer.json") else {
      throw FormatError(path: model.path, expected: "tokenizer.json", found: "none")
    }
    try self.init(
      json: file.bytes.array, path: "\(model.path) (tokenizer.json)",
      config: model.sideFile("tokenizer_config.json")?.bytes.array)
  }

  /// Tokens of a text file, or of a beginning of it that has at least `needed`.
  func encode(_ bytes: Bytes, path: String, atLeast needed: Int) throws(FormatError) -> [Int] {
    // A beginning cut in the middle of a word ends in other tokens than the text has there: some are to spare.
    let spare = 256
    var length = needed < bytes.count / 4 ? 4 * needed + 4096 : bytes.count
    while true {
      length = min(length, bytes.count)
      // Back to where a character begins.
      while length < bytes.count, length > 0, bytes[length] & 0xC0 == 0x80 { length -= 1 }
      guard let text = String(validating: bytes[0..<length].array, as: UTF8.self) else {
        throw FormatError(path: path, expected: "text in UTF-8", found: "other bytes")
      }
      let ids = encode(text)
      if length == bytes.count || ids.count >= needed + spare { return ids }
      length *= 4
    }
  }
}
