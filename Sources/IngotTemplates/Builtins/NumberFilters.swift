#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Filters that make numbers.
extension Filters {
  private static func number(_ value: Value, _ name: String) throws(Fault) -> Number {
    guard let number = Number(value) else {
      if case .undefined(let undefined) = value { throw undefined.fault }
      throw Fault(expected: "a number for \(name)", found: "a value of type \(value.typeName)")
    }
    return number
  }

  static let abs: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("abs", [])
    switch try number(value, "abs") {
    case .float(let value): return .float(value.magnitude)
    case .int(let value) where value != .min: return .int(Swift.abs(value))
    case let other: return .integer(other.integer!.magnitude)
    }
  }

  static let int: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("int", ["default", "base"])
    let otherwise = values[0] ?? .int(0)
    switch value {
    case .bool, .int, .big: return .integer(Number(value)!.integer!)
    case .float(let value):
      if value.isNaN { return otherwise }
      guard value.isFinite else { throw Fault(expected: "a finite number for int", found: "an infinite one") }
      return .integer(BigInt(value))
    case .text(let text):
      try run.spend(slow: text.bytes.count)
      let digits = Swift.min(text.bytes.count, BigInt.mostDigits)
      try run.spend(digits * digits >> 10)
      let base = try values[1]?.asInt("a base") ?? 10
      if base == 0 || (2...36).contains(base), let integer = text.pythonInteger(base: base) {
        return .integer(integer)
      }
      if let float = text.pythonFloat, float.isFinite { return .integer(BigInt(float)) }
      return otherwise
    case .undefined(let undefined): throw undefined.fault
    default: return otherwise
    }
  }

  static let float: Filter = { (value, arguments, run) throws(Fault) in
    let otherwise = try arguments.bound("float", ["default"])[0] ?? .float(0)
    if let number = Number(value) { return .float(try number.double()) }
    if case .undefined(let undefined) = value { throw undefined.fault }
    guard case .text(let text) = value else { return otherwise }
    try run.spend(slow: text.bytes.count)
    return text.pythonFloat.map { .float($0) } ?? otherwise
  }

  static let round: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("round", ["precision", "method"])
    let precision = values[0] ?? .int(0)
    guard case .text(let method) = values[1] ?? .text("common"),
      method == "common" || method == "ceil" || method == "floor"
    else { throw Fault(expected: "a method of common, ceil or floor", found: "another") }
    let number = try number(value, "round")
    if method == "common" { return try rounded(number, precision, run) }
    // value × 10^precision, rounded, ÷ 10^precision, with the types that Python's operators give.
    let power = try BinaryOperator.power.apply(.int(10), precision, run)
    let product = try BinaryOperator.multiply.apply(value, power, run)
    let whole: BigInt
    switch Number(product)! {
    case .float(let float):
      guard float.isFinite else { throw Fault(expected: "a finite number to round", found: "another") }
      whole = BigInt(method == "ceil" ? float.rounded(.up) : float.rounded(.down))
    case let other: whole = other.integer!
    }
    return try BinaryOperator.divide.apply(.integer(whole), power, run)
  }

  /// `round(number, places)` of Python: to even where two are as near.
  private static func rounded(_ number: Number, _ precision: Value, _ run: Rendering) throws(Fault) -> Value {
    if precision.isNull {
      guard case .float(let value) = number else { return .integer(number.integer!) }
      guard value.isFinite else { throw Fault(expected: "a finite number to round", found: "another") }
      return .integer(BigInt(value.rounded(.toNearestOrEven)))
    }
    let places = try precision.asInt("a precision")
    guard case .float(let value) = number else {
      let integer = number.integer!
      if places >= 0 { return .integer(integer) }
      guard places > -BigInt.mostDigits else { return .int(0) }
      guard case .int(let power)? = try? BinaryOperator.power.apply(.int(10), .int(-places), run) else {
        return .int(0)
      }
      let (down, rest) = integer.dividedDown(by: BigInt(power))
      let twice = rest + rest
      let goesUp = twice > BigInt(power) || twice == BigInt(power) && down.isOdd
      return .integer((goesUp ? down + BigInt(1) : down) * BigInt(power))
    }
    if !value.isFinite || places > 323 { return .float(value) }
    if places < -308 { return .float(value.sign == .minus ? -0.0 : 0) }
    try run.spend(64)
    // Exact digits, then the nearest number to them.
    let zeros = String(repeating: "0", count: Swift.max(-places, 0))
    let magnitude = Double(FloatText.fixed(value, places: places) + zeros)!
    guard magnitude.isFinite else {
      throw Fault(expected: "a rounded number that fits", found: "a larger one")
    }
    return .float(value.sign == .minus ? -magnitude : magnitude)
  }
}

extension Text {
  /// What `int(text, base)` of Python reads; nil where it refuses.
  /// - Parameter base: 0 where a prefix decides.
  func pythonInteger(base: Int) -> BigInt? {
    var scalars = stripped().scalars[...]
    var isNegative = false
    if let first = scalars.first, first == "-" || first == "+" {
      isNegative = first == "-"
      scalars.removeFirst()
    }
    var base = base
    if scalars.first == "0", scalars.count > 1 {
      let letter = scalars[scalars.startIndex + 1]
      let named: Int? =
        switch letter {
        case "x", "X": 16
        case "o", "O": 8
        case "b", "B": 2
        default: nil
        }
      if let named, base == 0 || base == named {
        base = named
        scalars = scalars.dropFirst(2)
        if scalars.first == "_" { scalars.removeFirst() }
      } else if base == 0 {
        // Zeros in front mean nothing but are no longer allowed, except in zero.
        guard scalars.allSatisfy({ $0 == "0" || $0 == "_" }) else { return nil }
      }
    }
    if base == 0 { base = 10 }
    var digits: [Int] = []
    var follows = false
    for scalar in scalars {
      if scalar == "_" {
        guard follows else { return nil }
        follows = false
        continue
      }
      guard let digit = scalar.decimalValue ?? scalar.letterDigit, digit < base else { return nil }
      digits.append(digit)
      follows = true
    }
    guard follows, digits.count <= BigInt.mostDigits else { return nil }
    return BigInt(isNegative: isNegative, digits: digits, radix: base)
  }

  /// What `float(text)` of Python reads; nil where it refuses.
  var pythonFloat: Double? {
    var plain = ""
    var follows = false
    let trimmed = stripped().scalars
    for (index, scalar) in trimmed.enumerated() {
      if scalar == "_" {
        guard follows, index + 1 < trimmed.count, trimmed[index + 1].decimalValue != nil else { return nil }
        follows = false
      } else if let digit = scalar.decimalValue {
        plain += String(digit)
        follows = true
      } else {
        guard scalar.isASCII else { return nil }
        plain.unicodeScalars.append(scalar)
        follows = false
      }
    }
    let lower = plain.lowercased()
    let bare = lower.hasPrefix("-") || lower.hasPrefix("+") ? String(lower.dropFirst()) : lower
    let sign: Double = lower.hasPrefix("-") ? -1 : 1
    switch bare {
    case "inf", "infinity": return sign * .infinity
    case "nan": return .nan
    default: break
    }
    let allowed = bare.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 || Text(".e+-").bytes.contains($0) }
    guard allowed, bare.utf8.contains(where: { $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    guard let value = Double(bare.hasPrefix(".") ? "0" + bare : bare) else { return nil }
    guard let first = bare.utf8.first, first != UInt8(ascii: "e"), first != UInt8(ascii: "-"),
      first != UInt8(ascii: "+")
    else { return nil }
    return sign * value
  }
}

extension Unicode.Scalar {
  /// 10 to 35 for a letter of the Latin alphabet.
  var letterDigit: Int? {
    let lower = value | 0x20
    return lower >= 0x61 && lower <= 0x7A ? Int(lower) - 0x61 + 10 : nil
  }
}
