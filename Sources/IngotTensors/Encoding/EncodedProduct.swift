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

  /// Whether products of rows of so many columns can round activations to 8 bits: those whose codes are whole numbers or, of a
  /// table, become such.
  public func multipliesRounded(columns: Int) -> Bool {
    guard columns > 0, columns % 32 == 0 else { return false }
    return switch self {
    case .affine(let scheme): scheme.scale.floatFormat != nil
    case .microScaled(let scheme): scheme.code != .f8e4m3
    case .ggml(let type): CodedRows.multipliesRounded(ggml: Int(type.rawValue))
    case .dense, .blockScaled, .columnPacked, .trellis, .tiles: false
    }
  }

  /// `y (tokens, rows) = x (tokens, columns) · wᵀ`, w being the rows that the planes stand for: as the product with the decoded rows,
  /// bit for bit. What has kernels for it is decoded where it is multiplied, the rest to F32 first.
  ///
  /// - Parameters:
  ///   - planes: cut to these rows, as for `decode`.
  ///   - x: (tokens, columns).
  ///   - y: (tokens, rows).
  ///   - rounded: whether activations are rounded to 8 bits where the encoding allows that; the product is another then.
  /// - Precondition: the encoding is decodable; spans of these sizes.
  public func multiply(
    _ planes: [Bytes], rows: Int, columns: Int, by x: Span<Float>, tokens: Int,
    into y: inout MutableSpan<Float>, rounded: Bool = false
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
      ).multiply(x, tokens: tokens, into: &y, ifPossible: rounded)
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
        .multiply(x, tokens: tokens, into: &y, ifPossible: rounded)
      }
    case .ggml(let type):
      let blocks = planes[0]
      return CodedRows(ggml: Int(type.rawValue), blocks.span, rows: rows, columns: columns)
        .multiply(x, tokens: tokens, into: &y, ifPossible: rounded)
    case .columnPacked, .trellis, .tiles: break
    }
    var weights = [Float](repeating: 0, count: rows * columns)
    var span = weights.mutableSpan
    decode(planes, rows: rows, columns: columns, into: &span)
    matmul(x, weights.span, tokens: tokens, inputs: columns, outputs: rows, into: &y)
  }
}

extension CodedRows {
  /// `multiplyRounded` where that is wanted and can be had.
  fileprivate func multiply(
    _ x: Span<Float>, tokens: Int, into y: inout MutableSpan<Float>, ifPossible rounded: Bool
  ) {
    if rounded && isMultipliedRounded {
      multiplyRounded(x, tokens: tokens, into: &y)
    } else {
      multiply(x, tokens: tokens, into: &y)
    }
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
