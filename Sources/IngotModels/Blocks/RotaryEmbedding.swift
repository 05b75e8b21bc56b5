#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of the first dimensions of each head.
public struct RotaryEmbedding: Hashable, Sendable {
  /// Dimensions that are rotated.
  public var dims: Int
  public var theta: Double
  public var pairing: Pairing
  public var scaling: Scaling

  /// Which dimensions form a pair.
  public enum Pairing: Hashable, Sendable {
    /// (i, i + dims/2)
    case half
    /// (2i, 2i + 1)
    case interleaved
  }

  /// How frequencies are changed for contexts longer than those of training.
  public enum Scaling: Hashable, Sendable {
    case none
    /// Divided by a factor.
    case linear(factor: Double)
    /// Llama 3.1: low frequencies divided, high ones kept, those between interpolated.
    case llama3(factor: Double, lowFactor: Double, highFactor: Double, originalContext: Int)
    /// YaRN (Peng et al. 2023, arXiv:2309.00071).
    case yarn(YaRN)
    /// Only so many pairs turn, the first ones (Gemma 4).
    case proportional(pairs: Int)
    /// LongRoPE (Ding et al. 2024, arXiv:2402.13753).
    case longRoPE(LongRoPE)
  }

  /// Frequencies divided by a factor each. Contexts longer than those of training have other factors, which no reference
  /// implementation computes alike, so these are for contexts up to that length.
  public struct LongRoPE: Hashable, Sendable {
    /// One for each pair.
    public var factors: [Double]
    public var originalContext: Int
    /// Factor on cosines and sines.
    public var magnitude: Double
  }

  public struct YaRN: Hashable, Sendable {
    public var factor: Double
    public var originalContext: Int
    public var betaFast: Double
    public var betaSlow: Double
    /// Factor on cosines and sines.
    public var attentionFactor: Double
    /// Whether the bounds of the ramp are rounded to whole dimensions.
    public var truncates: Bool
  }

  public init(dims: Int, theta: Double, pairing: Pairing = .half, scaling: Scaling = .none) {
    self.dims = dims
    self.theta = theta
    self.pairing = pairing
    self.scaling = scaling
  }

  /// Angle per position of each pair: θ^(−2i/dims), changed as `scaling` says.
  public var frequencies: [Double] {
    let plain = (0..<dims / 2).map { pow(theta, -2 * Double($0) / Double(dims)) }
    switch scaling {
    case .none: return plain
    case .linear(let factor): return plain.map { $0 / factor }
    case .llama3(let factor, let low, let high, let original):
      return plain.map { frequency in
        // Rotations over the original context: above `high` kept, below `low` divided.
        let rotations = Double(original) * frequency / (2 * .pi)
        if rotations > high { return frequency }
        if rotations < low || high <= low { return frequency / factor }
        let share = (rotations - low) / (high - low)
        return (1 - share) * frequency / factor + share * frequency
      }
    case .yarn(let yarn):
      // The dimension whose pair rotates so often over the original context.
      func dimension(_ rotations: Double) -> Double {
        Double(dims) * log(Double(yarn.originalContext) / (rotations * 2 * .pi)) / (2 * log(theta))
      }
      var low = dimension(yarn.betaFast)
      var high = dimension(yarn.betaSlow)
      if yarn.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
      low = max(low, 0)
      high = min(high, Double(dims - 1))
      if low == high { high += 0.001 }
      return plain.enumerated().map { index, frequency in
        let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
        return frequency / yarn.factor * ramp + frequency * (1 - ramp)
      }
    case .proportional(let pairs):
      return plain.enumerated().map { $0 < pairs ? $1 : 0 }
    case .longRoPE(let long): return zip(plain, long.factors).map { $0 / $1 }
    }
  }

  /// The scaling for tables, after a comma; empty for none.
  public var scalingText: String {
    switch scaling {
    case .none: ""
    case .linear(let factor): ", linear scaling by \(factor)"
    case .llama3(let factor, _, _, let original): ", llama3 scaling by \(factor) from \(original) tokens"
    case .yarn(let yarn): ", YaRN by \(yarn.factor) from \(yarn.originalContext) tokens"
    case .proportional(let pairs): ", of which \(2 * pairs) turn"
    case .longRoPE(let long): ", LongRoPE from \(long.originalContext) tokens"
    }
  }

  /// Factor on cosines and sines.
  public var magnitude: Double {
    switch scaling {
    case .yarn(let yarn): yarn.attentionFactor
    case .longRoPE(let long): long.magnitude
    case .none, .linear, .llama3, .proportional: 1
    }
  }

  /// The longest context whose rotation is known, in tokens; nil for any.
  public var longestContext: Int? {
    if case .longRoPE(let long) = scaling { return long.originalContext }
    return nil
  }
}

/// For files that import no C library.
func logarithm(_ x: Double) -> Double { log(x) }
