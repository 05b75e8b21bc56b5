import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How models are run, and what the caller wants to hear of it.
public struct VerificationOptions: Sendable {
  /// Units of work under way at once, each with buffers of its own. No result depends on it.
  public var workers = 1
  /// Draws of the bootstrap that standard errors come from.
  public var resamples = 1000
  public var seed: UInt64 = 1
  /// Predictions that the report shows of those that diverge most.
  public var worst = 20
  /// Whether products of the candidate round activations to 8 bits where its weights allow it, as `Generator` may; the original's
  /// are in F32.
  public var isFast = false
  /// Where the run keeps what a later one goes on from; nil to keep nothing.
  public var store: PassStore?
  /// Whether the store is kept even when the run has delivered its result.
  public var keepsState = false
  /// Hears, from one task at a time, how far the run has come.
  public var progress: (@Sendable (VerificationProgress) -> Void)?

  public init() {}
}

/// How far a run has come.
public struct VerificationProgress: Hashable, Sendable {
  /// Bytes of tensors the models have been taken through, and all of them.
  public var bytes: Int
  public var totalBytes: Int
  /// Layers that are done, of how many.
  public var layers: Int
  public var totalLayers: Int
}

/// Perplexity of a model: exp of the mean negative log-likelihood over the second halves of the contexts
/// (`Context.scoredPositions`).
///
/// - Throws: FormatError for contexts the model cannot take, none that is scored, and for NaN or infinities, naming
///   model, layer and token.
public func perplexity(
  of model: Model, _ contexts: [Context], _ options: VerificationOptions = .init()
) async throws(FormatError) -> Estimate {
  let tokens = try scoredTokens(contexts, model)
  var lane = try Lane(model, contexts)
  let workers = Workers(options.workers)
  var meter = Meter([model], options.progress)
  for layer in model.blueprint.layers.indices {
    try await lane.run(layer: layer, workers) { meter.pass($0) }
    meter.endLayer()
  }
  var scores = contexts.map { [TokenScore](repeating: TokenScore(), count: $0.scoredPositions.count) }
  try await lane.head(contexts.map { Array($0.scoredPositions) }, workers) { context, rows, logits, _ in
    let text = contexts[context]
    return text.scoredPositions.enumerated().map { row, position in
      TokenScore(
        logits.extracting(row * rows.count..<(row + 1) * rows.count), first: rows.lowerBound,
        next: text.tokens[position + 1])
    }
  } deliver: { rows, outputs in
    for (context, chunk) in outputs.enumerated() {
      for (row, score) in chunk.enumerated() { scores[context][row].absorb(score) }
    }
    meter.pass(head: rows)
  }
  let sums = scores.map { $0.reduce(0.0) { $0 - $1.normalizer.logProbability } }
  let errors = Bootstrap(counts: scores.map(\.count), resamples: options.resamples, seed: options.seed)
  let value = exp(sums.reduce(0, +) / Double(tokens))
  guard value.isFinite else { throw unrepresentable("perplexity", value, model) }
  return Estimate(value: value, standardError: errors.standardError(sums: sums).map { $0 * value })
}

/// Compares a candidate with its original: both go through the contexts layer by layer, side by side.
///
/// Predictions are scored over the second halves of the contexts (`Context.scoredPositions`); hidden states and
/// routers over all tokens. A candidate that lacks some of the original's experts is compared by the original's numbers
/// (`Model.droppedExperts(of:)`). Standard errors come from a block bootstrap over contexts. A model against itself gives
/// exactly no difference, since both sides compute the same.
///
/// - Parameter deliver: brings the report to where it is wanted. Only then is what the run keeps for a later one removed: when this
///   throws, or the process ends in it, the next run has every layer that was kept.
/// - Throws: FormatError for models of different size, contexts they cannot take, none that is scored, and for NaN or
///   infinities, naming model, layer and token: never a figure that is not one. And what `deliver` throws.
@discardableResult
public func verify(
  _ candidate: Model, against original: Model, _ contexts: [Context],
  _ options: VerificationOptions = .init(),
  deliver: (VerificationReport) throws(FormatError) -> Void = { _ throws(FormatError) in }
) async throws(FormatError) -> VerificationReport {
  let clock = ContinuousClock()
  let start = clock.now
  let dropped = try requireSameSize(candidate, original)
  _ = try scoredTokens(contexts, original)
  let workers = Workers(options.workers)
  var first = try Lane(original, contexts)
  // Contexts are what threads share out here.
  let products = options.isFast ? StoredProducts(team: ThreadTeam(1), roundsActivations: true) : nil
  var second = try Lane(candidate, contexts, products: products)
  var meter = Meter([original, candidate], options.progress)
  var layers: [VerificationReport.Layer] = []
  var stored: StoredPass?
  if let store = options.store {
    var states = [first.snapshot, second.snapshot]
    let pass = try StoredPass(
      store, identity: try comparisonIdentity(candidate, original, contexts, options), states: &states)
    for (layer, figures) in pass.layers.enumerated() {
      layers.append(try .init(layer: layer, stored: figures, store.path))
    }
    if !layers.isEmpty {
      first = try Lane(first.source, contexts, snapshot: states[0])
      second = try Lane(second.source, contexts, snapshot: states[1])
    }
    stored = pass
  }
  let report: VerificationReport
  do throws(FormatError) {
    try await passLayers(&first, &second, dropped, &layers, &meter, workers, stored)
    let summary = try await compareHeads(first, second, &meter, workers, options)
    let worst = try await worstPredictions(first, second, summary, workers, options)
    var found = summary.report(contexts, layers, worst, seconds: (clock.now - start) / .seconds(1))
    found.dropped = dropped
    report = found
  } catch {
    throw stored?.left(error) ?? error
  }
  do throws(FormatError) {
    try deliver(report)
  } catch {
    throw stored?.left(error, isPassed: true) ?? error
  }
  if options.keepsState { stored?.leave() } else { stored?.end() }
  return report
}

/// Takes both models through the remaining layers.
private func passLayers(
  _ first: inout Lane, _ second: inout Lane, _ dropped: DroppedExperts?,
  _ layers: inout [VerificationReport.Layer], _ meter: inout Meter, _ workers: Workers,
  _ stored: StoredPass?
) async throws(FormatError) {
  for layer in layers.indices { meter.skip(layer: layer) }
  for layer in layers.count..<first.model.blueprint.layerCount {
    let isMixture = first.model.blueprint.layers[layer].feedForward.isMixture
    let kept = isMixture ? dropped?.kept(layer) : nil
    let (routes, otherRoutes, expertErrors) = try await passLayer(
      layer, &first, &second, kept, &meter, workers)
    meter.endLayer()
    let error = relativeError(of: second.states, to: first.states)
    guard error.isFinite else {
      throw unrepresentable("hidden-state error after layer \(layer)", error, second.model)
    }
    var router: VerificationReport.Router?
    if isMixture {
      var difference = RoutingDifference(experts: first.model.blueprint.layers[layer].feedForward.count)
      for (a, b) in zip(routes, otherRoutes) { difference.add(a, kept.map { b.numbered(by: $0) } ?? b) }
      let tokens = Double(difference.tokens)
      router = .init(
        overlap: difference.overlap / tokens, changed: Double(difference.changed) / tokens,
        routingWeightShift: difference.routingWeightShift / tokens, choices: difference.choices)
    }
    layers.append(.init(layer: layer, hiddenStateError: error, router: router, expertErrors: expertErrors))
    try stored?.finished(layers[layer].stored, [first.snapshot, second.snapshot])
  }
}

/// Takes both models through a layer, and some of the original's tokens through the experts of both.
///
/// - Parameter kept: the original's numbers of the candidate's experts; nil when it has all.
/// - Returns: where each sent its tokens, and the errors of experts' outputs by the original's numbers.
private func passLayer(
  _ layer: Int, _ first: inout Lane, _ second: inout Lane, _ kept: [Int]?, _ meter: inout Meter,
  _ workers: Workers
) async throws(FormatError) -> (original: [Routing], candidate: [Routing], errors: [Double?]) {
  let block = first.blueprint.layers[layer].feedForward
  guard block.isMixture else {
    let routes = try await first.run(layer: layer, workers) { meter.pass($0) }
    return (routes, try await second.run(layer: layer, workers) { meter.pass($0) }, [])
  }
  var runner = LayerRunner(layer: layer, [first.hand()], workers)
  try await runner.advance(to: .feedForwardInput) { meter.pass($0) }
  let routes = runner.routings(lane: 0)
  let probe = ExpertProbe(
    runner.feedForwardInputs(lane: 0), routes, experts: block.count, hidden: first.blueprint.hiddenSize)
  let outputs = try await runner.feed(aside: .probe(probe.inputs)) { meter.pass($0) }
  first = runner.lanes[0]
  let norm = (
    original: try first.model.normWeights(
      .feedForwardNorm, layer: layer, first.blueprint.layers[layer].feedForwardNorm),
    candidate: try second.model.normWeights(
      .feedForwardNorm, layer: layer, second.blueprint.layers[layer].feedForwardNorm)
  )
  runner = LayerRunner(layer: layer, [second.hand()], workers)
  try await runner.advance(to: .feedForwardInput) { meter.pass($0) }
  let otherRoutes = runner.routings(lane: 0)
  let otherOutputs = try await runner.feed(aside: .probe(probe.inputs(kept: kept, norm: norm))) {
    meter.pass($0)
  }
  second = runner.lanes[0]
  let errors = probe.errors(original: outputs, candidate: otherOutputs, kept: kept)
  for (expert, error) in errors.enumerated() {
    if let error, !error.isFinite {
      throw unrepresentable("error of the outputs of expert \(expert) of layer \(layer)", error, second.model)
    }
  }
  return (routes, otherRoutes, errors)
}

/// What both models predict, at the end of their layers.
private func compareHeads(
  _ first: Lane, _ second: Lane, _ meter: inout Meter, _ workers: Workers,
  _ options: VerificationOptions
) async throws(FormatError) -> Summary {
  let contexts = first.contexts
  var scores = contexts.map {
    [TokenComparison](repeating: TokenComparison(), count: $0.scoredPositions.count)
  }
  try await first.head(contexts.map { Array($0.scoredPositions) }, with: second, workers) {
    context, rows, logits, other in
    let text = contexts[context]
    return text.scoredPositions.enumerated().map { row, position in
      let range = row * rows.count..<(row + 1) * rows.count
      return TokenComparison(
        logits.extracting(range), other.extracting(range), first: rows.lowerBound,
        next: text.tokens[position + 1])
    }
  } deliver: { rows, outputs in
    for (context, chunk) in outputs.enumerated() {
      for (row, score) in chunk.enumerated() { scores[context][row].absorb(score) }
    }
    meter.pass(head: rows)
  }
  let summary = Summary(scores, options)
  try summary.requireFinite(second.model, contexts)
  return summary
}

/// What decides the figures: both models' files as they are now, and the tokens.
private func comparisonIdentity(
  _ candidate: Model, _ original: Model, _ contexts: [Context], _ options: VerificationOptions
) throws(FormatError) -> JSONObject {
  var files: [[JSON]] = []
  for model in [candidate, original] {
    var list: [JSON] = []
    for path in model.weightFiles { list.append(try fileIdentity(path)) }
    files.append(list)
  }
  var tokens = XXH3()
  for context in contexts {
    let numbers = context.tokens.map { JSON($0) } + [JSON(context.text)]
    tokens.update(Bytes(Array(JSON.array(numbers).text().utf8)).span)
  }
  var identity: JSONObject = [
    "candidate": .array(files[0]), "original": .array(files[1]), "contexts": JSON(contexts.count),
    "tokens": .string(hexDigits(tokens.digest())),
  ]
  if options.isFast { identity["isFast"] = true }
  return identity
}

extension VerificationReport.Layer {
  /// The figures bit for bit.
  fileprivate var stored: JSON {
    guard let router else { return .array([.string(hexDigits(hiddenStateError.bitPattern))]) }
    let figures = [hiddenStateError, router.overlap, router.changed, router.routingWeightShift]
    let choices = [router.choices.original, router.choices.candidate, router.choices.both]
    let errors: [JSON] = expertErrors.map { $0.map { .string(hexDigits($0.bitPattern)) } ?? .null }
    return .array(
      figures.map { .string(hexDigits($0.bitPattern)) } + choices.map { .array($0.map { JSON($0) }) } + [
        .array(errors)
      ])
  }

  fileprivate init(layer: Int, stored: JSON, _ path: String) throws(FormatError) {
    func bits(_ value: JSON) -> UInt64? { value.string.flatMap { UInt64($0, radix: 16) } }
    let values = stored.array ?? []
    if values.count == 1, let error = bits(values[0]) {
      self.init(layer: layer, hiddenStateError: Double(bitPattern: error), router: nil, expertErrors: [])
      return
    }
    let figures = values.prefix(4).compactMap(bits)
    let counts = values.dropFirst(4).prefix(3).compactMap { $0.array?.compactMap(\.int) }
    let errors = values.last?.array ?? []
    guard values.count == 8, figures.count == 4, counts.count == 3,
      (counts + [errors.indices.map { $0 }]).allSatisfy({ $0.count == counts[0].count }),
      errors.allSatisfy({ $0 == .null || bits($0) != nil })
    else {
      throw FormatError(
        path: path, expected: "four figures, three counts and the experts' errors of a layer",
        found: stored.kind)
    }
    var choices = ExpertChoices(experts: 0)
    (choices.original, choices.candidate, choices.both) = (counts[0], counts[1], counts[2])
    let shares = figures.map { Double(bitPattern: $0) }
    self.init(
      layer: layer, hiddenStateError: shares[0],
      router: .init(overlap: shares[1], changed: shares[2], routingWeightShift: shares[3], choices: choices),
      expertErrors: errors.map { bits($0).map { Double(bitPattern: $0) } })
  }
}

/// The number of predictions that will be scored; there must be some.
private func scoredTokens(_ contexts: [Context], _ model: Model) throws(FormatError) -> Int {
  let tokens = contexts.reduce(0) { $0 + $1.scoredPositions.count }
  guard tokens > 0 else {
    throw FormatError(
      path: model.path, expected: "a context of at least 3 tokens to score predictions in",
      found: (contexts.isEmpty ? "no context" : "none among \(contexts.count)")
        + "; give a longer text, or longer contexts")
  }
  return tokens
}

/// Refuses models that cannot be compared token by token, layer by layer and expert by expert.
///
/// - Returns: the original's experts that the candidate lacks; nil for none.
private func requireSameSize(_ candidate: Model, _ original: Model) throws(FormatError) -> DroppedExperts? {
  let (mine, other) = (candidate.blueprint, original.blueprint)
  func sizes(_ blueprint: Blueprint) -> String {
    "\(blueprint.layerCount) layers, hidden size \(blueprint.hiddenSize), vocabulary \(blueprint.vocabulary)"
  }
  func text(_ blueprint: Blueprint) -> String {
    sizes(blueprint) + (blueprint.mixtures.isEmpty ? "" : ", \(blueprint.experts.count) experts")
  }
  if text(mine) == text(other) { return nil }
  guard sizes(mine) == sizes(other), mine.mixtures == other.mixtures, mine.experts.count < other.experts.count
  else {
    throw FormatError(
      path: candidate.path, expected: "\(text(other)) as \(original.path) has", found: text(mine))
  }
  return try candidate.droppedExperts(of: original)
}

func unrepresentable(_ figure: String, _ value: Double, _ model: Model) -> FormatError {
  FormatError(path: model.path, expected: "a finite \(figure)", found: "\(value)")
}

/// ‖b − a‖ / ‖a‖ over all values, in F64; 0 when both are 0.
package func relativeError(of b: [[Float]], to a: [[Float]]) -> Double {
  var (difference, norm) = (0.0, 0.0)
  for (a, b) in zip(a, b) {
    let (a, b) = (a.span, b.span)
    precondition(a.count == b.count, "states of the same tokens")
    for index in 0..<a.count {
      let (x, y) = (Double(a[index]), Double(b[index]))
      difference += (y - x) * (y - x)
      norm += x * x
    }
  }
  return difference == 0 ? 0 : (difference / norm).squareRoot()
}
