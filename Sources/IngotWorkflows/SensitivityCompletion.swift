import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// Puts a sensitivity together of what was measured of all layers, and runs plans by it whole.
struct SensitivityCompletion {
  private let model: Model
  private let split: ContextSplit
  private var contexts: [Context] { split.choosing }
  /// That mixtures are judged by.
  private var others: [Context] { split.judging }
  private let choice: SensitivityChoice
  private let control: RunControl
  private let quantizer: String
  private let options: SensitivityEffort
  private let mixedPlans: MixedPlans

  private var place: Int { choice.candidates.firstIndex(of: choice.reference)! }

  init(
    _ model: Model, _ split: ContextSplit, _ choice: SensitivityChoice,
    importance: String?, _ statistics: CalibrationStatistics?,
    _ techniques: CalibrationTechniques, _ options: SensitivityEffort, _ control: RunControl
  ) {
    self.options = options
    self.model = model
    self.split = split
    self.choice = choice
    self.control = control
    quantizer = (importance == nil ? Quantizer.search : .gptq).rawValue
    mixedPlans = MixedPlans(
      model: model, formats: choice.formats, importance: importance, statistics: statistics,
      techniques: techniques, isSearched: options.quick, control: control)
  }

  /// - Parameters:
  ///   - measured: of all layers, in their order.
  ///   - path: of the file that has it, for errors.
  ///   - passed: bytes that were passed before, of those that progress is told of.
  /// - Throws: FormatError, one of a stopped run among them.
  func complete(
    _ measured: MeasuredTensors, path: String, _ journal: SensitivityJournal, passed: Int
  ) async throws(FormatError) -> Sensitivity {
    let found = try self.sensitivity(measured, path)
    var sensitivity = found.made
    sensitivity.importance = mixedPlans.provenance
    sensitivity.contexts = .init(
      measured: SeenContexts(contexts), judged: SeenContexts(others), novelty: split.novelty)
    try await measureMixedPlans(&sensitivity, searched: found.searched, journal, passed: passed)
    return sensitivity
  }

  /// Takes plans by what was measured, and the model without some experts of every layer, through all layers.
  private func measureMixedPlans(
    _ sensitivity: inout Sensitivity, searched: Sensitivity, _ journal: SensitivityJournal, passed: Int
  ) async throws(FormatError) {
    let plans = try mixedPlans.plans(sensitivity)
    var models: [Model] = []
    for plan in plans { models.append(try await mixedPlans.model(plan.result.plan)) }
    let dropped =
      model.hasPrediction ? nil : sensitivity.drops?.first.flatMap { sensitivity.least($0.measured.count) }
    if let dropped { models.append(try model.dropping(dropped)) }
    let states = try journal.mixedPlanStates(
      counts: WholePass.counts(model, others, models: models.count))
    let layers = model.blueprint.layerCount
    var pass = try WholePass(
      model, models, others, workers: control.workers, layer: states == nil ? 0 : journal.mixedPlanLayers,
      states: states)
    while pass.layer < layers {
      let loads = models.compactMap { $0.statistics(layer: pass.layer) }
      for layer in loads { try await layer.load() }
      try await pass.run()
      for layer in loads { layer.unload() }
      control.progress(passed + model.bytes / layers * pass.layer, passed + model.bytes)
      try journal.finishedMixedPlans(pass.layer, pass.states)
    }
    let tokens = others.reduce(0) { $0 + $1.tokens.count }
    let divergences = try await pass.divergences()
    sensitivity.contexts?.uncertainty = divergences.first?.uncertainty
    sensitivity.mixedPlans = zip(plans, divergences).map { plan, divergence in
      var mixed = Sensitivity.MixedPlan(
        format: plan.format, bitsPerWeight: 8 * Double(plan.result.tensorBytes) / Double(model.parameters),
        divergence: Sensitivity.Measure(divergence),
        sum: mixedPlans.sum(plan.result, options.quick ? searched : sensitivity),
        tokens: tokens)
      mixed.texts = divergence.texts.map { .init(name: $0.name, mean: $0.mean, uncertainty: $0.uncertainty) }
      return mixed
    }
    if let dropped {
      sensitivity.dropped = .init(
        count: dropped.count, divergence: Sensitivity.Measure(divergences[plans.count]))
    }
  }

  private func sensitivity(_ tensors: MeasuredTensors, _ path: String) throws(FormatError)
    -> (made: Sensitivity, searched: Sensitivity)
  {
    var measured = Sensitivity.Measurements()
    for (layer, json) in tensors.layers.enumerated() {
      let found = try MeasuredLayer(json, layer: layer, candidates: choice.candidates.count, path: path)
      for (role, errors) in found.outputs {
        measured.outputs[role] = errors.made
        measured.searched[role] = errors.searched
      }
      measured.loads.append(found.loads)
      measured.dropped.append(found.dropped)
      for (part, values) in found.experts { measured.experts[Role(part, layer: layer)] = values }
    }
    for (group, divergence) in tensors.groups {
      if group.kind == .router, let layer = group.layer {
        measured.dropped[layer].divergence = divergence
      } else {
        measured.groups[group] = divergence
      }
    }
    let errors = Sensitivity.errors(measured, reference: place)
    let whole = Sensitivity.errors(measured, reference: place, searched: true)
    var found: [Sensitivity.Uniform] = []
    for (encoding, divergence) in zip(choice.uniform, tensors.uniform) {
      let column = choice.candidates.firstIndex(of: encoding)!
      // In the model's order, so that the sum's last bits are the same for every run.
      let sum = model.tensors.reduce(0.0) { $0 + (whole[$1.role].flatMap { $0[column] } ?? 0) }
      found.append(.init(encoding: encoding, divergence: divergence, sum: sum))
    }
    var names: [String] = []
    for context in contexts { if let text = context.text, !names.contains(text) { names.append(text) } }
    let made = Sensitivity(
      model: ModelName(model, name: model.sourceName),
      tokens: contexts.reduce(0) { $0 + $1.tokens.count }, texts: names, quantizer: quantizer,
      candidates: choice.candidates, reference: choice.reference, groups: measured.groups, uniform: found,
      loads: measured.loads, errors: errors, drops: Sensitivity.drops(measured))
    var searched = made
    searched.errors = whole
    return (made, searched)
  }
}
