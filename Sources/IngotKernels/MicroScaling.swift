import CIngotKernels

/// The small float that a micro-scaled code is.
public enum MicroCode: String, CaseIterable, Sendable {
  /// OCP 4-bit float: ±0, ½, 1, 1½, 2, 3, 4, 6.
  case e2m1
  /// OCP 8-bit float up to ±448.
  case e4m3
}

/// What one byte of a micro-scaled group's scale is.
public enum MicroScale: String, CaseIterable, Sendable {
  /// 2^(byte − 127).
  case e8m0
  /// OCP 8-bit float, here without sign.
  case e4m3
}

/// Decodes one row of E2M1 codes, two a byte, the first in the low nibble:
/// `out[j] = value(code[j]) * scales[j / group]`, one rounded product.
///
/// - Precondition: `packed` holds `out.count` codes of 4 bits; `scales` has one value per started group.
public func decodeE2M1(
  packed: RawSpan, group: Int, scales: Span<Float>, into out: inout MutableSpan<Float>,
  using isa: InstructionSet = .best
) {
  let count = out.count
  precondition(packed.byteCount == packedByteCount(bits: 4, count: count), "size of the codes")
  precondition(group > 0 && scales.count == groupCount(of: count, by: group), "one scale per group")
  let isa = isa.checked
  unsafe packed.withUnsafeBytes { packed in
    unsafe scales.withUnsafeBufferPointer { scales in
      unsafe out.withUnsafeMutableBufferPointer { out in
        unsafe ingot_decode_e2m1(
          isa, packed.baseAddress?.assumingMemoryBound(to: UInt8.self), scales.baseAddress, group,
          out.baseAddress, count)
      }
    }
  }
}

/// Quantizes rows to micro-scaled codes: nearest value, ties of E2M1 to the smaller magnitude, of E4M3 to the even code.
///
/// Round to nearest takes for an E8M0 scale the least power of two with which the greatest code reaches the
/// group's largest magnitude m, for E4M3 the scale nearest to m / greatest code (times `global`); these are MLX's
/// rules. The search takes the scale near it that leaves the least weighted squared error. A group of zeros
/// gets scale 1 (E8M0) or 0 and codes 0.
///
/// - Parameters:
///   - weights: (rows, columns), finite.
///   - importance: (columns), finite and not negative, or nil; used by the search only.
///   - group: 16 or 32 columns, the last group of a row perhaps fewer.
///   - global: what E4M3 scales are divided by when they are used; 1 for nothing.
///   - codes: (rows, columns), one per byte.
///   - scales: (rows, groups).
/// - Precondition: sizes fit each other; `global` is 1 with E8M0 scales, else positive and finite.
public func quantizeMicroScaled(
  _ weights: Span<Float>, importance: Span<Float>? = nil, rows: Int = 1, code: MicroCode, group: Int,
  scale: MicroScale, global: Float = 1, method: AffineMethod, codes: inout MutableSpan<UInt8>,
  scales: inout MutableSpan<UInt8>, using isa: InstructionSet = .best
) {
  precondition(rows > 0 && weights.count % rows == 0, "rows of equal length")
  let columns = weights.count / rows
  precondition(group == 16 || group == 32, "a group has 16 or 32 columns")
  precondition(codes.count == weights.count, "one code per weight")
  precondition(importance == nil || importance!.count == columns, "one importance per column")
  precondition(scales.count == rows * groupCount(of: columns, by: group), "one scale per group")
  precondition(global > 0 && global.isFinite && (global == 1 || scale == .e4m3), "a global scale for E4M3")
  if columns == 0 { return }
  var job = unsafe ingot_micro_job()
  unsafe job.rows = rows
  unsafe job.columns = columns
  unsafe job.group = group
  unsafe job.wide = code == .e4m3
  unsafe job.powers = scale == .e8m0
  unsafe job.search = method == .search
  unsafe job.global = global
  let isa = isa.checked
  unsafe weights.withUnsafeBufferPointer { weights in
    unsafe job.weights = weights.baseAddress
    unsafe codes.withUnsafeMutableBufferPointer { codes in
      unsafe job.codes = codes.baseAddress
      unsafe scales.withUnsafeMutableBufferPointer { scales in
        unsafe job.scales = scales.baseAddress
        guard let importance else { return unsafe ingot_quantize_micro(isa, &job) }
        unsafe importance.withUnsafeBufferPointer {
          unsafe job.importance = $0.baseAddress
          unsafe ingot_quantize_micro(isa, &job)
        }
      }
    }
  }
}
