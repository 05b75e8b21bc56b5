import IngotSystem
import IngotTensors

extension TensorKind {
  public static let deltaQKV = TensorKind(rawValue: "delta_qkv")
  public static let deltaGate = TensorKind(rawValue: "delta_gate")
  public static let deltaBeta = TensorKind(rawValue: "delta_beta")
  public static let deltaAlpha = TensorKind(rawValue: "delta_alpha")
  /// Queries, keys, values and gates of each key head one after the other.
  public static let deltaQKVGate = TensorKind(rawValue: "delta_qkv_gate")
  /// Betas and alphas of each key head one after the other.
  public static let deltaBetaAlpha = TensorKind(rawValue: "delta_beta_alpha")
  public static let deltaConvolution = TensorKind(rawValue: "delta_convolution")
  public static let deltaDecay = TensorKind(rawValue: "delta_decay")
  public static let deltaTimeBias = TensorKind(rawValue: "delta_time_bias")
  public static let deltaNorm = TensorKind(rawValue: "delta_norm")
  public static let deltaOutput = TensorKind(rawValue: "delta_output")
}

/// Gated DeltaNet (Yang et al. 2024, arXiv:2412.06464) as Qwen3-Next has it: linear attention whose state forgets by a gate and
/// is corrected by the delta rule, behind a short causal convolution.
///
/// For each value head, with unit keys k and queries q of its key head, S being (keyDim, valueDim):
/// S ← e^g S; S ← S + k (β (v − Sᵀk))ᵀ; o = Sᵀq, where β = σ(b) and g = −e^A · softplus(a + t).
/// The output is RMSNorm(o) · silu(z) for each head.
public struct GatedDeltaNet: Mixer, Hashable {
  /// Width of the residual stream.
  public var hiddenSize: Int
  public var keyHeads: Int
  public var valueHeads: Int
  public var keyDim: Int
  public var valueDim: Int
  /// Tokens that the convolution sees, itself among them.
  public var kernel: Int
  /// Of the outputs.
  public var norm: Norm
  /// Whether inputs are stored by key head: queries, keys, values and gates of one, then of the next (Qwen3-Next); else each in
  /// a tensor of its own, queries, keys and values in one after the other (Qwen3.5).
  public var isGrouped: Bool

  public init(
    hiddenSize: Int, keyHeads: Int, valueHeads: Int, keyDim: Int, valueDim: Int, kernel: Int, norm: Norm,
    isGrouped: Bool
  ) {
    self.hiddenSize = hiddenSize
    self.keyHeads = keyHeads
    self.valueHeads = valueHeads
    self.keyDim = keyDim
    self.valueDim = valueDim
    self.kernel = kernel
    self.norm = norm
    self.isGrouped = isGrouped
  }

  /// Values of one token's queries or keys, and of its values.
  public var keyWidth: Int { keyHeads * keyDim }
  public var valueWidth: Int { valueHeads * valueDim }
  /// Channels of the convolution: queries, keys, values.
  public var channels: Int { 2 * keyWidth + valueWidth }
  /// Value heads that share a key head.
  public var sharing: Int { valueHeads / keyHeads }

  public var name: String { "attention" }

  public var tensors: [TensorSpec] {
    let inputs =
      isGrouped
      ? [
        TensorSpec(.deltaQKVGate, [channels + valueWidth, hiddenSize], isLinear: true),
        TensorSpec(.deltaBetaAlpha, [2 * valueHeads, hiddenSize]),
      ]
      : [
        TensorSpec(.deltaQKV, [channels, hiddenSize], isLinear: true),
        TensorSpec(.deltaGate, [valueWidth, hiddenSize], isLinear: true),
        TensorSpec(.deltaBeta, [valueHeads, hiddenSize]),
        TensorSpec(.deltaAlpha, [valueHeads, hiddenSize]),
      ]
    return inputs + [
      TensorSpec(.deltaConvolution, [channels, 1, kernel]), TensorSpec(.deltaDecay, [valueHeads]),
      TensorSpec(.deltaTimeBias, [valueHeads]), TensorSpec(.deltaNorm, [valueDim]),
      TensorSpec(.deltaOutput, [hiddenSize, valueWidth], isLinear: true),
    ]
  }

  public var taps: [Tap] {
    [
      Tap(
        "attention.input", columns: hiddenSize,
        linears: isGrouped ? [.deltaQKVGate] : [.deltaQKV, .deltaGate],
        readers: isGrouped ? [.deltaBetaAlpha] : [.deltaBeta, .deltaAlpha], source: .norm(.attentionNorm)),
      Tap(
        GroupedQueryAttention.outputTap, columns: valueWidth, linears: [.deltaOutput], source: .none),
    ]
  }

  /// The state does not grow with the context.
  public var cachedValuesPerToken: Int { 0 }
  public var window: Int? { nil }
  public var activationsPerToken: Int { 2 * channels + 3 * valueWidth }
  public var summary: String { "linear, gated DeltaNet" }
}
