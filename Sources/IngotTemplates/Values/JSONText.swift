/// Values as JSON, exactly as `json.dumps` of Python writes them.
struct JSONText {
  var ensuresASCII = false
  /// What a level is indented by; nil for everything on one line.
  var indent: Text?
  var separatesItems: Text = ", "
  var separatesKeys: Text = ": "
  var sortsKeys = false

  func text(_ value: Value, _ run: Rendering) throws(Fault) -> Text {
    var out = Text()
    try write(value, level: 0, into: &out, run)
    try run.make(bytes: out.bytes.count)
    return out
  }

  private func write(_ value: Value, level: Int, into out: inout Text, _ run: Rendering) throws(Fault) {
    try run.spend(1)
    switch value {
    case .null: out.append("null")
    case .bool(let value): out.append(value ? "true" : "false")
    case .int(let value): out.append(String(value))
    case .big(let value): out.append(try value.printed(run))
    case .float(let value): out.append(JSONText.number(value))
    case .text(let text): try quote(text, into: &out, run)
    case .list(let list), .tuple(let list):
      if list.items.isEmpty {
        out.append("[]")
        return
      }
      out.append("[")
      for (index, item) in list.items.enumerated() {
        if index > 0 { out.append(separatesItems) }
        try newLine(level + 1, into: &out, run)
        try write(item, level: level + 1, into: &out, run)
      }
      try newLine(level, into: &out, run)
      out.append("]")
    case .dict(let dict):
      if dict.count == 0 {
        out.append("{}")
        return
      }
      out.append("{")
      var order = Array(dict.keys.indices)
      if sortsKeys {
        order = try stablySorted(order, run) { (a, b) throws(Fault) in
          try dict.keys[a].compare(.less, dict.keys[b], run)
        }
      }
      for (count, index) in order.enumerated() {
        if count > 0 { out.append(separatesItems) }
        try newLine(level + 1, into: &out, run)
        try quote(try JSONText.key(dict.keys[index], run), into: &out, run)
        out.append(separatesKeys)
        try write(dict.values[index], level: level + 1, into: &out, run)
      }
      try newLine(level, into: &out, run)
      out.append("}")
    case .undefined, .object:
      throw Fault(expected: "a value that JSON has", found: "a value of type \(value.typeName)")
    }
  }

  private func newLine(_ level: Int, into out: inout Text, _ run: Rendering) throws(Fault) {
    guard let indent else { return }
    try run.make(bytes: level * indent.bytes.count, after: out.bytes.count)
    out.append("\n")
    for _ in 0..<level { out.append(indent) }
  }

  private static func number(_ value: Double) -> String {
    value.isFinite ? FloatText.shortest(value) : value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
  }

  private static func key(_ value: Value, _ run: Rendering) throws(Fault) -> Text {
    switch value {
    case .text(let text): return text
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .float(let value): return Text(number(value))
    case .int(let value): return Text(String(value))
    case .big(let value): return Text(try value.printed(run))
    default:
      throw Fault(
        expected: "keys that are texts, numbers, truth values or none",
        found: "one of type \(value.typeName)")
    }
  }

  private func quote(_ text: Text, into out: inout Text, _ run: Rendering) throws(Fault) {
    try run.make(bytes: text.bytes.count, after: out.bytes.count)
    try run.spend(text.bytes.count >> 5)
    out.append("\"")
    var at = 0
    while at < text.bytes.count {
      // Most characters stand for themselves.
      var plain = at
      while plain < text.bytes.count {
        let byte = text.bytes[plain]
        guard byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"),
          byte < 0x80 || !ensuresASCII
        else { break }
        plain += 1
      }
      out.bytes += text.bytes[at..<plain]
      at = plain
      if at == text.bytes.count { break }
      let scalar = text.next(&at)
      switch scalar {
      case "\"": out.append("\\\"")
      case "\\": out.append("\\\\")
      case "\n": out.append("\\n")
      case "\r": out.append("\\r")
      case "\t": out.append("\\t")
      case "\u{8}": out.append("\\b")
      case "\u{C}": out.append("\\f")
      default:
        for unit in UTF16.encode(scalar)! {
          let digits = String(unit, radix: 16)
          out.append("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits)
        }
      }
    }
    out.append("\"")
  }
}

/// `items` in order, those that are equal as they were.
func stablySorted<Item>(
  _ items: [Item], _ run: Rendering, _ isLess: (Item, Item) throws(Fault) -> Bool
) throws(Fault) -> [Item] {
  var items = items
  var width = 1
  while width < items.count {
    var merged: [Item] = []
    merged.reserveCapacity(items.count)
    var start = 0
    while start < items.count {
      let middle = min(start + width, items.count)
      let end = min(start + 2 * width, items.count)
      var left = start
      var right = middle
      while left < middle && right < end {
        try run.spend(1)
        if try isLess(items[right], items[left]) {
          merged.append(items[right])
          right += 1
        } else {
          merged.append(items[left])
          left += 1
        }
      }
      merged += items[left..<middle]
      merged += items[right..<end]
      start = end
    }
    items = merged
    width *= 2
  }
  return items
}
