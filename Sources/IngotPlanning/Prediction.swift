import IngotModels
import IngotQuantization

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
  /// A KL divergence with intervals of 90 %, on text of which the original is as unsure as of what was measured.
  public struct Interval: Hashable, Sendable {
    public var mean: Double
    /// On text like that which was measured.
    public var low: Double
    public var high: Double
    /// On text of another kind; nil in plans of older versions.
    public var other: Other?
    /// How unsure the original is of the text that was measured: the mean of 1 − Σ p²; nil where that was not measured.
    public var uncertainty: Double?

    public init(mean: Double, low: Double, high: Double) {
      self.mean = mean
      self.low = low
      self.high = high
    }

    /// What is expected on text of a kind that neither statistics nor the sensitivity have seen.
    public struct Other: Hashable, Sendable {
      public var mean: Double
      public var low: Double
      public var high: Double

      public init(mean: Double, low: Double, high: Double) {
        self.mean = mean
        self.low = low
        self.high = high
      }
    }

    /// The same on a text of another uncertainty, to which divergences are proportional.
    public func scaled(to uncertainty: Double) -> Interval {
      guard let own = self.uncertainty, own > 0 else { return self }
      let factor = uncertainty / own
      var scaled = Interval(mean: factor * mean, low: factor * low, high: factor * high)
      scaled.other = other.map { Other(mean: factor * $0.mean, low: factor * $0.low, high: factor * $0.high) }
      scaled.uncertainty = uncertainty
      return scaled
    }
  }

  /// ln Σ and ln K of whole models, by rising Σ.
  private var points: [(x: Double, y: Double)] = []
  /// Standard deviations of ln K on text like that which was measured, and on text of another kind.
  private var deviation: Double
  private let otherDeviation: Double
  /// By what ln K is more on text of another kind.
  private let otherShift: Double
  private let uncertainty: Double?

  static let slopes = 0.3...1.2
  /// Points whose ln Σ differ by less are one.
  static let close = 0.3
  /// Of ln K, beside what few contexts leave open: no less than the root mean square of ln(found / predicted) over the plans of
  /// m2-mini in docs/results/plans.md. Where there are no mixtures to go by, that over plans that were predicted from models in one
  /// encoding, by GPTQ and by the search.
  package static let plans = 0.17
  static func plansByUniform(_ quantizer: String) -> Double {
    quantizer == Quantizer.gptq.rawValue ? 0.27 : 0.6
  }
  /// By what GPTQ does worse on text that its calibration has not seen than on what it has: what a divergence that was measured
  /// on the latter is multiplied by, and half of whose logarithm is added to the deviation of that.
  package static let optimism = 1.35

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
    var variance = residual + 2 * text * text + plans * plans
    // Codes that are searched for are not fitted to the text.
    let novelty =
      sensitivity.quantizer == Quantizer.gptq.rawValue ? sensitivity.contexts?.novelty ?? .unseen : .unseen
    let optimism = log(Prediction.optimism)
    if novelty == .seen { for index in points.indices { points[index].y += optimism } }
    if novelty != .unseen { variance += optimism * optimism / (novelty == .seen ? 4 : 1) }
    deviation = variance.squareRoot()
    let spread = KindSpread(
      isCalibrated: sensitivity.quantizer == Quantizer.gptq.rawValue,
      mixedPlans.map { $0.texts.map { (divergence: $0.mean, uncertainty: $0.uncertainty) } })
    otherShift = spread.shift
    otherDeviation = (variance + spread.variance).squareRoot()
    uncertainty = sensitivity.contexts?.uncertainty
  }

  public func divergence(sum: Double) -> Interval {
    guard sum > 0 else { return Interval(mean: 0, low: 0, high: 0) }
    let mean = exp(logarithm(log(sum)))
    let (width, otherWidth) = (exp(1.645 * deviation), exp(1.645 * otherDeviation))
    var interval = Interval(mean: mean, low: mean / width, high: mean * width)
    let other = mean * exp(otherShift)
    interval.other = .init(mean: other, low: other / otherWidth, high: other * otherWidth)
    interval.uncertainty = uncertainty
    return interval
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
