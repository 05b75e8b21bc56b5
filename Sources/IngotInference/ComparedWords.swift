import IngotSystem

/// Figures as words of 64 bits, in the order in which they are read again: bits of a `Double`, or a whole number.
struct FigureWords: Sendable {
  private(set) var words: [UInt64] = []

  mutating func put(_ value: Double) { words.append(value.bitPattern) }
  mutating func put(_ value: Int) { words.append(UInt64(bitPattern: Int64(value))) }
  mutating func put(_ values: [Int]) {
    put(values.count)
    for value in values { put(value) }
  }

  /// Little-endian.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 * words.count)
    for word in words {
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> shift))
      }
    }
    return bytes
  }

  /// 16 hexadecimal digits each, for journals.
  var text: String { words.map(hexDigits).joined() }
}

/// Reads what `FigureWords` has written. After the end, or a count that cannot be, everything is 0 and `isWhole` false.
struct FigureReader {
  private let words: [UInt64]
  private var next = 0
  private var isBroken = false

  /// Whether exactly all words have been read.
  var isWhole: Bool { !isBroken && next == words.count }

  init(_ bytes: Bytes) {
    var words: [UInt64] = []
    words.reserveCapacity(bytes.count / 8)
    let span = bytes.span
    for index in 0..<bytes.count / 8 { words.append(span.littleEndian(UInt64.self, at: 8 * index)) }
    self.words = words
    isBroken = bytes.count % 8 != 0
  }

  init(text: String) {
    let digits = Array(text.utf8)
    var words: [UInt64] = []
    words.reserveCapacity(digits.count / 16)
    isBroken = digits.count % 16 != 0
    for start in stride(from: 0, to: digits.count / 16 * 16, by: 16) {
      let word = UInt64(String(decoding: digits[start..<start + 16], as: UTF8.self), radix: 16)
      if word == nil { isBroken = true }
      words.append(word ?? 0)
    }
    self.words = words
  }

  private mutating func word() -> UInt64 {
    guard !isBroken, next < words.count else {
      isBroken = true
      return 0
    }
    next += 1
    return words[next - 1]
  }

  mutating func double() -> Double { Double(bitPattern: word()) }
  mutating func int() -> Int { Int(truncatingIfNeeded: Int64(bitPattern: word())) }

  /// How many of something follow, each of at least `size` words.
  mutating func count(of size: Int) -> Int {
    let count = int()
    guard count >= 0, count <= (words.count - next) / max(size, 1) else {
      isBroken = true
      return 0
    }
    return count
  }

  mutating func ints() -> [Int] { (0..<count(of: 1)).map { _ in int() } }
}
