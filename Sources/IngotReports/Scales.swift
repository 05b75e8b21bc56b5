#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// From values to places along an axis.
struct Scale {
  var domain: ClosedRange<Double>
  /// Where the ends of the domain lie; the second may be less than the first.
  var range: (Double, Double)
  var isLogarithmic = false

  func callAsFunction(_ value: Double) -> Double {
    let (low, high) =
      isLogarithmic
      ? (log10(domain.lowerBound), log10(domain.upperBound)) : (domain.lowerBound, domain.upperBound)
    let place = isLogarithmic ? log10(value) : value
    let share = high > low ? (min(max(place, low), high) - low) / (high - low) : 0
    return range.0 + share * (range.1 - range.0)
  }

  /// Round values within the domain, about `count` of them: 1, 2 or 5 times a power of ten apart, or powers of ten.
  func ticks(_ count: Int) -> [Double] {
    if isLogarithmic {
      let (low, high) = (
        Int(log10(domain.lowerBound).rounded(.up)), Int(log10(domain.upperBound).rounded(.down))
      )
      guard low <= high else { return [] }
      let step = max(1, (high - low + count - 1) / count)
      return stride(from: low, through: high, by: step).map { Double("1e\($0)")! }
    }
    let span = domain.upperBound - domain.lowerBound
    guard span > 0, count > 0 else { return [domain.lowerBound] }
    let least = span / Double(count)
    let power = pow(10, log10(least).rounded(.down))
    let step = [1, 2, 5, 10].first { $0 * power >= least * (1 - 1e-12) }! * power
    let first = Int((domain.lowerBound / step).rounded(.up) + 1e-9)
    let last = Int((domain.upperBound / step + 1e-9).rounded(.down))
    guard first <= last else { return [domain.lowerBound] }
    return (first...last).map { Double($0) * step }
  }

  /// The smallest round value that is not below `value`, for the end of an axis from 0.
  static func roundUp(_ value: Double) -> Double {
    guard value > 0 else { return 1 }
    let power = pow(10, log10(value).rounded(.down))
    return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].first { $0 * power >= value * (1 - 1e-12) }.map { $0 * power } ?? 10
      * power
  }
}
