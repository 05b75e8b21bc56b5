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
  public var mixerInput: Tap { mixer.taps[0] }
  public var mixerOutput: Tap { mixer.taps[mixer.taps.count - 1] }
  /// What goes into router and gated MLPs, and into the projection that ends them.
  public var feedForwardInput: Tap { feedForward.taps[0] }
  public var feedForwardInner: Tap { feedForward.taps[feedForward.taps.count - 1] }

  /// The taps of linear layers that every token goes through, each with those layers alone: what calibration keeps a Hessian
  /// of. What goes into experts is kept otherwise.
  public var observedTaps: [Tap] {
    guard feedForward.shared != nil else { return mixer.taps }
    let own = feedForward.taps.dropLast().map { tap in
      var tap = tap
      tap.linears.removeAll { feedForward.projections.all.contains($0) }
      return tap
    }
    return mixer.taps + own.filter { !$0.linears.isEmpty }
  }

  /// The linear layer whose rows take the scale of a tap's channels, and the row that each channel reads.
  public func absorber(of tap: Tap) -> (kind: TensorKind, rows: [Int])? {
    guard case .linear(let kind, let rows) = tap.source else { return nil }
    return (kind, rows ?? Array(0..<tap.columns))
  }

  /// The bias that is added to the outputs of a linear layer; nil when it has none.
  public func bias(of kind: TensorKind) -> TensorKind? {
    let bias = kind.bias
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
