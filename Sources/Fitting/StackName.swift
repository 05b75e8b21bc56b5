import Tensors

/// How plans and sensitivities name tensors: `embedding`, `layers.3.query`, and `layers.3.gate` for that part of all experts.
enum StackName {
  static func text(_ role: Role) -> String {
    role.layer.map { "layers.\($0).\(role.part.rawValue)" } ?? role.part.rawValue
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
      guard let part = Role.Part(rawValue: text), part == .embedding || part == .head else { return nil }
      return Role(part)
    }
    guard words.count == 3, words[0] == "layers", let layer = Int(words[1]), String(layer) == words[1],
      layer >= 0,
      let part = Role.Part(rawValue: String(words[2]))
    else { return nil }
    switch part {
    case .query, .key, .value, .attentionOutput, .gate, .up, .down: return Role(part, layer: layer)
    default: return nil
    }
  }
}

extension Role {
  /// The stack it stands in: the role without its expert.
  package var stack: Role { Role(part, layer: layer) }
}
