import IngotSystem
import IngotTensors

/// Reads a GGUF header from front to back; every length is held against what is left of the file before it is used.
struct GGUFCursor {
  /// Longest string, and most elements of an array: llama.cpp's own limits.
  static let stringLimit = 1 << 30
  static let arrayLimit = 1 << 30
  /// Of strings, which take memory even when they are empty: sixty times the largest vocabulary in use.
  static let stringsLimit = 1 << 24
  /// Arrays within arrays within …
  static let depthLimit = 4

  let bytes: Bytes
  let path: String
  private(set) var position = 0
  /// Of a file on another machine the piece that is being read, else the file; and where it begins.
  private var window: Bytes
  private var windowStart = 0
  private static let windowLength = 1 << 20

  init(_ bytes: Bytes, path: String) {
    self.bytes = bytes
    self.path = path
    window = bytes.isRemote ? .empty : bytes
  }

  /// Makes the window hold the next `count` bytes, which the file has.
  private mutating func reach(_ count: Int) throws(FormatError) {
    if position >= windowStart, position + count <= windowStart + window.count { return }
    let length = min(max(count, GGUFCursor.windowLength), rest)
    window = try bytes[position..<position + length].fetched()
    windowStart = position
  }

  /// The next `count` bytes, which the file has, in memory or in a mapping.
  private mutating func next(_ count: Int) throws(FormatError) -> Bytes {
    try reach(count)
    let start = position - windowStart
    return window[start..<start + count]
  }

  private var rest: Int { bytes.count - position }

  func error(_ expected: String, _ found: String, at offset: Int? = nil) -> FormatError {
    FormatError(path: path, offset: UInt64(offset ?? position), expected: expected, found: found)
  }

  /// - Parameter what: what the integer is, for messages.
  mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, _ what: String)
    throws(FormatError) -> T
  {
    let size = T.bitWidth / 8
    guard rest >= size else { throw error("\(what) in \(size) bytes", "\(rest) bytes to the end") }
    try reach(size)
    defer { position += size }
    return window.span.littleEndian(type, at: position - windowStart)
  }

  /// A count or length of at most `limit`.
  mutating func count(_ what: String, limit: Int) throws(FormatError) -> Int {
    let start = position
    let value = try integer(UInt64.self, what)
    guard value <= UInt64(limit) else { throw error("\(what) of at most \(limit)", "\(value)", at: start) }
    return Int(value)
  }

  /// The next `count` bytes.
  mutating func take(_ count: Int, _ what: String) throws(FormatError) -> Bytes {
    guard count <= rest else { throw error("\(count) bytes of \(what)", "\(rest) bytes to the end") }
    defer { position += count }
    return try next(count)
  }

  mutating func string(_ what: String, limit: Int = GGUFCursor.stringLimit) throws(FormatError) -> String {
    let start = position
    let length = try count("the length of \(what)", limit: limit)
    guard length <= rest else {
      throw error("\(length) bytes of \(what)", "\(rest) bytes to the end", at: start)
    }
    guard let text = String(validating: try next(length).array, as: UTF8.self) else {
      throw error("\(what) in UTF-8", "other bytes")
    }
    position += length
    return text
  }

  mutating func kind(_ what: String) throws(FormatError) -> GGUFKind {
    let start = position
    let number = try integer(UInt32.self, "the type of \(what)")
    guard let kind = GGUFKind(rawValue: number) else {
      throw error("a type from 0 to 12 for \(what)", "\(number)", at: start)
    }
    return kind
  }

  /// A value of a kind that was read before it.
  mutating func value(_ kind: GGUFKind, _ what: String, depth: Int = 0) throws(FormatError) -> GGUFValue {
    switch kind {
    case .uint8: return .uint8(try integer(UInt8.self, what))
    case .int8: return .int8(try integer(Int8.self, what))
    case .uint16: return .uint16(try integer(UInt16.self, what))
    case .int16: return .int16(try integer(Int16.self, what))
    case .uint32: return .uint32(try integer(UInt32.self, what))
    case .int32: return .int32(try integer(Int32.self, what))
    case .uint64: return .uint64(try integer(UInt64.self, what))
    case .int64: return .int64(try integer(Int64.self, what))
    case .float32: return .float32(Float(bitPattern: try integer(UInt32.self, what)))
    case .float64: return .float64(Double(bitPattern: try integer(UInt64.self, what)))
    case .bool:
      let byte = try integer(UInt8.self, what)
      guard byte <= 1 else { throw error("0 or 1 for \(what)", "\(byte)", at: position - 1) }
      return .bool(byte == 1)
    case .string: return .string(try string(what))
    case .array: return try array(what, depth: depth)
    }
  }

  private mutating func array(_ what: String, depth: Int) throws(FormatError) -> GGUFValue {
    let start = position
    guard depth < GGUFCursor.depthLimit else {
      throw error("arrays at most \(GGUFCursor.depthLimit) deep in \(what)", "a deeper one", at: start)
    }
    let kind = try kind("the elements of \(what)")
    let count = try count(
      "the elements of \(what)",
      limit: kind == .string ? GGUFCursor.stringsLimit : GGUFCursor.arrayLimit)
    // The least an element takes: a string its length, an array its type and count.
    let least = kind.size ?? (kind == .string ? 8 : 12)
    guard count <= rest / least else {
      throw error("\(count) elements of \(what)", "\(rest) bytes to the end", at: start)
    }
    if let size = kind.size {
      let content = try next(count * size)
      if kind == .bool, let wrong = content.array.firstIndex(where: { $0 > 1 }) {
        throw error("0 or 1 in \(what)", "\(content[wrong])", at: position + wrong)
      }
      position += content.count
      return .packed(kind, content)
    }
    if kind == .string {
      var strings: [String] = []
      strings.reserveCapacity(count)
      for _ in 0..<count { strings.append(try string(what)) }
      return .strings(strings)
    }
    var arrays: [GGUFValue] = []
    arrays.reserveCapacity(min(count, 1024))
    for _ in 0..<count { arrays.append(try array(what, depth: depth + 1)) }
    return .arrays(arrays)
  }
}
