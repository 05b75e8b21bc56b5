import IngotModels
import IngotSystem
import IngotTensors

extension Tensor {
  /// Symmetric codes with the bias −2^(bits − 1) · scale that makes them the same numbers in MLX's layout; nil for other
  /// encodings. With scales of 16 bits s·u is exact in F32, and so is its sum with the bias.
  var symmetricWithBias: Tensor? {
    guard case .affine(let scheme) = encoding, scheme.offset == .symmetric, scheme.scale.bits == 16,
      let same = Affine(bits: scheme.bits, group: scheme.group, offset: .bias, scale: scheme.scale)
    else { return nil }
    return mapped(to: .affine(same)) { _, planes throws(FormatError) in
      planes + [try biases(planes[1], scheme)]
    }
  }

  /// −2^(bits − 1) times each scale: the exponent grows by bits − 1 and the sign turns.
  private func biases(_ scales: Bytes, _ scheme: Affine) throws(FormatError) -> Bytes {
    let (exponentBits, mantissaBits): (UInt16, UInt16) = scheme.scale == .f16 ? (5, 10) : (8, 7)
    let steps = UInt16(scheme.bits - 1)
    let greatest = UInt16(1) << exponentBits - 1
    var out: [UInt8] = []
    out.reserveCapacity(scales.count)
    let span = scales.span
    for at in stride(from: 0, to: scales.count, by: 2) {
      let scale = span.littleEndian(UInt16.self, at: at)
      var magnitude = scale & 0x7FFF
      // A subnormal doubles by a shift, which carries into the exponent; others by one more in the exponent.
      for _ in 0..<steps {
        magnitude = magnitude >> mantissaBits == 0 ? magnitude << 1 : magnitude + 1 << mantissaBits
        guard magnitude >> mantissaBits < greatest else {
          throw error(
            "scales whose biases, \(1 << steps) times as large, \(scheme.scale.rawValue) holds",
            found: "a larger one; an encoding with scales of BF16 holds it, as in recipe mlx-4bit")
        }
      }
      let bias = magnitude | ~scale & 0x8000
      out.append(UInt8(truncatingIfNeeded: bias))
      out.append(UInt8(truncatingIfNeeded: bias >> 8))
    }
    return Bytes(out)
  }
}
