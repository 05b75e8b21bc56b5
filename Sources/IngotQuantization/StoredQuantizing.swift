import IngotKernels
import IngotSystem
import IngotTensors

extension Quantizer {
  /// Quantizes rows straight from a source's planes: what `planes(_:rows:…)` makes of the decoded rows, without a
  /// buffer for these.
  ///
  /// - Parameters:
  ///   - planes: dense or block-scaled ones of these rows, the first at a multiple of the source's row step.
  /// - Returns: nil when there are no kernels for that, or when a value is not finite.
  func planes(
    stored planes: [Bytes], _ source: Encoding, rows: Int, columns: Int, importance: [Float]?,
    encoding: Encoding
  ) -> [Bytes]? {
    if self == .matchMLX {
      // Of MLX's other encodings there are no kernels that round to BF16 before.
      guard case .affine = encoding else { return nil }
    }
    var scales: [Float] = []
    let values = planes[0]
    let format: FloatFormat
    var block = (rows: 1, columns: 1)
    switch source {
    case .dense(let type):
      guard let known = type.floatFormat else { return nil }
      format = known
    case .blockScaled(let scheme):
      format = scheme.code == .f8e4m3 ? .f8e4m3 : .f8e5m2
      block = (scheme.blockRows, scheme.blockColumns)
      let plane = planes[1]
      scales = [Float](repeating: 0, count: plane.count * 8 / scheme.scale.bits)
      var span = scales.mutableSpan
      decode(scheme.scale.floatFormat!, plane.span, into: &span)
    default: return nil
    }
    if scales.isEmpty {
      let stored = StoredRows(format, values.span, rows: rows, columns: columns)
      return self.planes(stored, importance, encoding)
    }
    let stored = StoredRows(
      format, values.span, scales: scales.span, blockRows: block.rows, blockColumns: block.columns,
      rows: rows,
      columns: columns)
    return self.planes(stored, importance, encoding)
  }

  private func planes(_ stored: borrowing StoredRows, _ importance: [Float]?, _ encoding: Encoding)
    -> [Bytes]?
  {
    let layout = encoding.planes([stored.rows, stored.columns])!
    let method: AffineMethod = self == .search ? .search : .roundToNearest
    let weights = importance?.span
    switch encoding {
    case .dense(let type):
      guard let target = type.floatFormat, self == .cast else { return nil }
      return Quantizer.filled(layout, columns: stored.columns) { first, _, _, scratch in
        stored.encode(target, into: &first, scratch: &scratch)
      }
    case .affine(let scheme):
      let kind: StoredRows.Scheme =
        switch scheme.offset {
        case .symmetric: .symmetric
        case .zeroPoint: .zeroPoint
        case .bias: .bias
        }
      return Quantizer.filled(layout, columns: stored.columns) { codes, scales, offsets, scratch in
        stored.quantizeAffine(
          kind, importance: weights, bits: scheme.bits, group: scheme.group ?? max(stored.columns, 1),
          storage: scheme.scale.floatFormat!, method: method, likeMLX: self == .matchMLX, codes: &codes,
          scales: &scales,
          offsets: &offsets,
          scratch: &scratch)
      }
    case .microScaled(let scheme):
      // A global scale is known only when all values have been seen.
      if scheme.hasGlobal { return nil }
      return Quantizer.filled(layout, columns: stored.columns) { codes, scales, _, scratch in
        stored.quantizeMicroScaled(
          importance: weights, code: scheme.code == .f4 ? .e2m1 : .e4m3, group: scheme.group,
          scale: scheme.scale == .f8e8m0 ? .e8m0 : .e4m3, method: method, codes: &codes, scales: &scales,
          scratch: &scratch)
      }
    case .ggml(let type):
      return Quantizer.filled(layout, columns: stored.columns) { blocks, _, _, scratch in
        stored.quantizeGGML(
          type: Int(type.rawValue), importance: weights, method: method, blocks: &blocks, scratch: &scratch)
      }
    case .blockScaled, .columnPacked, .trellis, .tiles: return nil
    }
  }

  /// Up to three planes in recycled memory, and a scratch; nil when `body` says that they are to be thrown away.
  private static func filled(
    _ layout: [Plane], columns: Int,
    _ body: (
      inout MutableRawSpan, inout MutableRawSpan, inout MutableRawSpan, _ scratch: inout MutableRawSpan
    ) -> Bool
  ) -> [Bytes]? {
    func size(_ index: Int) -> Int { index < layout.count ? layout[index].bytes : 0 }
    var good = false
    var (second, third) = (Bytes.empty, Bytes.empty)
    let first = Bytes(overwriting: size(0)) { first in
      second = Bytes(overwriting: size(1)) { second in
        third = Bytes(overwriting: size(2)) { third in
          _ = Bytes(overwriting: StoredRows.scratchBytes(columns: columns)) { scratch in
            good = body(&first, &second, &third, &scratch)
          }
        }
      }
    }
    return good ? Array([first, second, third].prefix(layout.count)) : nil
  }
}
