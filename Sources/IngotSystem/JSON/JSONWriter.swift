extension JSON {
  /// The value as text in UTF-8: on one line, or with two spaces of indentation a level.
  public func text(indented: Bool = false) -> String {
    var out = ""
    write(into: &out, level: indented ? 0 : nil)
    return out
  }

  private func write(into out: inout String, level: Int?) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .number(let value): out += value.text
    case .string(let value): JSON.quote(value, into: &out)
    case .array(let elements):
      // Lists of scalars stay on one line: they are read as one thing.
      let plain = elements.allSatisfy { $0.array == nil && $0.object == nil }
      JSON.list(elements, "[", "]", level: plain ? nil : level, into: &out) { element, level, out in
        element.write(into: &out, level: level)
      }
    case .object(let object):
      JSON.list(Array(object), "{", "}", level: level, into: &out) { member, level, out in
        JSON.quote(member.key, into: &out)
        out += level == nil ? ":" : ": "
        member.value.write(into: &out, level: level)
      }
    }
  }

  private static func list<Element>(
    _ elements: [Element], _ left: String, _ right: String, level: Int?, into out: inout String,
    _ body: (Element, Int?, inout String) -> Void
  ) {
    out += left
    for (index, element) in elements.enumerated() {
      if index > 0 { out += level == nil ? "," : ",\n" } else if level != nil { out += "\n" }
      if let level { out += String(repeating: "  ", count: level + 1) }
      body(element, level.map { $0 + 1 }, &out)
    }
    if let level, !elements.isEmpty { out += "\n" + String(repeating: "  ", count: level) }
    out += right
  }

  private static func quote(_ text: String, into out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      default:
        // Control characters beyond C0 are escaped too, for terminals that show this text.
        if scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) {
          let digits = String(scalar.value, radix: 16)
          out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          out.unicodeScalars.append(scalar)
        }
      }
    }
    out += "\""
  }
}
