import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// One pass through a model that measures what quantizing each of its tensors costs.
struct SensitivityRun {
  private let model: Model
  private let split: ContextSplit
  private var contexts: [Context] { split.choosing }
  /// That mixtures are judged by.
  private var others: [Context] { split.judging }
  private let choice: SensitivityChoice
  private let control: RunControl
  private let quantizer: String
  /// Codes by the search, and by GPTQ where there are statistics.
  private var candidates: [CandidateModel] = []
  private var calibrated: [CandidateModel] = []
  private let options: SensitivityEffort
  private let mixedPlans: MixedPlans
  private var uniform: [Model] = []
  /// Planes of the reference of the layer at hand: errors and copies both need them.
  private let held = HeldPlanes()
  /// Tensors of the reference as they are quantized.
  private var referenceTensors: [Tensor] = []

  private var reference: Model { candidates[place].model }
  private var place: Int { choice.candidates.firstIndex(of: choice.reference)! }

  init(
    _ model: Model, _ split: ContextSplit, _ choice: SensitivityChoice,
    importance: String?, _ statistics: CalibrationStatistics?,
    _ techniques: CalibrationTechniques, _ options: SensitivityEffort, _ control: RunControl
  ) async throws(FormatError) {
    self.options = options
    self.model = model
    self.split = split
    self.choice = choice
    self.control = control
    quantizer = (importance == nil ? Quantizer.search : .gptq).rawValue
    mixedPlans = MixedPlans(
      model: model, formats: choice.formats, importance: importance, statistics: statistics,
      techniques: techniques, isSearched: options.quick, control: control)
    // Down projections that make up for gate and up would look worse alone than they are.
    var apart = techniques
    apart.without.append(.inputs)
    var uniform: [Encoding: Model] = [:]
    for encoding in choice.candidates {
      let made = try await SensitivityRun.quantized(model, encoding, importance, statistics, apart, control)
      var searched = made.searched
      if choice.uniform.contains(encoding) { uniform[encoding] = searched }
      if encoding == choice.reference {
        let held = held
        referenceTensors = searched.tensors.filter { $0.encoding == encoding }
        searched = try searched.mapTensors { $0.encoding == encoding ? held.reading($0) : $0 }
      }
      candidates.append(try CandidateModel(encoding, model, quantized: searched, scales: made.scales))
      if importance != nil {
        calibrated.append(
          try CandidateModel(encoding.quick, model, quantized: made.model, scales: made.scales))
      }
    }
    self.uniform = choice.uniform.map { uniform[$0]! }
  }

  /// The model in one encoding, as `ingot quantize` makes it with the `quick` form of that, and with codes searched for instead of
  /// GPTQ.
  private static func quantized(
    _ model: Model, _ encoding: Encoding, _ importance: String?, _ statistics: CalibrationStatistics?,
    _ techniques: CalibrationTechniques, _ control: RunControl
  ) async throws(FormatError) -> (model: Model, searched: Model, scales: ChannelScales?) {
    let plan = Plan.uniform(encoding, for: model)
    guard let importance else {
      let quantized = try model.quantized(by: plan)
      return (quantized, quantized, nil)
    }
    let run = try await CalibratedRun(
      importance, model, .uniform(encoding.quick, for: model), techniques, control, known: statistics)
    var options = QuantizationOptions()
    options.importance = run.importance
    let searched = try run.model.quantized(by: plan, options)
    options.calibration = run.calibration
    return (try run.model.quantized(by: run.plan, options), searched, run.calibration.scales)
  }

  /// Makes the reference's tensors of a layer, or of the whole model for nil, in place of those that are held.
  private func hold(layer: Int?) throws(FormatError) {
    held.take()
    let tensors = referenceTensors.filter { $0.role.layer == layer }
    try held.hold(tensors.map { WorkUnit(streaming: $0) }, workers: control.workers)
  }

  /// - Throws: FormatError, one of a stopped run among them.
  mutating func measure(_ journal: SensitivityJournal) async throws(FormatError) -> Sensitivity {
    let layers = model.blueprint.layerCount
    let done = journal.layers.count
    let counts = SensitivityPass.counts(model, contexts, uniform: uniform.count, layer: done)
    let states = done == 0 ? nil : try journal.states(counts: counts)
    try hold(layer: nil)
    var pass = try SensitivityPass(
      model, reference: reference, uniform: uniform, contexts, workers: control.workers,
      layer: states == nil ? 0 : done, states: states)
    let errors = CandidateErrors(model, candidates, calibrated: calibrated, sample: options.sample)
    let total = 2 * model.bytes
    var passed = 0
    for tensor in model.tensors where (tensor.role.layer ?? layers) < pass.layer { passed += tensor.bytes }
    for layer in pass.layer..<layers {
      try hold(layer: layer)
      let statistics = try await pass.observe()
      var outputs = try await errors.errors(statistics, workers: control.workers) { bytes in
        passed += bytes
        control.progress(passed, total)
      }
      let finished = try await pass.finish(reference: reference)
      let isLast = layer == layers - 1
      if isLast {
        try hold(layer: nil)
        if !model.blueprint.isHeadTied {
          outputs[model.blueprint.headRole] = try errors.head(statistics, workers: control.workers)
        }
        outputs[Role(.embedding)] = try errors.embedding(workers: control.workers)
      }
      let found = MeasuredLayer(
        outputs: outputs, experts: finished.experts,
        loads: statistics.load(experts: model.blueprint.layers[layer].feedForward.count).map {
          .init(tokens: $0.tokens, mass: $0.mass)
        }, dropped: .init(finished.dropped))
      try journal.finished(found.json, isLast: isLast, pass.states)
    }
    let found = try await sensitivity(pass, journal)
    var sensitivity = found.made
    sensitivity.importance = mixedPlans.provenance
    sensitivity.contexts = .init(
      measured: SeenContexts(contexts), judged: SeenContexts(others), novelty: split.novelty)
    try await measureMixedPlans(&sensitivity, searched: found.searched, journal)
    return sensitivity
  }

  /// Takes plans by what was measured, and the model without some experts of every layer, through all layers.
  private func measureMixedPlans(
    _ sensitivity: inout Sensitivity, searched: Sensitivity, _ journal: SensitivityJournal
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
      control.progress(model.bytes + model.bytes / layers * pass.layer, 2 * model.bytes)
      try journal.finishedMixedPlans(pass.layer, pass.states)
    }
    let tokens = others.reduce(0) { $0 + $1.tokens.count }
    let divergences = try await pass.divergences()
    func measure(_ divergence: SensitivityPass.Divergence) -> Sensitivity.Measure {
      .init(mean: divergence.mean, standardError: divergence.standardError)
    }
    sensitivity.contexts?.uncertainty = divergences.first?.uncertainty
    sensitivity.mixedPlans = zip(plans, divergences).map { plan, divergence in
      var mixed = Sensitivity.MixedPlan(
        format: plan.format, bitsPerWeight: 8 * Double(plan.result.tensorBytes) / Double(model.parameters),
        divergence: measure(divergence),
        sum: mixedPlans.sum(plan.result, options.quick ? searched : sensitivity),
        tokens: tokens)
      mixed.texts = divergence.texts.map { .init(name: $0.name, mean: $0.mean, uncertainty: $0.uncertainty) }
      return mixed
    }
    if let dropped {
      sensitivity.dropped = .init(count: dropped.count, divergence: measure(divergences[plans.count]))
    }
  }

  private func sensitivity(_ pass: SensitivityPass, _ journal: SensitivityJournal) async throws(FormatError)
    -> (made: Sensitivity, searched: Sensitivity)
  {
    var measured = Sensitivity.Measurements()
    for (layer, json) in journal.layers.enumerated() {
      let found = try MeasuredLayer(json, layer: layer, candidates: choice.candidates.count)
      for (role, errors) in found.outputs {
        measured.outputs[role] = errors.made
        measured.searched[role] = errors.searched
      }
      measured.loads.append(found.loads)
      measured.dropped.append(found.dropped)
      for (part, values) in found.experts { measured.experts[Role(part, layer: layer)] = values }
    }
    let (groups, divergences) = try await pass.divergences(reference: reference)
    for (group, divergence) in groups {
      if group.kind == .router, let layer = group.layer {
        measured.dropped[layer].divergence = .init(
          mean: divergence.mean, standardError: divergence.standardError)
        continue
      }
      measured.groups[group] = .init(mean: divergence.mean, standardError: divergence.standardError)
    }
    let errors = Sensitivity.errors(measured, reference: place)
    let whole = Sensitivity.errors(measured, reference: place, searched: true)
    var found: [Sensitivity.Uniform] = []
    for (encoding, divergence) in zip(choice.uniform, divergences) {
      let column = choice.candidates.firstIndex(of: encoding)!
      // In the model's order, so that the sum's last bits are the same for every run.
      let sum = model.tensors.reduce(0.0) { $0 + (whole[$1.role].flatMap { $0[column] } ?? 0) }
      found.append(
        .init(
          encoding: encoding,
          divergence: .init(mean: divergence.mean, standardError: divergence.standardError), sum: sum))
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

/// What one layer showed, and the last one also of embedding and head, as the journal has it.
struct MeasuredLayer {
  var outputs: [Role: CandidateErrors.Errors]
  var experts: [TensorKind: [Double]]
  var loads: [Sensitivity.Load]
  var dropped: Sensitivity.Dropped

  var json: JSON {
    let roles = outputs.keys.sorted { "\($0)" < "\($1)" }
    return [
      "outputs": .array(
        roles.map { role in
          [
            "part": .string(role.kind.rawValue), "layer": role.layer.map { JSON($0) } ?? .null,
            "expert": role.expert.map { JSON($0) } ?? .null,
            "searched": .array(outputs[role]!.searched.map { $0.map { JSON($0) } ?? .null }),
            "made": .array(outputs[role]!.made.map { $0.map { JSON($0) } ?? .null }),
          ]
        }),
      "experts": .object(
        experts.sorted { $0.key.rawValue < $1.key.rawValue }.reduce(into: [:]) {
          $0[$1.key.rawValue] = .array($1.value.map { JSON($0) })
        }),
      "tokens": .array(loads.map { JSON($0.tokens) }), "mass": .array(loads.map { JSON($0.mass) }),
      "dropped": dropped.json,
    ]
  }

  init(
    outputs: [Role: CandidateErrors.Errors], experts: [TensorKind: [Double]], loads: [Sensitivity.Load],
    dropped: Sensitivity.Dropped
  ) {
    self.outputs = outputs
    self.experts = experts
    self.loads = loads
    self.dropped = dropped
  }

  init(_ json: JSON, layer: Int, candidates: Int) throws(FormatError) {
    dropped = .init(journal: json["dropped"])
    (outputs, experts) = ([:], [:])
    for entry in json["outputs"]?.array ?? [] {
      guard let part = entry["part"]?.string.map({ TensorKind(rawValue: $0) }),
        let searched = entry["searched"]?.array,
        let made = entry["made"]?.array, searched.count == candidates, made.count == candidates
      else {
        throw FormatError(
          path: "journal", expected: "\(candidates) errors of a tensor of layer \(layer)", found: entry.kind)
      }
      outputs[Role(part, layer: entry["layer"]?.int, expert: entry["expert"]?.int)] = .init(
        searched: searched.map(\.double), made: made.map(\.double))
    }
    for (key, value) in json["experts"]?.object ?? [:] {
      experts[TensorKind(rawValue: key)] = (value.array ?? []).compactMap(\.double)
    }
    loads = zip(json["tokens"]?.array ?? [], json["mass"]?.array ?? []).map {
      .init(tokens: $0.int ?? 0, mass: $1.double ?? 0)
    }
  }
}

extension Sensitivity.Dropped {
  init(_ found: DroppedOutputs) {
    self.init(
      scores: found.scores, squares: found.squares, counts: found.counts, outputs: found.errors,
      carried: found.carried)
  }

  fileprivate var json: JSON {
    [
      "scores": .array(scores.map { JSON($0) }), "squares": .array(squares.map { JSON($0) }),
      "counts": .array(counts.map { JSON($0) }), "outputs": .array(outputs.map { JSON($0) }),
      "carried": JSON(carried),
    ]
  }

  /// What `json` gave: the journal is our own.
  fileprivate init(journal json: JSON?) {
    func list(_ key: String) -> [Double] { (json?[key]?.array ?? []).compactMap(\.double) }
    self.init(
      scores: list("scores"), squares: list("squares"),
      counts: (json?["counts"]?.array ?? []).compactMap(\.int), outputs: list("outputs"),
      carried: json?["carried"]?.int ?? 0)
  }
}
