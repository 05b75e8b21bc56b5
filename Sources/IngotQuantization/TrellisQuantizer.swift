import IngotKernels
import IngotSystem
import IngotTensors

extension Quantizer {
  /// Planes of trellis codes.
  ///
  /// - Parameters:
  ///   - values: (rows, columns), finite.
  ///   - hessian: nil when all columns count the same and none makes up for another.
  static func trellis(
    _ values: [Float], rows: Int, columns: Int, hessian: GPTQHessian?, _ scheme: Trellis,
    _ options: GPTQOptions = .init()
  ) -> (planes: [Bytes], result: GPTQResult) {
    let chosen = chooseTrellis(
      values.span, rows: rows, columns: columns, hessian: hessian, scheme.shape, options)
    func stored(_ values: [Float], _ type: DType) -> Bytes {
      Bytes(count: values.count * type.bits / 8) {
        IngotKernels.encode(type.floatFormat!, values.span, into: &$0)
      }
    }
    // A tensor without values has no scales.
    let isEmpty = rows == 0 || columns == 0
    return (
      [
        Bytes(chosen.codes), stored(isEmpty ? [] : chosen.rowScales, .f32),
        stored(isEmpty ? [] : chosen.columnScales, .f16),
      ], chosen.result
    )
  }
}
