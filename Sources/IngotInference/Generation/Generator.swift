import IngotModels
import IngotSystem

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
  private let model: ContinuedModel
  private var sequence: ModelSequence

  /// - Parameters:
  ///   - capacity: tokens that the sequence may come to have, at most the model's context.
  ///   - cache: how keys and values of earlier tokens are held.
  ///   - isFast: whether products round activations to 8 bits where weights allow it (`Encoding.multipliesRounded`).
  ///   - memory: bytes of weights that may be in memory; nil for what the system allows.
  /// - Throws: FormatError for a model without a forward pass, and for less memory than a token needs.
  public init(
    _ model: Model, capacity: Int, workers: Int, cache: CacheType = .f32, isFast: Bool = false,
    memory: Int? = nil
  ) throws(FormatError) {
    self.model = try ContinuedModel(
      model, capacity: capacity, workers: workers, cache: cache, isFast: isFast, memory: memory)
    sequence = self.model.sequence()
  }

  /// The tokens so far.
  public var tokens: [Int] { sequence.tokens }
  /// Tokens that the sequence can have.
  public var capacity: Int { model.capacity }
  /// Bytes that are kept of the tokens so far.
  public var cacheBytes: Int { sequence.bytes }

  /// What experts took so far; nil where they are not looked after.
  public var expertReads: ExpertReads? { model.expertReads }

  /// Begins a new sequence.
  public mutating func reset() { sequence = model.sequence() }

  /// Adds tokens to the sequence.
  ///
  /// - Parameter tokens: at least one.
  /// - Returns: the logits for the token that comes next: (vocabulary).
  /// - Throws: FormatError for a token outside the vocabulary, a sequence that grows too long, and values that are not finite. The
  ///   sequence is of no use then.
  public mutating func feed(_ tokens: [Int]) async throws(FormatError) -> [Float] {
    precondition(!tokens.isEmpty, "a token to feed")
    try model.check(tokens, after: sequence.tokens.count)
    var logits: [Float] = []
    var done = 0
    while done < tokens.count {
      let part = Array(ContinuedModel.nextTokens(of: tokens, done: done))
      done += part.count
      // Handed over, so that the layers add to it in place.
      var sequences = [model.sequence()]
      swap(&sequences[0], &sequence)
      logits = try await model.feed(&sequences, [part], wantsLogits: [done == tokens.count])[0]
      swap(&sequences[0], &sequence)
    }
    return logits
  }
}
