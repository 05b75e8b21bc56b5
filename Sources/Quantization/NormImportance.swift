import Kernels
import Models
import Tensors

// What a model's own weights say of the importance of columns, where no calibration does.

extension Role {
  /// The norm whose output a linear layer multiplies; nil where something else stands between them.
  var inputNorm: Role? {
    switch part {
    case .query, .key, .value: Role(.attentionNorm, layer: layer)
    case .gate, .up: Role(.feedForwardNorm, layer: layer)
    case .head: Role(.finalNorm)
    default: nil
    }
  }
}

extension Model {
  /// The norm before each linear layer that has one.
  func inputNorms() -> [Role: Tensor] {
    var norms: [Role: Tensor] = [:]
    let parts: Set<Role.Part> = [.attentionNorm, .feedForwardNorm, .finalNorm]
    for tensor in tensors where parts.contains(tensor.role.part) && tensor.isFloat {
      norms[tensor.role] = tensor
    }
    return norms
  }
}

extension Tensor {
  /// Importance of the columns of a layer behind this norm, γ² + mean|γ|² for gains γ; nil when these say nothing,
  /// because one is not finite or all are 0.
  ///
  /// A channel's mean square, which calibration measures, is γ² times that of the normalized hidden channel. Training
  /// tends to give loud hidden channels small gains, so γ² alone would give up channels that may matter: the second
  /// term keeps every one at half the weight of one with the mean gain, or more.
  func importanceOfGains() throws(FormatError) -> [Float]? {
    let planes = try planes(rows: 0..<rows)
    var gains = [Float](repeating: 0, count: count)
    var span = gains.mutableSpan
    encoding.decode(planes, rows: rows, columns: columns, into: &span)
    let mean = gains.reduce(0) { $0 + $1.magnitude } / Float(count)
    let importance = gains.map { $0 * $0 + mean * mean }
    return mean > 0 && firstNonFinite(importance.span) == nil ? importance : nil
  }
}
