#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How far the divergence of a plan goes apart between kinds of text: K is the divergence on a text, u how unsure the original is
/// of it (1 − Σ p²), to which the divergence is proportional where errors of logits are alike.
///
/// The texts that plans were run on say it for this model as far as they are of several kinds. They are few, so the usual
/// variance counts beside them as if it had come from `weight` more texts.
package struct KindSpread {
  /// By what ln(K / u) is more on text of another kind than on what was measured: GPTQ is fitted to the kinds that it is
  /// calibrated on.
  package let shift: Double
  /// Of ln(K / u) between kinds.
  package let variance: Double

  /// Standard deviation of ln(K / u) between domains, and by what it is more on those that nothing was calibrated on, for codes
  /// that are searched for and for those of GPTQ: from models and texts that docs/results/prediction.md lists.
  package static let usual = (searched: 0.35, calibrated: 0.55)
  package static let usualShift = 0.5
  package static let weight = 4.0

  /// - Parameters:
  ///   - isCalibrated: whether codes are GPTQ's.
  ///   - plans: for each plan, K and u of each text.
  package init(isCalibrated: Bool, _ plans: [[(divergence: Double, uncertainty: Double)]]) {
    let usual = isCalibrated ? KindSpread.usual.calibrated : KindSpread.usual.searched
    var (sum, freedom) = (KindSpread.weight * usual * usual, KindSpread.weight)
    var count = 0.0
    var (squares, texts) = (0.0, 0)
    for plan in plans {
      let logarithms = plan.filter { $0.divergence > 0 && $0.uncertainty > 0 }
        .map { log($0.divergence / $0.uncertainty) }
      guard logarithms.count > 1 else { continue }
      let mean = logarithms.reduce(0, +) / Double(logarithms.count)
      squares += logarithms.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      texts = max(texts, logarithms.count)
      count += 1
    }
    // Plans of one model on the same texts repeat each other: they count as one, by their mean.
    if count > 0 {
      sum += squares / count
      freedom += Double(texts - 1)
    }
    variance = sum / freedom
    shift = isCalibrated ? KindSpread.usualShift : 0
  }
}
