import CIngotKernels

/// A type that floats are stored in.
public enum FloatFormat: String, CaseIterable, Sendable {
  case f32, f16, bf16
  /// OCP 8-bit float, 4 exponent and 3 mantissa bits, the "fn" variant: no infinities, NaN is 0x7F and 0xFF.
  case f8e4m3
  /// OCP 8-bit float, 5 exponent and 2 mantissa bits: the upper byte of an `f16`.
  case f8e5m2

  /// Bytes of one value.
  public var byteCount: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .f8e4m3, .f8e5m2: 1
    }
  }

  var native: ingot_float {
    switch self {
    case .f32: INGOT_F32
    case .f16: INGOT_F16
    case .bf16: INGOT_BF16
    case .f8e4m3: INGOT_F8E4M3
    case .f8e5m2: INGOT_F8E5M2
    }
  }
}

/// Decodes stored little-endian values to F32. Exact: F32 holds every value of every format.
///
/// - Precondition: `source` has `out.count * format.byteCount` bytes.
public func decode(
  _ format: FloatFormat, _ source: RawSpan, into out: inout MutableSpan<Float>,
  using isa: InstructionSet = .best
) {
  let count = out.count
  precondition(source.byteCount == count * format.byteCount, "source and result differ in count")
  let isa = isa.checked
  unsafe source.withUnsafeBytes { source in
    unsafe out.withUnsafeMutableBufferPointer { out in
      unsafe ingot_decode(isa, format.native, source.baseAddress, out.baseAddress, count)
    }
  }
}

/// Decodes one row of 8-bit floats with a scale per block of columns:
/// `out[j] = float(source[j]) * scales[j / blockColumns]`, one rounded product.
///
/// - Precondition: `format` has one byte; `source` has `out.count` bytes; `scales` has one value per started
///   block (the last may be shorter).
public func decodeBlockScaled(
  _ format: FloatFormat, _ source: RawSpan, scales: Span<Float>, blockColumns: Int,
  into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  let count = out.count
  precondition(format.byteCount == 1, "\(format.rawValue) is not an 8-bit format")
  precondition(blockColumns > 0, "a block has columns")
  precondition(source.byteCount == count, "source and result differ in count")
  precondition(scales.count == groupCount(of: count, by: blockColumns), "one scale per block")
  let isa = isa.checked
  unsafe source.withUnsafeBytes { source in
    unsafe scales.withUnsafeBufferPointer { scales in
      unsafe out.withUnsafeMutableBufferPointer { out in
        unsafe ingot_decode_block_scaled(
          isa, format.native, source.baseAddress, scales.baseAddress, blockColumns, out.baseAddress, count)
      }
    }
  }
}

/// Encodes F32 as `f32`, `f16` or `bf16`: to nearest, ties to even; overflow gives infinity, NaN a quiet NaN.
///
/// - Precondition: `out` has `source.count * format.byteCount` bytes.
public func encode(
  _ format: FloatFormat, _ source: Span<Float>, into out: inout MutableRawSpan,
  using isa: InstructionSet = .best
) {
  precondition(format.byteCount > 1, "no encoder to \(format.rawValue)")
  precondition(out.byteCount == source.count * format.byteCount, "source and result differ in count")
  let isa = isa.checked
  unsafe source.withUnsafeBufferPointer { source in
    unsafe out.withUnsafeMutableBytes { out in
      unsafe ingot_encode(isa, format.native, source.baseAddress, out.baseAddress, source.count)
    }
  }
}

/// Index of the first NaN or infinity.
public func firstNonFinite(_ values: Span<Float>, using isa: InstructionSet = .best) -> Int? {
  let isa = isa.checked
  let index = unsafe values.withUnsafeBufferPointer {
    unsafe ingot_first_non_finite(isa, $0.baseAddress, $0.count)
  }
  return index < values.count ? index : nil
}

/// Groups (or blocks) of `size` that `count` columns begin.
func groupCount(of count: Int, by size: Int) -> Int { (count + size - 1) / size }
