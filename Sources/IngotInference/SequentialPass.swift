import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A model and its quantized self side by side through the same contexts, each layer being quantized when the pass comes to
/// it: evidence is of the quantized model's inputs, its targets are what the original has there.
///
/// Memory holds two states of every token, and within a layer as much again; of the models what `ForwardPass` does.
public struct SequentialPass: Sendable {
  private var original: ForwardPass
  private var quantized: ForwardPass
  private let contexts: [Context]
  private let refitsBias: Bool

  private var tokens: Int { contexts.reduce(0) { $0 + $1.tokens.count } }

  /// - Parameters:
  ///   - quantized: the same model; a tensor's planes are first asked for when its evidence was delivered, and may be
  ///     asked for again.
  ///   - refitsBias: whether the quantized model's routers get a correction bias by which choices come back, where they do.
  public init(
    _ original: Model, _ quantized: Model, _ contexts: [Context], workers: Int, refitsBias: Bool = false
  ) throws(FormatError) {
    let workers = Workers(workers)
    self.contexts = contexts
    self.refitsBias = refitsBias
    self.original = try ForwardPass(original, contexts, workers)
    self.quantized = try ForwardPass(quantized, contexts, workers)
  }

  /// Takes both through a layer.
  ///
  /// - Parameter deliver: gets the layer's evidence three times, each time more complete: before query, key and value are
  ///   asked for, before the attention's output projection is, before the experts are.
  /// - Returns: what came of refitting the router's bias, which this pass goes on with if it wins; nil without one.
  @discardableResult
  public mutating func run(layer: Int, deliver: (LayerEvidence) -> Void) async throws(FormatError)
    -> BiasRefit?
  {
    var evidence = LayerEvidence(layer: layer, tokens: tokens, fields: [:])
    evidence.targets = LayerEvidence.Targets()
    let weights = try await LayerWeights(original.model, layer: layer, original.tables, original.workers)
    try await observeInputs(weights, &evidence)
    deliver(evidence)
    var own = try await LayerWeights(
      quantized.model, layer: layer, quantized.tables, quantized.workers, withOutput: false)
    let attended = try await observeAttended(weights, own, layer: layer, &evidence)
    deliver(evidence)
    own.mixer.output = try quantized.model.values(
      quantized.blueprint.layers[layer].mixerOutput.linears[0], layer: layer)
    let (routed, refit) = try await observeExperts(attended, weights, own, layer: layer, &evidence)
    deliver(evidence)
    var nobody: LayerObserver?
    try await original.runExperts(
      layer: layer, routed.map(\.inputs), routed.map(\.routing), observer: &nobody, passed: { _ in })
    try await quantized.runExperts(
      layer: layer, routed.map(\.ownInputs), routed.map(\.ownRouting), observer: &nobody, passed: { _ in })
    return refit
  }

  /// What goes into the head once all layers have been passed.
  public func head() throws(FormatError) -> LayerEvidence {
    LayerEvidence(
      layer: original.blueprint.layerCount - 1, tokens: tokens,
      fields: [.headInput: try quantized.headInput()])
  }

  private func observeInputs(_ weights: LayerWeights, _ evidence: inout LayerEvidence)
    async throws(FormatError)
  {
    let (original, quantized, hidden) = (original, quantized, original.blueprint.hiddenSize)
    let description = quantized.blueprint.layers[evidence.layer].mixerNorm
    let norm = try quantized.model.normWeights(.attentionNorm, layer: evidence.layer, description)
    var (sum, cross) = (SequentialPass.zeros(hidden, hidden), SequentialPass.zeros(hidden, hidden))
    try await original.workers.inOrder(contexts.count) { index, _ throws(FormatError) in
      let x = original.normalizedRows(original.states[index], weight: weights.mixerNorm, description)
      let own = quantized.normalizedRows(quantized.states[index], weight: norm, description)
      return (
        SequentialPass.squares(own, hidden),
        SequentialPass.products(SequentialPass.difference(x, own), hidden, own, hidden)
      )
    } deliver: { _, found in
      add(found.0, to: &sum)
      add(found.1, to: &cross)
    }
    evidence.fields[.attentionInput] = mean(&sum, hidden)
    evidence.targets?.attentionInput = mean(cross)
  }

  /// - Returns: by context, what goes into the quantized model's output projection.
  private mutating func observeAttended(
    _ weights: LayerWeights, _ own: LayerWeights, layer: Int, _ evidence: inout LayerEvidence
  ) async throws(FormatError) -> [[Float]] {
    let (first, second, hidden) = (original, quantized, original.blueprint.hiddenSize)
    let width = weights.mixer.outputInputs
    var attended: [[Float]] = []
    var sum = SequentialPass.zeros(width, width)
    var cross = sum
    var residual = SequentialPass.zeros(hidden, width)
    try await original.workers.inOrder(contexts.count) { index, buffers throws(FormatError) in
      let count = first.contexts[index].tokens.count * width
      first.fillAttended(context: index, layer: layer, weights, &buffers)
      let y = Array(buffers.attended.prefix(count))
      second.fillAttended(context: index, layer: layer, own, &buffers)
      let ownY = Array(buffers.attended.prefix(count))
      var state = first.states[index]
      first.addAttended(to: &state, weights.mixer, y)
      try first.check(
        state.span, context: index, "a finite hidden state after the attention of layer \(layer)")
      return (
        state, ownY, SequentialPass.squares(ownY, width),
        SequentialPass.products(SequentialPass.difference(y, ownY), width, ownY, width),
        SequentialPass.products(
          SequentialPass.difference(first.states[index], second.states[index]), hidden, ownY, width)
      )
    } deliver: { index, found in
      original.states[index] = found.0
      attended.append(found.1)
      add(found.2, to: &sum)
      add(found.3, to: &cross)
      add(found.4, to: &residual)
    }
    evidence.fields[.attentionOutput] = mean(&sum, width)
    evidence.targets?.attentionOutput = mean(cross)
    evidence.targets?.attentionResidual = mean(residual)
    return attended
  }

  private struct Routed: Sendable {
    var inputs: [Float]
    var routing: Routing
    var ownInputs: [Float]
    var ownRouting: Routing
  }

  private mutating func observeExperts(
    _ attended: [[Float]], _ weights: LayerWeights, _ own: LayerWeights, layer: Int,
    _ evidence: inout LayerEvidence
  ) async throws(FormatError) -> ([Routed], BiasRefit?) {
    let (first, second, hidden) = (original, quantized, original.blueprint.hiddenSize)
    let refitsBias = refitsBias && own.routerBias != nil
    var routed: [Routed] = []
    var sum = SequentialPass.zeros(hidden, hidden)
    var (inputs, ownInputs, residuals): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
    var chosen: [UInt8] = []
    var mass: [Float] = []
    try await original.workers.inOrder(contexts.count) { index, _ throws(FormatError) in
      var state = second.states[index]
      second.addAttended(to: &state, own.mixer, attended[index])
      try second.check(
        state.span, context: index, "a finite hidden state after the attention of layer \(layer)")
      let (inputs, routing) = try first.routed(
        first.states[index], context: index, layer: layer, weights, keepsGates: false)
      let (ownInputs, ownRouting) = try second.routed(
        state, context: index, layer: layer, own, keepsGates: refitsBias)
      return (
        state, Routed(inputs: inputs, routing: routing, ownInputs: ownInputs, ownRouting: ownRouting),
        SequentialPass.squares(ownInputs, hidden), SequentialPass.difference(first.states[index], state)
      )
    } deliver: { index, found in
      quantized.states[index] = found.0
      let own = found.1
      add(found.2, to: &sum)
      inputs += SequentialPass.halves(own.inputs)
      ownInputs += SequentialPass.halves(own.ownInputs)
      residuals += SequentialPass.halves(found.3)
      routed.append(own)
    }
    let refit = try refitsBias ? refit(&routed, own.routerBias!, layer: layer) : nil
    for own in routed {
      for expert in own.ownRouting.experts {
        for shift in [0, 8, 16, 24] { chosen.append(UInt8(truncatingIfNeeded: expert >> Int32(shift))) }
      }
      mass += own.ownRouting.weights
    }
    evidence.fields[.expertInput] = mean(&sum, hidden)
    evidence.fields[.inputs] = Bytes(ownInputs)
    evidence.fields[.chosen] = Bytes(chosen)
    evidence.fields[.weights] = SequentialPass.floats(mass)
    evidence.targets?.inputs = Bytes(inputs)
    evidence.targets?.residuals = Bytes(residuals)
    return (routed, refit)
  }

  /// Fits the bias, and routes by it if it wins; the gates are not needed after it.
  private func refit(_ routed: inout [Routed], _ bias: [Float], layer: Int) throws(FormatError) -> BiasRefit {
    let encoding = try quantized.model.required(.routerBias, layer: layer).encoding
    let refit = BiasRefit(
      layer: layer, routed.map { (own: $0.ownRouting, original: $0.routing) }, bias: bias
    ) { values in
      guard case .dense(let type) = encoding, let format = type.floatFormat else { return values }
      let stored = Bytes(count: values.count * format.byteCount) { encode(format, values.span, into: &$0) }
      var out = values
      var span = out.mutableSpan
      decode(format, stored.span, into: &span)
      return out
    }
    let block = quantized.blueprint.layers[layer].feedForward
    for index in routed.indices {
      let own = routed[index].ownRouting
      routed[index].ownRouting =
        refit.wins
        ? Routing(gates: own.gates, experts: block.count, active: block.perToken, bias: refit.bias)
        : Routing(active: own.active, experts: own.experts, weights: own.weights)
    }
    return refit
  }

  // ---- sums ----------------------------------------------------------------------------------------------------------

  private static func zeros(_ rows: Int, _ columns: Int) -> [Float] {
    [Float](repeating: 0, count: rows * columns)
  }

  private static func difference(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 - $1 } }

  /// Lower triangle of xᵀx.
  private static func squares(_ x: [Float], _ columns: Int) -> [Float] {
    var sum = zeros(columns, columns)
    var span = sum.mutableSpan
    addOuterProducts(x.span, tokens: x.count / columns, columns: columns, to: &span)
    return sum
  }

  /// aᵀb
  private static func products(_ a: [Float], _ rows: Int, _ b: [Float], _ columns: Int) -> [Float] {
    let tokens = a.count / rows
    var turned = a
    for token in 0..<tokens { for row in 0..<rows { turned[row * tokens + token] = a[token * rows + row] } }
    var sum = zeros(rows, columns)
    var span = sum.mutableSpan
    gemm(
      m: rows, n: columns, k: tokens, a: turned.span, lda: tokens, b: b.span, ldb: columns,
      bTransposed: false,
      c: &span, ldc: columns)
    return sum
  }

  private func mean(_ sum: [Float]) -> [Float] {
    let share = 1 / Float(max(tokens, 1))
    return sum.map { $0 * share }
  }

  private func mean(_ sum: inout [Float], _ n: Int) -> Bytes {
    sum = mean(sum)
    var span = sum.mutableSpan
    mirrorLowerTriangle(&span, n: n)
    return SequentialPass.floats(sum)
  }

  private static func floats(_ values: [Float]) -> Bytes {
    Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }
  }

  private static func halves(_ values: [Float]) -> [UInt8] {
    Bytes(count: 2 * values.count) { encode(.bf16, values.span, into: &$0) }.array
  }
}
