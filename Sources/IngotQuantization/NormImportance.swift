import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

// What a model's own weights say of the importance of columns, where no calibration does.

extension Model {
  /// The norm before a linear layer, when its weights can be read and are the factors themselves.
  func inputNorm(of role: Role) -> Tensor? {
    guard let norm = blueprint.inputNorm(of: role), let tensor = self[norm], tensor.isFloat else {
      return nil
    }
    return tensor
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
