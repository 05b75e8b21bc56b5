extension Value {
  /// `format(value, spec)` of Python.
  func formatted(_ spec: Text, _ run: Rendering) throws(Fault) -> Text {
    try run.spend(1)
    switch self {
    case .text(let text):
      if spec.isEmpty { return text.marked(false) }
      return try FormatSpec(spec).text(text, run)
    case .bool where spec.isEmpty: return try printed(run)
    case .bool, .int, .big: return try FormatSpec(spec).integer(Number(self)!, run)
    case .float(let value):
      if spec.isEmpty { return Text(FloatText.shortest(value)) }
      return try FormatSpec(spec).float(value, run)
    default:
      guard spec.isEmpty else {
        throw Fault(expected: "no format specification for a value of type \(typeName)", found: spec.string)
      }
      return try printed(run)
    }
  }
}

extension FormatSpec {
  private func unknown(_ type: String) -> Fault {
    Fault(
      expected: "a format that \(type) has",
      found: self.type.map { "'\(Character(Unicode.Scalar($0)))'" } ?? "another")
  }

  fileprivate func text(_ text: Text, _ run: Rendering) throws(Fault) -> Text {
    guard type == nil || type == UInt8(ascii: "s"), sign == UInt8(ascii: "-"), !isAlternate, grouping == nil,
      !coercesZero
    else { throw unknown("str") }
    guard align != UInt8(ascii: "=") else { throw unknown("str") }
    let body = precision.map { text.codePoints(0..<min($0, text.count)) } ?? text.marked(false)
    return try filled("", body, align ?? UInt8(ascii: "<"), run)
  }

  private func signText(_ isNegative: Bool) -> String {
    isNegative ? "-" : sign == UInt8(ascii: "-") ? "" : String(Unicode.Scalar(sign))
  }

  fileprivate func integer(_ number: Number, _ run: Rendering) throws(Fault) -> Text {
    let value = number.integer!
    var digits: String
    var prefix = ""
    var every = 4
    switch type.map({ Unicode.Scalar($0) }) {
    case nil, "d", "n":
      digits = try value.magnitude.printed(run)
      every = 3
    case "b":
      (digits, prefix) = (value.digits(radix: 2), "0b")
    case "o": (digits, prefix) = (value.digits(radix: 8), "0o")
    case "x": (digits, prefix) = (value.digits(radix: 16), "0x")
    case "X": (digits, prefix) = (value.digits(radix: 16).uppercased(), "0X")
    case "c":
      guard let code = value.int, let scalar = UInt32(exactly: code).flatMap({ Unicode.Scalar($0) }),
        sign == UInt8(ascii: "-"), !isAlternate, grouping == nil, precision == nil
      else { throw unknown("int") }
      return try filled("", Text(scalar), align ?? UInt8(ascii: ">"), run)
    case "e", "E", "f", "F", "g", "G", "%":
      let double = value.double
      guard double.isFinite else {
        throw Fault(expected: "an integer that fits a float", found: "a larger one")
      }
      return try float(double, run)
    default: throw unknown("int")
    }
    guard precision == nil, !coercesZero else { throw unknown("int") }
    if grouping == UInt8(ascii: ",") && every == 4 { throw unknown("int") }
    if grouping != nil && type == UInt8(ascii: "n") { throw unknown("int") }
    return try laidOut(
      sign: signText(value.isNegative), prefix: isAlternate ? prefix : "", digits: digits, every: every, run)
  }

  fileprivate func float(_ value: Double, _ run: Rendering) throws(Fault) -> Text {
    if let precision { try run.make(bytes: precision) }
    if let precision, precision > 5000 {
      throw Fault(expected: "a precision of at most 5000", found: "\(precision)")
    }
    var digits: String
    if value.isFinite {
      try run.spend(64 + (precision ?? 0) * (precision ?? 0) >> 10)
      digits = try magnitude(value)
    } else {
      guard type == nil || Text("eEfFgGn%").bytes.contains(type!) else { throw unknown("float") }
      digits = value.isNaN ? "nan" : "inf"
      if let type, Text("EFG").bytes.contains(type) { digits = digits.uppercased() }
      if type == UInt8(ascii: "%") { digits += "%" }
    }
    if grouping != nil && type == UInt8(ascii: "n") { throw unknown("float") }
    var isNegative = value.sign == .minus && !value.isNaN
    if coercesZero && !digits.utf8.contains(where: { $0 >= 0x31 && $0 <= 0x39 }) { isNegative = false }
    return try laidOut(sign: signText(isNegative), digits: digits, run)
  }

  private func magnitude(_ value: Double) throws(Fault) -> String {
    let places = precision ?? 6
    switch type.map({ Unicode.Scalar($0) }) {
    case nil:
      guard let precision else { return FloatText.shortest(value.magnitude) }
      return FloatText.general(value, max(precision, 1), keepsZeros: isAlternate, keepsPoint: true)
    case "f", "F":
      return FloatText.fixed(value, places: places) + (isAlternate && places == 0 ? "." : "")
    case "%":
      let percent = value * 100
      guard percent.isFinite else { return "inf%" }
      return FloatText.fixed(percent, places: places) + (isAlternate && places == 0 ? "." : "") + "%"
    case "e", "E":
      let text = FloatText.scientific(value, places: places, keepsPoint: isAlternate)
      return type == UInt8(ascii: "E") ? text.uppercased() : text
    case "g", "G", "n":
      let text = FloatText.general(value, max(places, 1), keepsZeros: isAlternate, keepsPoint: false)
      return type == UInt8(ascii: "G") ? text.uppercased() : text
    default: throw unknown("float")
    }
  }
}

extension FloatText {
  /// `1.5e+07`
  static func scientific(_ value: Double, places: Int, keepsPoint: Bool = false) -> String {
    let (digits, power) = significant(value, count: places + 1)
    var text = String(digits.prefix(1))
    if places > 0 || keepsPoint { text += "." }
    return text + digits.dropFirst() + exponent(power)
  }

  /// `count` significant digits, with an exponent where the number is very large or small.
  ///
  /// - Parameters:
  ///   - keepsZeros: whether zeros at the end stay.
  ///   - keepsPoint: whether a whole number ends in `.0`, for which a digit must be left.
  static func general(_ value: Double, _ count: Int, keepsZeros: Bool, keepsPoint: Bool) -> String {
    let (digits, power) = significant(value, count: count)
    if power < -4 || power + 1 > count - (keepsPoint ? 1 : 0) {
      var mantissa = digits
      if !keepsZeros { while mantissa.utf8.count > 1 && mantissa.hasSuffix("0") { mantissa.removeLast() } }
      let rest = mantissa.dropFirst()
      return mantissa.prefix(1) + (rest.isEmpty && !keepsZeros ? "" : ".") + rest + exponent(power)
    }
    var text = fixed(value, places: max(count - 1 - power, 0))
    if text.contains(".") {
      if !keepsZeros {
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
      }
    } else if keepsZeros {
      text += "."
    }
    if keepsPoint && !text.contains(".") { text += ".0" }
    if keepsPoint && text.hasSuffix(".") { text += "0" }
    return text
  }
}
