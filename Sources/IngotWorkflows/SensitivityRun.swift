import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// One pass through a model that measures what quantizing the tensors of some layers costs, or of all.
struct SensitivityRun {
  private let model: Model
  private let contexts: [Context]
  private let choice: SensitivityChoice
  private let control: RunControl
  /// Layers that are measured.
  private let measured: Range<Int>
  /// Whether embedding, head and uniform models are measured too.
  private var measuresWhole: Bool { measured.upperBound == model.blueprint.layerCount }
  /// Codes by the search, and by GPTQ where there are statistics.
  private var candidates: [CandidateModel] = []
  private var calibrated: [CandidateModel] = []
  private let sample: Int
  private var uniform: [Model] = []
  /// Planes of the reference of the layer at hand: errors and copies both need them.
  private let held = HeldPlanes()
  /// Tensors of the reference as they are quantized.
  private var referenceTensors: [Tensor] = []

  private var reference: Model { candidates[place].model }
  private var place: Int { choice.candidates.firstIndex(of: choice.reference)! }

  /// - Parameter measured: layers to measure; nil for all.
  init(
    _ model: Model, _ contexts: [Context], _ choice: SensitivityChoice,
    importance: String?, _ statistics: CalibrationStatistics?,
    _ techniques: CalibrationTechniques, sample: Int, measuring measured: Range<Int>? = nil,
    _ control: RunControl
  ) async throws(FormatError) {
    self.sample = sample
    self.model = model
    self.contexts = contexts
    self.choice = choice
    self.control = control
    let measured = measured ?? model.blueprint.layers.indices
    self.measured = measured
    let measuresWhole = measured.upperBound == model.blueprint.layerCount
    // Down projections that make up for gate and up would look worse alone than they are.
    var apart = techniques
    apart.without.append(.inputs)
    var uniform: [Encoding: Model] = [:]
    for encoding in choice.candidates {
      let isUniform = measuresWhole && choice.uniform.contains(encoding)
      let made = try await SensitivityRun.quantized(
        model, encoding, importance, statistics, apart, layers: isUniform ? nil : Set(measured), control)
      var searched = made.searched
      if isUniform { uniform[encoding] = searched }
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
    self.uniform = choice.uniform.compactMap { uniform[$0] }
  }

  /// The model in one encoding, as `ingot quantize` makes it with the `quick` form of that, and with codes searched for instead of
  /// GPTQ.
  ///
  /// - Parameter layers: whose tensors are wanted, so that no scales are searched for others; nil for all.
  private static func quantized(
    _ model: Model, _ encoding: Encoding, _ importance: String?, _ statistics: CalibrationStatistics?,
    _ techniques: CalibrationTechniques, layers: Set<Int>?, _ control: RunControl
  ) async throws(FormatError) -> (model: Model, searched: Model, scales: ChannelScales?) {
    let plan = Plan.uniform(encoding, for: model)
    guard let importance else {
      let quantized = try model.quantized(by: plan)
      return (quantized, quantized, nil)
    }
    let run = try await CalibratedRun(
      importance, model, .uniform(encoding.quick, for: model), techniques, control, known: statistics,
      layers: layers)
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

  /// - Parameter total: bytes of all that is to be passed, for progress.
  /// - Throws: FormatError, one of a stopped run among them.
  func measure(_ journal: SensitivityJournal, total: Int) async throws(FormatError)
    -> MeasuredTensors
  {
    let layers = model.blueprint.layerCount
    let done = journal.layers.count
    let counts = SensitivityPass.counts(
      model, contexts, uniform: uniform.count, measuring: measured, layer: done)
    let states = done == 0 ? nil : try journal.states(counts: counts)
    if measuresWhole { try hold(layer: nil) }
    var pass = try SensitivityPass(
      model, reference: reference, uniform: uniform, contexts, workers: control.workers,
      measuring: measured, layer: states == nil ? 0 : done, states: states)
    let errors = CandidateErrors(model, candidates, calibrated: calibrated, sample: sample)
    func bytes(of isMeant: (Int) -> Bool) -> Int {
      model.tensors.reduce(0) { $0 + (isMeant($1.role.layer ?? layers) ? $1.bytes : 0) }
    }
    var passed = bytes { $0 < pass.layer }
    for layer in pass.layer..<layers {
      let isLast = layer == layers - 1
      guard measured.contains(layer) else {
        held.take()
        try await pass.advance()
        passed += bytes { $0 == layer }
        control.progress(passed, total)
        try journal.finished(.null, isLast: isLast, pass.states)
        continue
      }
      try hold(layer: layer)
      let statistics = try await pass.observe()
      var outputs = try await errors.errors(statistics, workers: control.workers) { bytes in
        passed += bytes
        control.progress(passed, total)
      }
      let finished = try await pass.finish(reference: reference)
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
    let (groups, divergences) = try await pass.divergences(reference: reference)
    return MeasuredTensors(
      layers: Array(journal.layers[measured]),
      groups: groups.map { ($0.group, Sensitivity.Measure($0.divergence)) },
      uniform: divergences.map { Sensitivity.Measure($0) })
  }
}
