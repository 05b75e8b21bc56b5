import IngotModels
import IngotSystem

/// Factors that divide the frequencies of a rotation, as llama.cpp takes them from a tensor.
enum GGUFFrequencies {
  /// What a pair that does not turn is divided by.
  private static let still: Float = 1e30

  /// The tensor's values for a rotation; nil for one without.
  static func stored(_ rotary: RotaryEmbedding) -> [Float]? {
    switch rotary.scaling {
    case .llama3: factors(rotary)
    case .proportional(let pairs): (0..<rotary.dims / 2).map { $0 < pairs ? 1 : still }
    default: nil
    }
  }

  /// For each pair: plain frequency / scaled frequency.
  static func factors(_ rotary: RotaryEmbedding) -> [Float] {
    let plain = RotaryEmbedding(dims: rotary.dims, theta: rotary.theta).frequencies
    return zip(plain, rotary.frequencies).map { Float($0 / $1) }
  }
}

extension GGUFConfig {
  /// Llama 3's scaling, which a GGUF file holds as a factor for each frequency: by our own key, or the parameters that
  /// released models have, whichever gives these factors.
  func llama3(_ factors: [Float], theta: Double, rotated: Int) throws(FormatError) -> JSON {
    var candidates: [(Double, Double, Double, Int)] = []
    if let own = metadata["ingot.rope.llama3"]?.strings, own.count == 4, let a = Double(own[0]),
      let b = Double(own[1]), let c = Double(own[2]), let d = Int(own[3])
    {
      candidates.append((a, b, c, d))
    }
    let greatest = Double(factors.max() ?? 1)
    for original in [8192, 4096, 2048, 16_384, 32_768, 131_072] {
      for high in [4.0, 1.0] {
        candidates.append(((greatest * 1024).rounded() / 1024, 1, high, original))
      }
    }
    for (factor, low, high, original) in candidates {
      let scaling = RotaryEmbedding.Scaling.llama3(
        factor: factor, lowFactor: low, highFactor: high, originalContext: original)
      let expected = GGUFFrequencies.factors(RotaryEmbedding(dims: rotated, theta: theta, scaling: scaling))
      let isSame =
        expected.count == factors.count
        && zip(expected, factors).allSatisfy { abs($0 - $1) <= 2e-5 * abs($1) }
      if isSame {
        return [
          "rope_type": "llama3", "factor": JSON(factor), "low_freq_factor": JSON(low),
          "high_freq_factor": JSON(high), "original_max_position_embeddings": JSON(original),
        ]
      }
    }
    throw FormatError(
      path: metadata.path, tensor: GGUFFamily.frequencyFactors,
      expected: "factors of Llama 3's scaling of the rotation", found: "others: \(factors.prefix(6)) …")
  }
}
