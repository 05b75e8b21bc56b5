import Models
import Tensors

/// MLX's names: those of the checkpoint, but for experts, which are stacked: `….experts.#.w1` of all experts of
/// a layer are the one tensor `….switch_mlp.gate_proj` with an extent for the experts before the others.
enum MLXNames {
  /// The stacked projections, in the order of a checkpoint's gate, up and down.
  static let projections: [(part: Role.Part, name: String)] = [
    (.gate, "gate_proj"), (.up, "up_proj"), (.down, "down_proj"),
  ]

  static let weight = ".weight"
  static let scales = ".scales"
  static let biases = ".biases"

  /// Path of the module that holds a part of all experts of a layer; nil for other parts.
  static func stack(_ part: Role.Part, layer: Int, _ architecture: Architecture) -> String? {
    around(part, architecture).map { "\($0.before)\(layer)\($0.behind)" }
  }

  /// What stands around the layer's number in that path.
  private static func around(_ part: Role.Part, _ architecture: Architecture) -> (
    before: Substring, behind: String
  )? {
    guard let projection = projections.first(where: { $0.part == part })?.name,
      let template = architecture.names[part], let cut = template.firstRange(of: ".experts."),
      let layer = template.firstIndex(of: "#"), layer < cut.lowerBound
    else { return nil }
    return (
      template[..<layer],
      template[template.index(after: layer)..<cut.lowerBound] + ".switch_mlp." + projection
    )
  }

  /// Paths of the stacked modules of a model, with part and layer.
  static func stacks(_ architecture: Architecture, _ numbers: Hyperparameters) -> [String: (
    part: Role.Part, layer: Int
  )] {
    var stacks: [String: (part: Role.Part, layer: Int)] = [:]
    for (part, _) in projections {
      guard let around = around(part, architecture) else { continue }
      for layer in 0..<numbers.layers { stacks["\(around.before)\(layer)\(around.behind)"] = (part, layer) }
    }
    return stacks
  }

  /// Parts whose modules MLX can quantize: linear layers and the embedding.
  static func canQuantize(_ part: Role.Part) -> Bool {
    switch part {
    case .embedding, .head, .query, .key, .value, .attentionOutput, .router, .gate, .up, .down: true
    default: false
    }
  }
}
