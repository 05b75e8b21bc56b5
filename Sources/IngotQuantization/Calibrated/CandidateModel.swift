import IngotModels
import IngotSystem
import IngotTensors

/// A model with every linear layer in one encoding, seen from the original: what a tensor of it would be among tensors of
/// the original, whose channels are not scaled.
public struct CandidateModel: Sendable {
  public let encoding: Encoding
  /// The original, linear layers that the encoding fits in the values that it gives them.
  public let model: Model

  /// - Parameters:
  ///   - original: the model.
  ///   - quantized: the same, quantized, its channels scaled.
  ///   - scales: by which they are; nil for none.
  public init(
    _ encoding: Encoding, _ original: Model, quantized: Model, scales: ChannelScales?
  ) throws(FormatError) {
    self.encoding = encoding
    let back = try scales.map { scales throws(FormatError) in try quantized.rescaled(by: scales.inverted) }
    let unscaled = back ?? quantized
    model = try original.mapTensors { tensor in
      quantized[tensor.role]!.encoding == encoding ? unscaled[tensor.role]! : tensor
    }
  }
}

extension Plan {
  /// Every tensor in one encoding that may be and that it fits; the others as they are.
  public static func uniform(_ encoding: Encoding, for model: Model) -> Plan {
    var plan = Plan(name: encoding.description, assignments: [:])
    let quantizer = Quantizer.filling(encoding).first?.rawValue
    for tensor in model.tensors {
      let fits = model.canQuantize(tensor) && encoding.planes(tensor.shape) != nil && quantizer != nil
      plan.assignments[tensor.role] =
        fits
        ? .init(encoding: encoding, quantizer: quantizer) : .init(encoding: tensor.encoding, quantizer: nil)
    }
    return plan
  }
}

extension ChannelScales {
  /// The scales that take these back.
  var inverted: ChannelScales {
    func inverse(_ factors: [Float]) -> [Float] { factors.map { 1 / $0 } }
    return ChannelScales(
      attention: attention.map(inverse), experts: experts.map(inverse),
      inner: inner.map { $0.map(inverse) }, output: output.map(inverse))
  }
}
