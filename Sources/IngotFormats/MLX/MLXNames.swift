import IngotModels
import IngotSystem
import IngotTensors

/// MLX's names: those of the checkpoint, but for experts, which are stacked: `….experts.#.w1` of all experts of
/// a layer are the one tensor `….switch_mlp.gate_proj.weight` with an extent for the experts before the others.
enum MLXNames {
  /// The stacked tensors by kind: projection and what of it.
  private static let stacked: [TensorKind: (projection: String, suffix: String)] = [
    .gate: ("gate_proj", weight), .up: ("up_proj", weight), .down: ("down_proj", weight),
    .gateBias: ("gate_proj", bias), .upBias: ("up_proj", bias), .downBias: ("down_proj", bias),
  ]

  static let weight = ".weight"
  static let bias = ".bias"
  static let scales = ".scales"
  static let biases = ".biases"

  /// Parts of names of a family's checkpoint that only MLX has.
  static func marks(_ family: Family?) -> [String] {
    [".switch_mlp.", ".self_attn.embed_q."] + (family?.mlx?.experts.map { [".\($0).gate_proj.weight"] } ?? [])
  }

  /// The family as mlx-lm's class of a config's `model_type` names its tensors.
  static func placed(_ family: Family, _ config: Config) -> Family {
    let isNested = config["model_type"]?.string.map { family.mlx?.nestedTypes.contains($0) ?? false } ?? false
    return family.placed(isNested ? .outside : .whole)
  }

  /// Name of the stack that holds a kind of tensor of all experts of a layer; nil for kinds that MLX does not stack.
  static func stack(_ kind: TensorKind, layer: Int, _ family: Family) -> String? {
    guard let (projection, suffix) = stacked[kind] else { return nil }
    if let experts = family.mlx?.experts {
      return family.place.stored("model.layers.\(layer).\(experts).\(projection)\(suffix)")
    }
    guard let template = family.names.template(kind, indices: 2),
      let cut = template.firstRange(of: ".experts."), let place = template.firstIndex(of: "#"),
      place < cut.lowerBound
    else { return nil }
    return family.place.stored(
      "\(template[..<place])\(layer)\(template[template.index(after: place)..<cut.lowerBound]).switch_mlp."
        + projection + suffix)
  }

  /// Names of the stacks of a model, with kind and layer.
  static func stacks(_ family: Family, _ blueprint: Blueprint) -> [String: (kind: TensorKind, layer: Int)] {
    var stacks: [String: (kind: TensorKind, layer: Int)] = [:]
    for layer in blueprint.mixtures {
      for spec in blueprint.tensors(layer: layer) where spec.experts != nil {
        if let name = stack(spec.kind, layer: layer, family) { stacks[name] = (spec.kind, layer) }
      }
    }
    return stacks
  }
}
