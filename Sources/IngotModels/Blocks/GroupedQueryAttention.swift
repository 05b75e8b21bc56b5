import IngotSystem
import IngotTensors

extension TensorKind {
  public static let query = TensorKind(rawValue: "query")
  public static let key = TensorKind(rawValue: "key")
  public static let value = TensorKind(rawValue: "value")
  public static let attentionOutput = TensorKind(rawValue: "attention_output")
  public static let queryNorm = TensorKind(rawValue: "query_norm")
  public static let keyNorm = TensorKind(rawValue: "key_norm")
  public static let queryBias = TensorKind(rawValue: "query_bias")
  public static let keyBias = TensorKind(rawValue: "key_bias")
  public static let valueBias = TensorKind(rawValue: "value_bias")
  public static let attentionOutputBias = TensorKind(rawValue: "attention_output_bias")
  public static let sinks = TensorKind(rawValue: "sinks")
}

/// Softmax attention whose query heads share key-value heads: queries, keys and values by linear layers, optional norms
/// of queries and keys, rotation, causal softmax of q·k·scale, output projection.
public struct GroupedQueryAttention: HeadedAttention, Hashable {
  /// Width of the residual stream.
  public var hiddenSize: Int
  public var heads: Int
  public var keyValueHeads: Int
  public var headDim: Int
  /// nil: no rotation.
  public var rotary: RotaryEmbedding?
  /// Factor on q·k.
  public var scale: Float
  public var queryKeyNorm: QueryKeyNorm
  /// Of the norms of queries and keys.
  public var norm: Norm
  public var hasInputBias: Bool
  public var hasOutputBias: Bool
  public var window: Int?
  /// Positions of a chunk: a token sees those before it in its own chunk alone (Llama 4). Nil for no chunks.
  public var chunk: Int?
  /// How queries grow with their position; nil where they do not.
  public var temperature: Temperature?
  /// Whether values are divided by the root of their head's mean square (Gemma 4).
  public var hasValueNorm = false
  /// Whether values are what the key projection gives, before its norm and rotation; there is no value projection then.
  public var valueIsKey = false
  /// The place where layers share keys and values: one leaves its own there, or takes those of an earlier one and has no
  /// projections for them.
  public var shared: SharedKeyValues?
  /// Scores become c·tanh(scores / c).
  public var softcap: Float?
  /// Whether each head has a logit that takes part in the softmax and has no value (gpt-oss).
  public var hasSinks: Bool
  /// Whether outputs are multiplied by the sigmoid of gates, which each head's queries have beside them: rows of the query
  /// projection are [query, gate] for each head (Qwen3-Next).
  public var hasOutputGate: Bool
  /// Chooses the keys that queries see; nil where all before them are, or those of the window.
  public var indexer: BlockIndexer?

  /// Queries times 1 + scale · ln(1 + ⌊(position + 1) / floor⌋) (Llama 4).
  public struct Temperature: Hashable, Sendable {
    public var scale: Double
    public var floor: Double

    public init(scale: Double, floor: Double) {
      self.scale = scale
      self.floor = floor
    }
  }

  /// A place for keys and values, as they go into attention.
  public struct SharedKeyValues: Hashable, Sendable {
    /// Number of the place.
    public var place: Int
    public var takes: Bool

    public init(place: Int, takes: Bool) {
      self.place = place
      self.takes = takes
    }
  }

  /// Normalization of queries and keys before rotation.
  public enum QueryKeyNorm: String, Hashable, Sendable {
    case none
    /// One RMSNorm over all heads of a layer together, with a weight for each element.
    case perLayer = "per_layer"
    /// RMSNorm of each head, with one weight for all heads.
    case perHead = "per_head"
    /// RMSNorm of each head without a weight.
    case perHeadPlain = "per_head_unweighted"
  }

  /// The linear layers that keys and values come from.
  private var inputs: [TensorKind] {
    if shared?.takes ?? false { return [] }
    return valueIsKey ? [.key] : [.key, .value]
  }

  public init(
    hiddenSize: Int, heads: Int, keyValueHeads: Int, headDim: Int, rotary: RotaryEmbedding?, norm: Norm,
    queryKeyNorm: QueryKeyNorm = .none, hasInputBias: Bool = false, hasOutputBias: Bool = false,
    window: Int? = nil, scale: Float? = nil, softcap: Float? = nil, hasSinks: Bool = false,
    hasOutputGate: Bool = false
  ) {
    self.hiddenSize = hiddenSize
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDim = headDim
    self.rotary = rotary
    self.scale = scale ?? 1 / Float(headDim).squareRoot()
    self.queryKeyNorm = queryKeyNorm
    self.norm = norm
    self.hasInputBias = hasInputBias
    self.hasOutputBias = hasOutputBias
    self.window = window
    self.softcap = softcap
    self.hasSinks = hasSinks
    self.hasOutputGate = hasOutputGate
  }

  /// Values of one token's queries, and of its keys or values.
  public var queryWidth: Int { heads * headDim }
  /// Rows of the query projection.
  public var queryRows: Int { hasOutputGate ? 2 * queryWidth : queryWidth }
  public var keyWidth: Int { keyValueHeads * headDim }

  public var name: String { "attention" }

  public var tensors: [TensorSpec] {
    var tensors = [TensorSpec(.query, [queryRows, hiddenSize], isLinear: true)]
    tensors += inputs.map { TensorSpec($0, [keyWidth, hiddenSize], isLinear: true) }
    tensors.append(TensorSpec(.attentionOutput, [hiddenSize, queryWidth], isLinear: true))
    let hasKeys = !inputs.isEmpty
    switch queryKeyNorm {
    case .none, .perHeadPlain: break
    case .perLayer:
      tensors += [TensorSpec(.queryNorm, [queryWidth])] + (hasKeys ? [TensorSpec(.keyNorm, [keyWidth])] : [])
    case .perHead:
      tensors += [TensorSpec(.queryNorm, [headDim])] + (hasKeys ? [TensorSpec(.keyNorm, [headDim])] : [])
    }
    if hasInputBias {
      tensors += [TensorSpec(.queryBias, [queryRows])] + inputs.map { TensorSpec($0.bias, [keyWidth]) }
    }
    if hasOutputBias { tensors.append(TensorSpec(.attentionOutputBias, [hiddenSize])) }
    if let indexer { tensors += indexer.tensors(hiddenSize) }
    if hasSinks { tensors.append(TensorSpec(.sinks, [heads])) }
    return tensors
  }

  /// The norm of queries or keys, or of an indexer's, that a kind is the weight of; nil for another kind.
  public func norm(of kind: TensorKind) -> Norm? {
    if indexer != nil, kind == .indexerQueryNorm || kind == .indexerKeyNorm { return norm }
    return queryKeyNorm != .none && (kind == .queryNorm || kind == .keyNorm) ? norm : nil
  }

  /// Name of the tap of the output projection's input.
  public static let outputTap = "attention.output"

  public var taps: [Tap] {
    [
      Tap(
        "attention.input", columns: hiddenSize,
        linears: [.query] + inputs + (indexer == nil ? [] : [.indexerQuery, .indexerKey]),
        source: .norm(.attentionNorm)),
      Tap(
        GroupedQueryAttention.outputTap, columns: queryWidth, linears: [.attentionOutput],
        // A norm of values takes no channel's scale; nor do rows that are keys too.
        source: inputs.contains(.value) && !hasValueNorm ? .linear(.value, rows: valueRows) : .none),
    ]
  }

  /// The row of value that each column of the output projection reads.
  public var valueRows: [Int] {
    let group = heads / keyValueHeads
    return (0..<queryWidth).map { $0 / headDim / group * headDim + $0 % headDim }
  }

  public var cachedValuesPerToken: Int {
    (shared?.takes ?? false ? 0 : 2 * keyWidth) + (indexer?.dim ?? 0)
  }

  public var activationsPerToken: Int { queryRows + queryWidth + 2 * keyWidth }

  public var rotation: RotaryEmbedding? { rotary }

  public var summary: String {
    let grouped = heads == keyValueHeads ? "multi-head" : "grouped-query"
    let reach =
      indexer.map { "sparse (\($0.kept) blocks of \($0.blockSize))" }
      ?? (window != nil ? "sliding window" : chunk != nil ? "chunked" : "full causal")
    return "\(reach), \(grouped)"
  }
}
