import IngotSystem

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
  /// By what share of itself the diagonal of a Hessian is enlarged; nil for what suits its tokens. Trellis codes take three times as much of the mean
  /// diagonal besides.
  public var damping: Float?
  /// Tokens of its layer at large that every expert's own are mixed with; nil for a sixteenth of the hidden size.
  public var pseudoTokens: Int?

  public init(without: [Technique] = [], rescueOverflow: Bool = false) {
    self.without = without
    self.rescueOverflow = rescueOverflow
  }

  /// What decides codes, but for `rescueOverflow`.
  var identity: [JSON] {
    var parts: [JSON] = without.map { .string($0.rawValue) }
    if let damping { parts.append(["damping": JSON(Double(damping))]) }
    if let pseudoTokens { parts.append(["pseudo tokens": JSON(pseudoTokens)]) }
    return parts
  }

  func has(_ technique: Technique) -> Bool { !without.contains(technique) }
}
