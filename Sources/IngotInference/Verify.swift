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
  let start = ContinuousClock.now
  var report: VerificationReport?
  try await compare(candidate, against: original, contexts, contexts.indices, options) {
    compared throws(FormatError) in
    var complete = try assembleVerification([compared], candidate, against: original, contexts, options)!
    complete.seconds = (ContinuousClock.now - start) / .seconds(1)
    try deliver(complete)
    report = complete
  }
  return report!
}

/// The report of all contexts, out of what was found of shares of them; without the time that it took.
///
/// - Parameter parts: in the order of their contexts.
/// - Returns: nil for parts that are not of these models, or not all contexts.
/// - Throws: FormatError for models of different size and contexts of which none is scored.
package func assembleVerification(
  _ parts: [ComparedContexts], _ candidate: Model, against original: Model, _ contexts: [Context],
  _ options: VerificationOptions
) throws(FormatError) -> VerificationReport? {
  let dropped = try requireSameSize(candidate, original)
  _ = try scoredTokens(contexts, original)
  guard let whole = ComparedContexts.merged(parts, worst: options.worst), whole.count == contexts.count,
    whole.layers.count == original.blueprint.layerCount
  else { return nil }
  let summary = Summary(whole.scores, options)
  try summary.requireFinitePerplexities(candidate)
  var report = summary.report(
    contexts, whole.layers.enumerated().map { $1.report($0) }, whole.worst, seconds: 0)
  report.dropped = dropped
  return report
}

/// Takes both models through some of the contexts, layer by layer, side by side.
///
/// - Parameters:
///   - contexts: all; the figures are by their numbers.
///   - range: those to compare.
///   - deliver: as `verify` has it.
/// - Throws: FormatError as `verify` does.
package func compare(
  _ candidate: Model, against original: Model, _ contexts: [Context], _ range: Range<Int>,
  _ options: VerificationOptions, deliver: (ComparedContexts) throws(FormatError) -> Void
) async throws(FormatError) {
  let dropped = try requireSameSize(candidate, original)
  _ = try scoredTokens(contexts, original)
  let own = Array(contexts[range])
  let workers = Workers(options.workers)
  var first = try Lane(original, own)
  // Contexts are what threads share out here.
  let products = options.isFast ? StoredProducts(team: ThreadTeam(1), roundsActivations: true) : nil
  var second = try Lane(candidate, own, products: products)
  var meter = Meter([original, candidate], options.progress)
  var layers: [ComparedLayer] = []
  var stored: StoredPass?
  if let store = options.store {
    var states = [first.snapshot, second.snapshot]
    var identity = try comparisonIdentity(candidate, original, own, options)
    if range.lowerBound > 0 { identity["first context"] = JSON(range.lowerBound) }
    let pass = try StoredPass(store, identity: identity, states: &states)
    for text in pass.layers {
      guard let layer = text.string.flatMap({ ComparedLayer(text: $0) }) else {
        throw pass.left(
          FormatError(path: store.path, expected: "figures of a layer", found: text.kind), isPassed: true)
      }
      layers.append(layer)
    }
    if !layers.isEmpty {
      first = try Lane(first.source, own, snapshot: states[0])
      second = try Lane(second.source, own, snapshot: states[1])
    }
    stored = pass
  }
  let compared: ComparedContexts
  do throws(FormatError) {
    try await passLayers(&first, &second, dropped, range.lowerBound, &layers, &meter, workers, stored)
    let summary = try await compareHeads(first, second, &meter, workers, options)
    compared = ComparedContexts(
      first: range.lowerBound, scores: summary.scores, layers: layers,
      worst: try await worstPredictions(first, second, summary, range.lowerBound, workers, options))
  } catch {
    throw stored?.left(error) ?? error
  }
  do throws(FormatError) {
    try deliver(compared)
  } catch {
    throw stored?.left(error, isPassed: true) ?? error
  }
  if options.keepsState { stored?.leave() } else { stored?.end() }
}

/// Takes both models through the remaining layers.
private func passLayers(
  _ first: inout Lane, _ second: inout Lane, _ dropped: DroppedExperts?, _ firstContext: Int,
  _ layers: inout [ComparedLayer], _ meter: inout Meter, _ workers: Workers, _ stored: StoredPass?
) async throws(FormatError) {
  for layer in layers.indices { meter.skip(layer: layer) }
  for layer in layers.count..<first.model.blueprint.layerCount {
    let isMixture = first.model.blueprint.layers[layer].feedForward.isMixture
    let kept = isMixture ? dropped?.kept(layer) : nil
    let (routes, otherRoutes, probed) = try await passLayer(
      layer, &first, &second, kept, firstContext, &meter, workers)
    meter.endLayer()
    var compared = ComparedLayer(
      contexts: zip(first.states, second.states).map(ComparedLayer.Sums.init(states:of:)), choices: nil,
      probed: probed)
    let error = compared.hiddenStateError
    guard error.isFinite else {
      throw unrepresentable("hidden-state error after layer \(layer)", error, second.model)
    }
    if isMixture {
      let experts = first.model.blueprint.layers[layer].feedForward.count
      var choices = ExpertChoices(experts: experts)
      for (context, (a, b)) in zip(routes, otherRoutes).enumerated() {
        var difference = RoutingDifference(experts: experts)
        difference.add(a, kept.map { b.numbered(by: $0) } ?? b)
        compared.contexts[context].take(difference)
        choices = choices.adding(difference.choices)
      }
      compared.choices = choices
    }
    layers.append(compared)
    try stored?.finished(.string(compared.text), [first.snapshot, second.snapshot])
  }
}

/// Takes both models through a layer, and some of the original's tokens through the experts of both.
///
/// - Parameter kept: the original's numbers of the candidate's experts; nil when it has all.
/// - Returns: where each sent its tokens, and what experts' outputs differ by, by the original's numbers.
private func passLayer(
  _ layer: Int, _ first: inout Lane, _ second: inout Lane, _ kept: [Int]?, _ firstContext: Int,
  _ meter: inout Meter, _ workers: Workers
) async throws(FormatError) -> (original: [Routing], candidate: [Routing], probed: [[ProbedToken]]) {
  let block = first.blueprint.layers[layer].feedForward
  guard block.isMixture else {
    let routes = try await first.run(layer: layer, workers) { meter.pass($0) }
    return (routes, try await second.run(layer: layer, workers) { meter.pass($0) }, [])
  }
  var runner = LayerRunner(layer: layer, [first.hand()], workers)
  try await runner.advance(to: .feedForwardInput) { meter.pass($0) }
  let routes = runner.routings(lane: 0)
  let probe = ExpertProbe(
    runner.feedForwardInputs(lane: 0), routes, experts: block.count, hidden: first.blueprint.hiddenSize,
    firstContext: firstContext)
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
  let probed = probe.tokens(original: outputs, candidate: otherOutputs, kept: kept)
  for (expert, tokens) in probed.enumerated() {
    if let error = ExpertProbe.error(tokens), !error.isFinite {
      throw unrepresentable("error of the outputs of expert \(expert) of layer \(layer)", error, second.model)
    }
  }
  return (routes, otherRoutes, probed)
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
  let summary = Summary(scores.map { $0.map { PredictionScore($0) } }, options)
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
    let sums = squares(of: b, from: a)
    difference += sums.difference
    norm += sums.norm
  }
  return difference == 0 ? 0 : (difference / norm).squareRoot()
}

/// Σ (b − a)² and Σ a², in F64.
func squares(of b: [Float], from a: [Float]) -> (difference: Double, norm: Double) {
  var (difference, norm) = (0.0, 0.0)
  let (a, b) = (a.span, b.span)
  precondition(a.count == b.count, "states of the same tokens")
  for index in 0..<a.count {
    let (x, y) = (Double(a[index]), Double(b[index]))
    difference += (y - x) * (y - x)
    norm += x * x
  }
  return (difference, norm)
}
