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

/// A gated MLP that every token sees: down(act(gate x) ∘ up x).
public struct GatedMLP: FeedForward, Hashable {
  public var hiddenSize: Int
  public var intermediateSize: Int
  public var hasBias: Bool
  public var activation: GatedActivation

  public init(
    hiddenSize: Int, intermediateSize: Int, hasBias: Bool = false, activation: GatedActivation = .silu
  ) {
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.hasBias = hasBias
    self.activation = activation
  }

  public var name: String { "mlp" }
  public var count: Int { 1 }
  public var perToken: Int { 1 }
  public var isMixture: Bool { false }

  public var projections: Projections { .gatedMLP }

  public var tensors: [TensorSpec] {
    Projections.gatedMLP.tensors(hiddenSize, intermediateSize, experts: nil, hasBias: hasBias)
  }

  public var taps: [Tap] { Projections.taps(hiddenSize, intermediateSize, activation, readers: []) }
}

extension Projections {
  /// Those of gated MLPs, dense or of experts.
  public static let gatedMLP = Projections(gating: .gate, lifting: .up, lowering: .down)

  func tensors(_ hidden: Int, _ width: Int, experts: Int?, hasBias: Bool = false) -> [TensorSpec] {
    let linears = [
      TensorSpec(gating, [width, hidden], experts: experts, isLinear: true),
      TensorSpec(lifting, [width, hidden], experts: experts, isLinear: true),
      TensorSpec(lowering, [hidden, width], experts: experts, isLinear: true),
    ]
    guard hasBias else { return linears }
    return linears + [
      TensorSpec(gating.bias, [width], experts: experts),
      TensorSpec(lifting.bias, [width], experts: experts),
      TensorSpec(lowering.bias, [hidden], experts: experts),
    ]
  }

  /// What goes into the projections, and into the last of them.
  ///
  /// - Parameter beside: linear layers of a shared MLP, which read the same input.
  static func taps(
    _ hidden: Int, _ width: Int, _ activation: GatedActivation, readers: [TensorKind],
    beside: [TensorKind] = []
  ) -> [Tap] {
    [
      Tap(
        inputTap, columns: hidden, linears: [.gate, .up] + beside, readers: readers,
        source: .norm(.feedForwardNorm)),
      Tap(
        innerTap, columns: width, linears: [.down],
        source: activation.isLinearInUp ? .linear(.up, rows: nil) : .none),
    ]
  }

  /// Names of the taps.
  static let inputTap = "experts.input"
  static let innerTap = "experts.inner"
}
