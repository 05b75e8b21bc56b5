/// Values as text: `str` and `repr` of Python.
extension Value {
  /// What is printed.
  func printed(_ run: Rendering) throws(Fault) -> Text {
    switch self {
    case .undefined: return Text()
    case .text(let text): return text.marked(false)
    default: return try representation(run)
    }
  }

  func representation(_ run: Rendering) throws(Fault) -> Text {
    var text = Text()
    try represent(into: &text, run, depth: 0)
    return text
  }

  /// Appends what `repr` gives. Texts within are quoted.
  func represent(into out: inout Text, _ run: Rendering, depth: Int) throws(Fault) {
    try run.spend(1)
    try run.check(depth: depth)
    switch self {
    case .undefined: out.append("Undefined")
    case .null: out.append("None")
    case .bool(let value): out.append(value ? "True" : "False")
    case .int(let value): out.append(String(value))
    case .big(let value): out.append(try value.printed(run))
    case .float(let value): out.append(FloatText.shortest(value))
    case .text(let text):
      try run.make(bytes: text.bytes.count, after: out.bytes.count)
      try run.spend(text.bytes.count >> 5)
      if text.isMarkup { out.append("Markup(") }
      out.append(text.quoted)
      if text.isMarkup { out.append(")") }
    case .list(let list):
      out.append("[")
      try list.represent(into: &out, run, depth: depth + 1)
      out.append("]")
    case .tuple(let list):
      out.append("(")
      try list.represent(into: &out, run, depth: depth + 1)
      out.append(list.items.count == 1 ? ",)" : ")")
    case .dict(let dict):
      out.append("{")
      for index in dict.keys.indices {
        if index > 0 { out.append(", ") }
        try dict.keys[index].represent(into: &out, run, depth: depth + 1)
        out.append(": ")
        try dict.values[index].represent(into: &out, run, depth: depth + 1)
      }
      out.append("}")
    case .object(let object): out.append(try object.representation(run, depth: depth + 1))
    }
  }
}

extension List {
  fileprivate func represent(into out: inout Text, _ run: Rendering, depth: Int) throws(Fault) {
    for (index, item) in items.enumerated() {
      if index > 0 { out.append(", ") }
      try item.represent(into: &out, run, depth: depth)
    }
  }
}

extension BigInt {
  /// Digits that Python writes at most.
  static let mostDigits = 4300

  func printed(_ run: Rendering) throws(Fault) -> String {
    try run.spend(limbs.count * limbs.count >> 4)
    let text = decimal
    guard text.utf8.count <= BigInt.mostDigits else {
      throw Fault(expected: "integers of at most \(BigInt.mostDigits) digits", found: "a larger one")
    }
    return text
  }
}

extension Text {
  /// As a literal of Python: in single quotes, unless there are such within and no double ones.
  var quoted: Text {
    let single = UInt8(ascii: "'")
    let quote = bytes.contains(single) && !bytes.contains(UInt8(ascii: "\"")) ? UInt8(ascii: "\"") : single
    var out = Text()
    out.bytes.reserveCapacity(bytes.count + 2)
    out.bytes.append(quote)
    var at = 0
    while at < bytes.count {
      // Most characters stand for themselves.
      var plain = at
      while plain < bytes.count, bytes[plain] >= 0x20, bytes[plain] < 0x7F, bytes[plain] != quote,
        bytes[plain] != UInt8(ascii: "\\")
      {
        plain += 1
      }
      out.bytes += bytes[at..<plain]
      at = plain
      if at == bytes.count { break }
      let scalar = next(&at)
      switch scalar {
      case "\\": out.append("\\\\")
      case "\n": out.append("\\n")
      case "\r": out.append("\\r")
      case "\t": out.append("\\t")
      default:
        if scalar.value == UInt32(quote) {
          out.append("\\")
          out.append(scalar)
        } else if scalar.isPythonPrintable {
          out.append(scalar)
        } else {
          out.append(scalar.escaped)
        }
      }
    }
    out.bytes.append(quote)
    return out
  }
}

extension Unicode.Scalar {
  /// `\x1b`, `\u200b`, `\U000e0001`
  var escaped: String {
    let digits = String(value, radix: 16)
    let (letter, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
    return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
  }
}
