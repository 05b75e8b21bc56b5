/// `text % values`: formatting as `printf` has it.
struct PercentFormat {
  private let format: Text
  private let values: Value
  private let run: Rendering
  private var used = 0

  private struct Conversion {
    var flags: Set<UInt8> = []
    var width = 0
    var precision: Int?
    var isLeft: Bool { flags.contains(UInt8(ascii: "-")) }
    var isAlternate: Bool { flags.contains(UInt8(ascii: "#")) }
  }

  init(_ format: Text, _ values: Value, _ run: Rendering) {
    self.format = format
    self.values = values
    self.run = run
  }

  func expanded() throws(Fault) -> Text {
    var copy = self
    return try copy.expand()
  }

  private func wrong(_ found: String) -> Fault {
    Fault(expected: "a text with conversions behind %, for formatting", found: found)
  }

  /// Whether values are taken by name.
  private var isMapping: Bool {
    switch values {
    case .dict, .list, .undefined: true
    case .object(let object): object is RangeObject
    default: false
    }
  }

  private mutating func next() throws(Fault) -> Value {
    if case .tuple(let list) = values {
      guard used < list.items.count else { throw wrong("more conversions than values") }
      used += 1
      return list.items[used - 1]
    }
    guard used == 0 else { throw wrong("more conversions than values") }
    used = 1
    return values
  }

  private mutating func expand() throws(Fault) -> Text {
    let bytes = format.bytes
    var out = Text()
    var at = 0
    var hasNames = false
    while at < bytes.count {
      guard bytes[at] == UInt8(ascii: "%") else {
        out.bytes.append(bytes[at])
        at += 1
        continue
      }
      at += 1
      var named: Value?
      if at < bytes.count, bytes[at] == UInt8(ascii: "(") {
        named = try take(named: &at)
        hasNames = true
      }
      let conversion = try conversion(&at)
      while at < bytes.count, Text("hlL").bytes.contains(bytes[at]) { at += 1 }
      guard at < bytes.count else { throw wrong("an incomplete conversion") }
      var end = at
      let letter = format.next(&end)
      at = end
      if letter == "%" {
        out.append("%")
        continue
      }
      let value: Value
      if let named { value = named } else { value = try next() }
      let text = try convert(value, letter, conversion)
      try run.make(bytes: text.bytes.count, after: out.bytes.count)
      out.append(text)
    }
    switch values {
    case .tuple(let list):
      guard used == list.items.count || hasNames else { throw wrong("more values than conversions") }
    default:
      guard used == 1 || isMapping || hasNames else { throw wrong("more values than conversions") }
    }
    return out.marked(format.isMarkup)
  }

  private mutating func take(named at: inout Int) throws(Fault) -> Value {
    var depth = 1
    var end = at + 1
    while end < format.bytes.count {
      if format.bytes[end] == UInt8(ascii: "(") { depth += 1 }
      if format.bytes[end] == UInt8(ascii: ")") { depth -= 1 }
      if depth == 0 { break }
      end += 1
    }
    guard depth == 0 else { throw wrong("'(' without ')'") }
    let name = Text(format.bytes[(at + 1)..<end])
    guard case .dict(let dict) = values else { throw wrong("names, but no dict") }
    guard let value = dict.value(name) else { throw wrong("'\(name.string)', which is not there") }
    at = end + 1
    used = 1
    return value
  }

  private mutating func conversion(_ at: inout Int) throws(Fault) -> Conversion {
    let bytes = format.bytes
    var conversion = Conversion()
    while at < bytes.count, Text("-+ #0").bytes.contains(bytes[at]) {
      conversion.flags.insert(bytes[at])
      at += 1
    }
    if let width = try number(&at) {
      conversion.width = Int(clamping: width.magnitude)
      if width < 0 { conversion.flags.insert(UInt8(ascii: "-")) }
    }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      at += 1
      conversion.precision = max(try number(&at) ?? 0, 0)
    }
    return conversion
  }

  /// Digits, or `*` for a value that is given.
  private mutating func number(_ at: inout Int) throws(Fault) -> Int? {
    if at < format.bytes.count, format.bytes[at] == UInt8(ascii: "*") {
      at += 1
      return try next().asInt("a width")
    }
    var number: Int?
    while at < format.bytes.count, format.bytes[at] >= 0x30, format.bytes[at] <= 0x39 {
      number = (number ?? 0) * 10 + Int(format.bytes[at] - 0x30)
      guard number! < 1 << 31 else { throw wrong("a width of 2^31 or more") }
      at += 1
    }
    return number
  }

  private func convert(_ value: Value, _ letter: Unicode.Scalar, _ conversion: Conversion)
    throws(Fault) -> Text
  {
    var text: Text
    switch letter {
    case "s", "r", "a":
      if format.isMarkup {
        text = letter == "s" ? try value.escaped(run) : try value.representation(run).escaped
      } else {
        text = letter == "s" ? try value.printed(run) : try value.representation(run)
      }
      if letter == "a" { text = text.asciiEscaped }
      text = text.marked(false)
      if let precision = conversion.precision { text = text.codePoints(0..<min(precision, text.count)) }
    case "c":
      if case .text(let own) = value, own.count == 1 {
        text = own
      } else if let code = value.index, let scalar = UInt32(exactly: code).flatMap({ Unicode.Scalar($0) }) {
        text = Text(scalar)
      } else {
        throw wrong("a value of type \(value.typeName) for %c")
      }
    case "d", "i", "u", "x", "X", "o": return try integer(value, letter, conversion)
    case "e", "E", "f", "F", "g", "G": return try float(value, letter, conversion)
    default: throw wrong("%\(Character(letter))")
    }
    return try padded("", text, zeros: false, conversion)
  }

  private func padded(_ head: String, _ body: Text, zeros: Bool, _ conversion: Conversion)
    throws(Fault) -> Text
  {
    let missing = max(conversion.width - (head.utf8.count + body.count), 0)
    var text = Text(head)
    if zeros && !conversion.isLeft {
      text.append(try body.padded(left: missing, right: 0, "0", run))
      return text
    }
    text.append(body)
    return try text.padded(
      left: conversion.isLeft ? 0 : missing, right: conversion.isLeft ? missing : 0, " ", run)
  }

  private func sign(_ isNegative: Bool, _ conversion: Conversion) -> String {
    if isNegative { return "-" }
    if conversion.flags.contains(UInt8(ascii: "+")) { return "+" }
    return conversion.flags.contains(UInt8(ascii: " ")) ? " " : ""
  }

  private func integer(_ value: Value, _ letter: Unicode.Scalar, _ conversion: Conversion)
    throws(Fault) -> Text
  {
    let isDecimal = letter == "d" || letter == "i" || letter == "u"
    let number: BigInt
    switch Number(value) {
    case .float(let float) where isDecimal && float.isFinite: number = BigInt(float)
    case .some(let some) where some.integer != nil: number = some.integer!
    default:
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw wrong("a value of type \(value.typeName) for %\(Character(letter))")
    }
    var digits = Text(
      isDecimal ? try number.magnitude.printed(run) : number.digits(radix: letter == "o" ? 8 : 16))
    if letter == "X" { digits = digits.uppercased }
    if let precision = conversion.precision {
      digits = try digits.padded(left: precision - digits.bytes.count, right: 0, "0", run)
    }
    let prefix = conversion.isAlternate && !isDecimal ? "0" + String(Character(letter)) : ""
    return try padded(
      sign(number.isNegative, conversion) + prefix, digits,
      zeros: conversion.flags.contains(UInt8(ascii: "0")), conversion)
  }

  private func float(_ value: Value, _ letter: Unicode.Scalar, _ conversion: Conversion)
    throws(Fault) -> Text
  {
    let number: Double
    switch Number(value) {
    case .float(let float): number = float
    case .some(let some):
      number = some.integer!.double
      guard number.isFinite else { throw wrong("an integer that no float is as large as") }
    case nil:
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw wrong("a value of type \(value.typeName) for %\(Character(letter))")
    }
    let places = conversion.precision ?? 6
    guard places <= 5000 else { throw wrong("a precision above 5000") }
    try run.spend(64 + places * places >> 10)
    var digits: String
    if !number.isFinite {
      digits = number.isNaN ? "nan" : "inf"
    } else {
      switch letter {
      case "f", "F":
        digits = FloatText.fixed(number, places: places) + (conversion.isAlternate && places == 0 ? "." : "")
      case "e", "E":
        digits = FloatText.scientific(number, places: places, keepsPoint: conversion.isAlternate)
      default:
        digits = FloatText.general(
          number, max(places, 1), keepsZeros: conversion.isAlternate, keepsPoint: false)
      }
    }
    if letter == "E" || letter == "F" || letter == "G" { digits = digits.uppercased() }
    return try padded(
      sign(number.sign == .minus && !number.isNaN, conversion), Text(digits),
      zeros: conversion.flags.contains(UInt8(ascii: "0")), conversion)
  }
}
