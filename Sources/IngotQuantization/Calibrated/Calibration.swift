import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What GPTQ goes by, and what it reports.
public struct Calibration: Sendable {
  public var statistics: CalibrationStatistics
  /// Channels that the model it is used on has been scaled by; nil for none.
  public var scales: ChannelScales?
  package var options = GPTQOptions()
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
