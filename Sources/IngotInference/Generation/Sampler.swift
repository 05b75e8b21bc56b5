#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How the next token is chosen from logits.
public struct Sampling: Hashable, Sendable {
  /// Divides the logits; 0 takes the largest.
  public var temperature = 0.0
  /// Only the most likely so many; 0 for all.
  public var topK = 0
  /// Only the most likely that together have at least this probability.
  public var topP = 1.0
  /// Only those with at least this share of the most likely one's probability.
  public var minP = 0.0
  /// Logits of tokens that occurred already are divided by it where they are positive, else multiplied.
  public var repetitionPenalty = 1.0
  public var seed: UInt64 = 0

  public init() {}
}

/// Chooses tokens, from a seed: the same logits and seed give the same tokens on every machine.
///
/// Steps follow each other as transformers' do: penalty, temperature, top-k, top-p, min-p.
public struct Sampler: Sendable {
  public let sampling: Sampling
  private var state: UInt64

  public init(_ sampling: Sampling) {
    self.sampling = sampling
    state = sampling.seed
  }

  /// - Parameters:
  ///   - logits: (vocabulary), finite.
  ///   - seen: tokens of the sequence so far, for the penalty.
  public mutating func choose(_ logits: [Float], seen: Set<Int>) -> Int {
    var logits = logits
    if sampling.repetitionPenalty != 1 {
      let penalty = Float(sampling.repetitionPenalty)
      for token in seen where logits.indices.contains(token) {
        logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty
      }
    }
    if sampling.temperature == 0 || sampling.topK == 1 { return Sampler.largest(logits) }
    let candidates = candidates(logits)
    let point = uniform() * candidates.reduce(0) { $0 + $1.weight }
    var sum = 0.0
    for candidate in candidates {
      sum += candidate.weight
      if point < sum { return candidate.token }
    }
    return candidates.last!.token
  }

  /// The first of the largest.
  static func largest(_ logits: [Float]) -> Int {
    var best = 0
    for index in logits.indices where logits[index] > logits[best] { best = index }
    return best
  }

  /// What is left to choose from, the most likely first, with probabilities up to a factor.
  private func candidates(_ logits: [Float]) -> [(token: Int, weight: Double)] {
    let most = Double(logits.max()!)
    // The least weight that can matter is a double's rounding of the largest.
    let least = most - 40 * sampling.temperature
    var all = logits.indices.filter { Double(logits[$0]) > least }
    all.sort { (logits[$0], $1) > (logits[$1], $0) }
    if sampling.topK > 0 { all = Array(all.prefix(sampling.topK)) }
    var candidates = all.map {
      (token: $0, weight: exp((Double(logits[$0]) - most) / sampling.temperature))
    }
    if sampling.topP < 1 {
      let total = candidates.reduce(0) { $0 + $1.weight }
      var (sum, count) = (0.0, 0)
      while count < candidates.count, count == 0 || sum < sampling.topP * total {
        sum += candidates[count].weight
        count += 1
      }
      candidates = Array(candidates.prefix(count))
    }
    if sampling.minP > 0 {
      let bound = sampling.minP * candidates[0].weight
      candidates = Array(candidates.prefix { $0.weight >= bound })
    }
    return candidates
  }

  /// From 0 to below 1. SplitMix64 (Steele, Lea and Flood, 2014), the upper 53 bits.
  private mutating func uniform() -> Double {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
    return Double(z >> 11) * 0x1p-53
  }
}
