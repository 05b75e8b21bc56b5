import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension GatedMLP: ExecutableFeedForward {
  func router(_ model: Model, layer: Int) -> any TokenRouter { EveryToken() }

  func executor(_ source: LaneModel, layer: Int, _ site: RowSite, _ workers: Workers, decodesOnce: Bool)
    async throws(FormatError) -> any FeedForwardExecutor
  {
    guard decodesOnce else {
      return try GatedMLPs(self, source, layer: layer, site)
    }
    return try await DecodedMLP(self, source.model, layer: layer, site, workers)
  }
}

/// Sends every token to the one gated MLP there is.
private struct EveryToken: TokenRouter {
  func route(
    _ inputs: [Float], tokens: Int, keepsGates: Bool, without dropped: [Int],
    _ site: (rows: RowSite, context: Int)?
  ) -> Routing {
    Routing(tokens: tokens)
  }
}

/// A dense layer's gated MLP, its weights decoded once. A unit of work is a context, which goes through it some tokens at a time.
private struct DecodedMLP: FeedForwardExecutor {
  /// Tokens that go through it at once.
  private static let tokensAtOnce = 512

  private let block: GatedMLP
  private let layer: Int
  private let site: RowSite
  private var gate: [Float] = []
  private var up: [Float] = []
  private var down: [Float] = []
  private let biases: MLPBiases

  init(_ block: GatedMLP, _ model: Model, layer: Int, _ site: RowSite, _ workers: Workers)
    async throws(FormatError)
  {
    self.block = block
    self.layer = layer
    self.site = site
    let kinds = block.projections.all
    var decoded: [[Float]] = []
    try await workers.inOrder(kinds.count) { index, _ throws(FormatError) in
      try model.values(kinds[index], layer: layer)
    } deliver: { _, values in
      decoded.append(values)
    }
    (gate, up, down) = (decoded[0], decoded[1], decoded[2])
    biases = try MLPBiases(model, layer: layer, expert: nil)
  }

  var sumsOutputs: Bool { false }

  func batches(_ routings: [Routing], _ aside: Aside) -> [ExpertBatch] {
    routings.indices.map { context in
      var batch = ExpertBatch(
        expert: 0,
        routedTokens: (0..<routings[context].tokens).map {
          RoutedToken(context: context, token: $0, weight: 1)
        })
      batch.isFirst = context == 0
      if context == routings.count - 1 {
        batch.finishes = block.projections.all.map { block.role($0, layer: layer, expert: 0) }
      }
      return batch
    }
  }

  func outputs(
    of batch: ExpertBatch, _ inputs: [[Float]], readsWeights: Bool, _ buffers: inout Buffers,
    read: (Activation) -> Void
  ) throws(FormatError) -> [Float] {
    let (hidden, width) = (block.hiddenSize, block.intermediateSize)
    let projections = block.projections
    func show(
      _ kind: Activation.Kind, _ rows: [Float], _ count: Int, _ columns: Int, _ routedTokens: [RoutedToken]
    ) {
      read(
        Activation(
          kind: kind, lane: 0, rows: rows, count: count, columns: columns, routedTokens: routedTokens))
    }
    if readsWeights && batch.isFirst {
      show(.weights(projections.gating), gate, width, hidden, [])
      show(.weights(projections.lifting), up, width, hidden, [])
      show(.weights(projections.lowering), down, hidden, width, [])
    }
    guard let context = batch.routedTokens.first?.context else { return [] }
    var all: [Float] = []
    for first in stride(from: 0, to: batch.routedTokens.count, by: DecodedMLP.tokensAtOnce) {
      let count = min(DecodedMLP.tokensAtOnce, batch.routedTokens.count - first)
      let routedTokens = Array(batch.routedTokens[first..<first + count])
      let x = Array(inputs[context][first * hidden..<(first + count) * hidden])
      linear(x, gate, tokens: count, inputs: hidden, outputs: width, into: &buffers.gateActivations)
      linear(x, up, tokens: count, inputs: hidden, outputs: width, into: &buffers.upActivations)
      addBias(biases.gate, to: &buffers.gateActivations, tokens: count)
      addBias(biases.up, to: &buffers.upActivations, tokens: count)
      activate(
        &buffers.gateActivations, buffers.upActivations, count: count * width, block.activation)
      show(.input(.feedForwardInput), x, count, hidden, routedTokens)
      show(.output(projections.lifting), buffers.upActivations, count, width, routedTokens)
      show(.input(.feedForwardInner), buffers.gateActivations, count, width, routedTokens)
      var outputs: [Float] = []
      linear(buffers.gateActivations, down, tokens: count, inputs: width, outputs: hidden, into: &outputs)
      addBias(biases.down, to: &outputs, tokens: count)
      try site.check(
        outputs.span, context: context, first: first, "finite outputs of the MLP of layer \(layer)")
      show(.output(projections.lowering), outputs, count, hidden, routedTokens)
      if count == batch.routedTokens.count { return outputs }
      all += outputs
    }
    return all
  }
}
