import IngotKernels
import IngotSystem
import IngotTensors

extension Quantizer {
  /// Planes of trellis codes in tiles.
  ///
  /// - Parameters:
  ///   - values: (rows, columns), finite.
  ///   - hessian: (columns, columns), or nil when all columns count the same and none makes up for another.
  static func tiles(
    _ values: [Float], rows: Int, columns: Int, hessian: [Float]?, _ scheme: Tiles,
    _ options: GPTQOptions = .init()
  ) -> (planes: [Bytes], result: GPTQResult) {
    let chosen = chooseTiles(
      values.span, rows: rows, columns: columns, hessian: hessian, scheme.shape, options)
    func stored(_ values: [Float]) -> Bytes {
      Bytes(count: values.count * 2) { IngotKernels.encode(.f16, values.span, into: &$0) }
    }
    // A tensor without values has no scales.
    let isEmpty = rows == 0 || columns == 0
    return (
      [
        Bytes(chosen.codes), stored(isEmpty ? [] : chosen.columnScales),
        stored(isEmpty ? [] : chosen.rowScales),
      ], chosen.result
    )
  }
}
