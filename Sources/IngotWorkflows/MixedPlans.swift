import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// Plans of some budgets for each format, as artifacts of them would be made: what predictions for other budgets go by.
///
/// A choice of the smallest errors is one of errors that were found too low, and tensors whose errors were measured one by
/// one do not err alone. Both show in such plans, and neither in models of one encoding.
struct MixedPlans: Sendable {
  let model: Model
  let formats: [String]
  /// Path of the statistics; nil for codes by the search.
  let importance: String?
  let statistics: CalibrationStatistics?
  let techniques: CalibrationTechniques
  /// Codes by the search where there are statistics too.
  let isSearched: Bool
  let control: RunControl

  /// Bits per weight of the plans, over all tensors; a format whose smallest choices take more begins a quarter above these.
  private static let bits = [2.75, 3.25, 4.25, 5.5]
  /// How many there are of a format, one more for one of very few bits.
  static let count = bits.count

  /// - Parameter least: bits of the smallest choices. The first plan is near them, since a line to plans of more bits says too
  ///   little of where errors no longer add up.
  static func bits(above least: Double) -> [Double] {
    let first = least + 0.25
    return (first < 2.4 ? [first] : []) + bits.map { max($0, first + $0 - bits[0]) }
  }

  /// The best choices within budgets, each other than the one before.
  func plans(_ sensitivity: Sensitivity) throws(FormatError) -> [(format: String, result: Allocation.Result)]
  {
    var found: [(format: String, result: Allocation.Result)] = []
    for name in formats {
      guard let format = Format.named(name) else { continue }
      let allocation = try Allocation(model, sensitivity, for: format, path: "sensitivity")
      let least = 8 * Double(allocation.leastBytes) / Double(model.parameters)
      var last = -1
      for (place, bits) in MixedPlans.bits(above: least).enumerated() {
        let budget = Int(bits * Double(model.parameters) / 8)
        guard let result = allocation.solved(tensorBytes: budget, name: "\(name) \(place)"),
          result.tensorBytes > last
        else { continue }
        last = result.tensorBytes
        found.append((name, result))
      }
    }
    return found
  }

  /// What artifacts say of the statistics; nil without.
  var provenance: JSON? {
    guard let importance, let statistics else { return nil }
    return .object(CalibratedRun.provenance(importance, statistics, techniques))
  }

  /// What the errors of a plan's tensors add up to where they are quantized as `model` does it.
  func sum(_ result: Allocation.Result, _ sensitivity: Sensitivity) -> Double {
    var ratios: [Encoding: Double] = [:]
    for encoding in Set(result.plan.assignments.values.map(\.encoding)) {
      ratios[encoding] = encoding.quickErrorRatio
    }
    return sensitivity.sum(result.plan, model, ratios: ratios) ?? result.sum
  }

  /// The model as a plan makes it, in the `quick` forms of its encodings.
  func model(_ plan: Plan) async throws(FormatError) -> Model {
    var plan = plan
    for (role, assignment) in plan.assignments {
      plan.assignments[role]!.encoding = assignment.encoding.quick
    }
    guard let importance else { return try model.quantized(by: plan) }
    let run = try await CalibratedRun(importance, model, plan, techniques, control, known: statistics)
    var options = QuantizationOptions()
    options.importance = run.importance
    if !isSearched { options.calibration = run.calibration }
    return try run.model.quantized(by: isSearched ? plan : run.plan, options)
  }
}
