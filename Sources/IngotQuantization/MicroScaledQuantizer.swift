import IngotKernels
import IngotSystem
import IngotTensors

extension Quantizer {
  /// Planes of rows as micro-scaled codes. With a global scale the rows are the whole tensor.
  func microScaled(
    _ values: [Float], _ rows: Int, _ columns: Int, _ importance: [Float]?, _ scheme: MicroScaled
  ) -> [Bytes] {
    let values = self == .matchMLX ? Quantizer.asMLXSees(values) : values
    var codes = [UInt8](repeating: 0, count: values.count)
    var scales = [UInt8](repeating: 0, count: rows * scheme.groups(columns))
    let global = scheme.hasGlobal ? Quantizer.globalScale(values, greatest: scheme.greatest) : 1
    if !values.isEmpty {
      let weights = importance?.span
      var codeSpan = codes.mutableSpan
      var scaleSpan = scales.mutableSpan
      quantizeMicroScaled(
        values.span, importance: weights, rows: rows, code: scheme.code == .f4 ? .e2m1 : .e4m3,
        group: scheme.group, scale: scheme.scale == .f8e8m0 ? .e8m0 : .e4m3, global: global,
        method: self == .search ? .search : .roundToNearest, codes: &codeSpan, scales: &scaleSpan)
    }
    let planes = [Quantizer.packed(codes, bits: scheme.bits, rows: rows), Bytes(scales)]
    guard scheme.hasGlobal, !values.isEmpty else { return scheme.hasGlobal ? planes + [.empty] : planes }
    return planes + [Bytes(Quantizer.littleEndianBytes(global))]
  }

  /// What E4M3 scales are divided by: the largest power of two, at most 64, under which the tensor's largest magnitude
  /// has a scale of at most 448.
  ///
  /// Engines fuse query, key and value, and gate and up, and use one of their global scales for all: tensors whose
  /// values stay below 42 have the same one. Scales are floats themselves, so a power of two costs nothing but for
  /// groups whose values stay below 0.0015, where scales lose bits.
  private static func globalScale(_ values: [Float], greatest: Float) -> Float {
    let extreme = values.reduce(0) { max($0, abs($1)) }
    let largest = 448 * greatest / extreme
    guard largest < 64 else { return 64 }
    return Float(sign: .plus, exponent: largest.exponent, significand: 1)
  }

  /// The bytes of a value.
  private static func littleEndianBytes(_ value: Float) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32($0))) }
  }
}
