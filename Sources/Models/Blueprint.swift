/// The numbers and kinds of a model, as its config states them; what `Inference` interprets.
public struct Hyperparameters: Hashable, Sendable {
  public var layers: Int
  /// Width of the residual stream.
  public var hiddenSize: Int
  public var vocabulary: Int
  /// Longest context, in tokens.
  public var contextLength: Int
  public var normEpsilon: Float
  public var attention: Attention
  public var experts: Experts
  /// Layers of multi-token prediction that the config announces; they may or may not be in the files.
  public var predictionModules: Int

  public struct Attention: Hashable, Sendable {
    public var heads: Int
    public var keyValueHeads: Int
    public var headDim: Int
    /// Tokens each one sees; nil when it sees all before it.
    public var slidingWindow: Int?
    public var queryKeyNorm: QueryKeyNorm
    /// Dimensions of each head that are rotated, from the first on, in half-split pairs (i, i + rotaryDims/2).
    public var rotaryDims: Int
    public var ropeTheta: Double
  }

  /// Normalization of queries and keys before rotation.
  public enum QueryKeyNorm: String, Hashable, Sendable {
    case none
    /// One RMSNorm over all heads of a layer together, with a weight for each element.
    case perLayer = "per_layer"
  }

  /// The mixture in every layer: p = σ(router·x); the `active` experts with the largest p + bias; their
  /// unbiased p divided by their sum are the weights.
  public struct Experts: Hashable, Sendable {
    public var count: Int
    public var active: Int
    /// Width of one expert.
    public var width: Int
    /// Experts that see every token.
    public var shared: Int
    /// Whether a correction bias takes part in the choice of experts.
    public var correctionBias: Bool
  }

  /// Keys and values that one token adds, at 16 bits a value, in bytes.
  public var keyValueCacheBytesPerToken: Int {
    2 * 2 * layers * attention.keyValueHeads * attention.headDim
  }
}
