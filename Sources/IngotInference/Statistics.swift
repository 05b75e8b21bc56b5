/// A figure with its standard error.
public struct Estimate: Hashable, Sendable {
  public var value: Double
  /// nil when it cannot be told, as from a single context.
  public var standardError: Double?

  public init(value: Double, standardError: Double?) {
    self.value = value
    self.standardError = standardError
  }
}

/// The value below which a fraction of `sorted` lies, between neighbours by linear interpolation: at 0-based
/// position fraction · (count − 1), as numpy's default and llama-perplexity have it.
package func percentile(_ fraction: Double, of sorted: [Double]) -> Double {
  precondition(!sorted.isEmpty && (0...1).contains(fraction), "a fraction of some values")
  let position = fraction * Double(sorted.count - 1)
  let low = min(Int(position), sorted.count - 1)
  let high = min(low + 1, sorted.count - 1)
  let share = position - Double(low)
  return share == 0 ? sorted[low] : (1 - share) * sorted[low] + share * sorted[high]
}

/// Block bootstrap (Efron 1979; blocks because tokens of one context depend on each other): means over all tokens of
/// contexts drawn with replacement, the same draw for every figure.
package struct Bootstrap: Sendable {
  /// One block's values in sum: contexts.
  private let counts: [Int]
  /// The contexts of each draw: (resamples, contexts).
  private let draws: [[Int32]]

  /// - Parameter counts: values of each block; blocks without values are not drawn.
  package init(counts: [Int], resamples: Int, seed: UInt64) {
    self.counts = counts
    let blocks = counts.indices.filter { counts[$0] > 0 }
    var generator = SplitMix64(state: seed)
    draws =
      blocks.count < 2 || resamples < 2
      ? []
      : (0..<resamples).map { _ in
        blocks.map { _ in Int32(blocks[generator.next(below: blocks.count)]) }
      }
  }

  /// Standard error of the mean of values given as a sum for each block: the standard deviation over the draws,
  /// times √(n / (n − 1)) for n blocks, by which a bootstrap of few blocks falls short.
  ///
  /// - Returns: nil for fewer than two blocks.
  package func standardError(sums: [Double]) -> Double? {
    precondition(sums.count == counts.count, "a sum for each block")
    guard let blocks = draws.first?.count else { return nil }
    let means = draws.map { draw in
      draw.reduce(0.0) { $0 + sums[Int($1)] } / Double(draw.reduce(0) { $0 + counts[Int($1)] })
    }
    // Deviations from the first draw: equal means have a standard deviation of exactly 0.
    let shifted = means.map { $0 - means[0] }
    let mean = shifted.reduce(0, +) / Double(shifted.count)
    let variance = shifted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(shifted.count - 1)
    return (variance * Double(blocks) / Double(blocks - 1)).squareRoot()
  }
}

/// The generator SplitMix64 (Steele, Lea and Flood 2014): small, and the same everywhere.
package struct SplitMix64: Sendable {
  private var state: UInt64

  package init(state: UInt64) { self.state = state }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// A number from 0 to below `bound`, each equally likely but for a part in 2⁶⁴ / bound.
  package mutating func next(below bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }
}
