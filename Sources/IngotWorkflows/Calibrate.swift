import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

/// Gathers calibration statistics: what goes into each linear layer and each expert.
public struct CalibrateRequest: Sendable {
  /// Folder, file or name in the Hugging Face cache.
  public var model: String
  public var texts: TextSelection
  /// Contexts that the model makes itself, from starts that `texts` give (none: those that are part of the program), to be used
  /// instead of the texts.
  public var ownText: OwnText?
  /// A `.calib` file; with the ending `.gguf` or `.dat` an importance matrix of llama.cpp.
  public var output: String
  /// Tokens that every expert is to see: more contexts than `texts.chunks` are used where the texts have them, then tokens
  /// are forced to experts that lack them.
  public var coverage: Int?
  /// Use every context of the texts. Otherwise statistics (not an importance matrix) leave the last contexts of each text out
  /// where they would take them all: an eighth, for `sensitivity` and `verify` to measure on.
  public var usesAllContexts = false
  /// Gather the statistics of this share of the contexts alone, into a file in `output`, a folder; nil for all.
  public var share: Share?
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

/// What the statistics say of each expert.
public struct CalibrateResult: Sendable {
  public var output: String
  public var ledger: ExpertLedger
  public var tokens: Int
  public var contexts: Int
  /// Contexts at the ends of the texts that were left to `sensitivity` and `verify`.
  public var contextsLeft: Int
  /// Nil without a wanted coverage.
  public var coverage: CoverageReport?
  public var seconds: Double

  /// The result under the names that programs read.
  public var json: JSON {
    var object = ledger.json
    object["output"] = .string(output)
    object["tokens"] = JSON(tokens)
    object["contexts"] = JSON(contexts)
    object["contextsLeft"] = JSON(contextsLeft)
    object["coverage"] = coverage?.json ?? .null
    object["seconds"] = JSON(seconds)
    return .object(object)
  }
}

extension CalibrateRequest {
  /// - Throws: FormatError for what is wrong with files, a resumable one when the run was stopped.
  public func run(_ control: RunControl = RunControl()) async throws -> CalibrateResult {
    let start = ContinuousClock.now
    if share != nil, coverage != nil {
      throw RequestError(
        .untilCovered,
        "experts are covered by all contexts together, so that the work cannot be done by shares")
    }
    if share != nil, ownText != nil {
      throw RequestError(
        .generate, "each share would make all of the text again; make it once, and give it as a text")
    }
    let output = try target()
    let source = try Model.read(model, reading)
    try await source.requireWholeFiles(control)
    try source.requireForwardPass()
    var inputs = InputFiles()
    inputs.add(source)
    inputs.add(model: model)
    for text in texts.paths { inputs.add("a text", text) }
    try inputs.requireApart(output)
    try OutputKind.calibration.requireName(output)
    let form: ImportanceFile.Form? =
      output.hasSuffix(".gguf") ? .gguf : output.hasSuffix(".dat") ? .legacy : nil
    if form != nil { try WholeFile.check(output, force: force) }
    var writing = WriteOptions()
    writing.inputs = inputs
    (writing.force, writing.takeOver) = (force, takeOver)
    // What the model made is nobody's to measure on.
    let usesAll = usesAllContexts || form != nil || ownText != nil
    let names = ownText == nil ? texts.names : [OwnText.name]
    var origin = try CalibrationRun.origin(source)
    if let share {
      let all = try CalibrationRun.allContexts(source, texts, usesAll: usesAll)
      origin.merge(CalibrationShares.Part(share, of: all, source: model).metadata) { $1 }
    }
    // An importance matrix is made from statistics beside it, of which some fields are enough.
    let writer = try CalibrationFile.Writer(
      form == nil ? output : output + ".evidence", for: source, texts: names,
      isForImportance: form != nil, origin: origin,
      identity: CalibrationRun.identity(
        source, texts, coverage: coverage, usesAll: usesAll, share: share, ownText: ownText), writing)
    var options = CalibrationOptions()
    options.workers = control.workers
    options.coverage = coverage
    options.progress = { control.progress($0.bytes, $0.totalBytes) }
    let run: CalibrationRun
    do throws(FormatError) {
      var going = try CalibrationRun(
        source, texts, writer, options, usesAll: usesAll, share: share, shouldStop: control.shouldStop)
      if let ownText {
        try await going.make(ownText) { control.progress($0, $1) }
      }
      try await going.run()
      if let form {
        try going.importance(source, names, contextLength: texts.context).write(
          output, for: source, as: form, force: force, inputs: inputs)
        writer.discard()
      } else {
        try writer.commit()
      }
      run = going
    } catch {
      let error = writer.abandoned(error)
      if !error.isResumable && writer.layers > 0 {
        control.warning(
          "statistics of \(writer.layers) of \(source.blueprint.layerCount) layers are kept beside the output: "
            + "the same run resumes after them, unless it is forced to begin anew")
      }
      throw error
    }
    for line in run.ledger.overflows { control.warning(line) }
    return CalibrateResult(
      output: output, ledger: run.ledger, tokens: run.tokens, contexts: run.contexts.count,
      contextsLeft: run.left,
      coverage: coverage.map { CoverageReport(wanted: $0, run) },
      seconds: (ContinuousClock.now - start).seconds)
  }
}

extension CalibrateRequest {
  /// The file that is written: the share's, in a folder that is made where it is not, or the statistics.
  private func target() throws(FormatError) -> String {
    guard let share else { return output }
    try ShareFiles.makeFolder(output)
    return CalibrationShares.path(share, in: output)
  }
}

/// Puts shares of statistics together.
public struct AssembleCalibrationRequest: Sendable {
  /// With the files of all shares.
  public var folder: String
  /// The model that they were gathered from; nil for the one that the shares name.
  public var model: String?
  /// A `.calib` file.
  public var output: String
  public var force = false
  public var reading = ReadOptions()

  public init(_ folder: String, to output: String) {
    self.folder = folder
    self.output = output
  }

  /// What was put together.
  public struct Result: Sendable {
    public var output: String
    public var shares: Int
    public var tokens: Int
    public var contexts: Int

    /// The result under the names that programs read.
    public var json: JSON {
      [
        "output": .string(output), "shares": JSON(shares), "tokens": JSON(tokens),
        "contexts": JSON(contexts),
      ]
    }
  }

  /// - Throws: FormatError for shares that are missing, damaged or of other models or texts.
  public func run() throws -> Result {
    let shares = try CalibrationShares(folder)
    let path = model ?? shares.source
    let source = try Model.read(path, reading)
    try OutputKind.calibration.requireName(output)
    var inputs = InputFiles()
    inputs.add(source)
    inputs.add("the shares", folder)
    try inputs.requireApart(output)
    var writing = WriteOptions()
    (writing.inputs, writing.force) = (inputs, force)
    let made = try shares.assemble(to: output, for: source, writing)
    return Result(output: output, shares: shares.count, tokens: made.tokens, contexts: made.contexts)
  }
}

extension CalibrationRun {
  /// An importance matrix out of the statistics that are there.
  fileprivate func importance(_ model: Model, _ names: [String], contextLength: Int) throws(FormatError)
    -> ImportanceFile
  {
    var importance = Importance()
    for layer in 0..<writer.layers {
      let found = try writer.layer(layer).importance(model.blueprint)
      importance.columns.merge(found.columns) { $1 }
      importance.tokens.merge(found.tokens) { $1 }
    }
    return ImportanceFile(
      importance, datasets: names, chunks: contexts.count, chunkSize: contextLength)
  }
}

/// Whether every expert saw as many tokens as were wanted.
public struct CoverageReport: Sendable {
  public let wanted: Int
  /// Contexts after each round of drawing.
  public let drawn: [Int]
  public let contexts: Int
  /// Experts that tokens were forced to.
  public let starved: [ExpertLedger.Entry]
  /// Those that have too few even so: there are no more tokens.
  public let uncovered: [ExpertLedger.Entry]

  init(wanted: Int, _ run: CalibrationRun) {
    self.wanted = wanted
    drawn = run.drawn
    contexts = run.contexts.count
    starved = run.ledger.entries.filter { $0.forced > 0 }
    uncovered = run.ledger.entries.filter { $0.tokens + $0.forced < wanted }
  }

  public var forced: Int { starved.reduce(0) { $0 + $1.forced } }

  var json: JSON {
    func list(_ entries: [ExpertLedger.Entry]) -> JSON {
      .array(
        entries.map {
          [
            "layer": JSON($0.layer), "expert": JSON($0.expert), "tokens": JSON($0.tokens),
            "forcedTokens": JSON($0.forced),
          ]
        })
    }
    return [
      "wanted": JSON(wanted), "contextsDrawn": .array(drawn.map { JSON($0) }), "contexts": JSON(contexts),
      "forcedTokens": JSON(forced), "forced": list(starved), "uncovered": list(uncovered),
    ]
  }
}
