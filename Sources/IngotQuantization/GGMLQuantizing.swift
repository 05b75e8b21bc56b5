import IngotKernels
import IngotSystem
import IngotTensors

extension Quantizer {
  /// The quantizers that can fill blocks of a GGML type. Q8_0 is next to exact, and its rounding what llama.cpp
  /// writes: it comes first.
  static func filling(_ type: GGMLType) -> [Quantizer] {
    switch type {
    case .q80: [.roundToNearest, .search]
    case .q40, .q41, .q50, .q51, .mxfp4: [.search, .roundToNearest]
    case .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .iq4XS: [.search]
    case .iq2XXS, .iq2XS, .iq3XXS, .iq1S, .iq3S, .iq2S, .iq1M: [.search]
    case .tq10, .tq20, .nvfp4, .q10, .q20: []
    }
  }

  func ggml(_ values: [Float], _ rows: Int, _ importance: [Float]?, _ type: GGMLType) -> [Bytes] {
    let bytes = values.count / type.blockWeights * type.blockBytes
    let method: AffineMethod = self == .search ? .search : .roundToNearest
    let weights = importance?.span
    return [
      Bytes(count: bytes) { blocks in
        if rows == 0 { return }
        quantizeGGML(
          type: Int(type.rawValue), values.span, importance: weights, rows: rows, method: method,
          blocks: &blocks)
      }
    ]
  }
}
