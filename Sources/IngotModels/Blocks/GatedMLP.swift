import IngotSystem
import IngotTensors

extension TensorKind {
  public static let gate = TensorKind(rawValue: "gate")
  public static let up = TensorKind(rawValue: "up")
  public static let down = TensorKind(rawValue: "down")
  public static let gateBias = TensorKind(rawValue: "gate_bias")
  public static let upBias = TensorKind(rawValue: "up_bias")
  public static let downBias = TensorKind(rawValue: "down_bias")
}

/// A gated MLP that every token sees: down(silu(gate x) ∘ up x).
public struct GatedMLP: FeedForward, Hashable {
  public var hiddenSize: Int
  public var intermediateSize: Int
  public var hasBias: Bool

  public init(hiddenSize: Int, intermediateSize: Int, hasBias: Bool = false) {
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.hasBias = hasBias
  }

  public var name: String { "mlp" }
  public var count: Int { 1 }
  public var perToken: Int { 1 }
  public var isMixture: Bool { false }

  public var projections: Projections { .gatedMLP }

  public var tensors: [TensorSpec] {
    let linears = Projections.tensors(hiddenSize, intermediateSize, experts: nil)
    guard hasBias else { return linears }
    return linears + [
      TensorSpec(.gateBias, [intermediateSize]), TensorSpec(.upBias, [intermediateSize]),
      TensorSpec(.downBias, [hiddenSize]),
    ]
  }

  public var taps: [Tap] { Projections.taps(hiddenSize, intermediateSize, readers: []) }
}

extension Projections {
  /// Those of gated MLPs, dense or of experts.
  public static let gatedMLP = Projections(gating: .gate, lifting: .up, lowering: .down)

  static func tensors(_ hidden: Int, _ width: Int, experts: Int?) -> [TensorSpec] {
    [
      TensorSpec(.gate, [width, hidden], experts: experts, isLinear: true),
      TensorSpec(.up, [width, hidden], experts: experts, isLinear: true),
      TensorSpec(.down, [hidden, width], experts: experts, isLinear: true),
    ]
  }

  static func taps(_ hidden: Int, _ width: Int, readers: [TensorKind]) -> [Tap] {
    [
      Tap(
        "experts.input", columns: hidden, linears: [.gate, .up], readers: readers,
        source: .norm(.feedForwardNorm)),
      Tap("experts.inner", columns: width, linears: [.down], source: .linear(.up, rows: nil)),
    ]
  }
}
