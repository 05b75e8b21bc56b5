import IngotKernels
import IngotSystem
import IngotTensors

extension Tensor {
  /// The values in F32, decoded when they are read; for containers that hold a matrix otherwise than a checkpoint does.
  func decoded() -> Tensor {
    guard encoding != .dense(.f32) else { return self }
    return mapped(to: .dense(.f32)) { [encoding, columns] rows, planes in
      defer { for plane in planes { plane.release() } }
      var values = [Float](repeating: 0, count: rows.count * columns)
      var span = values.mutableSpan
      encoding.decode(planes, rows: rows.count, columns: columns, into: &span)
      return [Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }]
    }
  }
}
