import IngotSystem
import IngotTensors

/// What the taps of a layer say of a kind of tensor, for whoever follows activations: norms before, rows behind, siblings.
extension Blueprint.Layer {
  /// The norm of the residual stream whose output a linear layer multiplies; nil where something else stands between them.
  public func inputNorm(of kind: TensorKind) -> TensorKind? {
    guard let tap = tap(of: kind), case .norm(let norm) = tap.source else { return nil }
    return norm
  }

  /// What goes into the mixer, and into its output projection.
  public var mixerInput: Tap { taps[0] }
  public var mixerOutput: Tap { taps[taps.count - 1 - feedForwardTaps] }
  /// What goes into router and gated MLPs, and into the projection that ends them.
  public var feedForwardInput: Tap { taps[taps.count - feedForwardTaps] }
  public var feedForwardInner: Tap { taps[taps.count - 1] }
  private var feedForwardTaps: Int { 2 }

  /// The linear layer whose rows take the scale of a tap's channels, and the row that each channel reads.
  public func absorber(of tap: Tap) -> (kind: TensorKind, rows: [Int])? {
    guard case .linear(let kind, let rows) = tap.source else { return nil }
    return (kind, rows ?? Array(0..<tap.columns))
  }

  /// The bias that is added to the outputs of a linear layer; nil when it has none.
  public func bias(of kind: TensorKind) -> TensorKind? {
    let bias = TensorKind(rawValue: kind.rawValue + "_bias")
    return spec(bias) != nil && tap(of: kind) != nil ? bias : nil
  }
}

extension Blueprint {
  /// The norm before a linear layer, as a role; that of the head is the final one.
  public func inputNorm(of role: Role) -> Role? {
    guard let layer = role.layer else { return role.kind == .head ? Role(.finalNorm) : nil }
    guard layers.indices.contains(layer) else { return nil }
    return layers[layer].inputNorm(of: role.kind).map { Role($0, layer: layer) }
  }

  /// Whether a tensor is a vector or stays exact for another reason: norms, biases, routers.
  public func isExact(_ role: Role) -> Bool { !isLinear(role) }

  /// Linear layers whose inputs are observed in calibration: all but the embedding.
  public func isCalibrated(_ role: Role) -> Bool { isLinear(role) && role.kind != .embedding }
}
