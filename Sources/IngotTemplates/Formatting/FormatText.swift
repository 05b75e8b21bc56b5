/// `str.format`: text with fields in braces.
struct FormatText {
  private let text: Text
  private let arguments: Arguments
  private let run: Rendering
  private let isMarkup: Bool
  /// How many fields without a name there were; nil where fields have numbers.
  private var automatic: Int? = 0

  init(_ text: Text, _ arguments: Arguments, _ run: Rendering) throws(Fault) {
    self.text = text
    self.arguments = arguments
    self.run = run
    isMarkup = text.isMarkup
  }

  func expanded() throws(Fault) -> Text {
    var copy = self
    return try copy.expand(text, depth: 2)
  }

  private func wrong(_ found: String) -> Fault {
    Fault(expected: "a text with fields in braces, for format", found: found)
  }

  private mutating func expand(_ text: Text, depth: Int) throws(Fault) -> Text {
    guard depth >= 0 else { throw wrong("fields within fields within fields") }
    let bytes = text.bytes
    var out = Text()
    var at = 0
    while at < bytes.count {
      let byte = bytes[at]
      guard byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") else {
        out.bytes.append(byte)
        at += 1
        continue
      }
      if at + 1 < bytes.count && bytes[at + 1] == byte {
        out.bytes.append(byte)
        at += 2
        continue
      }
      guard byte == UInt8(ascii: "{") else { throw wrong("a single '}'") }
      guard let end = FormatText.fieldEnd(bytes, from: at + 1) else { throw wrong("'{' without '}'") }
      let field = try expand(field: bytes[(at + 1)..<end], depth: depth)
      try run.make(bytes: field.bytes.count, after: out.bytes.count)
      out.append(field)
      at = end + 1
    }
    return out
  }

  /// Where the field that begins at `start` closes, fields within it and brackets passed over.
  private static func fieldEnd(_ bytes: [UInt8], from start: Int) -> Int? {
    var depth = 0
    var isBracketed = false
    for at in start..<bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "[") where depth == 0: isBracketed = true
      case UInt8(ascii: "]"): isBracketed = false
      case UInt8(ascii: "{") where !isBracketed: depth += 1
      case UInt8(ascii: "}") where !isBracketed:
        if depth == 0 { return at }
        depth -= 1
      default: break
      }
    }
    return nil
  }

  private mutating func expand(field: ArraySlice<UInt8>, depth: Int) throws(Fault) -> Text {
    var name = field
    var conversion: UInt8?
    var spec = Text()
    var isBracketed = false
    scan: for at in field.indices {
      switch field[at] {
      case UInt8(ascii: "["): isBracketed = true
      case UInt8(ascii: "]"): isBracketed = false
      case UInt8(ascii: "!") where !isBracketed:
        guard at + 1 < field.endIndex, at + 2 == field.endIndex || field[at + 2] == UInt8(ascii: ":") else {
          throw wrong("a conversion of other than one letter")
        }
        name = field[..<at]
        conversion = field[at + 1]
        spec = at + 2 < field.endIndex ? Text(field[(at + 3)...]) : Text()
        break scan
      case UInt8(ascii: ":") where !isBracketed:
        name = field[..<at]
        spec = Text(field[(at + 1)...])
        break scan
      case UInt8(ascii: "{"), UInt8(ascii: "}"): throw wrong("a brace in the name of a field")
      default: break
      }
    }
    var value = try value(Text(name))
    switch conversion.map({ Unicode.Scalar($0) }) {
    case nil: break
    case "s": value = .text(try value.printed(run))
    case "r": value = .text(try value.representation(run))
    case "a": value = .text(try value.representation(run).asciiEscaped)
    default: throw wrong("a conversion other than s, r and a")
    }
    let expanded = try expand(spec, depth: depth - 1)
    guard isMarkup else { return try value.formatted(expanded, run) }
    if case .text(let text) = value, text.isMarkup {
      guard expanded.isEmpty else { throw wrong("a specification for markup") }
      return text
    }
    return try value.formatted(expanded, run).escaped
  }

  /// The value of a field: an argument by number or name, then members and items of it.
  private mutating func value(_ name: Text) throws(Fault) -> Value {
    var name = name
    if name.isEmpty {
      guard let next = automatic else { throw wrong("fields with numbers and without") }
      name = Text(String(next))
      automatic = next + 1
    } else if name.digits != nil {
      guard automatic == nil || automatic == 0 else { throw wrong("fields with numbers and without") }
      automatic = nil
    }
    let bytes = name.bytes
    let firstEnd = bytes.firstIndex { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "[") } ?? bytes.count
    var value = try argument(Text(bytes[..<firstEnd]))
    var at = firstEnd
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: ".") {
        let rest = bytes[(at + 1)...]
        let end = rest.firstIndex { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "[") } ?? bytes.count
        guard end > at + 1 else { throw wrong("an empty name of a member") }
        value = try value.member(MemberName(Text(bytes[(at + 1)..<end]).string), run)
        at = end
      } else if bytes[at] == UInt8(ascii: "[") {
        guard let end = bytes[at...].firstIndex(of: UInt8(ascii: "]")), end > at + 1 else {
          throw wrong("'[' without a name and ']'")
        }
        let index = Text(bytes[(at + 1)..<end])
        value = try value.item(index.digits.map { .int($0) } ?? .text(index), run)
        at = end + 1
      } else {
        throw wrong("something other than '.' or '[' behind ']'")
      }
    }
    return value
  }

  private func argument(_ name: Text) throws(Fault) -> Value {
    if let number = name.digits {
      guard number < arguments.positional.count else {
        throw wrong("a field without an argument")
      }
      return arguments.positional[number]
    }
    guard let value = arguments.named(name.string) else {
      throw wrong("a field '\(name.string)' without an argument")
    }
    return value
  }
}

extension Text {
  /// The number that is written in plain digits; nil for anything else.
  var digits: Int? {
    guard !bytes.isEmpty, bytes.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return Int(string)
  }

  /// With escapes for what is not ASCII.
  var asciiEscaped: Text {
    var out = Text()
    for scalar in scalars {
      if scalar.isASCII { out.append(scalar) } else { out.append(scalar.escaped) }
    }
    return out
  }
}
