import Kernels
import Tensors

extension Quantizer {
  /// The quantizers that can fill blocks of a GGML type.
  static func filling(_ type: GGMLType) -> [Quantizer] {
    switch type {
    case .q40, .q41, .q50, .q51, .q80, .mxfp4: [.roundToNearest]
    case .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .iq4XS: []
    }
  }

  func ggml(_ values: [Float], _ rows: Int, _ importance: [Float]?, _ type: GGMLType) -> [Bytes] {
    let bytes = values.count / type.blockWeights * type.blockBytes
    return [
      Bytes(count: bytes) { blocks in
        if rows > 0 { roundGGML(type: Int(type.rawValue), values.span, rows: rows, blocks: &blocks) }
      }
    ]
  }
}
