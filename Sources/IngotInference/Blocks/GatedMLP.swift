import IngotModels
import IngotSystem
import IngotTensors

/// Biases of a dense gated MLP; empty for none.
struct MLPBiases: Sendable {
  var gate: [Float] = []
  var up: [Float] = []
  var down: [Float] = []

  init(_ model: Model, layer: Int) throws(FormatError) {
    let description = model.blueprint.layers[layer]
    let projections = description.feedForward.projections
    func values(_ kind: TensorKind) throws(FormatError) -> [Float] {
      guard let bias = description.bias(of: kind) else { return [] }
      return try model.finiteValues(bias, layer: layer)
    }
    gate = try values(projections.gating)
    up = try values(projections.lifting)
    down = try values(projections.lowering)
  }
}

extension ForwardPass {
  /// Tokens that go through a gated MLP at once.
  private static let tokensAtOnce = 512

  /// Adds to every state what a dense layer's gated MLP makes of its tokens. Its weights are decoded once; contexts go
  /// through it some tokens at a time.
  ///
  /// - Returns: no probed outputs: there are no experts to tell apart.
  mutating func runMLP(
    layer: Int, _ inputs: [[Float]], _ routings: [Routing], observer: inout LayerObserver?,
    passed: (Int) -> Void
  ) async throws(FormatError) -> [[Float]] {
    let pass = self
    let block = blueprint.layers[layer].feedForward
    let isObserved = observer != nil
    let (hidden, width) = (blueprint.hiddenSize, block.intermediateSize)
    let kinds = block.projections.all
    var decoded: [[Float]] = []
    try await workers.inOrder(kinds.count) { index, _ throws(FormatError) in
      try pass.model.values(kinds[index], layer: layer)
    } deliver: { _, values in
      decoded.append(values)
    }
    let weights = decoded
    let biases = try MLPBiases(model, layer: layer)
    var seen: SeenByExpert? = isObserved ? SeenByExpert() : nil
    seen?.addColumns(weights[0], rows: width, columns: hidden)
    seen?.addColumns(weights[1], rows: width, columns: hidden)
    seen?.addDownColumns(weights[2], rows: hidden, columns: width)
    observer?.take(forced: [[]], contexts)
    try await workers.inOrder(contexts.count) { index, buffers throws(FormatError) in
      var state = pass.states[index]
      var seen: SeenByExpert? = isObserved ? SeenByExpert() : nil
      let tokens = pass.contexts[index].tokens.count
      for first in stride(from: 0, to: tokens, by: ForwardPass.tokensAtOnce) {
        let count = min(ForwardPass.tokensAtOnce, tokens - first)
        let x = Array(inputs[index][first * hidden..<(first + count) * hidden])
        linear(x, weights[0], tokens: count, inputs: hidden, outputs: width, into: &buffers.gated)
        linear(x, weights[1], tokens: count, inputs: hidden, outputs: width, into: &buffers.lifted)
        addBias(biases.gate, to: &buffers.gated, tokens: count)
        addBias(biases.up, to: &buffers.lifted, tokens: count)
        activate(&buffers.gated, buffers.lifted, count: count * width)
        seen?.take([(x, buffers.lifted, buffers.gated, count)], hidden, width)
        var outputs: [Float] = []
        linear(buffers.gated, weights[2], tokens: count, inputs: width, outputs: hidden, into: &outputs)
        addBias(biases.down, to: &outputs, tokens: count)
        try pass.check(
          outputs.span, context: index, first: first, "finite outputs of the MLP of layer \(layer)")
        seen?.takeOutputs(outputs, count: count * hidden)
        for row in 0..<count { addRow(outputs, row, width: hidden, to: &state, first + row, scale: 1) }
      }
      try pass.check(state.span, context: index, "a finite hidden state after layer \(layer)")
      return (state, seen)
    } deliver: { index, result in
      states[index] = result.0
      if let own = result.1 { seen?.merge(own) }
    }
    if let seen { observer?.take(seen, of: 0) }
    for kind in kinds { passed(try model.required(kind, layer: layer).bytes) }
    return []
  }
}
