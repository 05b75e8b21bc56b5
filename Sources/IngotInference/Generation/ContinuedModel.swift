import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A model that continues sequences of tokens: one, or several in the same pass.
///
/// Sequences share passes: weights are read once for the tokens of all, and each sequence gets the bits that it would get alone, since
/// a product's outputs do not depend on the rows beside it, and attention is computed by sequence.
///
///     let model = try ContinuedModel(model, capacity: 4096, workers: 8)
///     var sequences = [model.sequence(), model.sequence()]
///     let logits = try await model.feed(&sequences, [first, second])
public final class ContinuedModel: Sendable {
  /// Tokens of a sequence that go through the layers at once. Where a prompt is cut can decide last bits of its logits, so it is cut
  /// in the same places whoever shares the pass.
  public static let tokensAtOnce = 512

  private let source: LaneModel
  private let workers: Workers
  private let head: LinearWeights
  private let finalNorm: DecodedNorm
  private let cache: CacheType
  /// Experts that are read ahead; nil for a model without, and for one that fits in memory.
  private let experts: ExpertMemory?
  /// Tokens that a sequence can have.
  public let capacity: Int

  private var blueprint: Blueprint { source.blueprint }

  /// What experts took so far; nil where they are not looked after.
  public var expertReads: ExpertReads? { experts?.reads }

  /// - Parameters:
  ///   - capacity: tokens that a sequence may come to have, at most the model's context.
  ///   - cache: how keys and values of earlier tokens are held.
  ///   - isFast: whether products round activations to 8 bits where weights allow it (`Encoding.multipliesRounded`).
  ///   - memory: bytes of weights that may be in memory; nil for what the system allows.
  /// - Throws: FormatError for a model without a forward pass, and for less memory than a token needs.
  public init(
    _ model: Model, capacity: Int, workers count: Int, cache: CacheType = .f32, isFast: Bool = false,
    memory: Int? = nil
  ) throws(FormatError) {
    try model.requireForwardPass()
    guard capacity > 0, capacity <= model.blueprint.contextLength else {
      throw FormatError(
        path: model.path, expected: "a sequence of 1 to \(model.blueprint.contextLength) tokens",
        found: "\(capacity)")
    }
    let products = StoredProducts(team: ThreadTeam(count), roundsActivations: isFast)
    experts = try ExpertMemory(model, budget: memory)
    source = try LaneModel(
      model, positions: capacity, products: products, continues: true, experts: experts)
    // Products go by the team; what is between them is little.
    workers = Workers(1)
    head = .stored(try model.required(model.blueprint.headRole), products)
    finalNorm = try model.norm(.finalNorm, model.blueprint.finalNorm)
    self.cache = cache
    self.capacity = capacity
  }

  /// A sequence without tokens.
  public func sequence() -> ModelSequence { ModelSequence(layers: blueprint.layers.count, cache) }

  /// Whether a sequence has the same bits wherever its tokens were cut into passes. Latent attention multiplies in another order
  /// where a sequence is continued than at its beginning.
  public var isCutAnywhere: Bool { !blueprint.layers.contains { $0.mixer is LatentAttention } }

  /// Tokens of a prompt that are to go through the layers next, so that it is always cut in the same places.
  ///
  /// - Parameter done: tokens of it that the sequence has.
  public static func nextTokens(of prompt: [Int], done: Int) -> ArraySlice<Int> {
    prompt[done..<min(done / tokensAtOnce * tokensAtOnce + tokensAtOnce, prompt.count)]
  }

  /// Tokens at the beginning of a prompt that a sequence has already, so that the rest can be fed to it with the bits that the whole
  /// would get anew. 0 for none.
  public func reusable(_ sequence: ModelSequence, for prompt: [Int]) -> Int {
    var count = zip(sequence.tokens, prompt.dropLast()).prefix { $0 == $1 }.count
    if !isCutAnywhere {
      count = min(count, sequence.evenTokens) / ContinuedModel.tokensAtOnce * ContinuedModel.tokensAtOnce
    }
    guard count < sequence.tokens.count else { return count }
    for (layer, past) in zip(blueprint.layers, sequence.pasts) {
      let shape = (layer.mixer as? GroupedQueryAttention).map(AttentionShape.init)
      guard past.canBeCut, past.keys.dropped <= shape?.firstSeen(by: count) ?? 0 else { return 0 }
    }
    return count
  }

  /// Takes a sequence back to its first tokens.
  ///
  /// - Parameter count: what `reusable` gave, or less where it could be any.
  public func cut(_ sequence: inout ModelSequence, to count: Int) { sequence.cut(to: count) }

  /// Refuses tokens that cannot be added to a sequence of so many.
  public func check(_ tokens: some Collection<Int>, after count: Int) throws(FormatError) {
    guard count + tokens.count <= capacity else {
      throw FormatError(
        path: source.model.path, expected: "a sequence of at most \(capacity) tokens",
        found: "\(count + tokens.count)")
    }
    if let token = tokens.first(where: { !(0..<blueprint.vocabulary).contains($0) }) {
      throw FormatError(
        path: source.model.path, expected: "tokens from 0 to \(blueprint.vocabulary - 1)", found: "\(token)")
    }
  }

  /// Adds tokens to sequences, in one pass.
  ///
  /// - Parameters:
  ///   - sequences: at least one. They are of no use if this throws.
  ///   - tokens: for each sequence, at least one and at most `tokensAtOnce`.
  ///   - wantsLogits: of each sequence; nil for all.
  /// - Returns: for each sequence the logits for the token that comes next, (vocabulary); empty where none are wanted.
  /// - Throws: FormatError for a token outside the vocabulary, a sequence that grows too long, and values that are not finite.
  public func feed(_ sequences: inout [ModelSequence], _ tokens: [[Int]], wantsLogits: [Bool]? = nil)
    async throws(FormatError) -> [[Float]]
  {
    precondition(tokens.count == sequences.count && !sequences.isEmpty, "tokens for each sequence")
    for (sequence, part) in zip(sequences, tokens) {
      precondition(!part.isEmpty, "a token to feed")
      try check(part, after: sequence.tokens.count)
    }
    let states = try await states(adding: tokens, to: &sequences)
    let wanted = sequences.indices.filter { wantsLogits?[$0] ?? true }
    let all = try logits(wanted.flatMap { states[$0] }, of: wanted.map { sequences[$0].tokens.count - 1 })
    var logits = [[Float]](repeating: [], count: sequences.count)
    for (place, index) in wanted.enumerated() { logits[index] = all[place] }
    return logits
  }

  /// Takes tokens through the layers.
  ///
  /// - Returns: the hidden state of each sequence's last one.
  private func states(adding tokens: [[Int]], to sequences: inout [ModelSequence]) async throws(FormatError)
    -> [[Float]]
  {
    let embedded = try embed(tokens, source.model.required(.embedding), scale: blueprint.embeddingScale)
    var lane = try Lane(
      source, tokens.map { Context($0) }, states: embedded,
      carried: embedded.map { Carried(embedded: blueprint.layerInputWidth == nil ? [] : $0) })
    for layer in blueprint.layers.indices {
      for index in sequences.indices {
        // Handed over, so that the layer adds to it in place.
        lane.carried[index].past = sequences[index].takePast(layer)
      }
      try await lane.run(layer: layer, workers)
      for index in sequences.indices {
        sequences[index].put(lane.carried[index].past!, layer)
        lane.carried[index].past = nil
      }
    }
    for index in sequences.indices { sequences[index].add(tokens[index]) }
    return lane.states.map { Array($0.suffix(blueprint.hiddenSize)) }
  }

  /// - Parameters:
  ///   - states: (sequences, hidden)
  ///   - positions: of the tokens whose states they are, for messages.
  private func logits(_ states: [Float], of positions: [Int]) throws(FormatError) -> [[Float]] {
    if positions.isEmpty { return [] }
    let (count, vocabulary) = (positions.count, blueprint.vocabulary)
    var logits: [Float] = []
    try linear(
      finalNorm.rows(states), head, tokens: count, inputs: blueprint.hiddenSize, outputs: vocabulary,
      into: &logits)
    try source.finish(&logits, rows: 0..<vocabulary, count: count * vocabulary) {
      "token \(positions[$0]) of the sequence"
    }
    if count == 1 { return [logits] }
    return (0..<count).map { Array(logits[$0 * vocabulary..<($0 + 1) * vocabulary]) }
  }
}

/// A sequence of tokens and what a model made of them.
public struct ModelSequence: Sendable {
  /// By layer.
  fileprivate private(set) var pasts: [Past]
  private let cache: CacheType
  /// The tokens so far.
  public private(set) var tokens: [Int] = []
  /// How many of them came in passes of `tokensAtOnce`, from the first on.
  fileprivate private(set) var evenTokens = 0

  init(layers: Int, _ cache: CacheType) {
    self.cache = cache
    pasts = (0..<layers).map { _ in Past(cache) }
  }

  /// Bytes that are kept of the tokens.
  public var bytes: Int { pasts.reduce(0) { $0 + $1.bytes } }

  mutating func takePast(_ layer: Int) -> Past {
    var past = Past(cache)
    swap(&past, &pasts[layer])
    return past
  }

  mutating func put(_ past: Past, _ layer: Int) { pasts[layer] = past }

  mutating func add(_ part: [Int]) {
    if tokens.count == evenTokens, part.count == ContinuedModel.tokensAtOnce { evenTokens += part.count }
    tokens += part
  }

  fileprivate mutating func cut(to count: Int) {
    guard count < tokens.count else { return }
    for layer in pasts.indices { pasts[layer].cut(to: count) }
    tokens.removeLast(tokens.count - count)
    evenTokens = min(evenTokens, count / ContinuedModel.tokensAtOnce * ContinuedModel.tokensAtOnce)
  }
}
