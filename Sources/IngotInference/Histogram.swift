import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Counts of positive values in bins of a logarithmic scale, five to a decade.
public struct Histogram: Hashable, Sendable {
  /// Bounds of the bins, ascending: one more than bins; empty when no value reaches `least`.
  public var edges: [Double] = []
  public var counts: [Int] = []
  /// Values below `least`, which are left out of the bins: zeros, and what rounding leaves of them.
  public var below = 0

  /// Where the scale begins.
  public static let least = 1e-8
  private static let perDecade = 5

  /// - Parameter sorted: values, ascending and finite. A value at an edge counts to the bin above it.
  public init(of sorted: [Double]) {
    let first = sorted.firstIndex { $0 >= Histogram.least } ?? sorted.endIndex
    below = first
    guard first < sorted.endIndex else { return }
    var exponent = -8 * Histogram.perDecade
    func edge(_ exponent: Int) -> Double { pow(10, Double(exponent) / Double(Histogram.perDecade)) }
    while edge(exponent + 1) <= sorted[first] { exponent += 1 }
    edges = [edge(exponent)]
    var index = first
    while index < sorted.endIndex {
      exponent += 1
      let bound = edge(exponent)
      let start = index
      while index < sorted.endIndex, sorted[index] < bound { index += 1 }
      edges.append(bound)
      counts.append(index - start)
    }
  }

  /// `below`, and the bins as `edges` and `counts`.
  var json: JSON {
    [
      "below": JSON(below), "least": JSON(Histogram.least), "edges": .array(edges.map { JSON($0) }),
      "counts": .array(counts.map { JSON($0) }),
    ]
  }
}
