import IngotModels
import IngotSystem
import IngotTensors

/// Text that a model makes itself: contexts that continue starts, of tokens drawn from its own distribution.
public struct OwnContexts: Sendable {
  /// Tokens of each context.
  public var length: Int
  public var temperature = 1.0
  public var seed: UInt64 = 0
  /// Sequences that go through the model side by side; no token depends on it.
  public var together = 32
  /// Tokens behind which a text ends: a new start follows.
  public var ends: Set<Int> = []
  public var workers = 1

  public init(length: Int) { self.length = length }

  /// - Parameters:
  ///   - count: of contexts.
  ///   - starts: what contexts begin with, and texts within them; the n-th context begins with the n-th, modulo their number, and goes on
  ///     through them from there in steps of `count`. Each has at least a token.
  ///   - progress: hears how many tokens are made, of how many.
  /// - Throws: FormatError for a model without a forward pass, contexts longer than its own, and what goes wrong on the way.
  public func made(
    by model: Model, count: Int, starts: [[Int]], text: String,
    progress: (_ done: Int, _ all: Int) -> Void = { _, _ in }, shouldStop: () -> Bool = { false }
  ) async throws(FormatError) -> [Context]? {
    precondition(!starts.isEmpty && starts.allSatisfy { !$0.isEmpty }, "a start has a token")
    guard length <= model.blueprint.contextLength else {
      throw FormatError(
        path: model.path, expected: "contexts of at most \(model.blueprint.contextLength) tokens",
        found: "\(length)")
    }
    let continued = try ContinuedModel(model, capacity: length, workers: workers, cache: .f16)
    var contexts: [Context] = []
    for first in stride(from: 0, to: count, by: together) {
      let numbers = Array(first..<min(first + together, count))
      var sequences = numbers.map { _ in continued.sequence() }
      var members = numbers.map { Member(number: $0, of: count, starts, seed: seed, temperature) }
      // One token at a time, so that all sequences are as long as each other: those of a start come first.
      for position in 0..<length {
        for index in members.indices where members[index].waiting.isEmpty { members[index].draw(ends) }
        let next = members.indices.map { [members[$0].take()] }
        if position == length - 1 { break }
        let logits = try await continued.feed(&sequences, next)
        for index in members.indices { members[index].logits = logits[index] }
        progress(first * length + position * numbers.count, count * length)
        if shouldStop() { return nil }
      }
      contexts += members.map { Context($0.tokens, text: text) }
    }
    return contexts
  }

  /// A sequence that is being made.
  private struct Member {
    private let count: Int
    private let starts: [[Int]]
    private var start: Int
    private var sampler: Sampler
    /// Tokens that come next, before any is drawn.
    private(set) var waiting: [Int]
    var logits: [Float] = []
    private(set) var tokens: [Int] = []

    init(number: Int, of count: Int, _ starts: [[Int]], seed: UInt64, _ temperature: Double) {
      self.count = count
      self.starts = starts
      start = number
      var sampling = Sampling()
      sampling.temperature = temperature
      // No multiple of what the sampler's state grows by, or streams would be parts of each other.
      sampling.seed = (seed &+ 1) &* 0xD134_2543_DE82_EF95 &+ UInt64(number)
      sampler = Sampler(sampling)
      waiting = starts[number % starts.count]
    }

    mutating func draw(_ ends: Set<Int>) {
      let token = sampler.choose(logits, seen: [])
      waiting = [token]
      guard ends.contains(token) else { return }
      start += count
      waiting += starts[start % starts.count]
    }

    mutating func take() -> Int {
      tokens.append(waiting.removeFirst())
      return tokens.last!
    }
  }
}
