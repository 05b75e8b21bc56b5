import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A sequence of tokens that a model continues: what it made of the tokens so far is kept, so that each new one goes through
/// the layers alone.
///
///     var generator = try Generator(model, capacity: 4096, workers: 8)
///     var logits = try await generator.feed(prompt)
///     logits = try await generator.feed([sampler.choose(logits)])
///
/// Logits are those of `logits(of:)` for the same tokens, but for the last bits where sums of attention are cut otherwise. They do not
/// depend on the number of workers.
public struct Generator: Sendable {
  /// Tokens that go through the layers at once.
  private static let tokensAtOnce = 512

  private let source: LaneModel
  private let workers: Workers
  private let head: LinearWeights
  private let finalNorm: DecodedNorm
  private let cache: CacheType
  /// By layer.
  private var pasts: [Past]
  /// The tokens so far.
  public private(set) var tokens: [Int] = []
  /// Tokens that the sequence can have.
  public let capacity: Int

  private var blueprint: Blueprint { source.blueprint }

  /// - Parameters:
  ///   - capacity: tokens that the sequence may come to have, at most the model's context.
  ///   - cache: how keys and values of earlier tokens are held.
  /// - Throws: FormatError for a model without a forward pass.
  public init(_ model: Model, capacity: Int, workers count: Int, cache: CacheType = .f32)
    throws(FormatError)
  {
    guard capacity > 0, capacity <= model.blueprint.contextLength else {
      throw FormatError(
        path: model.path, expected: "a sequence of 1 to \(model.blueprint.contextLength) tokens",
        found: "\(capacity)")
    }
    let team = ThreadTeam(count)
    source = try LaneModel(model, positions: capacity, team: team)
    // Products go by the team; what is between them is little.
    workers = Workers(1)
    head = .stored(try model.required(model.blueprint.headRole), team)
    finalNorm = try model.norm(.finalNorm, model.blueprint.finalNorm)
    pasts = model.blueprint.layers.map { _ in Past(cache) }
    self.cache = cache
    self.capacity = capacity
  }

  /// Bytes that are kept of the tokens so far.
  public var cacheBytes: Int { pasts.reduce(0) { $0 + $1.bytes } }

  /// Begins a new sequence.
  public mutating func reset() {
    pasts = pasts.map { _ in Past(cache) }
    tokens = []
  }

  /// Adds tokens to the sequence.
  ///
  /// - Parameter tokens: at least one.
  /// - Returns: the logits for the token that comes next: (vocabulary).
  /// - Throws: FormatError for a token outside the vocabulary, a sequence that grows too long, and values that are not finite. The
  ///   sequence is of no use then.
  public mutating func feed(_ tokens: [Int]) async throws(FormatError) -> [Float] {
    precondition(!tokens.isEmpty, "a token to feed")
    guard self.tokens.count + tokens.count <= capacity else {
      throw FormatError(
        path: source.model.path, expected: "a sequence of at most \(capacity) tokens",
        found: "\(self.tokens.count + tokens.count)")
    }
    if let token = tokens.first(where: { !(0..<blueprint.vocabulary).contains($0) }) {
      throw FormatError(
        path: source.model.path, expected: "tokens from 0 to \(blueprint.vocabulary - 1)", found: "\(token)")
    }
    var last: [Float] = []
    for first in stride(from: 0, to: tokens.count, by: Generator.tokensAtOnce) {
      let part = Array(tokens[first..<min(first + Generator.tokensAtOnce, tokens.count)])
      last = try await state(adding: part)
    }
    return try logits(last)
  }

  /// Takes some tokens through the layers.
  ///
  /// - Returns: the hidden state of the last one.
  private mutating func state(adding part: [Int]) async throws(FormatError) -> [Float] {
    let embedded = try embed(
      [part], source.model.required(.embedding), scale: blueprint.embeddingScale)
    var lane = try Lane(
      source, [Context(part)], states: embedded,
      carried: embedded.map { Carried(embedded: blueprint.layerInputWidth == nil ? [] : $0) })
    for layer in blueprint.layers.indices {
      // Handed over, so that the layer adds to it in place.
      let past = pasts[layer]
      pasts[layer] = Past(.f32)
      lane.continueSequence(past)
      try await lane.run(layer: layer, workers)
      pasts[layer] = lane.endSequence()
    }
    tokens += part
    let hidden = blueprint.hiddenSize
    return Array(lane.states[0].suffix(hidden))
  }

  private func logits(_ state: [Float]) throws(FormatError) -> [Float] {
    var logits: [Float] = []
    try linear(
      finalNorm.rows(state), head, tokens: 1, inputs: blueprint.hiddenSize, outputs: blueprint.vocabulary,
      into: &logits)
    try source.finish(&logits, rows: 0..<blueprint.vocabulary, count: blueprint.vocabulary) { _ in
      "token \(tokens.count - 1) of the sequence"
    }
    return logits
  }
}

extension Lane {
  /// Gives the only context what the next layer made of the tokens before.
  mutating func continueSequence(_ past: Past) { carried[0].past = past }

  mutating func endSequence() -> Past {
    defer { carried[0].past = nil }
    return carried[0].past!
  }
}
