import IngotSystem
import IngotTensors

extension TensorKind {
  public static let queryA = TensorKind(rawValue: "query_a")
  public static let queryB = TensorKind(rawValue: "query_b")
  public static let keyValueA = TensorKind(rawValue: "key_value_a")
  public static let keyValueB = TensorKind(rawValue: "key_value_b")
  public static let queryANorm = TensorKind(rawValue: "query_a_norm")
  public static let keyValueANorm = TensorKind(rawValue: "key_value_a_norm")
  public static let queryABias = TensorKind(rawValue: "query_a_bias")
  public static let keyValueABias = TensorKind(rawValue: "key_value_a_bias")
}

/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values of all heads come from one normalized latent of
/// each token, beside a rotated key that all heads share; queries may come from a latent as well. Only latent and rotated key
/// are cached.
public struct LatentAttention: HeadedAttention, Hashable {
  /// Width of the residual stream.
  public var hiddenSize: Int
  public var heads: Int
  /// Values of the latent that queries come from; nil where they come from the input.
  public var queryRank: Int?
  /// Values of the latent that keys and values come from.
  public var keyValueRank: Int
  /// Dimensions of a head's query and key that are not rotated, those that are, and those of its value.
  public var plainDim: Int
  public var rotary: RotaryEmbedding
  public var valueDim: Int
  /// Factor on q·k.
  public var scale: Float
  /// Of the latents.
  public var norm: Norm
  /// Whether the projections to latents and of the output have biases.
  public var hasBias: Bool
  /// Chooses the keys that queries see; nil where all before them are. It reads the latent of queries.
  public var indexer: TokenIndexer?
  /// Whether queries see the keys that the last layer before with an indexer chose; it has none then.
  public var takesChoice = false
  /// Whether the next layer takes the choice over.
  public var leavesChoice = false

  public init(
    hiddenSize: Int, heads: Int, queryRank: Int?, keyValueRank: Int, plainDim: Int, rotary: RotaryEmbedding,
    valueDim: Int, scale: Float? = nil, norm: Norm, hasBias: Bool = false,
    indexer: TokenIndexer? = nil
  ) {
    self.hiddenSize = hiddenSize
    self.heads = heads
    self.queryRank = queryRank
    self.keyValueRank = keyValueRank
    self.plainDim = plainDim
    self.rotary = rotary
    self.valueDim = valueDim
    self.scale = scale ?? 1 / Float(plainDim + rotary.dims).squareRoot()
    self.norm = norm
    self.hasBias = hasBias
    self.indexer = indexer
    precondition(indexer == nil || queryRank != nil, "an indexer reads the latent of queries")
  }

  public var rotatedDim: Int { rotary.dims }
  /// Dimensions of a head's query and key.
  public var headDim: Int { plainDim + rotary.dims }

  public var name: String { "attention" }

  public var tensors: [TensorSpec] {
    var tensors: [TensorSpec] = []
    if let queryRank {
      tensors += [
        TensorSpec(.queryA, [queryRank, hiddenSize], isLinear: true),
        TensorSpec(.queryANorm, [queryRank]),
        TensorSpec(.queryB, [heads * headDim, queryRank], isLinear: true),
      ]
      if hasBias { tensors.append(TensorSpec(.queryABias, [queryRank])) }
    } else {
      tensors.append(TensorSpec(.query, [heads * headDim, hiddenSize], isLinear: true))
    }
    let cached = keyValueRank + rotatedDim
    tensors += [
      TensorSpec(.keyValueA, [cached, hiddenSize], isLinear: true),
      TensorSpec(.keyValueANorm, [keyValueRank]),
      TensorSpec(.keyValueB, [heads * (plainDim + valueDim), keyValueRank], isLinear: true),
      TensorSpec(.attentionOutput, [hiddenSize, heads * valueDim], isLinear: true),
    ]
    if hasBias {
      tensors += [TensorSpec(.keyValueABias, [cached]), TensorSpec(.attentionOutputBias, [hiddenSize])]
    }
    if let indexer, let queryRank { tensors += indexer.tensors(hiddenSize, latent: queryRank) }
    return tensors
  }

  /// Names of the taps of both latents.
  public static let queryTap = "attention.query_latent"
  public static let keyValueTap = "attention.key_value_latent"

  public var taps: [Tap] {
    var taps = [
      Tap(
        "attention.input", columns: hiddenSize,
        linears: [queryRank == nil ? .query : .queryA, .keyValueA] + (indexer == nil ? [] : [.indexerKey]),
        readers: indexer == nil ? [] : [.indexerWeights], source: .norm(.attentionNorm))
    ]
    if let queryRank {
      taps.append(
        Tap(
          LatentAttention.queryTap, columns: queryRank,
          linears: [.queryB] + (indexer == nil ? [] : [.indexerQuery]), source: .norm(.queryANorm)))
    }
    return taps + [
      Tap(
        LatentAttention.keyValueTap, columns: keyValueRank, linears: [.keyValueB],
        source: .norm(.keyValueANorm)),
      Tap(
        GroupedQueryAttention.outputTap, columns: heads * valueDim, linears: [.attentionOutput],
        source: .linear(.keyValueB, rows: valueRows)),
    ]
  }

  /// The row of `keyValueB` that each column of the output projection reads.
  private var valueRows: [Int] {
    (0..<heads * valueDim).map { $0 / valueDim * (plainDim + valueDim) + plainDim + $0 % valueDim }
  }

  public var cachedValuesPerToken: Int { keyValueRank + rotatedDim + (indexer?.dim ?? 0) }
  public var window: Int? { nil }

  public var activationsPerToken: Int {
    heads * (2 * headDim + 2 * valueDim + plainDim) + 2 * (keyValueRank + rotatedDim) + 2 * (queryRank ?? 0)
  }

  /// Every head has keys and values of its own, made of the shared latent.
  public var keyValueHeads: Int { heads }
  public var rotation: RotaryEmbedding? { rotary }
  public var queryKeyNorm: GroupedQueryAttention.QueryKeyNorm { .none }

  public var summary: String {
    let reach =
      indexer.map { "sparse (\($0.kept) tokens)" } ?? (takesChoice ? "sparse (shared)" : "full causal")
    return "\(reach), multi-head latent"
  }
}
