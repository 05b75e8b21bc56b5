import IngotKernels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What comes between the projections of a gated MLP.
public enum GatedActivation: Hashable, Sendable {
  /// silu(gate) ∘ up
  case silu
  /// gelu(gate) ∘ up with the tanh form of GELU (Gemma).
  case geluTanh
  /// g · σ(alpha · g) ∘ (u + 1) with g = min(gate, limit) and u = clamp(up, −limit, limit) (gpt-oss).
  case clampedSwiGLU(alpha: Float, limit: Float)

  /// What configs call it.
  public var configName: String {
    switch self {
    case .silu, .clampedSwiGLU: "silu"
    case .geluTanh: "gelu_pytorch_tanh"
    }
  }

  /// Whether a factor on up is the same factor on the result.
  public var isLinearInUp: Bool {
    if case .clampedSwiGLU = self { return false }
    return true
  }

  /// `gate` becomes the activation of gate and up, value by value.
  public func apply(_ gate: inout MutableSpan<Float>, up: Span<Float>) {
    precondition(gate.count == up.count, "gate and up have one value each")
    switch self {
    case .silu: siluMultiply(&gate, up: up)
    case .geluTanh:
      for index in 0..<gate.count {
        let x = Double(gate[index])
        let inner = 0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x)
        gate[index] = Float(0.5 * x * (1 + tanh(inner))) * up[index]
      }
    case .clampedSwiGLU(let alpha, let limit):
      for index in 0..<gate.count {
        let g = min(gate[index], limit)
        let u = max(min(up[index], limit), -limit)
        gate[index] = Float(Double(g) / (1 + exp(-Double(alpha * g)))) * (u + 1)
      }
    }
  }
}

/// Biases of a gated MLP; empty for none.
public struct MLPBiases: Sendable {
  public var gate: [Float] = []
  public var up: [Float] = []
  public var down: [Float] = []

  public init() {}

  /// Those of an expert of a layer, or of what all tokens see.
  ///
  /// - Parameter expert: nil for a dense layer's.
  /// - Throws: FormatError for values that are not finite.
  public init(_ model: Model, layer: Int, expert: Int?) throws(FormatError) {
    let description = model.blueprint.layers[layer]
    let projections = description.feedForward.projections
    func values(_ kind: TensorKind) throws(FormatError) -> [Float] {
      guard let bias = description.bias(of: kind), let tensor = model[bias, layer: layer, expert: expert]
      else {
        return []
      }
      let values = try tensor.floats()
      if let index = firstNonFinite(values.span) {
        throw tensor.error("finite values", found: "\(values[index]) at \(index)")
      }
      return values
    }
    gate = try values(projections.gating)
    up = try values(projections.lifting)
    down = try values(projections.lowering)
  }
}
