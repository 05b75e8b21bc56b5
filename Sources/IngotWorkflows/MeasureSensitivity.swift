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

  /// What a run goes by.
  struct Sources {
    let model: Model
    let choice: SensitivityChoice
    let statistics: CalibrationStatistics?
    let split: ContextSplit
    let inputs: InputFiles
  }

  /// Reads all but weights, and says what is to be said of it.
  ///
  /// - Parameter paths: that the run writes.
  func sources(apartFrom paths: [String], _ control: RunControl) async throws -> Sources {
    let (source, choice) = try source()
    try await source.requireWholeFiles(control)
    var inputs = InputFiles()
    inputs.add(source)
    inputs.add(model: model)
    for text in texts.paths { inputs.add("a text", text) }
    inputs.add("the calibration file", importance)
    for path in paths { try inputs.requireApart(path) }
    let statistics = try statistics(source)
    let split = try texts.contextsApart(Tokenizer(of: source), of: source, from: statistics?.origin)
    if let line = remark(split) { control.warning(line) }
    return Sources(model: source, choice: choice, statistics: statistics, split: split, inputs: inputs)
  }

  /// - Throws: FormatError for what is wrong with files, a resumable one when the run was stopped; RequestError for formats
  ///   and encodings that are none.
  public func run(_ control: RunControl = RunControl()) async throws -> SensitivityResult {
    let start = ContinuousClock.now
    try OutputKind.sensitivity.requireName(output)
    let sources = try await sources(apartFrom: [output], control)
    try requireFree(output)
    let run = try await run(sources, measuring: nil, control)
    let completion = completion(sources, control)
    let bytes = sources.model.bytes
    let sensitivity = try await written(
      to: output, identity: try identity(sources.model, sources.choice), sources.inputs, control
    ) { journal throws(FormatError) in
      let measured = try await run.measure(journal, total: 2 * bytes)
      return try await completion.complete(measured, path: output, journal, passed: bytes)
    } content: {
      Array($0.text.utf8)
    }
    return result(sensitivity, sources, since: start)
  }

  /// The pass that measures some layers; nil for all.
  func run(_ sources: Sources, measuring layers: Range<Int>?, _ control: RunControl)
    async throws(FormatError) -> SensitivityRun
  {
    try await SensitivityRun(
      sources.model, sources.split.choosing, sources.choice, importance: importance, sources.statistics,
      techniques, sample: effort.sample, measuring: layers, control)
  }

  /// What follows when all layers are measured.
  func completion(_ sources: Sources, _ control: RunControl) -> SensitivityCompletion {
    SensitivityCompletion(
      sources.model, sources.split, sources.choice, importance: importance, sources.statistics, techniques,
      effort, control)
  }

  /// Refuses what is there already.
  func requireFree(_ path: String) throws(FormatError) {
    // A run that ended between naming the file and forgetting how it came to it goes on.
    if !SensitivityJournal.exists(beside: path) { try WholeFile.check(path, force: force) }
  }

  /// Makes a result with a journal beside its file, from which the same run resumes, and writes it.
  ///
  /// - Parameter identity: what decides the result.
  func written<Result>(
    to path: String, identity: JSONObject, _ inputs: InputFiles, _ control: RunControl,
    make: (SensitivityJournal) async throws(FormatError) -> Result, content: (Result) -> [UInt8]
  ) async throws(FormatError) -> Result {
    let journal = try SensitivityJournal(
      path, identity: identity, discard: force, takeOver: takeOver, shouldStop: control.shouldStop)
    do throws(FormatError) {
      let result = try await make(journal)
      journal.isWriting = true
      try WholeFile.write(
        content(result), to: path, force: force, again: true, takeOver: takeOver, inputs: inputs)
      journal.end()
      return result
    } catch {
      throw journal.left(error)
    }
  }

  func result(_ sensitivity: Sensitivity, _ sources: Sources, since start: ContinuousClock.Instant)
    -> SensitivityResult
  {
    let split = sources.split
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
