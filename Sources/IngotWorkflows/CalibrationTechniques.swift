/// Which parts of a calibrated quantization are used.
public struct CalibrationTechniques: Sendable {
  /// One thing that calibration can do.
  public enum Technique: String, CaseIterable, Sendable {
    /// Codes column by column, each making up for the errors of those before.
    case gptq
    /// Scales fitted again to the codes.
    case refit
    /// Channels rescaled without changing the model's function.
    case scaling
    /// Down projections calibrated on what quantized gate and up projections give.
    case inputs
    /// Down projections that make up for what gate and up projections changed.
    case residuals
  }

  public var without: [Technique]
  /// Rescale experts whose inner activations passed 65504, F16's largest, during calibration.
  public var rescueOverflow: Bool

  public init(without: [Technique] = [], rescueOverflow: Bool = false) {
    self.without = without
    self.rescueOverflow = rescueOverflow
  }

  func has(_ technique: Technique) -> Bool { !without.contains(technique) }
}
