import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// One model on its way through a number of contexts, layer by layer, in F32.
///
/// Every hidden state is held, and of the model one layer's attention or, for each worker, one projection of one
/// expert, decoded for all tokens at once: memory grows with the tokens and with the largest such unit, not with the
/// model. Any mixture of encodings will do. Results do not depend on the number of workers; their last bits depend on
/// the processor, as those of its BLAS do.
///
/// What it computes is what the blueprint says; golden logits of every family from transformers hold it to that.
struct ForwardPass: Sendable {
  let model: Model
  let contexts: [Context]
  /// The hidden state of each context: (tokens, hidden).
  var states: [[Float]]
  let workers: Workers
  /// Cosines and sines of each rotation of the model.
  let tables: [RotaryEmbedding: Rotation]

  var blueprint: Blueprint { model.blueprint }

  /// Looks the tokens up in the embedding, or goes on from states that a pass of the same had after some layer.
  ///
  /// - Throws: FormatError for a token outside the vocabulary, a context of no tokens or of more than the model takes,
  ///   and for a model with parts this forward pass does not know.
  init(_ model: Model, _ contexts: [Context], _ workers: Workers, states: [[Float]]? = nil)
    throws(FormatError)
  {
    try model.requireForwardPass()
    try contexts.check(for: model)
    self.model = model
    self.contexts = contexts
    self.workers = workers
    for layer in model.blueprint.layers.indices {
      _ = try model.blueprint.executable(layer: layer, of: model)
    }
    tables = model.blueprint.rotations(positions: contexts.map(\.tokens.count).max() ?? 0)
    if let states {
      self.states = states
    } else {
      self.states = try embed(
        contexts.map(\.tokens), model.required(.embedding), scale: model.blueprint.embeddingScale)
    }
    for (index, state) in self.states.enumerated() {
      precondition(
        state.count == contexts[index].tokens.count * model.blueprint.hiddenSize, "(tokens, hidden)")
      try check(state.span, context: index, "a finite embedding")
    }
  }

  /// Takes all contexts through one layer.
  ///
  /// - Parameter passed: hears of bytes of the model's tensors as they have been used.
  /// - Returns: where the layer's router sent the tokens of each context.
  mutating func run(layer: Int, passed: (Int) -> Void = { _ in }) async throws(FormatError) -> [Routing] {
    var nobody: LayerObserver?
    return try await run(layer: layer, observer: &nobody, passed: passed)
  }

  /// The same, while an observer sees what goes into the layer's linear layers.
  mutating func run(layer: Int, observer: inout LayerObserver?, passed: (Int) -> Void = { _ in })
    async throws(FormatError) -> [Routing]
  {
    let (normalized, routings) = try await runAttention(layer: layer, observer: &observer, passed: passed)
    try await runExperts(layer: layer, normalized, routings, observer: &observer, passed: passed)
    return routings
  }

  /// Attention with its residual, then the normalization and the router that experts begin with.
  mutating func runAttention(layer: Int, observer: inout LayerObserver?, passed: (Int) -> Void)
    async throws(FormatError) -> (normalized: [[Float]], routings: [Routing])
  {
    let weights = try await LayerWeights(model, layer: layer, tables, workers)
    let pass = self
    let (isObserved, keepsGates) = (observer != nil, observer?.coverage != nil)
    var normalized: [[Float]] = []
    var routings: [Routing] = []
    try await workers.inOrder(contexts.count) { index, buffers throws(FormatError) in
      let state = try pass.attended(context: index, layer: layer, weights, &buffers)
      let (inputs, routing) = try pass.routed(
        state, context: index, layer: layer, weights, keepsGates: keepsGates)
      let seen =
        isObserved ? pass.seenByAttention(context: index, layer: layer, weights, buffers, inputs) : nil
      return (state, inputs, routing, seen)
    } deliver: { index, output in
      if let seen = output.3 { observer?.take(seen, output.1, output.2) }
      states[index] = output.0
      normalized.append(output.1)
      routings.append(output.2)
    }
    for kind in blueprint.layers[layer].mixer.taps.flatMap(\.linears) {
      passed(try model.required(kind, layer: layer).bytes)
    }
    return (normalized, routings)
  }

  /// The state of one context after attention and its residual: (tokens, hidden).
  private func attended(context: Int, layer: Int, _ weights: LayerWeights, _ buffers: inout Buffers)
    throws(FormatError) -> [Float]
  {
    fillAttended(context: context, layer: layer, weights, &buffers)
    var state = states[context]
    addAttended(to: &state, weights.mixer, buffers.attended)
    try check(state.span, context: context, "a finite hidden state after the attention of layer \(layer)")
    return state
  }

  /// Adds what the mixer's output projection makes of (tokens, outputInputs).
  func addAttended(to state: inout [Float], _ mixer: any MixerExecutor, _ attended: [Float]) {
    let hidden = blueprint.hiddenSize
    let tokens = state.count / hidden
    linear(
      attended, mixer.output, tokens: tokens, inputs: mixer.outputInputs, outputs: hidden, into: &state,
      accumulate: true)
    addBias(mixer.outputBias, to: &state, tokens: tokens)
  }

  /// What goes into the mixer's output projection of one context, in the buffers.
  func fillAttended(context: Int, layer: Int, _ weights: LayerWeights, _ buffers: inout Buffers) {
    weights.mixer.run(
      mixerInputs(context: context, layer: layer, weights), tokens: contexts[context].tokens.count, &buffers)
  }

  /// What goes into a layer's mixer: (tokens, hidden).
  func mixerInputs(context: Int, layer: Int, _ weights: LayerWeights) -> [Float] {
    normalizedRows(states[context], weight: weights.mixerNorm, blueprint.layers[layer].mixerNorm)
  }

  /// What the experts of a layer get from one context, (tokens, hidden), and which of them get it.
  func routed(
    _ state: [Float], context: Int, layer: Int, _ weights: LayerWeights, keepsGates: Bool
  ) throws(FormatError) -> (inputs: [Float], routing: Routing) {
    let tokens = contexts[context].tokens.count
    let inputs = normalizedRows(
      state, weight: weights.feedForwardNorm, blueprint.layers[layer].feedForwardNorm)
    try check(inputs.span, context: context, "finite inputs to the experts of layer \(layer)")
    guard let mixture = blueprint.layers[layer].feedForward as? Mixture else {
      return (inputs, Routing(tokens: tokens))
    }
    var logits: [Float] = []  // (tokens, experts)
    linear(
      inputs, weights.router, tokens: tokens, inputs: blueprint.hiddenSize, outputs: mixture.count,
      into: &logits)
    let routing = Routing(
      logits: logits.span, mixture.routing, experts: mixture.count, active: mixture.perToken,
      bias: weights.routerBias, keepsGates: keepsGates)
    try check(logits.span, columns: mixture.count, context: context, "finite router scores in layer \(layer)")
    try check(
      routing.weights.span, columns: mixture.perToken, context: context,
      "finite weights of the experts in layer \(layer)")
    return (inputs, routing)
  }

  /// Adds to every state what the experts of its tokens say. Each expert is decoded once, for all tokens it gets;
  /// a token's experts are summed in ascending order, then added to its state.
  ///
  /// - Parameter probe: for each expert, further inputs whose outputs get into no state: (tokens, hidden).
  /// - Returns: these outputs: (tokens, hidden).
  @discardableResult
  mutating func runExperts(
    layer: Int, _ inputs: [[Float]], _ routings: [Routing], observer: inout LayerObserver?,
    probe: [[Float]] = [], passed: (Int) -> Void
  ) async throws(FormatError) -> [[Float]] {
    let pass = self
    let block = blueprint.layers[layer].feedForward
    guard block.isMixture else {
      return try await runMLP(layer: layer, inputs, routings, observer: &observer, passed: passed)
    }
    let isObserved = observer != nil
    let hidden = blueprint.hiddenSize
    let visits = Visit.byExpert(routings, experts: block.count)
    // Looked at only: nothing of them gets into a state.
    let forced =
      observer?.coverage.map { Visit.forced(routings, visits, wanted: $0) } ?? visits.map { _ in [] }
    observer?.take(forced: forced, contexts)
    var sums = states.map { [Float](repeating: 0, count: $0.count) }  // contexts × (tokens, hidden)
    var probed: [[Float]] = []
    try await workers.inOrder(visits.count) { expert, buffers throws(FormatError) in
      var seen: SeenByExpert? = isObserved ? SeenByExpert() : nil
      let own = probe.isEmpty ? [] : probe[expert]
      let outputs = try pass.output(
        of: expert, layer: layer, visits[expert], forced: forced[expert], inputs, &buffers, &seen, probe: own)
      return (outputs, seen, Array(buffers.probed.prefix(own.count)))
    } deliver: { expert, result throws(FormatError) in
      let outputs = result.0
      if let seen = result.1 { observer?.take(seen, of: expert) }
      probed.append(result.2)
      for (index, visit) in visits[expert].enumerated() {
        addRow(outputs, index, width: hidden, to: &sums[visit.context], visit.token, scale: visit.weight)
      }
      for kind in block.projections.all {
        passed(try model.required(kind, layer: layer, expert: expert).bytes)
      }
    }
    for index in states.indices {
      add(sums[index], to: &states[index])
      sums[index] = []
      let state = states[index]
      try check(state.span, context: index, "a finite hidden state after layer \(layer)")
    }
    return probed
  }

  /// down(silu(gate x) ∘ up x) of one expert for the tokens that visit it: (visits, hidden).
  ///
  /// - Parameters:
  ///   - forced: visits that only the observer sees, without the outputs.
  ///   - probe: inputs in place of forced visits, (tokens, hidden); the outputs are left in the buffers.
  func output(
    of expert: Int, layer: Int, _ visits: [Visit], forced: [Visit], _ inputs: [[Float]],
    _ buffers: inout Buffers, _ seen: inout SeenByExpert?, probe: [Float] = []
  ) throws(FormatError) -> [Float] {
    // An expert that no token visits still has weights whose columns count.
    if visits.isEmpty && seen == nil && probe.isEmpty { return [] }
    let block = blueprint.layers[layer].feedForward
    let (count, hidden, width) = (visits.count, blueprint.hiddenSize, block.intermediateSize)
    func projection(_ kind: TensorKind) throws(FormatError) -> Tensor {
      try model.required(block.role(kind, layer: layer, expert: expert))
    }
    let biases = try MLPBiases(model, layer: layer)
    gather(visits, inputs, into: &buffers.gathered)
    precondition(forced.isEmpty || probe.isEmpty, "one or the other stands aside")
    let probes = probe.count / hidden
    let aside = max(forced.count, probes)
    if probes > 0 {
      buffers.forced.gathered = probe
    } else {
      gather(forced, inputs, into: &buffers.forced.gathered)
    }
    // Forced ones apart from the others, so that these have the same bits with and without them.
    let needed = seen != nil
    let gate = try projection(block.projections.gating)
    try gate.decode(into: &buffers.weights, if: needed || gate.wantsDecoding(count, aside))
    seen?.addColumns(buffers.weights, rows: width, columns: hidden)
    try gate.linear(buffers.gathered, tokens: count, buffers.weights, into: &buffers.gated)
    try gate.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, into: &buffers.forced.gated)
    let up = try projection(block.projections.lifting)
    try up.decode(into: &buffers.weights, if: needed || up.wantsDecoding(count, aside))
    seen?.addColumns(buffers.weights, rows: width, columns: hidden)
    try up.linear(buffers.gathered, tokens: count, buffers.weights, into: &buffers.lifted)
    try up.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, into: &buffers.forced.lifted)
    addBias(biases.gate, to: &buffers.gated, tokens: count)
    addBias(biases.up, to: &buffers.lifted, tokens: count)
    activate(&buffers.gated, buffers.lifted, count: count * width)
    activate(&buffers.forced.gated, buffers.forced.lifted, count: aside * width)
    seen?.take(
      [
        (buffers.gathered, buffers.lifted, buffers.gated, count),
        (buffers.forced.gathered, buffers.forced.lifted, buffers.forced.gated, aside),
      ], hidden, width)
    let down = try projection(block.projections.lowering)
    try down.decode(into: &buffers.weights, if: needed || down.wantsDecoding(count, probes))
    seen?.addDownColumns(buffers.weights, rows: hidden, columns: width)
    var outputs: [Float] = []  // (visits, hidden)
    try down.linear(buffers.gated, tokens: count, buffers.weights, into: &outputs)
    try down.linear(buffers.forced.gated, tokens: probes, buffers.weights, into: &buffers.probed)
    addBias(biases.down, to: &outputs, tokens: count)
    if let index = firstNonFinite(outputs.span) {
      let visit = visits[index / hidden]
      throw FormatError(
        path: model.path, tensor: down.name,
        expected: "finite outputs of expert \(expert) of layer \(layer)",
        found: "\(outputs[index]) for token \(visit.token) of \(contexts.name(visit.context))")
    }
    seen?.takeOutputs(outputs, count: count * hidden)
    return outputs
  }

  /// What the experts get from the tokens of some visits: (visits, hidden).
  private func gather(_ visits: [Visit], _ inputs: [[Float]], into rows: inout [Float]) {
    rows.provide(visits.count * blueprint.hiddenSize)
    for (index, visit) in visits.enumerated() {
      copyRow(inputs[visit.context], visit.token, width: blueprint.hiddenSize, to: &rows, index)
    }
  }

  /// RMSNorm of each row of (tokens, hidden).
  func normalizedRows(_ x: [Float], weight: [Float], _ norm: Norm) -> [Float] {
    var out = x
    normalizeRows(&out, tokens: x.count / blueprint.hiddenSize, weight: weight, eps: norm.epsilon)
    return out
  }

  /// Refuses NaN and infinities among values of a context's tokens: (tokens, columns), hidden size by default.
  ///
  /// - Parameter first: position of the first of these tokens.
  func check(_ values: Span<Float>, columns: Int? = nil, context: Int, first: Int = 0, _ expected: String)
    throws(FormatError)
  {
    guard let index = firstNonFinite(values) else { return }
    let token = first + index / (columns ?? blueprint.hiddenSize)
    throw FormatError(
      path: model.path, expected: expected,
      found: "\(values[index]) at token \(token) of \(contexts.name(context))")
  }
}
