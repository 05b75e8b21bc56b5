import IngotSystem
import IngotTensors

/// Kinds of the roles in these tests; those of models are in Models, which Tensors does not know.
extension TensorKind {
  static let query = TensorKind(rawValue: "query")
  static let gate = TensorKind(rawValue: "gate")
  static let down = TensorKind(rawValue: "down")
  static let head = TensorKind(rawValue: "head")
}
