#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The normalizer of one position's softmax, gathered range by range of the vocabulary, in F64.
package struct Normalizer: Sendable {
  /// Largest logit so far.
  package private(set) var maximum = -Double.infinity
  /// Σ exp(logit − maximum)
  package fileprivate(set) var sum = 0.0
  /// Index of the largest logit; of equal ones the lowest.
  package private(set) var top = -1
  /// Logit of the token that comes next in the text; NaN until its range has come.
  package private(set) var target = Double.nan

  package init() {}

  /// One range of logits, whose first has index `first`. The sum is left to the caller.
  fileprivate init(_ logits: Span<Float>, first: Int, next: Int) {
    var largest = -Float.infinity
    for index in 0..<logits.count where logits[index] > largest {
      largest = logits[index]
      top = first + index
    }
    maximum = Double(largest)
    if (first..<first + logits.count).contains(next) { target = Double(logits[next - first]) }
  }

  /// ln Σ exp(logit)
  package var logSum: Double { maximum + log(sum) }
  /// ln of the probability of the token that comes next.
  package var logProbability: Double { target - logSum }

  /// Takes in the range after those so far.
  package mutating func absorb(_ next: Normalizer) {
    let all = max(maximum, next.maximum)
    if next.maximum > maximum { top = next.top }
    sum = sum * exp(maximum - all) + next.sum * exp(next.maximum - all)
    maximum = all
    if !next.target.isNaN { target = next.target }
  }
}

/// What is kept of one position's logits by one model.
package struct TokenScore: Sendable {
  package private(set) var normalizer = Normalizer()

  package init() {}

  /// - Parameters:
  ///   - logits: of a range of the vocabulary.
  ///   - first: index of the first of them.
  ///   - next: index of the token that comes next.
  package init(_ logits: Span<Float>, first: Int, next: Int) {
    normalizer = Normalizer(logits, first: first, next: next)
    for index in 0..<logits.count { normalizer.sum += exp(Double(logits[index]) - normalizer.maximum) }
  }

  package mutating func absorb(_ next: TokenScore) { normalizer.absorb(next.normalizer) }
}

/// What is kept of one position's logits by two models, original a and candidate b.
///
/// KL(a‖b) = Σ p_a (ln p_a − ln p_b) = Σ p_a (a − b) − ln Σ exp a + ln Σ exp b, so one pass over the vocabulary will do.
package struct TokenComparison: Sendable {
  package private(set) var original = Normalizer()
  package private(set) var candidate = Normalizer()
  /// Σ exp(a − original.maximum) (a − b)
  private var weightedDifference = 0.0
  /// Σ exp(a − original.maximum)²
  private var squares = 0.0

  package init() {}

  /// - Parameters:
  ///   - logits: the original's for a range of the vocabulary.
  ///   - other: the candidate's.
  ///   - first: index of the first of them.
  ///   - next: index of the token that comes next.
  package init(_ logits: Span<Float>, _ other: Span<Float>, first: Int, next: Int) {
    precondition(logits.count == other.count, "two models with one vocabulary")
    original = Normalizer(logits, first: first, next: next)
    candidate = Normalizer(other, first: first, next: next)
    for index in 0..<logits.count {
      let (a, b) = (Double(logits[index]), Double(other[index]))
      let weight = exp(a - original.maximum)
      original.sum += weight
      candidate.sum += exp(b - candidate.maximum)
      weightedDifference += weight * (a - b)
      squares += weight * weight
    }
  }

  package mutating func absorb(_ next: TokenComparison) {
    let all = max(original.maximum, next.original.maximum)
    weightedDifference =
      weightedDifference * exp(original.maximum - all)
      + next.weightedDifference * exp(next.original.maximum - all)
    squares =
      squares * exp(2 * (original.maximum - all)) + next.squares * exp(2 * (next.original.maximum - all))
    original.absorb(next.original)
    candidate.absorb(next.candidate)
  }

  /// KL(original ‖ candidate) in nats. Not below 0 but for rounding, of about 1e-15.
  package var divergence: Double {
    weightedDifference / original.sum - (original.logSum - candidate.logSum)
  }
  /// How unsure the original is of the next token: 1 − Σ p², from 0 for one token that is certain to almost 1 for many alike.
  ///
  /// Small errors of logits that do not depend on each other, of variance σ², give a divergence of σ²/2 times this: KL is
  /// half the variance of the errors under p, to second order.
  package var uncertainty: Double { 1 - squares / (original.sum * original.sum) }
  /// Probability of the token that comes next, candidate − original.
  package var deltaP: Double { exp(candidate.logProbability) - exp(original.logProbability) }
  /// Whether both find the same token most probable.
  package var sameTop: Bool { original.top == candidate.top }
}
