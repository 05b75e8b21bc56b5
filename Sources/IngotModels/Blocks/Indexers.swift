import IngotSystem
import IngotTensors

extension TensorKind {
  public static let indexerQuery = TensorKind(rawValue: "indexer_query")
  public static let indexerKey = TensorKind(rawValue: "indexer_key")
  public static let indexerQueryNorm = TensorKind(rawValue: "indexer_query_norm")
  public static let indexerKeyNorm = TensorKind(rawValue: "indexer_key_norm")
  public static let indexerKeyNormBias = TensorKind(rawValue: "indexer_key_norm_bias")
  public static let indexerWeights = TensorKind(rawValue: "indexer_weights")
}

/// Chooses the keys that each query of latent attention sees (DeepSeek-V3.2, GLM-5): those with the largest
/// Σ_h w_h · relu(q_h · k · dim^−½), w being a product of the input, divided by √heads; k is behind a LayerNorm. A context of at
/// most `kept` tokens sees everything before a token.
public struct TokenIndexer: Hashable, Sendable {
  public var heads: Int
  public var dim: Int
  /// Keys that a query sees.
  public var kept: Int
  /// Of the first dimensions of queries and keys.
  public var rotary: RotaryEmbedding
  /// Of the LayerNorm of keys.
  public var epsilon: Float

  public init(heads: Int, dim: Int, kept: Int, rotary: RotaryEmbedding, epsilon: Float = 1e-6) {
    self.heads = heads
    self.dim = dim
    self.kept = kept
    self.rotary = rotary
    self.epsilon = epsilon
  }

  func tensors(_ hidden: Int, latent: Int) -> [TensorSpec] {
    [
      TensorSpec(.indexerQuery, [heads * dim, latent], isLinear: true),
      TensorSpec(.indexerKey, [dim, hidden], isLinear: true),
      TensorSpec(.indexerKeyNorm, [dim]), TensorSpec(.indexerKeyNormBias, [dim]),
      TensorSpec(.indexerWeights, [heads, hidden]),
    ]
  }
}

/// Chooses the blocks of keys that queries of a key-value head see (MiniMax-M3): those in which the largest q · k is largest,
/// and always the query's own and those right before it.
public struct BlockIndexer: Hashable, Sendable {
  /// Heads of the indexer, each for as many key-value heads.
  public var heads: Int
  public var dim: Int
  /// Keys of a block, blocks that a query sees, and how many of these are its own and those right before.
  public var blockSize: Int
  public var kept: Int
  public var localBlocks: Int

  public init(heads: Int, dim: Int, blockSize: Int, kept: Int, localBlocks: Int) {
    self.heads = heads
    self.dim = dim
    self.blockSize = blockSize
    self.kept = kept
    self.localBlocks = localBlocks
  }

  func tensors(_ hidden: Int) -> [TensorSpec] {
    [
      TensorSpec(.indexerQuery, [heads * dim, hidden], isLinear: true),
      TensorSpec(.indexerKey, [dim, hidden], isLinear: true),
      TensorSpec(.indexerQueryNorm, [dim]), TensorSpec(.indexerKeyNorm, [dim]),
    ]
  }
}
