extension Family.LlamaCppGraph {
  /// What embedding, scores, residuals and logits are multiplied by.
  public enum Factors: Hashable, Sendable {
    /// Scores by 1/√headDim, and nothing else.
    case usual
    /// The embedding by √hidden too. A model of `broadLayers` layers is taken for the one whose scores are multiplied by
    /// 1/√(hidden / heads).
    case gemma(broadLayers: Int)
    /// Each by a key of its own (Granite).
    case keys
  }

  /// Soft caps that a graph applies.
  public struct Softcaps: Hashable, Sendable {
    public var scores: Softcap
    public var logits: Softcap

    public enum Softcap: Hashable, Sendable {
      case never
      /// Where a key says so.
      case optional
      /// Always; this one where no key says another.
      case always(Double)
    }

    public init(scores: Softcap = .never, logits: Softcap = .never) {
      self.scores = scores
      self.logits = logits
    }
  }

  /// Sliding windows of some layers.
  public struct Windows: Hashable, Sendable {
    /// Where a file does not say which layers have one: all but each `period`th.
    public var period: Int
    /// The window of a file that does not say; nil for none.
    public var usual: Int?
    /// Whether layers with a window rotate by a base of their own, unscaled.
    public var hasOwnRotation: Bool

    public init(period: Int, usual: Int? = nil, hasOwnRotation: Bool = false) {
      self.period = period
      self.usual = usual
      self.hasOwnRotation = hasOwnRotation
    }
  }

  /// What heads of attention may be.
  public enum Heads: Hashable, Sendable {
    case any
    /// Queries of all heads together are as wide as the residual stream.
    case filling
    /// And as many heads of keys and values as of queries.
    case equal
  }
}
