import IngotModels
import IngotSystem
import IngotTensors

/// How plans and sensitivities name tensors: `embedding`, `layers.3.query`, and `layers.3.gate` for that part of all experts.
enum StackName {
  static func text(_ role: Role) -> String {
    role.layer.map { "layers.\($0).\(role.kind.rawValue)" } ?? role.kind.rawValue
  }

  static func text(layer: Int) -> String { "layers.\(layer)" }

  /// The layer that a name stands for; nil for other texts.
  static func layer(_ text: String) -> Int? {
    let words = text.split(separator: ".", omittingEmptySubsequences: false)
    guard words.count == 2, words[0] == "layers", let layer = Int(words[1]), layer >= 0,
      String(layer) == words[1]
    else { return nil }
    return layer
  }

  /// The role that a name stands for, no expert being named; nil for other texts.
  static func role(_ text: String) -> Role? {
    let words = text.split(separator: ".", omittingEmptySubsequences: false)
    if words.count == 1 {
      let kind = TensorKind(rawValue: text)
      return TensorKind.ends.contains(kind) ? Role(kind) : nil
    }
    guard words.count == 3, words[0] == "layers", let layer = Int(words[1]), String(layer) == words[1],
      layer >= 0, TensorKind.isValid(String(words[2]))
    else { return nil }
    return Role(TensorKind(rawValue: String(words[2])), layer: layer)
  }
}

extension Role {
  /// The stack it stands in: the role without its expert.
  package var stack: Role { Role(kind, layer: layer) }
}
