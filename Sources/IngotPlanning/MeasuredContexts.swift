import IngotModels
import IngotSystem
import IngotTensors

extension Sensitivity {
  /// The contexts that a sensitivity was measured on, for `verify` to know them again.
  public struct MeasuredContexts: Hashable, Sendable {
    /// That the costs of tensors were measured on.
    public var measured: SeenContexts
    /// That plans were run whole on.
    public var judged: SeenContexts
    /// What the calibration statistics have to do with the latter.
    public var novelty: Novelty
    /// How unsure the original is of the text that plans were run on: the mean of 1 − Σ p² over its predictions.
    public var uncertainty: Double?

    public init(
      measured: SeenContexts, judged: SeenContexts, novelty: Novelty, uncertainty: Double? = nil
    ) {
      self.measured = measured
      self.judged = judged
      self.novelty = novelty
      self.uncertainty = uncertainty
    }
  }

  /// What a mixed plan does on one text of those that it was run on.
  public struct TextMeasure: Hashable, Sendable {
    public var name: String
    /// KL divergence, nats.
    public var mean: Double
    /// Mean of 1 − Σ p² over the original's predictions.
    public var uncertainty: Double

    public init(name: String, mean: Double, uncertainty: Double) {
      self.name = name
      self.mean = mean
      self.uncertainty = uncertainty
    }
  }
}

extension Sensitivity.MeasuredContexts {
  public var json: JSON {
    [
      "measured": measured.json, "judged": judged.json, "novelty": .string(novelty.rawValue),
      "uncertainty": uncertainty.map { JSON(rounded($0)) } ?? .null,
    ]
  }

  /// - Returns: nil when `json` is something else.
  public init?(_ json: JSON?) {
    guard let measured = SeenContexts(json?["measured"]), let judged = SeenContexts(json?["judged"]),
      let novelty = json?["novelty"]?.string.flatMap(Novelty.init(rawValue:))
    else { return nil }
    let uncertainty = json?["uncertainty"]?.double
    guard uncertainty.map({ (0...1).contains($0) }) ?? true else { return nil }
    self.init(measured: measured, judged: judged, novelty: novelty, uncertainty: uncertainty)
  }
}

extension Sensitivity.TextMeasure {
  var json: JSON {
    ["text": .string(name), "klDivergence": JSON(rounded(mean)), "uncertainty": JSON(rounded(uncertainty))]
  }

  init?(_ json: JSON) {
    guard let name = json["text"]?.string, let mean = json["klDivergence"]?.double, mean >= 0, mean.isFinite,
      let uncertainty = json["uncertainty"]?.double, (0...1).contains(uncertainty)
    else { return nil }
    self.init(name: name, mean: mean, uncertainty: uncertainty)
  }
}
