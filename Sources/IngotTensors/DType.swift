/// The type of one stored value. Raw values are the names SafeTensors uses.
public enum DType: String, CaseIterable, Hashable, Sendable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case f8e4m3 = "F8_E4M3"
  case f8e5m2 = "F8_E5M2"
  case f8e8m0 = "F8_E8M0"
  case f6e2m3 = "F6_E2M3"
  case f6e3m2 = "F6_E3M2"
  case f4 = "F4"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"
  case c64 = "C64"

  /// Width of one value in bits.
  public var bits: Int {
    switch self {
    case .f64, .i64, .u64, .c64: 64
    case .f32, .i32, .u32: 32
    case .f16, .bf16, .i16, .u16: 16
    case .f8e4m3, .f8e5m2, .f8e8m0, .i8, .u8, .bool: 8
    case .f6e2m3, .f6e3m2: 6
    case .f4: 4
    }
  }

  /// Whether values are real numbers that `decode` turns into F32.
  public var isDecodable: Bool {
    switch self {
    case .f32, .f16, .bf16, .f8e4m3, .f8e5m2: true
    default: false
    }
  }

  /// Bytes that `count` values take, packed; nil when that overflows or does not end on a byte.
  public func bytes(count: Int) -> Int? {
    let (total, overflow) = count.multipliedReportingOverflow(by: bits)
    guard !overflow, total % 8 == 0 else { return nil }
    return total / 8
  }
}

/// The number of values of a shape; nil when it overflows.
public func elementCount(_ shape: [Int]) -> Int? {
  var count = 1
  for extent in shape {
    let (product, overflow) = count.multipliedReportingOverflow(by: extent)
    guard !overflow, extent >= 0 else { return nil }
    count = product
  }
  return count
}
