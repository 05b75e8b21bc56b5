import Foundation
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Intervals of predictions, against the same arithmetic done at length.
@Suite struct PredictionTests {
  /// Two plans, each on some texts: their divergences, and how unsure the original is of them.
  private static func sensitivity(
    _ texts: [(divergences: [Double], uncertainty: Double)], novelty: Novelty = .unseen,
    quantizer: String = "search"
  ) throws -> Sensitivity {
    var sensitivity = try Nano.sensitivity(try Nano.model(), format: "ingot")
    sensitivity.quantizer = quantizer
    sensitivity.mixedPlans = (0..<2).map { plan in
      let mean = texts.reduce(0) { $0 + $1.divergences[plan] } / Double(texts.count)
      var mixed = Sensitivity.MixedPlan(
        format: "ingot", bitsPerWeight: plan == 0 ? 3.25 : 4.25,
        divergence: .init(mean: mean, standardError: 0.1 * mean), sum: plan == 0 ? 0.5 : 0.2, tokens: 64)
      mixed.texts = texts.enumerated().map {
        .init(name: "text\($0)", mean: $1.divergences[plan], uncertainty: $1.uncertainty)
      }
      return mixed
    }
    let seen = SeenContexts(length: 8, texts: [.init(name: "text0", hashes: [1, 2, 3])])
    sensitivity.contexts = .init(
      measured: seen, judged: SeenContexts(length: 8, texts: []), novelty: novelty,
      uncertainty: texts.reduce(0) { $0 + $1.uncertainty } / Double(texts.count))
    return sensitivity
  }

  private static func deviations(_ interval: Prediction.Interval) throws -> (like: Double, other: Double) {
    let other = try #require(interval.other)
    #expect(abs(interval.low * interval.high / (interval.mean * interval.mean) - 1) < 1e-9)
    #expect(abs(other.low * other.high / (other.mean * other.mean) - 1) < 1e-9)
    return (log(interval.high / interval.mean) / 1.645, log(other.high / other.mean) / 1.645)
  }

  @Test func kindsOfTextWidenTheInterval() throws {
    let texts: [(divergences: [Double], uncertainty: Double)] = [
      ([0.02, 0.004], 0.1), ([0.3, 0.05], 0.9), ([0.1, 0.03], 0.7),
    ]
    let interval = Prediction(try Self.sensitivity(texts), format: "ingot").divergence(sum: 0.3)
    let (like, other) = try Self.deviations(interval)
    // On text like that: few contexts on both sides, and what plans leave open.
    #expect(abs(like - (2 * 0.1 * 0.1 + Prediction.plans * Prediction.plans).squareRoot()) < 1e-9)
    // Beside: squares about the mean of ln(K / u), a mean over plans, with the usual ones of `weight` texts.
    var squares = 0.0
    for plan in 0..<2 {
      let values = texts.map { log($0.divergences[plan] / $0.uncertainty) }
      for value in values {
        let difference = value - values.reduce(0, +) / 3
        squares += difference * difference / 2
      }
    }
    let usual = KindSpread.usual.searched * KindSpread.usual.searched
    let spread = (KindSpread.weight * usual + squares) / (KindSpread.weight + 2)
    #expect(abs(other * other - like * like - spread) < 1e-9)
    #expect(abs(try #require(interval.uncertainty) - 1.7 / 3) < 1e-12)
  }

  /// One text says nothing of others: the usual spread is all there is.
  @Test func oneTextLeavesTheUsualSpread() throws {
    let one = Prediction(try Self.sensitivity([([0.2, 0.05], 0.5)]), format: "ingot").divergence(sum: 0.5)
    let (like, other) = try Self.deviations(one)
    #expect(abs(other * other - like * like - KindSpread.usual.searched * KindSpread.usual.searched) < 1e-9)
    #expect(abs(one.mean - 0.2) < 1e-9)
  }

  @Test func uncertaintyScalesThePrediction() throws {
    let interval = Prediction(try Self.sensitivity([([0.2, 0.05], 0.5)]), format: "ingot").divergence(
      sum: 0.5)
    let sure = interval.scaled(to: 0.05)
    for (one, other) in [
      (sure.mean, interval.mean), (sure.low, interval.low), (sure.high, interval.high),
      (sure.other!.low, interval.other!.low), (sure.other!.high, interval.other!.high),
      (sure.other!.mean, interval.other!.mean),
    ] { #expect(abs(one / other - 0.1) < 1e-12) }
    #expect(interval.scaled(to: 0.5) == interval)
    var old = interval
    old.uncertainty = nil
    #expect(old.scaled(to: 0.05) == old, "files of older versions do not say it")
  }

  /// GPTQ does better on what it was calibrated on, the search does not.
  @Test func textThatStatisticsHaveSeenIsTooGood() throws {
    func predicted(_ novelty: Novelty, _ quantizer: String) throws -> Prediction.Interval {
      Prediction(
        try Self.sensitivity([([0.2, 0.05], 0.5)], novelty: novelty, quantizer: quantizer), format: "ingot"
      )
      .divergence(sum: 0.5)
    }
    let (fresh, seen) = (try predicted(.unseen, "gptq"), try predicted(.seen, "gptq"))
    #expect(abs(seen.mean / fresh.mean - Prediction.optimism) < 1e-9)
    #expect(seen.high / seen.mean > fresh.high / fresh.mean)
    let unknown = try predicted(.unknown, "gptq")
    #expect(abs(unknown.mean - fresh.mean) < 1e-12 && unknown.high > fresh.high && unknown.low < fresh.low)
    #expect(unknown.high > Prediction.optimism * fresh.mean)
    #expect(try predicted(.seen, "search") == predicted(.unseen, "search"))
    // And better on the kinds of text that it was calibrated on than on others.
    let other = try #require(fresh.other)
    #expect(abs(log(other.mean / fresh.mean) - KindSpread.usualShift) < 1e-9)
    let (_, deviation) = try Self.deviations(fresh)
    let (like, calibrated) = (try Self.deviations(fresh).like, KindSpread.usual.calibrated)
    #expect(abs(deviation * deviation - like * like - calibrated * calibrated) < 1e-9)
    let plain = try predicted(.unseen, "search")
    #expect(plain.other?.mean == plain.mean)
  }

  @Test func filesKeepWhatTheIntervalIsOf() throws {
    let model = try Nano.model()
    let sensitivity = try Self.sensitivity([([0.2, 0.05], 0.5), ([0.1, 0.02], 0.25)], novelty: .unknown)
    try Nano.temporary(sensitivity.text) { path in
      let read = try Sensitivity.read(path, for: model)
      #expect(read.contexts == sensitivity.contexts)
      #expect(read.mixedPlans.map(\.texts) == sensitivity.mixedPlans.map(\.texts))
      #expect(read.text == sensitivity.text)
    }
    for (old, new) in [
      ("\"novelty\": \"unknown\"", "\"novelty\": \"new\""), ("\"uncertainty\": 0.5", "\"uncertainty\": 1.5"),
      ("\"uncertainty\": 0.375", "\"uncertainty\": -1"),
    ] {
      try #require(sensitivity.text.contains(old), "\(old)")
      try Nano.temporary(sensitivity.text.replacingOccurrences(of: old, with: new)) { path in
        #expect(throws: FormatError.self) { try Sensitivity.read(path, for: model) }
      }
    }
    var file = PlanFile(Plan.uniform(sensitivity.reference, for: model), format: "ingot", for: model)
    file.predicted = .init(
      checksum: file.checksum, bytes: 9, tensorBytes: 8, bitsPerWeight: 4,
      divergence: Prediction(sensitivity, format: "ingot").divergence(sum: 0.5))
    try Nano.temporary(file.text) { path in
      let read = try PlanFile.read(path)
      #expect(read.text == file.text)
      #expect(
        read.predicted?.divergence?.other != nil && read.predicted?.divergence?.uncertainty == 0.375)
    }
  }
}
