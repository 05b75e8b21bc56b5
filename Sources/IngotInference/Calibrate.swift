import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What calibration is told.
public struct CalibrationOptions: Sendable {
  /// Units of work done at once.
  public var workers = 1
  /// Tokens that every expert is to be seen with: where the router sends fewer, tokens with the expert's highest gate values
  /// are sent to it to be looked at; the model's outputs stay those of its own routing. Nil for none.
  public var coverage: Int?
  /// Hears how far the run is.
  public var progress: (@Sendable (VerificationProgress) -> Void)?

  public init() {}
}

/// Where a pass through a model stands between two layers.
public struct PassPoint: Sendable {
  /// The layer that comes next.
  public var layer: Int
  /// What a pass keeps of each context after the layers before: contexts × (tokens, hidden), then what layers carry
  /// (`passStateCounts`).
  public var states: [[Float]]

  public init(layer: Int, states: [[Float]]) {
    self.layer = layer
    self.states = states
  }
}

/// Takes a model through contexts, layer by layer, and hands over what went into each layer's linear layers.
///
/// - Parameters:
///   - point: where an earlier pass of the same ended; nil to begin.
///   - deliver: gets each layer's statistics, in order, and where the pass stands then; says whether to go on.
/// - Returns: whether all layers were passed.
/// - Throws: FormatError for contexts the model does not take, values that are not finite, and what `deliver` throws.
@discardableResult
public func calibrate(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  from point: PassPoint? = nil,
  deliver: (LayerStatistics, PassPoint) throws(FormatError) -> Bool
) async throws(FormatError) -> Bool {
  try await pass(model, contexts, options, from: point) {
    lane, layer, workers, passed throws(FormatError) in
    try await lane.observe(layer: layer, coverage: options.coverage, workers, passed: passed)
  } deliver: { statistics, point throws(FormatError) in
    try deliver(statistics, point)
  }
}

/// The same in one go.
public func calibrate(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  deliver: (LayerStatistics) throws(FormatError) -> Void
) async throws(FormatError) {
  try await calibrate(model, contexts, options) { statistics, _ throws(FormatError) in
    try deliver(statistics)
    return true
  }
}

/// Takes a model through contexts, layer by layer, and hands over the tokens that each expert of a layer gets.
///
/// Parameters, result and errors are those of `calibrate`.
@discardableResult
public func survey(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  from point: PassPoint? = nil,
  deliver: ([Int], PassPoint) throws(FormatError) -> Bool
) async throws(FormatError) -> Bool {
  let experts = model.blueprint.experts.count
  let mixtures = Set(model.blueprint.mixtures)
  return try await pass(model, contexts, options, from: point) {
    lane, layer, workers, passed throws(FormatError) in
    try await lane.run(layer: layer, workers, passed: passed)
  } deliver: { routings, point throws(FormatError) in
    var tokens = [Int](repeating: 0, count: experts)
    // A dense layer has none to count.
    for routing in routings where mixtures.contains(point.layer - 1) {
      for expert in routing.experts { tokens[Int(expert)] += 1 }
    }
    return try deliver(tokens, point)
  }
}

/// Takes a model through the remaining layers.
///
/// - Parameter run: takes a lane through a layer and says what `deliver` gets of it.
private func pass<Finding>(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions, from point: PassPoint?,
  run: (inout Lane, _ layer: Int, Workers, _ passed: (Int) -> Void) async throws(FormatError) -> Finding,
  deliver: (Finding, PassPoint) throws(FormatError) -> Bool
) async throws(FormatError) -> Bool {
  var lane = try Lane(model, contexts, snapshot: point?.states)
  let workers = Workers(options.workers)
  var meter = Meter([model], options.progress)
  let first = point?.layer ?? 0
  for layer in 0..<first { meter.skip(layer: layer) }
  for layer in first..<model.blueprint.layerCount {
    let finding = try await run(&lane, layer, workers) { meter.pass($0) }
    meter.endLayer()
    guard try deliver(finding, PassPoint(layer: layer + 1, states: lane.snapshot)) else { return false }
  }
  return true
}

extension Lane {
  /// Takes all contexts through one layer, and says what went into its linear layers; after the last layer into the head too.
  ///
  /// - Parameter coverage: tokens that every expert is to be seen with, be it by force; nil for those that come.
  mutating func observe(
    layer: Int, coverage: Int? = nil, _ workers: Workers, passed: (Int) -> Void = { _ in }
  ) async throws(FormatError) -> LayerStatistics {
    let block = blueprint.layers[layer].feedForward
    var collector = StatisticsCollector(layer: layer, blueprint)
    var runner = LayerRunner(layer: layer, [hand()], workers)
    try await runner.advance(
      to: .feedForwardInput, keepingGatesOf: coverage == nil ? nil : 0,
      reading: MixerReader(blueprint.layers[layer]),
      passed: passed
    ) { collector.take($0) }
    let routings = runner.routings(lane: 0)
    collector.take(routings)
    var aside = Aside.none
    if let coverage, block.isMixture {
      let routedTokens = RoutedToken.byExpert(routings, experts: block.count)
      let forced = RoutedToken.forced(routings, routedTokens, wanted: coverage)
      collector.take(forced: forced, contexts)
      aside = .forced(forced)
    }
    try await runner.feed(reading: ExpertReader(block.projections), aside: aside, passed: passed) {
      collector.take($0, of: $1)
    }
    self = runner.lanes[0]
    var statistics = collector.statistics()
    if layer == blueprint.layerCount - 1 { statistics.fields[.headInput] = try headInput() }
    return statistics
  }

  /// Mean of x xᵀ over what goes into the head, once all layers have been passed: F32 (hidden, hidden).
  func headInput() throws(FormatError) -> Bytes {
    let hidden = blueprint.hiddenSize
    let norm = try model.norm(.finalNorm, blueprint.finalNorm)
    var sum = [Float](repeating: 0, count: hidden * hidden)
    var span = sum.mutableSpan
    let tokens = contexts.reduce(0) { $0 + $1.tokens.count }
    for state in states {
      let x = norm.rows(state)
      addOuterProducts(
        x.span, tokens: x.count / hidden, columns: hidden, alpha: 1 / Float(max(tokens, 1)), to: &span)
    }
    mirrorLowerTriangle(&span, n: hidden)
    return Bytes(count: 4 * sum.count) { encode(.f32, sum.span, into: &$0) }
  }
}
