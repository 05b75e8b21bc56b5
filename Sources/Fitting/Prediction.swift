#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// From the sum of all tensors' errors to the KL divergence of the whole model, and how sure that is.
///
/// Errors of tensors add up where they are small and independent. Where they are not quite, models that are quantized
/// throughout say what the sum leaves out: ln K = a + b ln Σ through these, b between `slopes`.
public struct Prediction: Sendable {
  /// A KL divergence with an interval of 90 %.
  public struct Interval: Hashable, Sendable {
    public var mean: Double
    public var low: Double
    public var high: Double

    public init(mean: Double, low: Double, high: Double) {
      self.mean = mean
      self.low = low
      self.high = high
    }
  }

  private var intercept = 0.0
  private var slope = 1.0
  /// Standard deviation of ln K.
  private var deviation: Double

  static let slopes = 0.7...1.2
  /// Of ln K, from one mixture to another whose errors have the same sum, as measured on m2-mini.
  static let mixtures = 0.08

  public init(_ sensitivity: Sensitivity) {
    let points = sensitivity.uniform.filter { $0.sum > 0 && $0.divergence.mean > 0 }
      .map { (x: log($0.sum), y: log($0.divergence.mean)) }
    let n = Double(max(points.count, 1))
    let x = points.reduce(0) { $0 + $1.x } / n
    let y = points.reduce(0) { $0 + $1.y } / n
    let spread = points.reduce(0) { $0 + ($1.x - x) * ($1.x - x) }
    if spread > 0.01 {
      let along = points.reduce(0) { $0 + ($1.x - x) * ($1.y - y) }
      slope = min(max(along / spread, Prediction.slopes.lowerBound), Prediction.slopes.upperBound)
    }
    intercept = y - slope * x
    let (a, b) = (intercept, slope)
    let rest = points.reduce(0) { $0 + ($1.y - a - b * $1.x) * ($1.y - a - b * $1.x) }
    let residual = points.count > 2 ? rest / Double(points.count - 2) : points.isEmpty ? 0.25 : 0
    // What is measured later has other texts than what was measured here: both have this error.
    let sampling = sensitivity.uniform.compactMap { measured -> Double? in
      guard let error = measured.divergence.standardError, measured.divergence.mean > 0 else { return nil }
      return error / measured.divergence.mean
    }
    let text = sampling.isEmpty ? 0.1 : sampling.reduce(0, +) / Double(sampling.count)
    deviation = (residual + 2 * text * text + Prediction.mixtures * Prediction.mixtures).squareRoot()
  }

  public func divergence(sum: Double) -> Interval {
    guard sum > 0 else { return Interval(mean: 0, low: 0, high: 0) }
    let mean = exp(intercept + slope * log(sum))
    let width = exp(1.645 * deviation)
    return Interval(mean: mean, low: mean / width, high: mean * width)
  }
}
