import IngotInference

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An answer to be made, ready for the model.
struct AnswerJob: Sendable {
  var prompt: [Int]
  var sampler: Sampler
  var presencePenalty = 0.0
  var frequencyPenalty = 0.0
  var logitBias: [Int: Float] = [:]
  /// Tokens of the answer at most.
  var maximum: Int
  /// Tokens after which nothing follows.
  var ends: Set<Int>
  var logprobs: Int?
  var text: AnswerText
  /// What the answer has to be; nil for anything.
  var constraint: AnswerConstraint?
  /// Writes a token for probabilities.
  var write: @Sendable (Int) -> String
}

/// Chooses the tokens of an answer, one after the other.
struct TokenChooser: Sendable {
  private var sampler: Sampler
  private let job: AnswerJob
  /// For the penalty on what occurred; empty where there is none.
  private var seen: Set<Int>
  /// Of the answer's tokens; empty where no penalty counts them.
  private var counts: [Int: Int] = [:]
  private var constraint: AnswerConstraint?

  init(_ job: AnswerJob) {
    self.job = job
    sampler = job.sampler
    constraint = job.constraint
    seen = job.sampler.sampling.repetitionPenalty == 1 ? [] : Set(job.prompt)
  }

  /// Whether the answer is all that it can be.
  var isComplete: Bool { constraint?.isComplete ?? false }

  /// - Parameters:
  ///   - logits: (vocabulary)
  ///   - isFree: whether the model still thinks, which no constraint is on.
  /// - Returns: nil where no token of the vocabulary may follow.
  mutating func choose(_ logits: [Float], isFree: Bool) -> (token: Int, probability: TokenProbability?)? {
    var adjusted = logits
    for (token, count) in counts {
      adjusted[token] -= Float(job.presencePenalty + job.frequencyPenalty * Double(count))
    }
    for (token, amount) in job.logitBias where adjusted.indices.contains(token) { adjusted[token] += amount }
    guard let token = isFree ? sampler.choose(adjusted, seen: seen) : allowed(&adjusted) else { return nil }
    if sampler.sampling.repetitionPenalty != 1 { seen.insert(token) }
    if job.presencePenalty != 0 || job.frequencyPenalty != 0 { counts[token, default: 0] += 1 }
    return (token, job.logprobs.map { probability(of: token, logits, top: $0) })
  }

  /// The first choice that the constraint allows. Most choices are, so not every token is looked at at once.
  private mutating func allowed(_ logits: inout [Float]) -> Int? {
    guard constraint != nil else { return sampler.choose(logits, seen: seen) }
    for _ in 0..<Self.tries {
      let token = sampler.choose(logits, seen: seen)
      if constraint!.allows(token) {
        constraint!.accept(token)
        return token
      }
      logits[token] = -.infinity
    }
    let allowed = constraint!.allowed
    for token in logits.indices where !allowed.contains(token) { logits[token] = -.infinity }
    guard logits.contains(where: { $0 > -.infinity }) else { return nil }
    let token = sampler.choose(logits, seen: seen)
    constraint!.accept(token)
    return token
  }

  private static let tries = 8

  /// By the model's own logits, before anything that the client asked for.
  private func probability(of token: Int, _ logits: [Float], top: Int) -> TokenProbability {
    let most = Double(logits.max()!)
    let total = most + log(logits.reduce(0.0) { $0 + exp(Double($1) - most) })
    var likely: [Int] = []
    for index in logits.indices where top > 0 {
      if likely.count == top, logits[index] <= logits[likely[top - 1]] { continue }
      let place = likely.firstIndex { logits[$0] < logits[index] } ?? likely.count
      likely.insert(index, at: place)
      if likely.count > top { likely.removeLast() }
    }
    return TokenProbability(
      text: job.write(token), logprob: Double(logits[token]) - total,
      top: likely.map { (job.write($0), Double(logits[$0]) - total) })
  }
}
