#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Operators of expressions that take two values.
enum BinaryOperator: String, Sendable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case divideDown = "//"
  case remainder = "%"
  case power = "**"

  func apply(_ a: Value, _ b: Value, _ run: Rendering) throws(Fault) -> Value {
    try run.spend(1)
    // The commonest: texts that are joined.
    if self == .add, case .text(let x) = a, case .text(let y) = b { return try x.plus(y, run) }
    if case .undefined(let undefined) = a { throw undefined.fault }
    if case .undefined(let undefined) = b, self != .remainder || a.text == nil { throw undefined.fault }
    if let x = Number(a), let y = Number(b) { return try number(x, y, run) }
    switch (self, a, b) {
    case (.add, .list(let x), .list(let y)):
      try run.spend((x.items.count + y.items.count) >> 1)
      return try run.list(x.items + y.items)
    case (.add, .tuple(let x), .tuple(let y)): return try run.tuple(x.items + y.items)
    case (.multiply, _, _):
      if let product = try repeated(a, b, run) { return product }
      if let product = try repeated(b, a, run) { return product }
    case (.remainder, .text(let format), _): return .text(try PercentFormat(format, b, run).expanded())
    default: break
    }
    throw Fault(
      expected: "values that \(rawValue) takes", found: "\(a.typeName) \(rawValue) \(b.typeName)")
  }

  private func repeated(_ value: Value, _ times: Value, _ run: Rendering) throws(Fault) -> Value? {
    guard let count = times.index.map({ max($0, 0) }) else { return nil }
    switch value {
    case .text(let text):
      try run.make(count, of: text.bytes.count)
      var out = Text([], isMarkup: text.isMarkup)
      if !text.isEmpty { for _ in 0..<count { out.append(text) } }
      return .text(out)
    case .list(let list), .tuple(let list):
      var items: [Value] = []
      if !list.items.isEmpty {
        let (total, overflow) = count.multipliedReportingOverflow(by: list.items.count)
        try run.spend(overflow ? run.limits.steps : total >> 1)
        for _ in 0..<count { items += list.items }
      }
      if case .list = value { return try run.list(items) }
      return try run.tuple(items)
    default: return nil
    }
  }

  private func number(_ a: Number, _ b: Number, _ run: Rendering) throws(Fault) -> Value {
    if case .int(let x) = a, case .int(let y) = b, let result = small(x, y) { return result }
    if self != .divide, self != .power, let x = a.integer, let y = b.integer {
      return try integer(x, y, run)
    }
    switch self {
    case .divide:
      if let x = a.integer, let y = b.integer { return .float(try BinaryOperator.quotient(x, y)) }
    case .power:
      if let x = a.integer, let y = b.integer, !y.isNegative {
        return .integer(try BinaryOperator.power(x, y, run))
      }
    default: break
    }
    return .float(try float(try a.double(), try b.double()))
  }

  /// Where the result fits without doubt.
  private func small(_ x: Int, _ y: Int) -> Value? {
    let (value, overflow) =
      switch self {
      case .add: x.addingReportingOverflow(y)
      case .subtract: x.subtractingReportingOverflow(y)
      case .multiply: x.multipliedReportingOverflow(by: y)
      default: (0, true)
      }
    return overflow ? nil : .int(value)
  }

  private func integer(_ x: BigInt, _ y: BigInt, _ run: Rendering) throws(Fault) -> Value {
    try run.spend((x.limbs.count * y.limbs.count) >> 4)
    let value: BigInt
    switch self {
    case .add: value = x + y
    case .subtract: value = x - y
    case .multiply: value = x * y
    default:
      guard !y.isZero else { throw BinaryOperator.zero }
      let (quotient, remainder) = x.dividedDown(by: y)
      return .integer(self == .divideDown ? quotient : remainder)
    }
    try BinaryOperator.check(bits: value.bitWidth)
    return .integer(value)
  }

  private static var zero: Fault { Fault(expected: "a divisor that is not 0", found: "0") }

  /// Bits of the largest integers; those that Python would print have fewer.
  private static func check(bits: Int) throws(Fault) {
    guard bits <= 16_384 else {
      throw Fault(expected: "integers of at most 16384 bits", found: "a larger one")
    }
  }

  private static func power(_ base: BigInt, _ exponent: BigInt, _ run: Rendering) throws(Fault) -> BigInt {
    if exponent.isZero || base == BigInt(1) { return BigInt(1) }
    if base.isZero { return base }
    if base == BigInt(-1) { return exponent.isOdd ? base : BigInt(1) }
    guard let times = exponent.int, times <= 16_384 else {
      throw Fault(expected: "integers of at most 16384 bits", found: "a larger one")
    }
    try check(bits: (base.bitWidth - 1) * times)
    var result = BigInt(1)
    var square = base
    var left = times
    while true {
      try run.spend(1 + (square.limbs.count * square.limbs.count) >> 4)
      if left & 1 == 1 { result = result * square }
      left >>= 1
      if left == 0 { return result }
      square = square * square
    }
  }

  /// The quotient of two integers, correctly rounded.
  static func quotient(_ x: BigInt, _ y: BigInt) throws(Fault) -> Double {
    guard !y.isZero else { throw zero }
    if let a = x.int, let b = y.int, a.magnitude < 1 << 53, b.magnitude < 1 << 53 {
      return Double(a) / Double(b)
    }
    if x.isZero { return 0 }
    // Scaled so that the quotient has 66 bits or so; a bit that stands for the remainder rounds it right.
    let shift = y.bitWidth - x.bitWidth + 66
    let numerator = shift > 0 ? x.magnitude.shifted(left: shift) : x.magnitude
    let denominator = shift < 0 ? y.magnitude.shifted(left: -shift) : y.magnitude
    var (quotient, remainder) = numerator.dividedMagnitude(by: denominator)
    quotient = quotient.shifted(left: 1)
    if !remainder.isZero { quotient = quotient + BigInt(1) }
    // Below the normal range this would round twice; integers do not get there unless one is huge.
    let value = Double(sign: .plus, exponent: -shift - 1, significand: quotient.double)
    guard value.isFinite else { throw Fault(expected: "a quotient that fits a float", found: "a larger one") }
    return x.isNegative != y.isNegative ? -value : value
  }

  private func float(_ x: Double, _ y: Double) throws(Fault) -> Double {
    switch self {
    case .add: return x + y
    case .subtract: return x - y
    case .multiply: return x * y
    case .divide:
      guard y != 0 else { throw BinaryOperator.zero }
      return x / y
    case .divideDown, .remainder:
      guard y != 0 else { throw BinaryOperator.zero }
      let (quotient, remainder) = BinaryOperator.dividedDown(x, y)
      return self == .divideDown ? quotient : remainder
    case .power: return try BinaryOperator.power(x, y)
    }
  }

  private static func dividedDown(_ x: Double, _ y: Double) -> (quotient: Double, remainder: Double) {
    var remainder = fmod(x, y)
    var quotient = (x - remainder) / y
    if remainder != 0 {
      if (y < 0) != (remainder < 0) {
        remainder += y
        quotient -= 1
      }
    } else {
      remainder = Double(signOf: y, magnitudeOf: 0)
    }
    if quotient != 0 {
      let floor = quotient.rounded(.down)
      quotient = quotient - floor > 0.5 ? floor + 1 : floor
    } else {
      quotient = Double(signOf: x / y, magnitudeOf: 0)
    }
    return (quotient, remainder)
  }

  private static func power(_ x: Double, _ y: Double) throws(Fault) -> Double {
    if x == 0 && y < 0 { throw zero }
    if x < 0 && x.isFinite && y.isFinite && y.rounded() != y {
      throw Fault(expected: "a real power", found: "one that is complex")
    }
    let value = pow(x, y)
    guard value.isFinite || !x.isFinite || !y.isFinite else {
      throw Fault(expected: "a power that fits a float", found: "a larger one")
    }
    return value
  }
}

extension Number {
  /// - Throws: for integers that no float is as large as.
  func double() throws(Fault) -> Double {
    switch self {
    case .int(let value): return Double(value)
    case .float(let value): return value
    case .big(let value):
      let double = value.double
      guard double.isFinite else {
        throw Fault(expected: "an integer that fits a float", found: "a larger one")
      }
      return double
    }
  }
}

extension Text {
  /// `+`: joined, where text that is joined to markup is escaped.
  func plus(_ other: Text, _ run: Rendering) throws(Fault) -> Value {
    let isMarkup = isMarkup || other.isMarkup
    try run.make(bytes: other.bytes.count, after: bytes.count)
    try run.spend(bytes: bytes.count)
    var out = isMarkup ? escaped : self
    out.append(isMarkup ? other.escaped : other)
    return .text(out.marked(isMarkup))
  }
}
