import IngotKernels

/// SplitMix64: the same sequence everywhere for a seed.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: Int) { state = UInt64(bitPattern: Int64(seed)) }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// Uniform in 0 ..< 1.
  mutating func unit() -> Float { Float(next() >> 40) * 0x1p-24 }

  /// About normal: sum of 12 uniform values.
  mutating func normal() -> Float { (0..<12).reduce(Float(-6)) { sum, _ in sum + unit() } }

  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

  mutating func normals(_ count: Int) -> [Float] { (0..<count).map { _ in normal() } }

  /// Any bit pattern, so also NaN, infinities and subnormals.
  mutating func patterns(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: next())) }
  }
}

/// Around every vector width, and some longer.
let lengths = [
  0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 1000, 4099,
]

let vectorSets = InstructionSet.supported.filter { $0 != .scalar }

func bitPatterns(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// First place where two rows differ, in words; nil when they are equal.
func difference<T: Equatable>(_ a: [T], _ b: [T]) -> String? {
  if a.count != b.count { return "\(a.count) and \(b.count) elements" }
  guard let j = a.indices.first(where: { a[$0] != b[$0] }) else { return nil }
  return "[\(j)]: \(a[j]) and \(b[j])"
}

func decoded(_ format: FloatFormat, _ bytes: [UInt8], using isa: InstructionSet = .scalar) -> [Float] {
  var out = [Float](repeating: -1, count: bytes.count / format.byteCount)
  var span = out.mutableSpan
  decode(format, bytes.span.raw, into: &span, using: isa)
  return out
}

func encoded(_ format: FloatFormat, _ values: [Float], using isa: InstructionSet = .scalar) -> [UInt8] {
  var out = [UInt8](repeating: 0xAA, count: values.count * format.byteCount)
  var span = out.mutableSpan
  var raw = span.mutableRaw
  encode(format, values.span, into: &raw, using: isa)
  return out
}
