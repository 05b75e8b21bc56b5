import IngotSystem

/// Fields of a protobuf message, one after the other.
struct ProtobufReader {
  /// What a field holds, by its wire type.
  enum Value {
    case integer(UInt64)
    /// 32 bits, usually a float.
    case word(UInt32)
    /// A message, a text or bytes: where they lie.
    case bytes(Range<Int>)
  }

  private let bytes: [UInt8]
  private let path: String
  private var at: Int
  private let end: Int

  init(_ bytes: [UInt8], in range: Range<Int>? = nil, path: String) {
    self.bytes = bytes
    self.path = path
    at = range?.lowerBound ?? 0
    end = range?.upperBound ?? bytes.count
  }

  func error(_ expected: String, _ found: String) -> FormatError {
    FormatError(path: path, offset: UInt64(at), expected: expected, found: found)
  }

  /// The next field's number and value; nil at the end. 64-bit numbers are passed over.
  mutating func next() throws(FormatError) -> (field: Int, value: Value)? {
    while at < end {
      let key = try varint()
      guard key >> 3 >= 1, key >> 3 < 1 << 29 else {
        throw error("a field's number", "\(key >> 3)")
      }
      let field = Int(key >> 3)
      switch key & 7 {
      case 0: return (field, .integer(try varint()))
      case 1: try skip(8)
      case 2:
        let count = try varint()
        guard count <= UInt64(end - at) else {
          throw error("a field of at most the \(end - at) bytes that are left", "\(count)")
        }
        let start = at
        at += Int(count)
        return (field, .bytes(start..<at))
      case 5:
        let start = at
        try skip(4)
        return (field, .word((0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) }))
      default: throw error("a wire type of 0, 1, 2 or 5 (a protobuf message)", "\(key & 7)")
      }
    }
    return nil
  }

  private mutating func skip(_ count: Int) throws(FormatError) {
    guard end - at >= count else { throw error("\(count) bytes", "\(end - at)") }
    at += count
  }

  private mutating func varint() throws(FormatError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      guard at < end else { throw error("an integer", "the end") }
      let byte = bytes[at]
      at += 1
      value |= UInt64(byte & 0x7F) << UInt64(shift)
      if byte < 0x80 { return value }
    }
    throw error("an integer of at most ten bytes", "more")
  }
}

/// A protobuf message in the making.
struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ field: Int, integer: UInt64) {
    add(varint: UInt64(field) << 3)
    add(varint: integer)
  }

  /// A negative number takes ten bytes.
  mutating func add(_ field: Int, int: Int) { add(field, integer: UInt64(bitPattern: Int64(int))) }

  mutating func add(_ field: Int, bool: Bool) { add(field, integer: bool ? 1 : 0) }

  mutating func add(_ field: Int, float: Float) {
    add(varint: UInt64(field) << 3 | 5)
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: float.bitPattern >> shift))
    }
  }

  mutating func add(_ field: Int, bytes content: [UInt8]) {
    add(varint: UInt64(field) << 3 | 2)
    add(varint: UInt64(content.count))
    bytes += content
  }

  private mutating func add(varint: UInt64) {
    var rest = varint
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
