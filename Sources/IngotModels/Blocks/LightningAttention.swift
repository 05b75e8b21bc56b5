import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension TensorKind {
  /// Queries, keys and values of each head one after the other.
  public static let lightningQKV = TensorKind(rawValue: "lightning_qkv")
  public static let lightningGate = TensorKind(rawValue: "lightning_gate")
  public static let lightningNorm = TensorKind(rawValue: "lightning_norm")
  public static let lightningOutput = TensorKind(rawValue: "lightning_output")
}

/// Lightning attention (Qin et al. 2024, arXiv:2401.04658) as MiniMax-01 has it: linear attention with a fixed decay for each
/// head, S ← e^(−s) S + k vᵀ; o = Sᵀq, where [q, k, v] = silu(W x). The output is RMSNorm of all heads' o, times σ(gate x).
public struct LightningAttention: Mixer, Hashable {
  /// Width of the residual stream.
  public var hiddenSize: Int
  public var heads: Int
  public var headDim: Int
  /// Factor on every head's decay, which falls from layer to layer.
  public var decayScale: Double
  /// Of the outputs.
  public var norm: Norm

  public init(hiddenSize: Int, heads: Int, headDim: Int, layer: Int, layers: Int, norm: Norm) {
    self.hiddenSize = hiddenSize
    self.heads = heads
    self.headDim = headDim
    decayScale = 1 - Double(layer) / (Double(layers) - 1 + 1e-5) + 1e-5
    self.norm = norm
  }

  /// Values of one token's queries, keys or values.
  public var width: Int { heads * headDim }

  /// s of a head: 2^(−8 (head + 1) / heads) times the layer's scale.
  public func decay(head: Int) -> Double { pow(2, -8 * Double(head + 1) / Double(heads)) * decayScale }

  public var name: String { "attention" }

  public var tensors: [TensorSpec] {
    [
      TensorSpec(.lightningQKV, [3 * width, hiddenSize], isLinear: true),
      TensorSpec(.lightningGate, [width, hiddenSize], isLinear: true),
      TensorSpec(.lightningNorm, [width]),
      TensorSpec(.lightningOutput, [hiddenSize, width], isLinear: true),
    ]
  }

  public var taps: [Tap] {
    [
      Tap(
        "attention.input", columns: hiddenSize, linears: [.lightningQKV, .lightningGate],
        source: .norm(.attentionNorm)),
      Tap(
        GroupedQueryAttention.outputTap, columns: width, linears: [.lightningOutput],
        source: .norm(.lightningNorm)),
    ]
  }

  /// The state does not grow with the context.
  public var cachedValuesPerToken: Int { 0 }
  public var window: Int? { nil }
  public var activationsPerToken: Int { 6 * width }
  public var summary: String { "linear, lightning" }
}
