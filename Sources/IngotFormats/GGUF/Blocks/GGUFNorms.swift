import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

// Norms whose stored weight is the factor less 1: a GGUF file holds the factor, in F32.

extension GGUFFamily {
  /// A norm's weight as a GGUF file holds it.
  func storedNorm(_ tensor: Tensor, _ blueprint: Blueprint) -> Tensor {
    blueprint.norm(of: tensor.role)?.addsOne ?? false ? tensor.adding(1) : tensor
  }

  /// A norm's weight as the family's checkpoints hold it, from a GGUF file.
  ///
  /// Nothing is lost: where a factor is 1 + w rounded to F32, taking 1 away again is exact.
  func ownNorm(_ tensor: Tensor, _ blueprint: Blueprint) -> Tensor {
    blueprint.norm(of: tensor.role)?.addsOne ?? false ? tensor.adding(-1) : tensor
  }
}

extension Tensor {
  /// The values plus a number, in F32.
  func adding(_ number: Float) -> Tensor {
    mapped(to: .dense(.f32)) { [encoding, columns] rows, planes in
      var values = [Float](repeating: 0, count: rows.count * columns)
      var span = values.mutableSpan
      encoding.decode(planes, rows: rows.count, columns: columns, into: &span)
      for index in values.indices { values[index] += number }
      return [Bytes(count: values.count * 4) { encode(.f32, values.span, into: &$0) }]
    }
  }
}
