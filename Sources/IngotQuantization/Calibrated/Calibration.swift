import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What GPTQ goes by, and what it reports.
public struct Calibration: Sendable {
  public var statistics: CalibrationStatistics
  /// Channels that the model it is used on has been scaled by; nil for none.
  public var scales: ChannelScales?
  var options = GPTQOptions()
  /// By what share of itself a Hessian's diagonal is enlarged; nil for what suits the number of tokens that it is of.
  package var damping: Float?
  /// Tokens of the layer at large that every expert's own are mixed with; nil for a sixteenth of the hidden size.
  package var pseudoTokens: Int?
  /// Whether GPTQ is followed by refits of scales, offsets and codes.
  public var refits = true {
    didSet { options.sweeps = refits ? GPTQOptions().sweeps : 0 }
  }
  /// Whether a down projection makes up for what quantizing gate and up did to its inputs, and, where statistics have the
  /// original's inputs as targets, every layer for what quantizing the layers before did to its own.
  public var correctsInputs = true
  /// Whether output and down projections also make up for the difference that the state they are added to has by then;
  /// only where statistics have targets.
  public var fitsResiduals = true
  /// Hears of each quantized tensor: the share of its outputs' energy that the error is, by its Hessian. From any task.
  public var report: (@Sendable (Role, Double) -> Void)?
  /// Hears of each quantized expert: tokens of its own, and the share of its outputs' energy that the error of all three
  /// projections together is, measured on a sample of them. From any task.
  public var reportExpert: (@Sendable (_ layer: Int, _ expert: Int, _ tokens: Int, _ share: Double) -> Void)?

  public init(_ statistics: CalibrationStatistics) { self.statistics = statistics }

  /// Options for a Hessian of so many columns from so many tokens.
  ///
  /// The fewer tokens there are, the less do their products say of others: the diagonal is enlarged by 32 (columns / tokens)² of itself, at
  /// least by 0.01 and at most by 1, as measured (docs/results/below-codes.md).
  func options(tokens: Int, columns: Int) -> GPTQOptions {
    var options = options
    let ratio = Float(columns) / Float(max(tokens, 1))
    options.damping = damping ?? min(max(32 * ratio * ratio, GPTQOptions.defaultDamping), 1)
    return options
  }

  /// The same for an encoding. Codes of a trellis, whose choice enlarges the diagonal by its mean besides, take a tenth.
  func options(_ options: GPTQOptions, for encoding: Encoding) -> GPTQOptions {
    var options = options
    switch encoding {
    case .trellis, .tiles:
      if damping == nil { options.damping = max(options.damping / 10, GPTQOptions.defaultDamping) }
    default: break
    }
    return options
  }

  /// The same with statistics of the model as it is quantized, scaled channels and all.
  public func following(_ layer: @escaping @Sendable () -> LayerStatistics) -> Calibration {
    var calibration = self
    calibration.scales = nil
    calibration.statistics = CalibrationStatistics(
      tokens: statistics.tokens, layers: statistics.layers, texts: statistics.texts,
      contexts: statistics.contexts
    ) {
      _ in layer()
    }
    return calibration
  }
}

extension Plan {
  /// The plan with GPTQ in place of the search, wherever statistics and encoding allow it.
  public func calibrated(by calibration: Calibration, _ blueprint: Blueprint) -> Plan {
    var plan = self
    for (role, assignment) in assignments
    where assignment.quantizer == Quantizer.search.rawValue && assignment.encoding.hasCodeGrid
      && blueprint.isCalibrated(role)
    {
      plan.assignments[role]?.quantizer = Quantizer.gptq.rawValue
    }
    return plan
  }
}
