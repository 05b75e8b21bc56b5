import IngotSystem
import IngotTensors

/// A JSON object with each member on a line of its own, and so the members of those that are named.
func linesOfJSON(_ object: JSONObject, opening: Set<String>) -> String {
  var lines: [String] = []
  for (key, value) in object {
    let name = JSON.string(key).text()
    if opening.contains(key), let members = value.object, members.count > 0 {
      let inner = members.map { "    \(JSON.string($0.key).text()): \($0.value.spaced)" }
      lines.append("  \(name): {\n" + inner.joined(separator: ",\n") + "\n  }")
    } else if opening.contains(key), let elements = value.array, !elements.isEmpty {
      lines.append("  \(name): [\n" + elements.map { "    " + $0.spaced }.joined(separator: ",\n") + "\n  ]")
    } else {
      lines.append("  \(name): \(value.spaced)")
    }
  }
  return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
}

extension JSON {
  /// The value on one line, with spaces for people.
  var spaced: String {
    switch self {
    case .array(let elements): "[" + elements.map(\.spaced).joined(separator: ", ") + "]"
    case .object(let object):
      "{" + object.map { "\(JSON.string($0.key).text()): \($0.value.spaced)" }.joined(separator: ", ") + "}"
    default: text()
    }
  }
}
