import IngotSystem
import IngotTensors

/// The kind of a metadata value. Raw values are the numbers that stand in files.
///
/// Source: the GGUF specification of ggml (docs/gguf.md), version 3.
enum GGUFKind: UInt32, CaseIterable, Sendable {
  case uint8 = 0
  case int8 = 1
  case uint16 = 2
  case int16 = 3
  case uint32 = 4
  case int32 = 5
  case float32 = 6
  case bool = 7
  case string = 8
  case array = 9
  case uint64 = 10
  case int64 = 11
  case float64 = 12

  /// Bytes of one value; nil for strings and arrays, which have no fixed size.
  var size: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}

/// A metadata value.
enum GGUFValue: Sendable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case uint64(UInt64)
  case int64(Int64)
  case float32(Float)
  case float64(Double)
  case bool(Bool)
  case string(String)
  case strings([String])
  /// An array of numbers or booleans as it stands in the file: little endian, packed.
  case packed(GGUFKind, Bytes)
  /// An array of arrays.
  case arrays([GGUFValue])

  static func int32s(_ values: [Int32]) -> GGUFValue {
    var writer = ByteWriter()
    for value in values { writer.put(value) }
    return .packed(.int32, Bytes(writer.bytes))
  }

  static func floats(_ values: [Float]) -> GGUFValue {
    var writer = ByteWriter()
    for value in values { writer.put(value.bitPattern) }
    return .packed(.float32, Bytes(writer.bytes))
  }

  static func bools(_ values: [Bool]) -> GGUFValue { .packed(.bool, Bytes(values.map { $0 ? 1 : 0 })) }

  /// An integer of any width, when it fits.
  var integer: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(value)
    default: nil
    }
  }

  /// A number of any kind. One of 32 bits becomes the shortest decimal that reads back equal: 1e-6, not 9.99999997e-7.
  var number: Double? {
    switch self {
    case .float32(let value): Double("\(value)")
    case .float64(let value): value
    default: integer.map(Double.init)
    }
  }

  var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  var string: String? { if case .string(let value) = self { value } else { nil } }
  var strings: [String]? { if case .strings(let values) = self { values } else { nil } }

  /// An array of floats of 32 bits, or of integers.
  var numbers: [Float]? {
    guard case .packed(.float32, let bytes) = self else { return integers?.map { Float($0) } }
    let span = bytes.span
    return stride(from: 0, to: bytes.count, by: 4).map {
      Float(bitPattern: span.littleEndian(UInt32.self, at: $0))
    }
  }

  /// An array of integers of any width; booleans are 0 and 1.
  var integers: [Int]? {
    guard case .packed(let kind, let bytes) = self, let size = kind.size else { return nil }
    let span = bytes.span
    var values: [Int] = []
    values.reserveCapacity(bytes.count / size)
    for offset in stride(from: 0, to: bytes.count, by: size) {
      let value: Int?
      switch kind {
      case .uint8, .bool: value = Int(span.littleEndian(UInt8.self, at: offset))
      case .int8: value = Int(span.littleEndian(Int8.self, at: offset))
      case .uint16: value = Int(span.littleEndian(UInt16.self, at: offset))
      case .int16: value = Int(span.littleEndian(Int16.self, at: offset))
      case .uint32: value = Int(span.littleEndian(UInt32.self, at: offset))
      case .int32: value = Int(span.littleEndian(Int32.self, at: offset))
      case .uint64: value = Int(exactly: span.littleEndian(UInt64.self, at: offset))
      case .int64: value = Int(span.littleEndian(Int64.self, at: offset))
      default: value = nil
      }
      guard let value else { return nil }
      values.append(value)
    }
    return values
  }

  var kind: GGUFKind {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .uint64: .uint64
    case .int64: .int64
    case .float32: .float32
    case .float64: .float64
    case .bool: .bool
    case .string: .string
    case .strings, .packed, .arrays: .array
    }
  }

  /// What kind of value this is, for messages: `uint32 7`, `an array of 12`.
  var text: String {
    switch self {
    case .string(let value): "the string \"\(printable(value, limit: 60))\""
    case .bool(let value): "\(value)"
    case .strings(let values): "an array of \(values.count) strings"
    case .packed(let kind, let bytes): "an array of \(bytes.count / (kind.size ?? 1)) \(kind) values"
    case .arrays(let values): "an array of \(values.count) arrays"
    case .float32(let value): "float32 \(value)"
    case .float64(let value): "float64 \(value)"
    default: "\(kind) \(integer.map(String.init) ?? "beyond 2^63")"
    }
  }
}

extension GGUFValue {
  /// The value as it stands in a file behind its kind.
  func write(to writer: inout ByteWriter) {
    switch self {
    case .uint8(let value): writer.put(value)
    case .int8(let value): writer.put(value)
    case .uint16(let value): writer.put(value)
    case .int16(let value): writer.put(value)
    case .uint32(let value): writer.put(value)
    case .int32(let value): writer.put(value)
    case .uint64(let value): writer.put(value)
    case .int64(let value): writer.put(value)
    case .float32(let value): writer.put(value.bitPattern)
    case .float64(let value): writer.put(value.bitPattern)
    case .bool(let value): writer.put(UInt8(value ? 1 : 0))
    case .string(let value): writer.put(string: value)
    case .strings(let values):
      writer.put(GGUFKind.string.rawValue)
      writer.put(UInt64(values.count))
      for value in values { writer.put(string: value) }
    case .packed(let kind, let bytes):
      writer.put(kind.rawValue)
      writer.put(UInt64(bytes.count / (kind.size ?? 1)))
      writer.put(bytes.array)
    case .arrays(let values):
      writer.put(GGUFKind.array.rawValue)
      writer.put(UInt64(values.count))
      for value in values { value.write(to: &writer) }
    }
  }
}

extension ByteWriter {
  /// A GGUF string: its length in bytes, then UTF-8 without an end mark.
  mutating func put(string text: String) {
    put(UInt64(text.utf8.count))
    put(Array(text.utf8))
  }
}
