import IngotModels
import IngotSystem
import IngotTensors

/// MLX's names: those of the checkpoint, but for experts, which are stacked: `….experts.#.w1` of all experts of
/// a layer are the one tensor `….switch_mlp.gate_proj` with an extent for the experts before the others.
enum MLXNames {
  /// The stacked projections by kind.
  private static let projections: [TensorKind: String] = [
    .gate: "gate_proj", .up: "up_proj", .down: "down_proj",
  ]

  static let weight = ".weight"
  static let scales = ".scales"
  static let biases = ".biases"

  /// Path of the module that holds a kind of tensor of all experts of a layer; nil for kinds that MLX does not stack.
  static func stack(_ kind: TensorKind, layer: Int, _ family: Family) -> String? {
    guard let projection = projections[kind], let template = family.names.template(kind, indices: 2),
      let cut = template.firstRange(of: ".experts."), let place = template.firstIndex(of: "#"),
      place < cut.lowerBound
    else { return nil }
    return
      "\(template[..<place])\(layer)\(template[template.index(after: place)..<cut.lowerBound]).switch_mlp."
      + projection
  }

  /// Paths of the stacked modules of a model, with kind and layer.
  static func stacks(_ family: Family, _ blueprint: Blueprint) -> [String: (kind: TensorKind, layer: Int)] {
    var stacks: [String: (kind: TensorKind, layer: Int)] = [:]
    for layer in blueprint.mixtures {
      for spec in blueprint.tensors(layer: layer) where spec.experts != nil {
        if let path = stack(spec.kind, layer: layer, family) { stacks[path] = (spec.kind, layer) }
      }
    }
    return stacks
  }
}
