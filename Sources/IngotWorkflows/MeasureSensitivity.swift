import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer

/// How much of GPTQ, which is most of the cost, is tried.
public struct SensitivityEffort: Sendable {
  /// Experts of each layer that GPTQ is tried on; others follow from these.
  public var sample = 8
  /// Do not quantize whole plans by GPTQ to see how parts add up: the search has to do.
  public var quick = false

  public init() {}
}

/// Measures what quantizing each tensor costs, for plans to choose by.
public struct SensitivityRequest: Sendable {
  /// Folder, file or name in the Hugging Face cache.
  public var model: String
  public var texts: TextSelection
  public var output: String
  /// Calibration file: quantize by GPTQ.
  public var importance: String?
  /// Measure the encodings of these formats.
  public var formats = [Format.ingot.name]
  /// Measure these encodings too, by name.
  public var candidates: [String] = []
  /// Do not measure these encodings, by name or by what their names begin with, such as `trellis`.
  public var excluded: [String] = []
  /// Encoding of the perturbed runs, by name; nil for one of 3 bits.
  public var reference: String?
  public var effort = SensitivityEffort()
  public var techniques = CalibrationTechniques()
  /// Replace what is at the output's path, and discard an unfinished output there.
  public var force = false
  /// Continue an unfinished output of a run on another host, which must have ended.
  public var takeOver = false
  public var reading = ReadOptions()

  public init(_ model: String, texts: TextSelection, to output: String) {
    self.model = model
    self.texts = texts
    self.output = output
  }
}

/// What was measured.
public struct SensitivityResult: Sendable {
  public var sensitivity: Sensitivity
  public var output: String
  public var contexts: Int
  /// Contexts that plans were run whole on.
  public var judgingContexts: Int
  /// Contexts of the texts that the calibration statistics have seen, and that were left out.
  public var seenContexts: Int
  public var seconds: Double

  /// Which contexts were used, for programs.
  package var contextsRecord: JSON {
    [
      "measured": JSON(contexts), "judging": JSON(judgingContexts), "leftOut": JSON(seenContexts),
      "novelty": sensitivity.contexts.map { .string($0.novelty.rawValue) } ?? .null,
    ]
  }
}

extension SensitivityRequest {
  private func source() throws -> (model: Model, choice: SensitivityChoice) {
    let source = try Model.read(model, reading)
    try source.requireForwardPass()
    let choice = try SensitivityChoice(
      source, formats: formats, more: candidates, excluded: excluded, reference: reference)
    return (source, choice)
  }

  /// What the run would cost on this machine.
  package func cost(workers: Int = RunControl().workers) throws -> SensitivityCost {
    let (model, choice) = try source()
    return SensitivityCost(
      model, tokens: try mostTokens(model), choice, effort, isCalibrated: importance != nil,
      workers: workers)
  }

  /// What codes are chosen by; nil without.
  private func statistics(_ model: Model) throws(FormatError) -> CalibrationStatistics? {
    guard let importance else { return nil }
    guard CalibrationFile.recognizes(importance) else {
      throw FormatError(
        path: importance, expected: "calibration statistics (.calib), as 'ingot calibrate' writes them",
        found: try WrittenFile.recognize(importance)?.title ?? "a file of another kind")
    }
    return try CalibrationFile.read(importance, for: model)
  }

  /// Tokens that tensors and plans would be measured on; with `chunks`, at most, without a look at the texts.
  private func mostTokens(_ model: Model) throws(FormatError) -> (tensors: Int, mixedPlans: Int) {
    if let chunks = texts.chunks {
      let tokens = texts.paths.count * chunks * texts.context
      return (tokens, 2 * tokens)
    }
    let split = try texts.contextsApart(Tokenizer(of: model), of: model, from: try statistics(model)?.origin)
    func tokens(_ contexts: [Context]) -> Int { contexts.reduce(0) { $0 + $1.tokens.count } }
    return (tokens(split.choosing), tokens(split.judging))
  }

  /// - Throws: FormatError for what is wrong with files, a resumable one when the run was stopped; RequestError for formats
  ///   and encodings that are none.
  public func run(_ control: RunControl = RunControl()) async throws -> SensitivityResult {
    let start = ContinuousClock.now
    let (source, choice) = try source()
    try await source.requireWholeFiles(control)
    var inputs = InputFiles()
    inputs.add(source)
    inputs.add(model: model)
    for text in texts.paths { inputs.add("a text", text) }
    inputs.add("the calibration file", importance)
    try inputs.requireApart(output)
    try OutputKind.sensitivity.requireName(output)
    let statistics = try statistics(source)
    let split = try texts.contextsApart(Tokenizer(of: source), of: source, from: statistics?.origin)
    if let line = remark(split) { control.warning(line) }
    // A run that ended between naming the file and forgetting how it came to it goes on.
    if !SensitivityJournal.exists(beside: output) { try WholeFile.check(output, force: force) }
    var run = try await SensitivityRun(
      source, split, choice, importance: importance, statistics, techniques, effort, control)
    let kept = try SensitivityJournal(
      output, identity: try identity(source, choice), discard: force, takeOver: takeOver,
      shouldStop: control.shouldStop)
    let sensitivity: Sensitivity
    do throws(FormatError) {
      sensitivity = try await run.measure(kept)
      try WholeFile.write(Array(sensitivity.text.utf8), to: output, force: force, again: true, inputs: inputs)
      kept.end()
    } catch {
      throw kept.left(error)
    }
    return SensitivityResult(
      sensitivity: sensitivity, output: output, contexts: split.choosing.count,
      judgingContexts: split.judging.count,
      seenContexts: split.novelty == .unseen && !split.isChosenBySeen ? split.seenCount : 0,
      seconds: (ContinuousClock.now - start).seconds)
  }

  /// A word where plans are measured on contexts of the calibration, or may be; nil where not.
  private func remark(_ split: ContextSplit) -> String? {
    let file = importance.map { printable(Folder.name(of: $0)) } ?? ""
    let names = printable(texts.names.joined(separator: ", "), limit: 200)
    let wayOut = "give 'ingot sensitivity' other text, or let 'ingot calibrate' leave contexts out"
    switch split.novelty {
    case .seen:
      return
        "\(names): \(file) was made of every context of this text, on which GPTQ does better than on any other. "
        + "Predictions allow for that by their usual factor and a wider interval; to measure it, " + wayOut
    case .unknown:
      return "\(names): \(file) was made of a text of this name and does not say of which contexts of "
        + "\(grouped(texts.context)) tokens (an older file, or contexts of another length), so plans may be measured on what "
        + "they were calibrated on; collect statistics anew with contexts of this length, or give other text"
    case .unseen:
      guard split.isChosenBySeen else { return nil }
      return
        "\(names): \(file) has left only \(grouped(split.judging.count)) contexts, which plans are run on; the costs of "
        + "tensors are measured on contexts that it has seen; for better plans, " + wayOut
    }
  }

  private func identity(_ source: Model, _ choice: SensitivityChoice) throws(FormatError) -> JSONObject {
    var identity = try CalibrationRun.identity(source, texts, coverage: nil)
    identity["candidates"] = .array(choice.candidates.map { .string($0.description) })
    identity["reference"] = .string(choice.reference.description)
    if let importance { identity["importance"] = try fileIdentity(importance) }
    identity["mixtures"] = .array(choice.formats.map { .string($0) })
    identity["sample"] = JSON(effort.sample)
    identity["quick"] = .bool(effort.quick)
    identity["drops"] = true
    identity["contexts apart"] = true
    identity["techniques"] = .array(techniques.identity)
    return identity
  }
}

extension CalibrationStatistics {
  /// By what contexts are kept apart from these.
  fileprivate var origin: ContextSplit.Statistics { .init(texts: texts, contexts: contexts) }
}
