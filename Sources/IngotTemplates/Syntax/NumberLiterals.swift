/// Numbers as they stand in templates.
extension Lexer {
  /// Adds the number that begins here and gives its end; nil when none does.
  mutating func number() throws(Fault) -> Int? {
    guard let first = byte(at), isDigit(first) else { return nil }
    if let end = floatEnd() {
      let digits = Text(bytes[at..<end].filter { $0 != UInt8(ascii: "_") })
      guard let value = digits.pythonFloat else { throw fault("a number", "'\(digits.string)'") }
      add(.float(value))
      return end
    }
    let end = integerEnd()
    guard let value = Text(bytes[at..<end]).pythonInteger(base: 0) else {
      throw fault("an integer of at most \(BigInt.mostDigits) digits", "a longer one")
    }
    add(.integer(value))
    return end
  }

  private func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }

  /// Where digits end that begin at byte `start`, single underscores between them; nil when none begin.
  private func digitsEnd(_ start: Int) -> Int? {
    guard isDigit(byte(start)) else { return nil }
    var end = start + 1
    while true {
      if isDigit(byte(end)) {
        end += 1
      } else if byte(end) == UInt8(ascii: "_"), isDigit(byte(end + 1)) {
        end += 2
      } else {
        return end
      }
    }
  }

  /// Where a number with a point or an exponent ends; nil when there is neither. Behind a point none begins,
  /// so `x.0.1` are items of items.
  private func floatEnd() -> Int? {
    if at > 0 && bytes[at - 1] == UInt8(ascii: ".") { return nil }
    guard let whole = digitsEnd(at) else { return nil }
    var end = whole
    if byte(end) == UInt8(ascii: "."), let fraction = digitsEnd(end + 1) { end = fraction }
    if let letter = byte(end), letter | 0x20 == UInt8(ascii: "e") {
      var digits = end + 1
      if byte(digits) == UInt8(ascii: "+") || byte(digits) == UInt8(ascii: "-") { digits += 1 }
      if let power = digitsEnd(digits) { return power }
    }
    return end > whole ? end : nil
  }

  private func integerEnd() -> Int {
    if bytes[at] != UInt8(ascii: "0") { return digitsEnd(at)! }
    let digits: (UInt8) -> Bool
    switch byte(at + 1).map({ $0 | 0x20 }) {
    case UInt8(ascii: "x"): digits = { Unicode.Scalar($0).properties.isASCIIHexDigit }
    case UInt8(ascii: "o"): digits = { $0 >= 0x30 && $0 <= 0x37 }
    case UInt8(ascii: "b"): digits = { $0 == 0x30 || $0 == 0x31 }
    default: return run(at, { $0 == 0x30 })
    }
    let end = run(at + 1, digits)
    return end > at + 2 ? end : at + 1
  }

  /// Where digits of a kind end that follow byte `start`, single underscores before them.
  private func run(_ start: Int, _ isDigit: (UInt8) -> Bool) -> Int {
    var end = start + 1
    while let next = byte(end) {
      if isDigit(next) {
        end += 1
      } else if next == UInt8(ascii: "_"), let digit = byte(end + 1), isDigit(digit) {
        end += 2
      } else {
        break
      }
    }
    return end
  }
}

/// Escapes in texts, as Python's literals have them.
enum StringEscapes {
  static func resolved(_ text: Text) throws(Fault) -> Text {
    guard text.bytes.contains(UInt8(ascii: "\\")) else { return text }
    var out = Text()
    var at = 0
    while at < text.bytes.count {
      let scalar = text.next(&at)
      guard scalar == "\\", at < text.bytes.count else {
        out.append(scalar)
        continue
      }
      let letter = text.next(&at)
      switch letter {
      case "\n": break
      case "\\", "'", "\"": out.append(letter)
      case "a": out.append("\u{7}")
      case "b": out.append("\u{8}")
      case "f": out.append("\u{C}")
      case "n": out.append("\n")
      case "r": out.append("\r")
      case "t": out.append("\t")
      case "v": out.append("\u{B}")
      case "0"..."7":
        var value = letter.value - 0x30
        var count = 1
        while count < 3, at < text.bytes.count, text.bytes[at] >= 0x30, text.bytes[at] <= 0x37 {
          value = value * 8 + UInt32(text.bytes[at]) - 0x30
          at += 1
          count += 1
        }
        out.append(Unicode.Scalar(value)!)
      case "x": out.append(try hexadecimal(2, text, &at))
      case "u": out.append(try hexadecimal(4, text, &at))
      case "U": out.append(try hexadecimal(8, text, &at))
      case "N": throw Fault(expected: "characters by their numbers", found: "one by its name, \\N{…}")
      default:
        out.append("\\")
        // Python has escaped what is not ASCII before it looks for escapes.
        if letter.isASCII { out.append(letter) } else { out.append(String(letter.escaped.dropFirst())) }
      }
    }
    return out
  }

  private static func hexadecimal(_ count: Int, _ text: Text, _ at: inout Int) throws(Fault) -> Unicode.Scalar
  {
    let digits = Text(text.bytes[at...].prefix(count))
    guard digits.bytes.count == count, digits.isAll(\.properties.isASCIIHexDigit),
      let scalar = UInt32(digits.string, radix: 16).flatMap({ Unicode.Scalar($0) })
    else {
      throw Fault(
        expected: "\(count) hexadecimal digits of a character behind '\\'", found: "'\(digits.string)'")
    }
    at += count
    return scalar
  }
}
