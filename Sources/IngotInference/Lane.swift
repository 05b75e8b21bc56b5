import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// A model that lanes go by. Lanes of the same one share its decoded weights.
final class LaneModel: Sendable {
  let model: Model
  /// Cosines and sines of each rotation of the model.
  let tables: [RotaryEmbedding: Rotation]
  /// For products with weights as they are stored; nil where they are decoded.
  let products: StoredProducts?
  /// Where experts' weights are read ahead and given up again; nil where that is left to the system.
  let experts: ExpertMemory?
  /// Whether lanes continue sequences, some tokens at a time: what is decoded, norms and routers, is kept for the next ones.
  let continues: Bool
  private let kept = Mutex<[Int: (weights: LayerWeights, feedForward: (any FeedForwardExecutor)?)]>([:])

  var blueprint: Blueprint { model.blueprint }

  /// - Throws: FormatError for a token outside the vocabulary, a context of no tokens or of more than the model takes, and
  ///   for a model with blocks that this build cannot run.
  ///
  /// - Parameter products: nil to decode weights.
  convenience init(_ model: Model, _ contexts: [Context], products: StoredProducts? = nil)
    throws(FormatError)
  {
    try contexts.check(for: model)
    try self.init(model, positions: contexts.map(\.tokens.count).max() ?? 0, products: products)
  }

  /// - Parameters:
  ///   - positions: of the longest context.
  ///   - continues: whether contexts are continued.
  init(
    _ model: Model, positions: Int, products: StoredProducts? = nil, continues: Bool = false,
    experts: ExpertMemory? = nil
  ) throws(FormatError) {
    try model.requireForwardPass()
    for layer in model.blueprint.layers.indices {
      _ = try model.blueprint.executable(layer: layer, of: model)
      _ = try model.blueprint.executableFeedForward(layer: layer, of: model)
    }
    self.model = model
    self.products = products
    self.continues = continues
    self.experts = experts
    tables = model.blueprint.rotations(positions: positions)
  }

  /// A layer's weights up to its feed-forward, loaded as far as they are.
  func weights(layer: Int, _ site: RowSite) throws(FormatError) -> LayerWeights {
    if let kept = kept.withLock({ $0[layer]?.weights }) { return kept }
    return try LayerWeights(self, layer: layer, site)
  }

  func executor(layer: Int, _ site: RowSite, _ workers: Workers, decodesOnce: Bool) async throws(FormatError)
    -> any FeedForwardExecutor
  {
    if let known = kept.withLock({ $0[layer]?.feedForward }) { return known }
    let executor = try await blueprint.executableFeedForward(layer: layer, of: model).executor(
      self, layer: layer, site, workers, decodesOnce: decodesOnce && products == nil)
    kept.withLock { $0[layer]?.feedForward = executor }
    return executor
  }

  /// Keeps weights that have been loaded for the tokens to come, where there are any.
  func keep(_ weights: LayerWeights, layer: Int) {
    if continues { kept.withLock { if $0[layer] == nil { $0[layer] = (weights, nil) } } }
  }
}

/// The hidden states of some contexts on their way through a model's layers, in F32: the original's, a candidate's, or those of
/// a perturbed run, which began elsewhere and goes by the original's weights from there on.
///
/// Every hidden state is held; of the model, what `LayerRunner` decodes of one layer. Any mixture of encodings will do.
/// Results depend neither on the number of workers nor on the processor.
///
/// What is computed is what the blueprint says; golden logits of every family from transformers hold it to that.
struct Lane: Sendable {
  let source: LaneModel
  let contexts: [Context]
  /// The hidden state of each context: (tokens, hidden).
  private(set) var states: [[Float]]
  /// What layers left for later ones, by context.
  var carried: [Carried]

  /// All that the lane is between two layers, by context: the hidden state, then what layers carry.
  var snapshot: [[Float]] {
    zip(states, zip(carried, contexts)).map { state, rest in
      state + rest.0.values(blueprint, tokens: rest.1.tokens.count)
    }
  }

  var model: Model { source.model }
  var blueprint: Blueprint { source.blueprint }
  /// Names rows of the states in messages.
  var site: RowSite { RowSite(model, contexts) }

  /// Looks the tokens up in the embedding, or goes on from the snapshot that a lane of the same had after some layer.
  ///
  /// - Throws: what `LaneModel` throws, and FormatError for values that are not finite.
  init(_ model: Model, _ contexts: [Context], snapshot: [[Float]]? = nil, products: StoredProducts? = nil)
    throws(FormatError)
  {
    let source = try LaneModel(model, contexts, products: products)
    guard let snapshot else {
      let embedded = try embed(
        contexts.map(\.tokens), model.required(.embedding), scale: model.blueprint.embeddingScale)
      try self.init(
        source, contexts, states: embedded,
        carried: embedded.map { Carried(embedded: model.blueprint.layerInputWidth == nil ? [] : $0) })
      return
    }
    try self.init(source, contexts, snapshot: snapshot)
  }

  init(_ source: LaneModel, _ contexts: [Context], snapshot: [[Float]]) throws(FormatError) {
    var states: [[Float]] = []
    var carried: [Carried] = []
    let counts = passStateCounts(source.model, contexts)
    for (index, values) in snapshot.enumerated() {
      precondition(values.count == counts[index], "(tokens, hidden) and what is carried")
      let tokens = contexts[index].tokens.count
      let count = tokens * source.blueprint.hiddenSize
      carried.append(Carried(values[count...], source.blueprint, tokens: tokens))
      states.append(values.count == count ? values : Array(values[..<count]))
    }
    try self.init(source, contexts, states: states, carried: carried)
  }

  init(_ source: LaneModel, _ contexts: [Context], states: [[Float]], carried: [Carried])
    throws(FormatError)
  {
    self.source = source
    self.contexts = contexts
    self.states = states
    self.carried = carried
    for (index, state) in states.enumerated() {
      precondition(
        state.count == contexts[index].tokens.count * blueprint.hiddenSize, "(tokens, hidden)")
      try site.check(state.span, context: index, "a finite embedding")
    }
  }

  /// Hands over the states, so that they are changed in place.
  mutating func takeStates() -> [[Float]] {
    defer { states = [] }
    return states
  }

  /// Hands over what is carried, so that it is changed in place.
  mutating func takeCarried() -> [Carried] {
    defer { carried = [] }
    return carried
  }

  mutating func put(_ states: [[Float]], _ carried: [Carried]) {
    self.states = states
    self.carried = carried
  }

  /// Takes all contexts through one layer.
  ///
  /// - Parameter passed: is told of bytes of the model's tensors as they have been used.
  /// - Returns: where the layer's router sent the tokens of each context.
  @discardableResult
  mutating func run(layer: Int, _ workers: Workers, passed: (Int) -> Void = { _ in })
    async throws(FormatError)
    -> [Routing]
  {
    var runner = LayerRunner(layer: layer, [hand()], workers)
    try await runner.advance(to: .feedForwardInput, passed: passed)
    let routings = runner.routings(lane: 0)
    try await runner.feed(passed: passed)
    self = runner.lanes[0]
    return routings
  }

  /// The lane as it is, leaving this one without states.
  mutating func hand() -> Lane {
    defer { (states, carried) = ([], []) }
    return self
  }
}

/// Names rows of (tokens, columns) in messages.
struct RowSite: Sendable {
  let path: String
  private let contexts: [Context]
  private let hidden: Int

  init(_ model: Model, _ contexts: [Context]) {
    path = model.path
    self.contexts = contexts
    hidden = model.blueprint.hiddenSize
  }

  /// Refuses NaN and infinities among values of a context's tokens: (tokens, columns), hidden size by default.
  ///
  /// - Parameters:
  ///   - context: of all lanes that go together, one lane's after the other's.
  ///   - first: position of the first of these tokens.
  func check(_ values: Span<Float>, columns: Int? = nil, context: Int, first: Int = 0, _ expected: String)
    throws(FormatError)
  {
    guard let index = firstNonFinite(values) else { return }
    let token = first + index / (columns ?? hidden)
    throw FormatError(
      path: path, expected: expected, found: "\(values[index]) at token \(token) of \(name(context))")
  }

  func name(_ context: Int) -> String { contexts.name(context % contexts.count) }
}
