#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// From the sum of all tensors' errors to the KL divergence of the whole model, and how sure that is.
///
/// Errors of tensors add up where they are small and independent, and where those of the tensors that were chosen are not
/// those that were found too low. So models that are quantized throughout say what the sum leaves out: ln K follows lines
/// through these over ln Σ, points that are close being one; at both ends the next line goes on. For plans of a format these
/// models are plans of some budgets, measured on other text than chose them; for one encoding everywhere, models of one encoding.
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

  /// ln Σ and ln K of whole models, by rising Σ.
  private var points: [(x: Double, y: Double)] = []
  /// Standard deviation of ln K.
  private var deviation: Double

  static let slopes = 0.3...1.2
  /// Points whose ln Σ differ by less are one.
  static let close = 0.3
  /// Of ln K, beside what few contexts leave open: no less than the root mean square of ln(found / predicted) over the plans of
  /// m2-mini that the README lists. Where there are no mixtures to go by, that over plans that were predicted from models in one
  /// encoding, by GPTQ and by the search.
  static let plans = 0.17
  static func plansByUniform(_ quantizer: String) -> Double { quantizer == "gptq" ? 0.27 : 0.6 }

  /// - Parameter format: of plans that predictions are for; nil for models in one encoding.
  public init(_ sensitivity: Sensitivity, format: String?) {
    let mixedPlans = sensitivity.mixedPlans.filter { $0.format == format }
    let whole =
      mixedPlans.isEmpty
      ? sensitivity.uniform.map { (sum: $0.sum, divergence: $0.divergence) }
      : mixedPlans.map { (sum: $0.sum, divergence: $0.divergence) }
    let measured = whole.filter { $0.sum > 0 && $0.divergence.mean > 0 }
      .map { (x: log($0.sum), y: log($0.divergence.mean)) }.sorted { ($0.x, $0.y) < ($1.x, $1.y) }
    var groups: [[(x: Double, y: Double)]] = []
    for point in measured {
      if let first = groups.last?.first, point.x - first.x < Prediction.close {
        groups[groups.count - 1].append(point)
      } else {
        groups.append([point])
      }
    }
    var residual = measured.isEmpty ? 0.25 : 0
    for group in groups {
      let n = Double(group.count)
      let x = group.reduce(0) { $0 + $1.x } / n
      let y = group.reduce(0) { $0 + $1.y } / n
      points.append((x, y))
      // How far encodings of equal sums lie apart.
      residual += group.reduce(0) { $0 + ($1.y - $1.x - y + x) * ($1.y - $1.x - y + x) }
    }
    residual /= Double(max(measured.count, 1))
    // What is measured later has other texts than what was measured here: both have this error.
    let sampling = whole.compactMap { measured -> Double? in
      guard let error = measured.divergence.standardError, measured.divergence.mean > 0 else { return nil }
      return error / measured.divergence.mean
    }
    let text = sampling.isEmpty ? 0.1 : sampling.reduce(0, +) / Double(sampling.count)
    let plans =
      format == nil || !mixedPlans.isEmpty
      ? Prediction.plans : Prediction.plansByUniform(sensitivity.quantizer)
    deviation = (residual + 2 * text * text + plans * plans).squareRoot()
  }

  public func divergence(sum: Double) -> Interval {
    guard sum > 0 else { return Interval(mean: 0, low: 0, high: 0) }
    let mean = exp(logarithm(log(sum)))
    let width = exp(1.645 * deviation)
    return Interval(mean: mean, low: mean / width, high: mean * width)
  }

  /// The sum that a divergence is predicted for: bisection over its logarithm.
  func sum(divergence: Double) -> Double {
    guard divergence > 0 else { return 0 }
    var (low, high) = (-60.0, 20.0)
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if logarithm(middle) < log(divergence) { low = middle } else { high = middle }
    }
    return exp((low + high) / 2)
  }

  /// ln K at ln Σ.
  private func logarithm(_ x: Double) -> Double {
    guard let last = points.last, points.count > 1 else { return x + (points.first.map { $0.y - $0.x } ?? 0) }
    let next = points.firstIndex { $0.x >= x } ?? points.count - 1
    let (a, b) = (points[max(next - 1, 0)], points[max(next, 1)])
    let slope = (b.y - a.y) / (b.x - a.x)
    // Between two points the line is theirs; beyond the last ones it must not be steeper or flatter than errors allow.
    if x >= points[0].x, x <= last.x { return a.y + slope * (x - a.x) }
    let end = x < points[0].x ? points[0] : last
    return end.y + min(max(slope, Prediction.slopes.lowerBound), Prediction.slopes.upperBound) * (x - end.x)
  }
}
