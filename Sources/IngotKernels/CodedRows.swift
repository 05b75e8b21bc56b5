import CIngotKernels

/// Rows of codes that products read where they lie, each weight being decoded where it is multiplied.
public struct CodedRows: ~Escapable {
  private let type: Int32
  private let codes: RawSpan
  private let scales: RawSpan
  private let offsets: RawSpan
  private let storage: FloatFormat
  private let scheme: StoredRows.Scheme
  private let bits: Int
  private let group: Int
  private let isDoubledE2M1: Bool
  public let rows: Int
  public let columns: Int

  /// Rows of GGML blocks.
  ///
  /// - Precondition: `type` is known; `blocks` are those of `rows` × `columns` weights.
  @_lifetime(copy blocks)
  public init(ggml type: Int, _ blocks: RawSpan, rows: Int, columns: Int) {
    guard let block = ggmlBlock(type: type) else { preconditionFailure("no block type \(type)") }
    precondition(
      columns % block.weights == 0 && blocks.byteCount == rows * columns / block.weights * block.bytes,
      "blocks of all rows")
    self.type = Int32(type)
    (codes, scales, offsets) = (blocks, RawSpan(), RawSpan())
    (storage, scheme, bits, group, isDoubledE2M1) = (.f32, .symmetric, 8, 1, false)
    (self.rows, self.columns) = (rows, columns)
  }

  /// Affine codes as bit streams, each row ending on a byte.
  ///
  /// - Parameters:
  ///   - scales: (rows, groups) of `storage`: F32, F16 or BF16.
  ///   - offsets: nothing for symmetric codes; zero points (rows, groups) packed like codes; or biases like scales.
  /// - Precondition: spans of these sizes; `group` is a multiple of 16, or no less than `columns`.
  @_lifetime(copy codes, copy scales, copy offsets)
  public init(
    affine scheme: StoredRows.Scheme, bits: Int, codes: RawSpan, group: Int, storage: FloatFormat,
    scales: RawSpan, offsets: RawSpan, rows: Int, columns: Int
  ) {
    precondition(2...8 ~= bits && storage.byteCount > 1, "an affine encoding")
    precondition(group > 0 && (group % 16 == 0 || group >= columns), "groups of whole parts")
    let groups = groupCount(of: columns, by: group)
    precondition(codes.byteCount == rows * packedByteCount(bits: bits, count: columns), "size of the codes")
    precondition(scales.byteCount == rows * groups * storage.byteCount, "one scale a group")
    let offsetBytes =
      switch scheme {
      case .symmetric: 0
      case .zeroPoint: rows * packedByteCount(bits: bits, count: groups)
      case .bias: scales.byteCount
      }
    precondition(offsets.byteCount == offsetBytes, "one offset a group")
    type = Int32(INGOT_PLANES)
    (self.codes, self.scales, self.offsets) = (codes, scales, offsets)
    (self.storage, self.scheme, self.bits, self.group) = (storage, scheme, bits, group)
    isDoubledE2M1 = false
    (self.rows, self.columns) = (rows, columns)
  }

  /// Codes of E2M1, two a byte, each row ending on a byte.
  ///
  /// - Parameter halves: half of each group's scale: (rows, groups).
  /// - Precondition: spans of these sizes; `group` is a multiple of 16.
  @_lifetime(copy codes, copy halves)
  public init(e2m1 codes: RawSpan, group: Int, halves: Span<Float>, rows: Int, columns: Int) {
    precondition(group > 0 && group % 16 == 0, "groups of whole parts")
    precondition(codes.byteCount == rows * packedByteCount(bits: 4, count: columns), "size of the codes")
    precondition(halves.count == rows * groupCount(of: columns, by: group), "one scale a group")
    type = Int32(INGOT_PLANES)
    (self.codes, scales, offsets) = (codes, halves.raw, RawSpan())
    (storage, scheme, bits, self.group, isDoubledE2M1) = (.f32, .symmetric, 4, group, true)
    (self.rows, self.columns) = (rows, columns)
  }

  /// `y (tokens, rows) = x (tokens, columns) · wᵀ`, w being these rows: as `matmul` of the decoded rows, bit for bit, without
  /// decoding more than a few of them at a time. Single threaded.
  ///
  /// - Precondition: spans of these sizes.
  public func multiply(
    _ x: Span<Float>, tokens: Int, into y: inout MutableSpan<Float>, using isa: InstructionSet = .best
  ) {
    precondition(x.count == tokens * columns, "x is (tokens, columns)")
    precondition(y.count == tokens * rows, "y is (tokens, rows)")
    if tokens == 0 || rows == 0 { return }
    let native = isa.checked
    unsafe withNative { source in
      unsafe x.withUnsafeBufferPointer { x in
        unsafe y.withUnsafeMutableBufferPointer { y in
          unsafe withAlignedFloats(ingot_multiply_coded_floats(native, source, tokens)) { scratch in
            unsafe ingot_multiply_coded(native, source, x.baseAddress, tokens, y.baseAddress, scratch)
          }
        }
      }
    }
  }

  /// Whether `multiplyRounded` takes whole blocks of a GGML type.
  public static func multipliesRounded(ggml type: Int) -> Bool {
    guard let block = ggmlBlock(type: type), let type = Int32(exactly: type) else { return false }
    var source = unsafe ingot_coded()
    unsafe (source.type, source.columns) = (type, block.weights)
    return unsafe ingot_multiplies_rounded(&source)
  }

  /// Whether `multiplyRounded` takes these rows: all but blocks whose codes number points of lattices, in whole blocks of 32 columns.
  public var isMultipliedRounded: Bool {
    var answer = false
    unsafe withNative { source in answer = unsafe ingot_multiplies_rounded(source) }
    return answer
  }

  /// `multiply` with activations rounded to 8 bits, 32 neighbours of a token with a step, so that integers are summed: faster, and
  /// off by that rounding. The bits are the same on every machine. Single threaded.
  ///
  /// - Precondition: spans as for `multiply`; `isMultipliedRounded`.
  public func multiplyRounded(
    _ x: Span<Float>, tokens: Int, into y: inout MutableSpan<Float>, using isa: InstructionSet = .best
  ) {
    precondition(x.count == tokens * columns, "x is (tokens, columns)")
    precondition(y.count == tokens * rows, "y is (tokens, rows)")
    if tokens == 0 || rows == 0 { return }
    let native = isa.checked
    unsafe withNative { source in
      precondition(
        unsafe ingot_multiplies_rounded(source), "codes that are multiplied with rounded activations")
      unsafe x.withUnsafeBufferPointer { x in
        unsafe y.withUnsafeMutableBufferPointer { y in
          unsafe withAlignedFloats(ingot_multiply_rounded_floats(source, tokens)) { scratch in
            unsafe ingot_multiply_rounded(native, source, x.baseAddress, tokens, y.baseAddress, scratch)
          }
        }
      }
    }
  }

  @unsafe
  private func withNative(_ body: (UnsafePointer<ingot_coded>) -> Void) {
    unsafe codes.withUnsafeBytes { codes in
      unsafe scales.withUnsafeBytes { scales in
        unsafe offsets.withUnsafeBytes { offsets in
          var source = unsafe ingot_coded()
          unsafe source.type = type
          unsafe source.codes = codes.baseAddress?.assumingMemoryBound(to: UInt8.self)
          unsafe (source.rows, source.columns) = (rows, columns)
          unsafe (source.bits, source.group, source.storage) = (UInt32(bits), group, storage.native)
          unsafe source.scales = scales.baseAddress?.assumingMemoryBound(to: UInt8.self)
          let offsets = unsafe offsets.baseAddress?.assumingMemoryBound(to: UInt8.self)
          switch scheme {
          case .symmetric: unsafe source.zero = 1 << (Int32(bits) - 1)
          case .zeroPoint: unsafe source.zeros = offsets
          case .bias: unsafe source.biases = offsets
          }
          unsafe source.doubled_e2m1 = isDoubledE2M1
          unsafe body(&source)
        }
      }
    }
  }
}
