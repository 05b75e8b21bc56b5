import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotPlanning
import IngotReports
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Measures how far a model drifted from its original.
///
///     let request = VerifyRequest("model.gguf", against: "Qwen3-30B-A3B", texts: TextSelection(["held-out.txt"]))
///     let result = try await request.run()
///     print(result.report.divergence.mean.value)
public struct VerifyRequest: Sendable {
  /// Model to judge: folder, file or name in the Hugging Face cache.
  public var candidate: String
  public var original: String
  public var texts: TextSelection
  /// Path of the state that an interrupted run resumes from; nil for beside the candidate, where that can be written.
  public var state: String?
  /// Path of a plan whose prediction the result is compared with.
  public var plan: String?
  /// Predictions to report of those that diverge most.
  public var worst = 20
  /// Whether the candidate's activations are rounded to 8 bits where its weights allow it, as `ingot generate --fast` does; the
  /// original's are in F32.
  public var isFast = false
  public var tolerances = Tolerances()
  public var reading = ReadOptions()
  /// Writes the result into the candidate's model card, README.md of its folder.
  public var writesCard = false
  /// Keeps the state of a run that has its result, until `removeState`: when several candidates are compared, an interrupted
  /// comparison has what each had.
  public var keepsState = false
  /// What was called, for the report; nil when a program asks.
  package var command: String?
  private var found: FoundOriginal?

  public init(_ candidate: String, against original: String, texts: TextSelection) {
    self.candidate = candidate
    self.original = original
    self.texts = texts
  }

  /// Against the model that the candidate says it was made from; the run begins with whether that has changed.
  public init(_ candidate: String, against original: FoundOriginal, texts: TextSelection) {
    self.init(candidate, against: original.path, texts: texts)
    found = original
  }
}

/// The figures, and how they compare with what was asked for.
public struct VerifyResult: Sendable {
  public var report: VerificationReport
  /// What is outside a tolerance or a plan's prediction, one line each.
  public var violations: [String]
  package var outcome: PlanOutcome?
  /// Which of the candidate's weights were multiplied with rounded activations; nil where none were.
  public var fast: FastWeights?
  /// The result under the names that programs read.
  public var json: JSON
}

extension VerifyRequest {
  /// What is read, by the paths that were given.
  package var inputs: InputFiles {
    var inputs = InputFiles()
    inputs.add(model: candidate, "the candidate")
    inputs.add(model: original, "the original")
    for text in texts.paths { inputs.add("a text", text) }
    inputs.add("the plan", plan)
    return inputs
  }

  /// - Parameter deliver: called with the result before the state of the run is removed, so that a result that cannot be
  ///   delivered costs no second pass.
  /// - Throws: FormatError for what is wrong with files, RequestError for a request that contradicts itself.
  public func run(
    _ control: RunControl = RunControl(), deliver: (VerifyResult) throws(FormatError) -> Void = { _ in }
  ) async throws -> VerifyResult {
    let pair = try prepare(control)
    for model in [pair.original, pair.candidate] { try await model.requireWholeFiles(control) }
    try requireUnchanged(control)
    if let state {
      var inputs = inputs
      inputs.add(pair.original, "the original")
      inputs.add(pair.candidate, "the candidate")
      try inputs.requireApart(state)
    }
    var options = pair.options
    options.store = store(pair.original, control)
    var result: VerifyResult?
    try await verify(pair.candidate, against: pair.original, pair.contexts, options) {
      report throws(FormatError) in
      let complete = try self.result(report, pair, workers: control.workers)
      try deliver(complete)
      result = complete
    }
    return result!
  }

  /// Two models with what they are compared on.
  struct Pair {
    let candidate: Model
    let original: Model
    let tokenizer: Tokenizer
    let contexts: [Context]
    let planned: (PlanFile, Plan, PlanFile.Predicted)?
    let fast: FastWeights?
    /// Without a store.
    let options: VerificationOptions
  }

  /// Reads models, texts and plan, and says what is to be said of them.
  func prepare(_ control: RunControl) throws -> Pair {
    let original = try Model.read(original, reading)
    let candidate = try Model.read(candidate, reading)
    for remark in Set([original, candidate].compactMap(\.remark)) { control.warning(remark) }
    if writesCard, Folder.kind(self.candidate + "/README.md") != .file {
      throw RequestError(.card, "\(printable(self.candidate)) is no folder with a README.md")
    }
    let tokenizer = try Tokenizer(of: original)
    let files = Tokenizer.source { candidate.sideFile($0) != nil }
    if files.allSatisfy({ original.sideFile($0) != nil }),
      files.contains(where: { candidate.sideFile($0)?.bytes.array != original.sideFile($0)?.bytes.array }),
      try !Tokenizer(of: candidate).isEquivalent(to: tokenizer)
    {
      control.warning(
        "the candidate's \(files.joined(separator: ", ")) is another one; the original's is used for both")
    }
    let planned = try plan.map { path throws(FormatError) in try PlanOutcome.read(path, for: original) }
    let contexts = try texts.contexts(tokenizer, of: original, withSpans: true)
    for remark in remarks(candidate, original, contexts, plan: planned?.0.sensitivity) {
      control.warning(remark)
    }
    var options = VerificationOptions()
    options.workers = control.workers
    options.progress = { control.progress($0.bytes, $0.totalBytes) }
    options.worst = worst
    options.isFast = isFast
    options.keepsState = keepsState
    return Pair(
      candidate: candidate, original: original, tokenizer: tokenizer, contexts: contexts, planned: planned,
      fast: isFast ? FastWeights(candidate) : nil, options: options)
  }

  /// A report with what was asked of it, written into the model card where that is wanted.
  ///
  /// - Parameter shares: of how many shares it was put together; nil for one run.
  func result(_ report: VerificationReport, _ pair: Pair, workers: Int, shares: Int? = nil)
    throws(FormatError) -> VerifyResult
  {
    let (candidate, fast) = (pair.candidate, pair.fast)
    if writesCard {
      try ModelCard.record(
        "## Against \(printable(pair.original.sourceName))\n\n```\n\(report.table)\(fast.map { "\n" + $0.text } ?? "")\n```",
        inFolder: self.candidate)
    }
    let outcome = try pair.planned.map { plan throws(FormatError) in
      try PlanOutcome(plan, candidate: candidate, report)
    }
    let violations = tolerances.violations(report) + (outcome?.violations ?? [])
    let record = VerificationRecord(
      candidate: candidate, original: pair.original, texts: texts, workers: workers, shares: shares,
      fast: fast,
      command: command)
    return VerifyResult(
      report: report, violations: violations, outcome: outcome, fast: fast,
      json: try record.json(report, pair.tokenizer, violations: violations, plan: outcome?.json))
  }

  /// Compares a found original's files with the candidate's record.
  func requireUnchanged(_ control: RunControl) throws(FormatError) { try found?.requireUnchanged(control) }

  /// Where the run keeps its state. Without a path of its own it has a name for each set of arguments, beside the candidate;
  /// nothing when that folder cannot be written.
  private func store(_ original: Model, _ control: RunControl) -> PassStore? {
    let identity: JSONObject = [
      "tool": .string(Tool.name), "context": JSON(texts.context), "original": .string(original.path),
      "byConversation": texts.cutsByConversation ? true : nil,
    ]
    var store = PassStore(
      path: statePath, identity: identity, interval: state == nil ? .seconds(30) : .zero)
    store.isOptional = state == nil
    store.shouldStop = control.shouldStop
    guard state == nil, !Folder.isWritable(Folder.parent(of: statePath)) else { return store }
    return nil
  }

  private var statePath: String {
    if let state { return state }
    // Runs with rounded activations and without have states of their own.
    let arguments = JSON.array(
      [candidate, original, "\(texts.context)", "\(texts.chunks ?? 0)"].map { .string($0) }
        + (isFast ? ["fast"] : [])
        + (texts.shipped.map(\.name) + texts.paths + [texts.chatTemplate].compactMap(\.self)).map {
          .string($0)
        })
    let name = hexDigits(XXH3.hash(Bytes(Array(arguments.text().utf8)).span)).suffix(8)
    return "\(Folder.resolved(candidate) ?? candidate).verify-\(name)"
  }

  /// Removes what a run with `keepsState` has kept.
  public func removeState() { PassStore(path: statePath).remove() }
}
