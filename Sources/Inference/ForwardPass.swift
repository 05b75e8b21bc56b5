import Kernels
import Models
import Tensors

/// One model on its way through a number of contexts, layer by layer, in F32.
///
/// Every hidden state is held, and of the model one layer's attention or, for each worker, one projection of one
/// expert, decoded for all tokens at once: memory grows with the tokens and with the largest such unit, not with the
/// model. Any mixture of encodings will do. Results do not depend on the number of workers; their last bits depend on
/// the processor, as those of its BLAS do.
///
/// What it computes is what the hyperparameters say; for MiniMax-M2 it is checked against transformers' logits.
struct ForwardPass: Sendable {
  let model: Model
  let contexts: [Context]
  /// The hidden state of each context: (tokens, hidden).
  var states: [[Float]]
  let workers: Workers
  private let rotation: Rotation

  var numbers: Hyperparameters { model.hyperparameters }

  /// Looks the tokens up in the embedding, or goes on from states that a pass of the same had after some layer.
  ///
  /// - Throws: FormatError for a token outside the vocabulary, a context of no tokens or of more than the model takes,
  ///   and for a model with parts this forward pass does not know.
  init(_ model: Model, _ contexts: [Context], _ workers: Workers, states: [[Float]]? = nil)
    throws(FormatError)
  {
    guard model.hyperparameters.experts.shared == 0 else {
      throw FormatError(
        path: model.path, expected: "a mixture without shared experts",
        found: "\(model.hyperparameters.experts.shared) of them")
    }
    try contexts.check(for: model)
    self.model = model
    self.contexts = contexts
    self.workers = workers
    let attention = model.hyperparameters.attention
    rotation = Rotation(
      dims: attention.rotaryDims, theta: attention.ropeTheta,
      positions: contexts.map(\.tokens.count).max() ?? 0)
    if let states {
      self.states = states
    } else {
      self.states = try embed(contexts.map(\.tokens), model.required(.embedding))
    }
    for (index, state) in self.states.enumerated() {
      precondition(
        state.count == contexts[index].tokens.count * model.hyperparameters.hiddenSize, "(tokens, hidden)")
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
    let weights = try await LayerWeights(model, layer: layer, workers)
    let pass = self
    let (isObserved, keepsGates) = (observer != nil, observer?.coverage != nil)
    var normalized: [[Float]] = []
    var routings: [Routing] = []
    try await workers.inOrder(contexts.count) { index, buffers throws(FormatError) in
      let state = try pass.attended(context: index, layer: layer, weights, &buffers)
      let (inputs, routing) = try pass.routed(
        state, context: index, layer: layer, weights, keepsGates: keepsGates)
      let seen = isObserved ? pass.seenByAttention(context: index, weights, buffers, inputs) : nil
      return (state, inputs, routing, seen)
    } deliver: { index, output in
      if let seen = output.3 { observer?.take(seen, output.1, output.2) }
      states[index] = output.0
      normalized.append(output.1)
      routings.append(output.2)
    }
    for part in [Role.Part.query, .key, .value, .attentionOutput] {
      passed(try model.required(part, layer: layer).bytes)
    }
    return (normalized, routings)
  }

  /// The state of one context after attention and its residual: (tokens, hidden).
  private func attended(context: Int, layer: Int, _ weights: LayerWeights, _ buffers: inout Buffers)
    throws(FormatError) -> [Float]
  {
    fillAttended(context: context, weights, &buffers)
    var state = states[context]
    addAttended(to: &state, weights.attentionOutput, buffers.attended)
    try check(state.span, context: context, "a finite hidden state after the attention of layer \(layer)")
    return state
  }

  /// Adds what the output projection makes of (tokens, heads · headDim).
  func addAttended(to state: inout [Float], _ projection: [Float], _ attended: [Float]) {
    let (hidden, width) = (numbers.hiddenSize, numbers.attention.heads * numbers.attention.headDim)
    linear(
      attended, projection, tokens: state.count / hidden, inputs: width, outputs: hidden, into: &state,
      accumulate: true)
  }

  /// What goes into the output projection of one context, in the buffers.
  func fillAttended(context: Int, _ weights: LayerWeights, _ buffers: inout Buffers) {
    let attention = numbers.attention
    let (hidden, tokens) = (numbers.hiddenSize, contexts[context].tokens.count)
    let width = attention.heads * attention.headDim
    let sharedWidth = attention.keyValueHeads * attention.headDim
    let inputs = normalizedRows(states[context], weight: weights.attentionNorm)
    linear(inputs, weights.query, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.queries)
    linear(inputs, weights.key, tokens: tokens, inputs: hidden, outputs: sharedWidth, into: &buffers.keys)
    linear(inputs, weights.value, tokens: tokens, inputs: hidden, outputs: sharedWidth, into: &buffers.values)
    // The norm is over all heads together, before the rotation.
    if let queryNorm = weights.queryNorm, let keyNorm = weights.keyNorm {
      normalizeRows(&buffers.queries, tokens: tokens, weight: queryNorm, eps: numbers.normEpsilon)
      normalizeRows(&buffers.keys, tokens: tokens, weight: keyNorm, eps: numbers.normEpsilon)
    }
    rotation.apply(to: &buffers.queries, tokens: tokens, heads: attention.heads, headDim: attention.headDim)
    rotation.apply(
      to: &buffers.keys, tokens: tokens, heads: attention.keyValueHeads, headDim: attention.headDim)
    attend(
      queries: buffers.queries, keys: buffers.keys, values: buffers.values, tokens: tokens, attention,
      scores: &buffers.scores, into: &buffers.attended)
  }

  /// What the experts of a layer get from one context, (tokens, hidden), and which of them get it.
  func routed(
    _ state: [Float], context: Int, layer: Int, _ weights: LayerWeights, keepsGates: Bool
  ) throws(FormatError) -> (inputs: [Float], routing: Routing) {
    let (experts, tokens) = (numbers.experts, contexts[context].tokens.count)
    let inputs = normalizedRows(state, weight: weights.feedForwardNorm)
    try check(inputs.span, context: context, "finite inputs to the experts of layer \(layer)")
    var logits: [Float] = []  // (tokens, experts)
    linear(
      inputs, weights.router, tokens: tokens, inputs: numbers.hiddenSize, outputs: experts.count,
      into: &logits)
    let routing = Routing(
      logits: logits.span, experts: experts.count, active: experts.active, bias: weights.routerBias,
      keepsGates: keepsGates)
    try check(logits.span, columns: experts.count, context: context, "finite router scores in layer \(layer)")
    try check(
      routing.weights.span, columns: experts.active, context: context,
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
    let isObserved = observer != nil
    let hidden = numbers.hiddenSize
    let visits = Visit.byExpert(routings, experts: numbers.experts.count)
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
      for part in [Role.Part.gate, .up, .down] {
        passed(try model.required(part, layer: layer, expert: expert).bytes)
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
    let (count, hidden, width) = (visits.count, numbers.hiddenSize, numbers.experts.width)
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
    let gate = try model.required(.gate, layer: layer, expert: expert)
    try gate.decode(into: &buffers.weights, if: needed || gate.wantsDecoding(count, aside))
    seen?.addColumns(buffers.weights, rows: width, columns: hidden)
    try gate.linear(buffers.gathered, tokens: count, buffers.weights, into: &buffers.gated)
    try gate.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, into: &buffers.forced.gated)
    let up = try model.required(.up, layer: layer, expert: expert)
    try up.decode(into: &buffers.weights, if: needed || up.wantsDecoding(count, aside))
    seen?.addColumns(buffers.weights, rows: width, columns: hidden)
    try up.linear(buffers.gathered, tokens: count, buffers.weights, into: &buffers.lifted)
    try up.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, into: &buffers.forced.lifted)
    activate(&buffers.gated, buffers.lifted, count: count * width)
    activate(&buffers.forced.gated, buffers.forced.lifted, count: aside * width)
    seen?.take(
      [
        (buffers.gathered, buffers.lifted, buffers.gated, count),
        (buffers.forced.gathered, buffers.forced.lifted, buffers.forced.gated, aside),
      ], hidden, width)
    let down = try model.required(.down, layer: layer, expert: expert)
    try down.decode(into: &buffers.weights, if: needed || down.wantsDecoding(count, probes))
    seen?.addDownColumns(buffers.weights, rows: hidden, columns: width)
    var outputs: [Float] = []  // (visits, hidden)
    try down.linear(buffers.gated, tokens: count, buffers.weights, into: &outputs)
    try down.linear(buffers.forced.gated, tokens: probes, buffers.weights, into: &buffers.probed)
    if let index = firstNonFinite(outputs.span) {
      let visit = visits[index / hidden]
      throw FormatError(
        path: model.path, tensor: try model.required(.down, layer: layer, expert: expert).name,
        expected: "finite outputs of expert \(expert) of layer \(layer)",
        found: "\(outputs[index]) for token \(visit.token) of \(contexts.name(visit.context))")
    }
    seen?.takeOutputs(outputs, count: count * hidden)
    return outputs
  }

  /// What the experts get from the tokens of some visits: (visits, hidden).
  private func gather(_ visits: [Visit], _ inputs: [[Float]], into rows: inout [Float]) {
    rows.provide(visits.count * numbers.hiddenSize)
    for (index, visit) in visits.enumerated() {
      copyRow(inputs[visit.context], visit.token, width: numbers.hiddenSize, to: &rows, index)
    }
  }

  /// RMSNorm of each row of (tokens, hidden).
  func normalizedRows(_ x: [Float], weight: [Float]) -> [Float] {
    var out = x
    normalizeRows(&out, tokens: x.count / numbers.hiddenSize, weight: weight, eps: numbers.normEpsilon)
    return out
  }

  /// Refuses NaN and infinities among values of a context's tokens: (tokens, columns), hidden size by default.
  ///
  /// - Parameter first: position of the first of these tokens.
  func check(_ values: Span<Float>, columns: Int? = nil, context: Int, first: Int = 0, _ expected: String)
    throws(FormatError)
  {
    guard let index = firstNonFinite(values) else { return }
    let token = first + index / (columns ?? numbers.hiddenSize)
    throw FormatError(
      path: model.path, expected: expected,
      found: "\(values[index]) at token \(token) of \(contexts.name(context))")
  }
}
