/// Numbers in decimal, as Python writes them.
enum FloatText {
  /// The shortest digits that read back equal, as `repr` has them.
  static func shortest(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    let sign = value.sign == .minus ? "-" : ""
    if value == 0 { return sign + "0.0" }
    let (digits, point) = shortestDigits(value.magnitude)
    // Digits with the point behind the first: the exponent of ten is `point - 1`.
    if point > 16 || point < -3 {
      return sign + withPoint(digits, 1, padding: false) + exponent(point - 1)
    }
    return sign + withPoint(digits, point, padding: true)
  }

  /// The shortest digits of a positive number, and how many of them stand before the point.
  static func shortestDigits(_ value: Double) -> (digits: [UInt8], point: Int) {
    var digits: [UInt8] = []
    var point: Int?
    var power = 0
    var rest = "\(value)".utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: ".") {
        point = digits.count
      } else if byte == UInt8(ascii: "e") {
        power = Int(String(Substring(rest)))!
        break
      } else {
        digits.append(byte)
      }
    }
    var before = (point ?? digits.count) + power
    while digits.first == UInt8(ascii: "0") {
      digits.removeFirst()
      before -= 1
    }
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }
    return (digits, before)
  }

  /// `digits` with the point behind `before` of them, zeros filled in.
  /// - Parameter padding: whether a whole number ends in `.0`.
  private static func withPoint(_ digits: [UInt8], _ before: Int, padding: Bool) -> String {
    var whole: [UInt8] = []
    var fraction: [UInt8] = []
    if before <= 0 {
      whole = [UInt8(ascii: "0")]
      fraction = [UInt8](repeating: UInt8(ascii: "0"), count: -before) + digits
    } else {
      whole = Array(digits.prefix(before))
      whole += [UInt8](repeating: UInt8(ascii: "0"), count: before - whole.count)
      fraction = Array(digits.dropFirst(before))
    }
    if fraction.isEmpty && padding { fraction = [UInt8(ascii: "0")] }
    let text = String(decoding: whole, as: UTF8.self)
    return fraction.isEmpty ? text : text + "." + String(decoding: fraction, as: UTF8.self)
  }

  /// `e+07`, `e-123`.
  static func exponent(_ value: Int, letter: String = "e") -> String {
    let digits = String(value.magnitude)
    return letter + (value < 0 ? "-" : "+") + (digits.utf8.count < 2 ? "0" + digits : digits)
  }

  /// The magnitude of a finite number with `places` digits behind the point, ties to even: exact.
  static func fixed(_ value: Double, places: Int) -> String {
    let digits = scaled(value, tens: places).decimal
    guard places > 0 else { return digits }
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.utf8.count)) + digits
    return String(padded.dropLast(places)) + "." + String(padded.suffix(places))
  }

  /// The magnitude of a finite number as `count` digits, the first not zero unless the number is, and the
  /// exponent of ten of the first.
  static func significant(_ value: Double, count: Int) -> (digits: String, exponent: Int) {
    if value == 0 { return (String(repeating: "0", count: count), 0) }
    var power = shortestDigits(value.magnitude).point - 1
    var digits = scaled(value, tens: count - 1 - power).decimal
    if digits.utf8.count != count {
      // Rounding has gone past a power of ten, here or in the shortest digits.
      power += digits.utf8.count > count ? 1 : -1
      digits = scaled(value, tens: count - 1 - power).decimal
    }
    return (digits, power)
  }

  /// The magnitude of `value` times 10^`tens`, rounded to an integer, ties to even.
  private static func scaled(_ value: Double, tens: Int) -> BigInt {
    let significand =
      value.magnitude.isNormal
      ? value.significandBitPattern | 1 << 52 : value.significandBitPattern
    let exponent = value.magnitude.isNormal ? Int(value.magnitude.exponent) - 52 : -1074
    var numerator = BigInt(isNegative: false, magnitude: significand)
    var denominator = BigInt(1)
    if exponent > 0 { numerator = numerator.shifted(left: exponent) }
    if exponent < 0 { denominator = denominator.shifted(left: -exponent) }
    let power = powerOfTen(abs(tens))
    if tens >= 0 { numerator = numerator * power } else { denominator = denominator * power }
    let (quotient, remainder) = divide(numerator, denominator)
    let twice = remainder.shifted(left: 1)
    let roundsUp = twice > denominator || twice == denominator && quotient.isOdd
    return roundsUp ? quotient + BigInt(1) : quotient
  }

  /// Division where the divisor is often a power of two.
  private static func divide(_ a: BigInt, _ b: BigInt) -> (BigInt, BigInt) {
    let bits = b.bitWidth - 1
    if b == BigInt(1).shifted(left: bits) {
      let (quotient, _) = a.shifted(right: bits)
      return (quotient, a - quotient.shifted(left: bits))
    }
    return a.dividedMagnitude(by: b)
  }

  private static func powerOfTen(_ exponent: Int) -> BigInt {
    var result = BigInt(1)
    for _ in 0..<(exponent / 9) { result = result * BigInt(1_000_000_000) }
    for _ in 0..<(exponent % 9) { result = result * BigInt(10) }
    return result
  }
}
