/// An integer of any size: sign and magnitude, 32 bits a limb, the lowest first.
struct BigInt: Hashable, Sendable {
  var isNegative: Bool
  /// No leading zeros; zero has no limbs.
  var limbs: [UInt32]

  init(isNegative: Bool = false, limbs: [UInt32]) {
    self.limbs = limbs
    while self.limbs.last == 0 { self.limbs.removeLast() }
    self.isNegative = isNegative && !self.limbs.isEmpty
  }

  init(_ value: Int) { self.init(isNegative: value < 0, magnitude: UInt64(value.magnitude)) }

  init(isNegative: Bool = false, magnitude: UInt64) {
    self.init(
      isNegative: isNegative,
      limbs: [UInt32(truncatingIfNeeded: magnitude), UInt32(truncatingIfNeeded: magnitude >> 32)])
  }

  /// The integer part of a finite number.
  init(_ value: Double) {
    let magnitude = value.magnitude.rounded(.towardZero)
    if magnitude < 1 {
      self.init(0)
      return
    }
    let exponent = Int(magnitude.exponent) - 52
    let significand = magnitude.significandBitPattern | 1 << 52
    if exponent <= 0 {
      self.init(isNegative: value < 0, magnitude: significand >> UInt64(-exponent))
    } else {
      self = BigInt(isNegative: value < 0, magnitude: significand).shifted(left: exponent)
    }
  }

  /// - Parameter digits: values below `radix`, the highest first.
  init(isNegative: Bool = false, digits: some Sequence<Int>, radix: Int) {
    var limbs: [UInt32] = []
    for digit in digits {
      var carry = UInt64(digit)
      for index in limbs.indices {
        carry += UInt64(limbs[index]) * UInt64(radix)
        limbs[index] = UInt32(truncatingIfNeeded: carry)
        carry >>= 32
      }
      if carry > 0 { limbs.append(UInt32(carry)) }
    }
    self.init(isNegative: isNegative, limbs: limbs)
  }

  var isZero: Bool { limbs.isEmpty }
  var isOdd: Bool { limbs.first.map { $0 & 1 == 1 } ?? false }
  var magnitude: BigInt { BigInt(limbs: limbs) }

  var bitWidth: Int {
    limbs.last.map { limbs.count * 32 - $0.leadingZeroBitCount } ?? 0
  }

  /// The value, where it fits.
  var int: Int? {
    guard limbs.count <= 2 else { return nil }
    let low = UInt64(limbs.first ?? 0) | UInt64(limbs.count > 1 ? limbs[1] : 0) << 32
    if isNegative { return low <= 1 << 63 ? Int(truncatingIfNeeded: 0 &- low) : nil }
    return Int(exactly: low)
  }

  func shifted(left bits: Int) -> BigInt {
    var result = [UInt32](repeating: 0, count: bits / 32)
    let part = UInt64(bits % 32)
    var carry: UInt64 = 0
    for limb in limbs {
      carry |= UInt64(limb) << part
      result.append(UInt32(truncatingIfNeeded: carry))
      carry >>= 32
    }
    result.append(UInt32(carry))
    return BigInt(isNegative: isNegative, limbs: result)
  }

  /// The magnitude without its lowest `bits`, and whether any of these was set.
  func shifted(right bits: Int) -> (BigInt, isInexact: Bool) {
    let whole = bits / 32
    guard whole < limbs.count else { return (BigInt(0), !isZero) }
    let part = UInt64(bits % 32)
    var isInexact = limbs[..<whole].contains { $0 != 0 } || limbs[whole] & (1 << UInt32(part) &- 1) != 0
    if part == 0 { isInexact = limbs[..<whole].contains { $0 != 0 } }
    var result: [UInt32] = []
    for index in whole..<limbs.count {
      let next = index + 1 < limbs.count ? UInt64(limbs[index + 1]) : 0
      result.append(UInt32(truncatingIfNeeded: (UInt64(limbs[index]) | next << 32) >> part))
    }
    return (BigInt(limbs: result), isInexact)
  }

  /// The nearest number, ties to even; infinite when there is none.
  var double: Double {
    let bits = bitWidth
    if bits <= 64 {
      let low = UInt64(limbs.first ?? 0) | UInt64(limbs.count > 1 ? limbs[1] : 0) << 32
      return isNegative ? -Double(low) : Double(low)
    }
    if bits > 1100 { return isNegative ? -.infinity : .infinity }
    // 64 bits, the lowest of which says whether any lower one is set, round as the whole does.
    let (top, isInexact) = shifted(right: bits - 64)
    var high = UInt64(top.limbs[0]) | UInt64(top.limbs[1]) << 32
    if isInexact { high |= 1 }
    let value = Double(sign: .plus, exponent: bits - 64, significand: Double(high))
    return isNegative ? -value : value
  }
}

extension BigInt: Comparable {
  static func < (a: BigInt, b: BigInt) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    let order = compareMagnitudes(a.limbs, b.limbs)
    return a.isNegative ? order > 0 : order < 0
  }

  static func compareMagnitudes(_ a: [UInt32], _ b: [UInt32]) -> Int {
    if a.count != b.count { return a.count < b.count ? -1 : 1 }
    for index in a.indices.reversed() where a[index] != b[index] { return a[index] < b[index] ? -1 : 1 }
    return 0
  }
}

extension BigInt {
  static prefix func - (a: BigInt) -> BigInt { BigInt(isNegative: !a.isNegative, limbs: a.limbs) }

  static func + (a: BigInt, b: BigInt) -> BigInt {
    if a.isNegative == b.isNegative {
      return BigInt(isNegative: a.isNegative, limbs: sum(a.limbs, b.limbs))
    }
    return compareMagnitudes(a.limbs, b.limbs) >= 0
      ? BigInt(isNegative: a.isNegative, limbs: difference(a.limbs, b.limbs))
      : BigInt(isNegative: b.isNegative, limbs: difference(b.limbs, a.limbs))
  }

  static func - (a: BigInt, b: BigInt) -> BigInt { a + -b }

  static func * (a: BigInt, b: BigInt) -> BigInt {
    var result = [UInt32](repeating: 0, count: a.limbs.count + b.limbs.count)
    for i in a.limbs.indices {
      var carry: UInt64 = 0
      for j in b.limbs.indices {
        carry += UInt64(a.limbs[i]) * UInt64(b.limbs[j]) + UInt64(result[i + j])
        result[i + j] = UInt32(truncatingIfNeeded: carry)
        carry >>= 32
      }
      result[i + b.limbs.count] = UInt32(carry)
    }
    return BigInt(isNegative: a.isNegative != b.isNegative, limbs: result)
  }

  /// Quotient and remainder; the quotient is rounded down, so the remainder has the divisor's sign.
  /// - Parameter divisor: not zero.
  func dividedDown(by divisor: BigInt) -> (quotient: BigInt, remainder: BigInt) {
    var (quotient, remainder) = dividedMagnitude(by: divisor)
    quotient = BigInt(isNegative: isNegative != divisor.isNegative, limbs: quotient.limbs)
    remainder = BigInt(isNegative: isNegative, limbs: remainder.limbs)
    if !remainder.isZero && remainder.isNegative != divisor.isNegative {
      quotient = quotient - BigInt(1)
      remainder = remainder + divisor
    }
    return (quotient, remainder)
  }

  /// Quotient and remainder of the magnitudes: long division, limb by limb.
  func dividedMagnitude(by divisor: BigInt) -> (quotient: BigInt, remainder: BigInt) {
    precondition(!divisor.isZero, "callers refuse a division by zero")
    if divisor.limbs.count == 1 {
      let (quotient, remainder) = divided(by: divisor.limbs[0])
      return (quotient, BigInt(isNegative: false, magnitude: UInt64(remainder)))
    }
    guard limbs.count >= divisor.limbs.count else { return (BigInt(0), magnitude) }
    // With the highest bit of the divisor set, the first limbs give a quotient that is at most 2 too large.
    let shift = divisor.limbs[divisor.limbs.count - 1].leadingZeroBitCount
    let below = divisor.magnitude.shifted(left: shift).limbs
    let n = below.count
    var rest = magnitude.shifted(left: shift).limbs
    while rest.count <= limbs.count { rest.append(0) }
    var quotient = [UInt32](repeating: 0, count: rest.count - n)
    for j in quotient.indices.reversed() {
      let top = UInt64(rest[j + n]) << 32 | UInt64(rest[j + n - 1])
      var guess = min(top / UInt64(below[n - 1]), UInt64(UInt32.max))
      while true {
        let left = top - guess * UInt64(below[n - 1])
        if left >> 32 != 0 || guess * UInt64(below[n - 2]) <= left << 32 | UInt64(rest[j + n - 2]) { break }
        guess -= 1
      }
      var carry: UInt64 = 0
      var borrow: Int64 = 0
      for i in 0..<n {
        carry += guess * UInt64(below[i])
        let value = Int64(rest[j + i]) - Int64(carry & 0xFFFF_FFFF) - borrow
        carry >>= 32
        borrow = value < 0 ? 1 : 0
        rest[j + i] = UInt32(truncatingIfNeeded: value)
      }
      let value = Int64(rest[j + n]) - Int64(carry) - borrow
      rest[j + n] = UInt32(truncatingIfNeeded: value)
      if value < 0 {
        guess -= 1
        var sum: UInt64 = 0
        for i in 0..<n {
          sum += UInt64(rest[j + i]) + UInt64(below[i])
          rest[j + i] = UInt32(truncatingIfNeeded: sum)
          sum >>= 32
        }
        rest[j + n] &+= UInt32(sum)
      }
      quotient[j] = UInt32(guess)
    }
    return (BigInt(limbs: quotient), BigInt(limbs: rest).shifted(right: shift).0)
  }

  /// The magnitude divided by one limb.
  func divided(by divisor: UInt32) -> (quotient: BigInt, remainder: UInt32) {
    var quotient = limbs
    var rest: UInt64 = 0
    for index in quotient.indices.reversed() {
      rest = rest << 32 | UInt64(quotient[index])
      quotient[index] = UInt32(rest / UInt64(divisor))
      rest %= UInt64(divisor)
    }
    return (BigInt(limbs: quotient), UInt32(rest))
  }

  /// The digits in base 10, after a minus sign for a negative one.
  var decimal: String {
    var groups: [UInt32] = []
    var rest = magnitude
    while !rest.isZero {
      let (quotient, remainder) = rest.divided(by: 1_000_000_000)
      groups.append(remainder)
      rest = quotient
    }
    var text = isNegative ? "-" : ""
    text += groups.last.map { String($0) } ?? "0"
    for group in groups.dropLast().reversed() {
      let digits = String(group)
      text += String(repeating: "0", count: 9 - digits.count) + digits
    }
    return text
  }

  /// The digits of the magnitude in base 2, 8 or 16.
  func digits(radix: Int) -> String {
    var text: [Character] = []
    var rest = magnitude
    while !rest.isZero {
      let (quotient, remainder) = rest.divided(by: UInt32(radix))
      text.append(Character(String(remainder, radix: radix)))
      rest = quotient
    }
    return text.isEmpty ? "0" : String(text.reversed())
  }

  private static func sum(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    var carry: UInt64 = 0
    for index in 0..<max(a.count, b.count) {
      carry += UInt64(index < a.count ? a[index] : 0) + UInt64(index < b.count ? b[index] : 0)
      result.append(UInt32(truncatingIfNeeded: carry))
      carry >>= 32
    }
    result.append(UInt32(carry))
    return result
  }

  /// - Parameter b: no larger than `a`.
  private static func difference(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var result = a
    var borrow: Int64 = 0
    for index in a.indices {
      let value = Int64(a[index]) - (index < b.count ? Int64(b[index]) : 0) - borrow
      borrow = value < 0 ? 1 : 0
      result[index] = UInt32(truncatingIfNeeded: value)
    }
    return result
  }
}
