extension Family.LlamaCppGraph {
  /// What embedding, scores, residuals and logits are multiplied by.
  public enum Factors: Hashable, Sendable {
    /// Scores by 1/√headDim, and nothing else.
    case usual
    /// The embedding by √hidden too. A model of `broadLayers` layers is taken for the one whose scores are multiplied by
    /// 1/√(hidden / heads).
    case gemma(broadLayers: Int)
    /// The embedding by √hidden, scores as they are (Gemma 4).
    case gemmaUnscaled
    /// Each by a key of its own (Granite).
    case keys
    /// Scores as usual; norms' outputs by one key, where these take the residual stream's place (MiniMax-01).
    case norms
  }

  /// What chooses the keys that queries see.
  public enum Indexers: Hashable, Sendable {
    case none
    /// An indexer of tokens in every layer, which rotates pairs so; or, where choices are shared, in those that a key names.
    case tokens(RotaryEmbedding.Pairing, sharesChoices: Bool)
    /// One of blocks in every layer that is a mixture, as many heads of it as of keys.
    case blocks
  }

  /// Layers that see a chunk and rotate, and every `period`th that sees everything and does not: sizes that the graph has fixed
  /// (Llama 4).
  public struct Chunks: Hashable, Sendable {
    public var size: Int
    public var period: Int
    public var temperature: GroupedQueryAttention.Temperature
    /// Experts of the model whose queries and keys the graph does not normalize.
    public var plainExperts: Int

    public init(
      size: Int, period: Int, temperature: GroupedQueryAttention.Temperature, plainExperts: Int
    ) {
      self.size = size
      self.period = period
      self.temperature = temperature
      self.plainExperts = plainExperts
    }
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
      /// Where a key does not say 0; this one where there is no key.
      case unlessZero(Double)
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
    /// Whether their heads have a size of their own, the others turn their first pairs alone, and a file always says which layers
    /// have a window (Gemma 4).
    public var hasOwnHeads: Bool

    public init(
      period: Int, usual: Int? = nil, hasOwnRotation: Bool = false, hasOwnHeads: Bool = false
    ) {
      self.period = period
      self.usual = usual
      self.hasOwnRotation = hasOwnRotation
      self.hasOwnHeads = hasOwnHeads
    }
  }

  /// Layers of multi-token prediction, each a layer of the model's own kinds with a projection and norms around it.
  public struct Prediction: Hashable, Sendable {
    /// What names of such a layer's own tensors begin with in a checkpoint, `#` being its number.
    public var block: String
    /// Whether their numbers go on where the model's end, or begin with 0.
    public var countsOn: Bool
    /// Names of what stands around them, in a checkpoint and in a file.
    public var around: [String: String]

    public init(block: String, countsOn: Bool, around: [String: String]) {
      self.block = block
      self.countsOn = countsOn
      self.around = around
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
