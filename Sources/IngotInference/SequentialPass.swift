import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A model and its quantized self side by side through the same contexts, each layer being quantized when the pass comes to
/// it: statistics are of the quantized model's inputs, its targets are what the original has there.
///
/// Memory holds two states of every token, and within a layer as much again; of the models what `LayerRunner` does.
public struct SequentialPass: Sendable {
  private var original: Lane
  private var quantized: Lane
  private let contexts: [Context]
  private let workers: Workers
  private let refitsBias: Bool

  private var tokens: Int { contexts.reduce(0) { $0 + $1.tokens.count } }

  /// - Parameters:
  ///   - quantized: the same model; a tensor's planes are first asked for when its statistics were delivered, and may be
  ///     asked for again.
  ///   - refitsBias: whether the quantized model's routers get a correction bias by which choices come back, where they do.
  public init(
    _ original: Model, _ quantized: Model, _ contexts: [Context], workers: Int, refitsBias: Bool = false
  ) throws(FormatError) {
    self.workers = Workers(workers)
    self.contexts = contexts
    self.refitsBias = refitsBias
    self.original = try Lane(original, contexts)
    self.quantized = try Lane(quantized, contexts)
  }

  /// Takes both through a layer.
  ///
  /// - Parameter deliver: gets the layer's statistics several times, each time more complete: before query, key and value are
  ///   asked for, before the attention's output projection is, before the experts are, and before the shared MLP's projections are
  ///   that read neither of these.
  /// - Returns: what came of refitting the router's bias, which this pass goes on with if it wins; nil without one.
  @discardableResult
  public mutating func run(layer: Int, deliver: (LayerStatistics) -> Void) async throws(FormatError)
    -> BiasRefit?
  {
    let description = quantized.blueprint.layers[layer]
    var statistics = LayerStatistics(layer: layer, tokens: tokens, fields: [:])
    statistics.targets = LayerStatistics.Targets()
    // Abreast, and from tap to tap: what reads a tap is quantized by what both have there.
    var runner = LayerRunner(layer: layer, [original.hand(), quantized.hand()], workers, isAbreast: true)
    do {
      var sums = PairSums(at: .mixerInput, description)
      try await runner.advance(to: .mixerInput, reading: PairReader()) { sums.add($0) }
      let field = LayerStatistics.Field(description.mixerInput)
      statistics.fields[field] = hessian(&sums.square, description.mixerInput)
      statistics.targets?.cross[field] = mean(sums.cross)
      for (field, sum) in try await runner.innerProducts(of: original.source, lane: 1) {
        var sum = sum
        let tap = description.taps.first { LayerStatistics.Field($0) == field }!
        statistics.fields[field] = hessian(&sum, tap)
      }
    }
    deliver(statistics)
    do {
      var sums = PairSums(at: .mixerOutput, description)
      try await runner.advance(to: .mixerOutput, reading: PairReader()) { sums.add($0) }
      let field = LayerStatistics.Field(description.mixerOutput)
      statistics.fields[field] = hessian(&sums.square, description.mixerOutput)
      statistics.targets?.cross[field] = mean(sums.cross)
      if description.mixerResidual.addsPlainly {
        statistics.targets?.attentionResidual = mean(sums.residual)
      }
    }
    deliver(statistics)
    let refit = try await observeFeedForward(&runner, &statistics)
    deliver(statistics)
    for tap in description.observedTaps where statistics.fields[LayerStatistics.Field(tap)] == nil {
      var sum = try await runner.sharedProducts(tap, lane: 1)
      statistics.fields[LayerStatistics.Field(tap)] = hessian(&sum, tap)
      deliver(statistics)
    }
    try await runner.feed()
    (original, quantized) = (runner.lanes[0], runner.lanes[1])
    return refit
  }

  /// What goes into the head once all layers have been passed.
  public func head() throws(FormatError) -> LayerStatistics {
    LayerStatistics(
      layer: original.blueprint.layerCount - 1, tokens: tokens,
      fields: [.headInput: try quantized.headInput()])
  }

  /// Takes both to the feed-forward, and says what goes into it.
  private func observeFeedForward(_ runner: inout LayerRunner, _ statistics: inout LayerStatistics)
    async throws(FormatError) -> BiasRefit?
  {
    let description = quantized.blueprint.layers[runner.layer]
    var sums = PairSums(at: .feedForwardInput, description)
    let mixture = description.feedForward as? Mixture
    let refitsBias = refitsBias && mixture?.routing.hasCorrectionBias ?? false
    try await runner.advance(
      to: .feedForwardInput, keepingGatesOf: refitsBias ? 1 : nil, reading: PairReader()
    ) { sums.add($0) }
    let refit = try refitsBias ? refit(&runner, mixture!) : nil
    statistics.fields[.expertInput] = hessian(&sums.square, description.feedForwardInput)
    statistics.fields[.inputs] = Bytes(sums.quantizedInputs)
    statistics.targets?.inputs = Bytes(sums.inputs)
    if description.feedForwardResidual.addsPlainly { statistics.targets?.residuals = Bytes(sums.residuals) }
    put(runner.routings(lane: 1), in: &statistics)
    return refit
  }

  private func put(_ routings: [Routing], in statistics: inout LayerStatistics) {
    var chosen: [UInt8] = []
    var mass: [Float] = []
    for routing in routings {
      for expert in routing.experts {
        for shift in [0, 8, 16, 24] { chosen.append(UInt8(truncatingIfNeeded: expert >> Int32(shift))) }
      }
      mass += routing.weights
    }
    statistics.fields[.chosen] = Bytes(chosen)
    statistics.fields[.weights] = SequentialPass.floats(mass)
  }

  /// Fits the bias, and routes by it if it wins; the gates are not needed after it.
  private func refit(_ runner: inout LayerRunner, _ block: Mixture) throws(FormatError) -> BiasRefit {
    let layer = runner.layer
    let routings = runner.routings(lane: 1)
    let tensor = try quantized.model.required(.routerBias, layer: layer)
    let bias = try quantized.model.values(.routerBias, layer: layer)
    let encoding = tensor.encoding
    let refit = BiasRefit(
      layer: layer, zip(routings, runner.routings(lane: 0)).map { (own: $0, original: $1) }, bias: bias
    ) { values in
      guard case .dense(let type) = encoding, let format = type.floatFormat else { return values }
      let stored = Bytes(count: values.count * format.byteCount) { encode(format, values.span, into: &$0) }
      var out = values
      var span = out.mutableSpan
      decode(format, stored.span, into: &span)
      return out
    }
    runner.reroute(
      lane: 1,
      routings.map { own in
        var routing =
          refit.wins
          ? Routing(
            gates: own.gates, block.routing, experts: block.count, active: block.perToken, bias: refit.bias)
          : Routing(active: own.active, experts: own.experts, weights: own.weights)
        routing.sharedWeights = own.sharedWeights
        return routing
      })
    return refit
  }

  private func mean(_ sum: [Float]) -> [Float] {
    let share = 1 / Float(max(tokens, 1))
    return sum.map { $0 * share }
  }

  private func hessian(_ sum: inout [Float], _ tap: Tap) -> Bytes {
    sum = mean(sum)
    var span = sum.mutableSpan
    mirrorLowerTriangle(&span, n: tap.columns)
    return SequentialPass.floats(sum)
  }

  private static func floats(_ values: [Float]) -> Bytes {
    Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }
  }
}
