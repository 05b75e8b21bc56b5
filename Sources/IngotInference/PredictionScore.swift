#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a comparison keeps of one prediction by two models.
package struct PredictionScore: Hashable, Sendable {
  /// ln of the probability of the token that comes next, by each model.
  package var original: Double
  package var candidate: Double
  /// KL(original ‖ candidate) in nats.
  package var divergence: Double
  /// 1 − Σ p² by the original (`TokenComparison.uncertainty`).
  package var uncertainty: Double
  /// The token that each model finds most probable.
  package var originalTop: Int
  package var candidateTop: Int

  package init(_ scores: TokenComparison) {
    original = scores.original.logProbability
    candidate = scores.candidate.logProbability
    divergence = scores.divergence
    uncertainty = scores.uncertainty
    originalTop = scores.original.top
    candidateTop = scores.candidate.top
  }

  /// Probability of the token that comes next, candidate − original.
  package var deltaP: Double { exp(candidate) - exp(original) }
  /// Whether both find the same token most probable.
  package var sameTop: Bool { originalTop == candidateTop }
}

extension PredictionScore {
  /// Words that one takes.
  static let words = 5

  func put(to words: inout FigureWords) {
    for value in [original, candidate, divergence, uncertainty] { words.put(value) }
    words.put(originalTop << 32 | candidateTop)
  }

  init(_ words: inout FigureReader) {
    (original, candidate, divergence, uncertainty) = (
      words.double(), words.double(), words.double(), words.double()
    )
    let tops = words.int()
    (originalTop, candidateTop) = (tops >> 32, tops & 0xFFFF_FFFF)
  }
}
