import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

/// A quantization that goes by statistics: the model with channels scaled, the plan with GPTQ, and what came of it.
struct CalibratedRun {
  var plan: Plan
  var model: Model
  var importance: Importance
  var calibration: Calibration
  private let provenance: JSONObject
  private let errors = OutputErrors()
  let choices: [[ChannelScales.Choice]]
  private var rescued: [Role] = []
  private var unrescued: [Role] = []

  /// - Parameters:
  ///   - known: the statistics of the file, when it is open already.
  ///   - journal: where choices of channel scales are kept; nil for nowhere.
  ///   - knownChoices: choices that were made elsewhere, by layer.
  ///   - layers: those that are wanted; nil for all.
  init(
    _ path: String, _ source: Model, _ original: Plan, _ techniques: CalibrationTechniques,
    _ control: RunControl,
    known: CalibrationStatistics? = nil, _ journal: ScaleJournal? = nil,
    choices knownChoices: [Int: [ChannelScales.Choice]] = [:], layers: Set<Int>? = nil
  ) async throws(FormatError) {
    let statistics: CalibrationStatistics
    if let known { statistics = known } else { statistics = try CalibrationFile.read(path, for: source) }
    var calibration = Calibration(statistics)
    calibration.correctsInputs = techniques.has(.inputs)
    calibration.refits = techniques.has(.refit)
    calibration.fitsResiduals = techniques.has(.residuals)
    calibration.damping = techniques.damping
    calibration.pseudoTokens = techniques.pseudoTokens
    plan = techniques.has(.gptq) ? original.calibrated(by: calibration, source.blueprint) : original
    model = source
    importance = Importance()
    // The last layer's statistics are those of the head too.
    let wanted = layers.map { $0.union([statistics.layers - 1]) }
    for layer in 0..<statistics.layers where wanted?.contains(layer) ?? true {
      let found = try statistics.layer(layer).importance(source.blueprint)
      importance.columns.merge(found.columns) { $1 }
      importance.tokens.merge(found.tokens) { $1 }
    }
    var choices: [[ChannelScales.Choice]] = []
    if techniques.has(.scaling) || techniques.rescueOverflow {
      let earlier = (journal?.known ?? [:]).merging(knownChoices) { $1 }
      let scales =
        techniques.has(.scaling)
        ? try await ChannelScales.search(
          source, plan, statistics, rescuingOverflow: techniques.rescueOverflow, workers: control.workers,
          known: earlier, layers: layers,
          found: { layer, choices throws(FormatError) in try journal?.add(layer, choices) })
        : try ChannelScales.rescue(source, plan, statistics)
      (rescued, unrescued) = (scales.rescued, scales.unrescued)
      model = try source.rescaled(by: scales)
      importance.rescale(by: scales, source.blueprint)
      calibration.scales = scales
      choices = scales.choices
    }
    self.choices = choices
    let errors = errors
    calibration.report = { errors.add($0, expected: $1) }
    calibration.reportExpert = { errors.add(layer: $0, expert: $1, tokens: $2, measured: $3) }
    self.calibration = calibration
    provenance = CalibratedRun.provenance(path, statistics, techniques)
  }

  /// What an artifact says of the statistics in the file at a path.
  static func provenance(
    _ path: String, _ statistics: CalibrationStatistics, _ techniques: CalibrationTechniques
  ) -> JSONObject {
    var record: JSONObject = [
      "name": .string(Folder.name(of: path)), "tokens": JSON(statistics.tokens),
      "texts": .array(statistics.texts.map { .string($0) }),
      "without": .array(techniques.without.map { .string($0.rawValue) }),
    ]
    if let damping = techniques.damping { record["damping"] = JSON(Double(damping)) }
    if let tokens = techniques.pseudoTokens { record["pseudoTokens"] = JSON(tokens) }
    record["contexts"] = statistics.contexts?.json
    return record
  }

  /// - Parameter contexts: on which layers are calibrated anew, one after the other.
  func provenance(following contexts: [Context]) -> JSON {
    var record = provenance
    if !contexts.isEmpty { record["sequential"] = SeenContexts(contexts).json }
    return .object(record)
  }

  var outcome: CalibrationOutcome {
    CalibrationOutcome(errors: errors, rescued: rescued, unrescued: unrescued, choices: choices)
  }
}

/// What came of a calibrated quantization.
package struct CalibrationOutcome: Sendable {
  /// Of tensors that are written; complete when the output is.
  package let errors: OutputErrors
  /// Experts rescaled so that their inner activations fit F16, and those that could not be.
  package let rescued: [Role]
  package let unrescued: [Role]
  /// By layer.
  let choices: [[ChannelScales.Choice]]

  var json: JSON {
    func experts(_ roles: [Role]) -> JSON {
      .array(roles.map { ["layer": JSON($0.layer ?? 0), "expert": JSON($0.expert ?? 0)] })
    }
    return [
      "outputError": errors.parts, "layers": errors.layers,
      "rescued": experts(rescued), "unrescued": experts(unrescued),
      "scales": .array(
        choices.enumerated().flatMap { layer, choices in
          choices.map {
            [
              "layer": JSON(layer), "place": .string($0.place), "alpha": JSON($0.alpha),
              "beta": JSON($0.beta),
              "errorShare": JSON($0.errorShare),
            ] as JSON
          }
        }),
    ]
  }
}
