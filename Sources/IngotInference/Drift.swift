/// How far a candidate is from its original, in a word.
///
/// By the mean KL divergence alone, which says what it costs: on text that the original itself might write, a candidate needs that
/// many nats a token more, so its perplexity there is exp(KL) times the original's: 1.005, 1.03 and 1.1 at the bounds. How often the
/// most likely token changes depends on how unsure the original is of a text, so it is said beside the word and decides nothing.
public enum Drift: String, Hashable, Sendable, CaseIterable {
  case nearLossless = "near-lossless"
  case small, noticeable, large

  /// The largest mean KL divergence of each, in nats; none of the last.
  public var limit: Double? {
    switch self {
    case .nearLossless: 0.005
    case .small: 0.03
    case .noticeable: 0.1
    case .large: nil
    }
  }

  /// - Parameter divergence: mean KL divergence from the original, in nats.
  public init(divergence: Double) {
    self = Drift.allCases.first { $0.limit.map { divergence <= $0 } ?? true } ?? .large
  }
}

extension VerificationReport {
  public var drift: Drift { Drift(divergence: divergence.mean.value) }
}
