import CIngotKernels

/// Bytes that a stream of `count` codes of `bits` bits takes.
public func packedByteCount(bits: Int, count: Int) -> Int { (count * bits + 7) / 8 }

/// Packs codes, one per byte, into one bit stream: code j stands in bits `j * bits…` counted from the least
/// significant bit of the first byte. Bits above `bits` are dropped; unused bits of the last byte are 0.
///
/// - Precondition: `bits` is 1…8; `packed` has `packedByteCount(bits:count:)` bytes.
public func pack(
  bits: Int, _ codes: Span<UInt8>, into packed: inout MutableRawSpan, using isa: InstructionSet = .best
) {
  precondition(1...8 ~= bits, "codes have 1 to 8 bits")
  precondition(packed.byteCount == packedByteCount(bits: bits, count: codes.count), "size of the stream")
  let isa = isa.checked
  unsafe codes.withUnsafeBufferPointer { codes in
    unsafe packed.withUnsafeMutableBytes { packed in
      unsafe ingot_pack(isa, UInt32(bits), codes.baseAddress, packed.baseAddress, codes.count)
    }
  }
}

/// The inverse of `pack`.
///
/// - Precondition: `bits` is 1…8; `packed` has `packedByteCount(bits:count:)` bytes for `codes.count` codes.
public func unpack(
  bits: Int, _ packed: RawSpan, into codes: inout MutableSpan<UInt8>, using isa: InstructionSet = .best
) {
  let count = codes.count
  precondition(1...8 ~= bits, "codes have 1 to 8 bits")
  precondition(packed.byteCount == packedByteCount(bits: bits, count: count), "size of the stream")
  let isa = isa.checked
  unsafe packed.withUnsafeBytes { packed in
    unsafe codes.withUnsafeMutableBufferPointer { codes in
      unsafe ingot_unpack(isa, UInt32(bits), packed.baseAddress, codes.baseAddress, count)
    }
  }
}
