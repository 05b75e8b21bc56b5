import IngotModels
import IngotSystem
import IngotTensors

/// How llama.cpp stores what is not one tensor of ours as it is, under one name: parts of one, matrices turned, other values.
/// Each is in a file of `Blocks/`, named for the kind of block that needs it.
struct GGUFForm: Sendable {
  /// What is stored of a tensor of ours.
  struct Piece: Sendable {
    /// Name in the file, whose `#` is the layer.
    var template: String
    /// Extents in the file; the tensor has as many values, in the same order.
    var shape: [Int]
    var tensor: Tensor
  }

  /// What is stored in place of a tensor of a model; nil for one that this form has nothing to do with.
  var pieces: @Sendable (_ tensor: Tensor, _ model: Model) throws(FormatError) -> [Piece]?
  /// The model's tensors of a layer (nil: of the whole model) that stored ones make up, which are taken out of `stored`; by
  /// templates of their names. `name` gives the checkpoint's name of a role.
  var tensors:
    @Sendable (
      _ stored: inout [String: Tensor], _ layer: Int?, _ blueprint: Blueprint, _ name: (Role) -> String
    ) throws(FormatError) -> [Tensor]

  /// What an importance matrix has of a tensor of the model: names there, whose `#` is the layer, and the tensor's column for each
  /// of theirs, nil for the same; nil for a tensor that this form has nothing to do with.
  var importance: @Sendable (_ role: Role, _ blueprint: Blueprint) -> [(template: String, columns: [Int]?)]? =
    { _, _ in nil }

  /// Every form, one line each.
  static let all: [GGUFForm] = [
    .latentKeysAndValues,
    .gatedDeltaNet,
    .lightningAttention,
  ]

  /// What a file holds of a tensor of the model by the first form that has a say; nil where it is stored as it is.
  static func pieces(of tensor: Tensor, _ model: Model) throws(FormatError) -> [Piece]? {
    for form in all { if let pieces = try form.pieces(tensor, model) { return pieces } }
    return nil
  }

  /// The same of a tensor that a file has in another form than as it is; nil for another one.
  static func importance(of role: Role, _ blueprint: Blueprint) -> [(template: String, columns: [Int]?)]? {
    for form in all { if let found = form.importance(role, blueprint) { return found } }
    return nil
  }
}
