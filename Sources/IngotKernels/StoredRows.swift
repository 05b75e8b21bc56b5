import CIngotKernels

/// Quantizing rows as a checkpoint stores them, without their values in F32 standing anywhere but in a small scratch.
///
/// Every function gives the codes and scales that decoding all rows and the function of the same name in this module
/// would, bit for bit, or says that the rows hold a value that is not finite.
public struct StoredRows: ~Escapable {
  let format: FloatFormat
  let values: RawSpan
  let scales: Span<Float>
  let blockRows: Int
  let blockColumns: Int
  public let rows: Int
  public let columns: Int

  /// Rows of dense values.
  ///
  /// - Precondition: `values` holds `rows` × `columns` of them.
  @_lifetime(copy values)
  public init(_ format: FloatFormat, _ values: RawSpan, rows: Int, columns: Int) {
    precondition(values.byteCount == rows * columns * format.byteCount, "values of all rows")
    self.format = format
    self.values = values
    scales = Span()
    (blockRows, blockColumns) = (1, 1)
    (self.rows, self.columns) = (rows, columns)
  }

  /// Rows of 8-bit values with a scale for each block.
  ///
  /// - Parameter scales: (rows / blockRows, columns / blockColumns), both rounded up.
  @_lifetime(copy values, copy scales)
  public init(
    _ format: FloatFormat, _ values: RawSpan, scales: Span<Float>, blockRows: Int, blockColumns: Int,
    rows: Int,
    columns: Int
  ) {
    precondition(format.byteCount == 1 && values.byteCount == rows * columns, "8-bit values of all rows")
    precondition(
      scales.count == groupCount(of: rows, by: blockRows) * groupCount(of: columns, by: blockColumns),
      "one scale a block")
    self.format = format
    self.values = values
    self.scales = scales
    (self.blockRows, self.blockColumns) = (blockRows, blockColumns)
    (self.rows, self.columns) = (rows, columns)
  }

  /// Bytes that `scratch` has to have, in all functions here.
  public static func scratchBytes(columns: Int) -> Int {
    ingot_tile_bytes(columns) + ingot_tile_rows(columns) * columns * 2 + 64
  }

  /// Affine codes as bit streams, each row ending on a byte.
  ///
  /// - Parameters:
  ///   - offset: nil for symmetric codes; zero points, packed like codes; or biases like scales.
  ///   - likeMLX: with biases, as `quantizeAffineLikeMLX` does it with weights rounded to BF16; `method` is not looked at.
  /// - Returns: whether all values were finite; else the output is to be thrown away.
  public func quantizeAffine(
    _ scheme: Scheme, importance: Span<Float>? = nil, bits: Int, group: Int, storage: FloatFormat,
    method: AffineMethod, likeMLX: Bool = false, codes: inout MutableRawSpan, scales: inout MutableRawSpan,
    offsets: inout MutableRawSpan, scratch: inout MutableRawSpan, using isa: InstructionSet = .best
  ) -> Bool {
    precondition(2...8 ~= bits && group > 0 && storage.byteCount > 1, "an affine encoding")
    precondition(!likeMLX || scheme == .bias, "MLX's rule has biases")
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
    var job = unsafe ingot_quantize_job()
    unsafe job.group = group
    unsafe job.bits = UInt32(bits)
    unsafe job.scheme =
      switch scheme {
      case .symmetric: INGOT_SYMMETRIC
      case .zeroPoint: INGOT_ZERO_POINT
      case .bias: INGOT_BIAS
      }
    unsafe job.storage = storage.native
    unsafe job.search = method == .search && !likeMLX
    unsafe job.mlx = likeMLX
    return unsafe withSource(importance, &scratch) { source, importance, tile, bytes in
      unsafe codes.withUnsafeMutableBytes { codes in
        unsafe scales.withUnsafeMutableBytes { scales in
          unsafe offsets.withUnsafeMutableBytes { offsets in
            unsafe job.importance = importance
            unsafe job.codes = codes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            unsafe job.scales = scales.baseAddress?.assumingMemoryBound(to: UInt8.self)
            let offsets = unsafe offsets.baseAddress?.assumingMemoryBound(to: UInt8.self)
            if scheme == .bias { unsafe job.biases = offsets }
            return unsafe ingot_quantize_rows(isa.checked, source, &job, offsets, tile, bytes)
          }
        }
      }
    }
  }

  /// How affine codes stand for values: as `Affine.Offset`.
  public enum Scheme: Sendable { case symmetric, zeroPoint, bias }

  /// Micro-scaled codes, two E2M1 a byte, each row ending on a byte.
  ///
  /// - Returns: whether all values were finite; else the output is to be thrown away.
  public func quantizeMicroScaled(
    importance: Span<Float>? = nil, code: MicroCode, group: Int, scale: MicroScale, method: AffineMethod,
    codes: inout MutableRawSpan, scales: inout MutableRawSpan, scratch: inout MutableRawSpan,
    using isa: InstructionSet = .best
  ) -> Bool {
    precondition(group == 16 || group == 32, "a group has 16 or 32 columns")
    precondition(
      codes.byteCount == rows * packedByteCount(bits: code == .e4m3 ? 8 : 4, count: columns),
      "size of the codes")
    precondition(scales.byteCount == rows * groupCount(of: columns, by: group), "one scale a group")
    var job = unsafe ingot_micro_job()
    unsafe job.group = group
    unsafe job.wide = code == .e4m3
    unsafe job.powers = scale == .e8m0
    unsafe job.search = method == .search
    unsafe job.global = 1
    return unsafe withSource(importance, &scratch) { source, importance, tile, bytes in
      unsafe codes.withUnsafeMutableBytes { codes in
        unsafe scales.withUnsafeMutableBytes { scales in
          unsafe job.importance = importance
          unsafe job.codes = codes.baseAddress?.assumingMemoryBound(to: UInt8.self)
          unsafe job.scales = scales.baseAddress?.assumingMemoryBound(to: UInt8.self)
          return unsafe ingot_quantize_rows_micro(isa.checked, source, &job, tile, bytes)
        }
      }
    }
  }

  /// GGML blocks; `type` and its methods as in `IngotKernels.quantizeGGML`.
  ///
  /// - Returns: whether all values were finite; else the output is to be thrown away.
  public func quantizeGGML(
    type: Int, importance: Span<Float>? = nil, method: AffineMethod, blocks: inout MutableRawSpan,
    scratch: inout MutableRawSpan, using isa: InstructionSet = .best
  ) -> Bool {
    guard let shape = ggmlBlock(type: type) else { preconditionFailure("no block type \(type)") }
    precondition(method == .search || ggmlRoundsToNearest(type: type), "type \(type) has no round to nearest")
    precondition(columns % shape.weights == 0, "rows of whole blocks")
    precondition(blocks.byteCount == rows * columns / shape.weights * shape.bytes, "room for the blocks")
    return unsafe withSource(importance, &scratch) { source, importance, tile, _ in
      unsafe blocks.withUnsafeMutableBytes { blocks in
        var job = unsafe ingot_ggml_job()
        unsafe job.type = ingot_ggml(UInt32(type))
        unsafe job.search = method == .search
        unsafe job.importance = importance
        unsafe job.blocks = blocks.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return unsafe ingot_quantize_rows_ggml(isa.checked, source, &job, tile)
      }
    }
  }

  /// `y (tokens, rows) = x (tokens, columns) · wᵀ`, w being these rows: as `matmul` of the decoded rows, bit for bit, without
  /// decoding more than a few of them at a time. Values that are not finite take part as in any product.
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
          unsafe withAlignedFloats(ingot_multiply_rows_floats(native, source, tokens)) { scratch in
            unsafe ingot_multiply_rows(native, source, x.baseAddress, tokens, y.baseAddress, scratch)
          }
        }
      }
    }
  }

  /// Values rounded to F32, F16 or BF16.
  ///
  /// - Returns: whether all values were finite; else the output is to be thrown away.
  public func encode(
    _ target: FloatFormat, into out: inout MutableRawSpan, scratch: inout MutableRawSpan,
    using isa: InstructionSet = .best
  ) -> Bool {
    precondition(
      target.byteCount > 1 && out.byteCount == rows * columns * target.byteCount, "room for all values")
    return unsafe withSource(nil, &scratch) { source, _, tile, _ in
      unsafe out.withUnsafeMutableBytes { out in
        unsafe ingot_encode_rows(isa.checked, source, target.native, out.baseAddress, tile)
      }
    }
  }

  @unsafe
  private func withSource(
    _ importance: Span<Float>?, _ scratch: inout MutableRawSpan,
    _ body: (
      UnsafePointer<ingot_rows>, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?,
      UnsafeMutablePointer<UInt8>?
    ) -> Int
  ) -> Bool {
    precondition(importance == nil || importance!.count == columns, "one importance a column")
    precondition(scratch.byteCount >= StoredRows.scratchBytes(columns: columns), "room for a tile")
    if rows == 0 || columns == 0 { return true }
    let tileBytes = ingot_tile_bytes(columns)
    let finite = unsafe withNative { source in
      unsafe scratch.withUnsafeMutableBytes { scratch in
        let start = unsafe scratch.baseAddress!.alignedUp(toMultipleOf: 64)
        let tile = unsafe start.bindMemory(to: Float.self, capacity: tileBytes / 4)
        let bytes = unsafe (start + tileBytes).assumingMemoryBound(to: UInt8.self)
        guard let importance else { return unsafe body(source, nil, tile, bytes) }
        return unsafe importance.withUnsafeBufferPointer {
          unsafe body(source, $0.baseAddress, tile, bytes)
        }
      }
    }
    return finite == rows * columns
  }

  @unsafe
  private func withNative<Result>(_ body: (UnsafePointer<ingot_rows>) -> Result) -> Result {
    unsafe values.withUnsafeBytes { values in
      unsafe scales.withUnsafeBufferPointer { scales in
        var source = unsafe ingot_rows(
          format: format.native, values: values.baseAddress?.assumingMemoryBound(to: UInt8.self),
          scales: scales.baseAddress, block_rows: blockRows, block_columns: blockColumns, rows: rows,
          columns: columns)
        return unsafe body(&source)
      }
    }
  }
}
