import CIngotKernels

// One row of affine codes to F32. Groups run along the row, `group` columns each, the last may be shorter.
// Codes come packed as `pack` writes them; the variants with `codes:` take them one per byte.

/// `out[j] = scales[g] * (code[j] - 2^(bits-1))`, `g = j / group`, one rounded product.
///
/// - Precondition: `packed` holds `out.count` codes of `bits` bits; `scales` has one value per group.
public func decodeAffineSymmetric(
  bits: Int, packed: RawSpan, group: Int, scales: Span<Float>, into out: inout MutableSpan<Float>,
  using isa: InstructionSet = .best
) {
  precondition(1...8 ~= bits, "codes have 1 to 8 bits")
  decodeAffine(
    bits: bits, packed, group: group, scales: scales, zero: 1 << (Int32(bits) - 1), into: &out, using: isa)
}

/// `decodeAffineSymmetric` of codes one per byte, each below `2^bits`.
public func decodeAffineSymmetric(
  bits: Int, codes: Span<UInt8>, group: Int, scales: Span<Float>, into out: inout MutableSpan<Float>,
  using isa: InstructionSet = .best
) {
  precondition(1...8 ~= bits, "codes have 1 to 8 bits")
  decodeAffine(
    bits: 8, codes.raw, group: group, scales: scales, zero: 1 << (Int32(bits) - 1), into: &out, using: isa)
}

/// `out[j] = scales[g] * (code[j] - zeros[g])`, `g = j / group`, one rounded product.
///
/// - Precondition: `packed` holds `out.count` codes of `bits` bits; `scales` and `zeros` have one value per
///   group.
public func decodeAffineZeroPoint(
  bits: Int, packed: RawSpan, group: Int, scales: Span<Float>, zeros: Span<UInt8>,
  into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  decodeAffine(bits: bits, packed, group: group, scales: scales, zeros: zeros, into: &out, using: isa)
}

/// `decodeAffineZeroPoint` of codes one per byte.
public func decodeAffineZeroPoint(
  codes: Span<UInt8>, group: Int, scales: Span<Float>, zeros: Span<UInt8>,
  into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  decodeAffine(bits: 8, codes.raw, group: group, scales: scales, zeros: zeros, into: &out, using: isa)
}

/// `out[j] = scales[g] * code[j] + biases[g]`, `g = j / group`: a rounded product, then a rounded sum.
///
/// - Precondition: `packed` holds `out.count` codes of `bits` bits; `scales` and `biases` have one value per
///   group.
public func decodeAffineBias(
  bits: Int, packed: RawSpan, group: Int, scales: Span<Float>, biases: Span<Float>,
  into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  decodeAffine(bits: bits, packed, group: group, scales: scales, biases: biases, into: &out, using: isa)
}

/// `decodeAffineBias` of codes one per byte.
public func decodeAffineBias(
  codes: Span<UInt8>, group: Int, scales: Span<Float>, biases: Span<Float>,
  into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  decodeAffine(bits: 8, codes.raw, group: group, scales: scales, biases: biases, into: &out, using: isa)
}

private func decodeAffine(
  bits: Int, _ packed: RawSpan, group: Int, scales: Span<Float>, zeros: Span<UInt8> = Span(),
  biases: Span<Float> = Span(), zero: Int32 = 0, into out: inout MutableSpan<Float>,
  using isa: InstructionSet
) {
  let count = out.count
  precondition(1...8 ~= bits, "codes have 1 to 8 bits")
  precondition(packed.byteCount == packedByteCount(bits: bits, count: count), "size of the codes")
  precondition(group > 0 && scales.count == groupCount(of: count, by: group), "one scale per group")
  precondition(zeros.isEmpty || zeros.count == scales.count, "one zero point per group")
  precondition(biases.isEmpty || biases.count == scales.count, "one bias per group")
  let isa = isa.checked
  unsafe packed.withUnsafeBytes { packed in
    unsafe scales.withUnsafeBufferPointer { scales in
      unsafe zeros.withUnsafeBufferPointer { zeros in
        unsafe biases.withUnsafeBufferPointer { biases in
          unsafe out.withUnsafeMutableBufferPointer { out in
            var row = unsafe ingot_affine_row(
              packed: packed.baseAddress?.assumingMemoryBound(to: UInt8.self), bits: UInt32(bits),
              count: count, group: group, scales: scales.baseAddress,
              biases: biases.isEmpty ? nil : biases.baseAddress,
              zeros: zeros.isEmpty ? nil : zeros.baseAddress, zero: zero, out: out.baseAddress)
            unsafe ingot_decode_affine(isa, &row)
          }
        }
      }
    }
  }
}
