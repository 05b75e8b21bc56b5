import Tensors

/// How plans and sensitivities name tensors: `embedding`, `layers.3.query`, and `layers.3.gate` for that part of all experts.
enum StackName {
  static func text(_ role: Role) -> String {
    role.layer.map { "layers.\($0).\(role.part.rawValue)" } ?? role.part.rawValue
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

/// Numbers such as `0-6, 9`.
enum Runs {
  static func text(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers.sorted() {
      if let last = runs.last, number == last.upperBound + 1 {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ", ")
  }

  /// - Returns: nil for a text of another form, falling ranges, numbers above `most` or more numbers than that.
  static func numbers(_ text: String, most: Int = 1 << 20) -> [Int]? {
    var numbers: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      var part = part
      while part.first == " " { part.removeFirst() }
      while part.last == " " { part.removeLast() }
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard ends.count <= 2, let first = ends.first, let low = Int(first), low >= 0, first.first != "+",
        let high = ends.count == 2 ? Int(ends[1]) : low, high >= low, high <= most, high - low < most - numbers.count
      else { return nil }
      numbers += low...high
    }
    return numbers
  }
}
