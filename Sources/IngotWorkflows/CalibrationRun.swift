import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Gathering statistics in a way that can be stopped after each layer and continued.
///
/// Two stages: where experts are to be covered and `--chunks` leaves text, a survey of the experts' tokens over more and more
/// of it; then the pass that keeps statistics. After each layer of either, the journal gets a note and the hidden states go to
/// a file.
struct CalibrationRun {
  let model: Model
  let texts: TextSelection
  let tokenizer: Tokenizer
  let writer: CalibrationFile.Writer
  var options: CalibrationOptions
  let shouldStop: @Sendable () -> Bool

  /// Whether every context of the texts may be used, and none at a text's end is left to other commands.
  let usesAll: Bool
  /// The share of the contexts that statistics are gathered of; nil for all.
  let share: Share?

  private(set) var ledger: ExpertLedger
  private(set) var contexts: [Context] = []
  /// Contexts of each text that a survey has seen, after each round; empty without one.
  private(set) var drawn: [Int] = []
  /// Contexts that the model made, to be used instead of the texts.
  private var made: [Context]?
  /// Contexts that would be used too, were they not left to other commands.
  private(set) var left = 0

  var tokens: Int { contexts.reduce(0) { $0 + $1.tokens.count } }

  init(
    _ model: Model, _ texts: TextSelection, _ writer: CalibrationFile.Writer, _ options: CalibrationOptions,
    usesAll: Bool, share: Share? = nil, shouldStop: @escaping @Sendable () -> Bool
  ) throws(FormatError) {
    self.usesAll = usesAll
    self.share = share
    self.model = model
    self.texts = texts
    self.writer = writer
    self.options = options
    self.shouldStop = shouldStop
    tokenizer = try Tokenizer(of: model)
    ledger = ExpertLedger(model.blueprint)
  }

  /// Lets the model make the contexts that `run` is to use. A run that resumes makes the same ones again.
  mutating func make(_ text: OwnText, progress: @escaping (Int, Int) -> Void) async throws(FormatError) {
    made = try await text.contexts(
      of: model, tokenizer, texts, workers: options.workers, progress: progress, shouldStop: shouldStop)
    if made == nil { throw writer.stopped }
  }

  /// - Throws: FormatError, one of a stopped run among them.
  mutating func run() async throws(FormatError) {
    if let made { contexts = made } else { contexts = try await drawnContexts() }
    if let share { contexts = try CalibrationRun.own(share, of: contexts, texts) }
    let blueprint = model.blueprint
    try writer.begin(
      tokens: tokens, contexts: SeenContexts(contexts),
      mostForced: (options.coverage ?? 0) * blueprint.experts.count)
    for note in writer.notes {
      guard let layer = note["evidence"]?.int else { continue }
      ledger.entries += (note["ledger"]?.array ?? []).compactMap { ExpertLedger.Entry($0, layer: layer) }
    }
    if writer.layers == blueprint.layerCount { return }
    var ledger = ledger
    let (writer, shouldStop) = (writer, shouldStop)
    let isDone = try await calibrate(
      model, contexts, options, from: point(writer.layers, contexts)
    ) { statistics, point throws(FormatError) in
      try writer.write(statistics)
      let known = ledger.entries.count
      ledger.add(statistics)
      let note: JSON = [
        "evidence": JSON(statistics.layer), "ledger": .array(ledger.entries[known...].map(\.json)),
      ]
      let isLast = point.layer == blueprint.layerCount
      try writer.keep(note, states: isLast ? nil : point.states)
      return isLast || !shouldStop()
    }
    self.ledger = ledger
    if !isDone { throw writer.stopped }
  }

  /// Where a pass goes on before a layer: nil before the first.
  private func point(_ layer: Int, _ contexts: [Context]) throws(FormatError) -> PassPoint? {
    guard layer > 0 else { return nil }
    return PassPoint(layer: layer, states: try writer.states(counts: passStateCounts(model, contexts)))
  }

  /// The contexts to gather statistics from: the first of each text, as many as `--chunks` says, twice as many, four times as
  /// many, … until the router sends every expert the tokens it is to have, or the texts end.
  ///
  /// The last contexts of each text are left to what measures later, unless `usesAll`.
  private mutating func drawnContexts() async throws(FormatError) -> [Context] {
    guard let wanted = options.coverage, var chunks = texts.chunks else {
      return try contexts(chunks: texts.chunks).flatMap { $0 }
    }
    let blueprint = model.blueprint
    var counts = [[Int]](
      repeating: [Int](repeating: 0, count: blueprint.experts.count), count: blueprint.layerCount)
    var seen = texts.paths.map { _ in 0 }
    while true {
      let all = try contexts(chunks: chunks)
      let fresh = zip(all, seen).flatMap { $0.dropFirst($1) }
      if !fresh.isEmpty {
        try await survey(fresh, chunks, &counts)
        drawn.append(all.reduce(0) { $0 + $1.count })
      }
      let isCovered = counts.allSatisfy { $0.allSatisfy { $0 >= wanted } }
      if isCovered || fresh.isEmpty || all.allSatisfy({ $0.count < chunks }) { return all.flatMap { $0 } }
      seen = all.map(\.count)
      chunks *= 2
    }
  }

  private mutating func contexts(chunks: Int?) throws(FormatError) -> [[Context]] {
    if usesAll { return try texts.contexts(tokenizer, of: model, chunks: chunks) }
    let found = try texts.calibrationContexts(tokenizer, of: model, chunks: chunks)
    left = found.reduce(0) { $0 + $1.left }
    return found.map(\.used)
  }

  /// Adds the tokens that experts get of some contexts, those of layers that an earlier run has surveyed among them.
  private func survey(_ contexts: [Context], _ chunks: Int, _ counts: inout [[Int]]) async throws(FormatError)
  {
    var next = 0
    for note in writer.notes where note["chunks"]?.int == chunks {
      guard let layer = note["survey"]?.int, layer == next, layer < counts.count else { continue }
      for (expert, tokens) in (note["tokens"]?.array ?? []).enumerated() {
        counts[layer][expert] += tokens.int ?? 0
      }
      next += 1
    }
    let layers = counts.count
    if next == layers { return }
    let (writer, shouldStop) = (writer, shouldStop)
    var found = counts
    let isDone = try await IngotInference.survey(model, contexts, options, from: point(next, contexts)) {
      tokens, point throws(FormatError) in
      let layer = point.layer - 1
      for (expert, count) in tokens.enumerated() { found[layer][expert] += count }
      let note: JSON = [
        "survey": JSON(layer), "chunks": JSON(chunks), "tokens": .array(tokens.map { JSON($0) }),
      ]
      try writer.keep(note, states: point.layer == layers ? nil : point.states)
      return !shouldStop()
    }
    counts = found
    if !isDone { throw writer.stopped }
  }

  /// The contexts of a share: those that follow the contexts of the share before.
  private static func own(_ share: Share, of all: [Context], _ texts: TextSelection) throws(FormatError)
    -> [Context]
  {
    guard all.count >= share.count else {
      throw FormatError(
        path: texts.paths.first ?? "", expected: "a context for each of \(share.count) shares",
        found: "\(all.count) contexts; use fewer shares or more text")
    }
    return Array(all[all.count * share.index / share.count..<all.count * (share.index + 1) / share.count])
  }

  /// All contexts, of which a share takes some.
  static func allContexts(_ model: Model, _ texts: TextSelection, usesAll: Bool) throws(FormatError)
    -> SeenContexts
  {
    let tokenizer = try Tokenizer(of: model)
    return SeenContexts(
      usesAll
        ? try texts.contexts(tokenizer, of: model, chunks: texts.chunks).flatMap { $0 }
        : try texts.calibrationContexts(tokenizer, of: model, chunks: texts.chunks).flatMap(\.used))
  }

  /// What a file says of how it was made.
  static func origin(_ model: Model) throws(FormatError) -> [String: String] {
    ["tool": Tool.name, "tokenizer": CalibrationFile.fingerprint(try Tokenizer(of: model))]
  }

  /// What an unfinished run must have in common with this one, beside the model's files.
  static func identity(
    _ model: Model, _ texts: TextSelection, coverage: Int?, usesAll: Bool = true, share: Share? = nil,
    ownText: OwnText? = nil
  ) throws(FormatError) -> JSONObject {
    var files: [JSON] = []
    for path in model.weightFiles { files.append(try fileIdentity(path)) }
    func sha256(_ bytes: Bytes) -> String {
      var hash = SHA256()
      hash.update(bytes.span)
      return hash.hexDigest()
    }
    var sides: JSONObject = [:]
    for file in model.sideFiles { sides[file.name] = .string(sha256(file.bytes)) }
    var sources: [JSON] = []
    for path in texts.paths {
      sources.append([
        "name": .string(Folder.name(of: path)), "sha256": .string(sha256(try Bytes.mapping(path))),
      ])
    }
    var identity: JSONObject = [
      "made by": .string(Tool.name),
      "model": ["files": .array(files), "other files": .object(sides)],
      "texts": .array(sources), "context": JSON(texts.context),
      "chunks": texts.chunks.map { JSON($0) } ?? .null,
      "until-covered": coverage.map { JSON($0) } ?? .null,
    ]
    if !usesAll { identity["leaves contexts"] = true }
    if let share { identity["share"] = .string(share.description) }
    if let ownText { identity["generated"] = ownText.identity }
    if let template = texts.chatTemplate {
      identity["chat template"] = .string(sha256(try Bytes.mapping(template)))
    }
    return identity
  }
}
