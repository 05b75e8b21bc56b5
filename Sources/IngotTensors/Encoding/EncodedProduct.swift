import IngotKernels
import IngotSystem

extension Encoding {
  /// Whether `multiply` decodes weights where it multiplies them; else all of them to F32 first.
  public var isMultipliedFromCodes: Bool {
    switch self {
    case .dense(let type): type.floatFormat != nil
    case .blockScaled, .affine, .microScaled, .ggml: true
    case .columnPacked, .trellis, .tiles: false
    }
  }

  /// `y (tokens, rows) = x (tokens, columns) · wᵀ`, w being the rows that the planes stand for: as the product with the decoded rows,
  /// bit for bit. What has kernels for it is decoded where it is multiplied, the rest to F32 first.
  ///
  /// - Parameters:
  ///   - planes: cut to these rows, as for `decode`.
  ///   - x: (tokens, columns).
  ///   - y: (tokens, rows).
  /// - Precondition: the encoding is decodable; spans of these sizes.
  public func multiply(
    _ planes: [Bytes], rows: Int, columns: Int, by x: Span<Float>, tokens: Int,
    into y: inout MutableSpan<Float>
  ) {
    switch self {
    case .dense(let type):
      if let format = type.floatFormat {
        let plane = planes[0]
        return StoredRows(format, plane.span, rows: rows, columns: columns).multiply(
          x, tokens: tokens, into: &y)
      }
    case .blockScaled(let scheme):
      let (codes, scales) = (planes[0], scheme.scales(planes, rows: rows, columns: columns))
      return StoredRows(
        scheme.code == .f8e4m3 ? .f8e4m3 : .f8e5m2, codes.span, scales: scales.span,
        blockRows: scheme.blockRows, blockColumns: scheme.blockColumns, rows: rows, columns: columns
      ).multiply(x, tokens: tokens, into: &y)
    case .affine(let scheme):
      guard let storage = scheme.scale.floatFormat else { break }
      let (codes, scales, offsets) = (planes[0], planes[1], planes[planes.count - 1])
      return CodedRows(
        affine: scheme.offset.kernelScheme, bits: scheme.bits, codes: codes.span,
        group: max(scheme.group ?? columns, 1), storage: storage, scales: scales.span,
        offsets: scheme.offset == .symmetric ? RawSpan() : offsets.span, rows: rows, columns: columns
      ).multiply(x, tokens: tokens, into: &y)
    case .microScaled(let scheme):
      let (codes, scales) = (planes[0], scheme.scales(planes, rows * scheme.groups(columns)))
      if scheme.code == .f8e4m3 {
        return StoredRows(
          .f8e4m3, codes.span, scales: scales.span, blockRows: 1, blockColumns: scheme.group, rows: rows,
          columns: columns
        ).multiply(x, tokens: tokens, into: &y)
      }
      // Half a scale is exact unless it is next to the least number that there is.
      if scales.allSatisfy({ !($0.magnitude < 0x1p-100) || $0 == 0 }) {
        let halves = scales.map { $0 / 2 }
        return CodedRows(
          e2m1: codes.span, group: scheme.group, halves: halves.span, rows: rows, columns: columns
        )
        .multiply(x, tokens: tokens, into: &y)
      }
    case .ggml(let type):
      let blocks = planes[0]
      return CodedRows(ggml: Int(type.rawValue), blocks.span, rows: rows, columns: columns)
        .multiply(x, tokens: tokens, into: &y)
    case .columnPacked, .trellis, .tiles: break
    }
    var weights = [Float](repeating: 0, count: rows * columns)
    var span = weights.mutableSpan
    decode(planes, rows: rows, columns: columns, into: &span)
    matmul(x, weights.span, tokens: tokens, inputs: columns, outputs: rows, into: &y)
  }
}

extension Affine.Offset {
  fileprivate var kernelScheme: StoredRows.Scheme {
    switch self {
    case .symmetric: .symmetric
    case .zeroPoint: .zeroPoint
    case .bias: .bias
    }
  }
}
