import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// Exact sizes of plans' artifacts.
package struct PlanBytes {
  private let model: Model
  private let format: Format
  private let options: WriteOptions

  package init(_ model: Model, format name: String, _ options: WriteOptions) throws(RequestError) {
    self.model = model
    self.options = options
    format = try Format.known(name)
  }

  /// - Parameter importance: what the artifact says of the statistics that its codes are chosen by; nil for none.
  package func bytes(_ plan: Plan, importance: JSON?) throws(FormatError) -> Int {
    let left = try model.dropping(plan.dropped)
    var options = options
    options.provenance["importance"] = importance
    options.provenance["recipe"] = PlanFile(plan, format: format.name, for: left).provenance
    options.provenance[DroppedExperts.key] = plan.dropped?.json
    return try left.quantized(by: plan).plannedBytes(as: format, options)
  }
}

extension Engine {
  /// The one that runs artifacts of a format there; where none does, what llama.cpp would take.
  package static func usual(_ format: Format, on machine: Machine) -> Engine {
    let able = Engine.allCases.filter { $0.loads(format.traits) && $0.runs(on: machine.memory) }
    return able.first ?? .llamaCpp
  }
}

extension Allocation {
  /// Among what was measured for a format that tells tensors apart.
  ///
  /// - Parameters:
  ///   - path: of the sensitivity, for messages.
  ///   - excluded: names of encodings, or what they begin with, that are not chosen.
  init(
    _ model: Model, _ sensitivity: Sensitivity, for format: Format, path: String, excluded: [String] = []
  ) throws(FormatError) {
    let usual = Sensitivity.candidates(format.traits, for: model)?.all ?? []
    // Encodings that were asked for are for any format that holds them.
    let known = Set(Format.all.flatMap { Sensitivity.candidates($0.traits, for: model)?.all ?? [] })
    let all = usual + sensitivity.candidates.filter { !known.contains($0) && !usual.contains($0) }
    let candidates = all.filter { encoding in !excluded.contains { encoding.isNamed($0) } }
    let measured = Set(sensitivity.candidates)
    guard let sharing = format.traits.sharing,
      candidates.contains(where: { measured.contains($0) && format.refusal($0) == nil })
    else {
      throw FormatError(
        path: path,
        expected: "encodings that \(format.name) holds, measured for that format",
        found: sensitivity.candidates.map(\.description).joined(separator: ", "), remedy: .measure)
    }
    try self.init(model, sensitivity, sharing, candidates: candidates) { format.refusal($0) == nil }
  }
}

/// The best plan for a budget.
package struct PlanMaking {
  package let model: Model
  package let format: Format
  let sensitivity: Sensitivity
  /// One for each number of experts that may be left out, by rising number.
  private let variants: [Variant]
  private let path: String
  private let prediction: Prediction
  /// Of models in one encoding.
  private let uniformPrediction: Prediction
  private let options: WriteOptions

  /// The model without some of its experts, and what is known of it.
  private struct Variant {
    var dropped: DroppedExperts?
    var model: Model
    var sensitivity: Sensitivity
    var allocation: Allocation
  }

  /// - Parameters:
  ///   - drop: how many experts may be left out; nil for none.
  ///   - excluded: names of encodings, or what they begin with, that are not chosen.
  package init(
    _ model: Model, _ path: String, format name: String?, drop: DropAmount?, excluded: [String] = [],
    _ options: WriteOptions
  )
    throws
  {
    self.model = model
    self.path = path
    self.options = options
    let name = name ?? Format.ingot.name
    let format = try Format.known(name)
    guard format.traits.sharing != nil else {
      throw RequestError(
        .format,
        "\(name) has one encoding for all tensors, so there is nothing to plan; "
          + "use a recipe, or \(Format.plannedNames)")
    }
    self.format = format
    let sensitivity = try WrittenFile.sensitivity(path, for: model)
    self.sensitivity = sensitivity
    try excluded.requireNames(among: sensitivity.candidates)
    var variants: [Variant] = []
    for count in try drop?.counts(sensitivity, model, path: path) ?? [0] {
      let dropped = count > 0 ? sensitivity.least(count) : nil
      let left = try model.dropping(dropped)
      let known = dropped.flatMap { sensitivity.without($0, left: left, format: name) } ?? sensitivity
      let allocation = try Allocation(left, known, for: format, path: path, excluded: excluded)
      variants.append(Variant(dropped: dropped, model: left, sensitivity: known, allocation: allocation))
    }
    self.variants = variants
    prediction = Prediction(sensitivity, format: name)
    uniformPrediction = Prediction(sensitivity, format: nil)
  }

  /// A plan and its exact size.
  package struct Made {
    package var result: Allocation.Result
    package var bytes: Int
    package var asked: String
    package var budget: Int
    /// The model without the experts that the plan drops.
    package var left: Model
    fileprivate var variant: Int
  }

  private var leastBytes: Int { variants.map(\.allocation.leastBytes).min()! }

  /// The best choice over all numbers of experts left out; of equal ones that which leaves fewer out.
  private func solved(_ tensorBytes: Int, _ name: String, only: Int? = nil) -> (
    result: Allocation.Result, variant: Int
  )? {
    var best: (result: Allocation.Result, variant: Int)?
    for (index, variant) in variants.enumerated() where only ?? index == index {
      guard var result = variant.allocation.solved(tensorBytes: tensorBytes, name: name),
        result.sum < best?.result.sum ?? .infinity
      else { continue }
      result.plan.dropped = variant.dropped
      best = (result, index)
    }
    return best
  }

  private func tooSmall(_ member: RequestError.Member, _ asked: String) throws(RequestError) -> Never {
    let least = leastBytes
    throw RequestError(
      member,
      """
      \(asked): nothing fits; the smallest choices take \(grouped(least)) bytes of tensors \
      (\(fixed(8 * Double(least) / Double(model.parameters), 3)) bits per weight)\(smaller).
      """, isUnmet: true)
  }

  /// What would make a plan smaller than the smallest choices.
  private var smaller: String {
    let drops = variants.allSatisfy { $0.dropped == nil } && sensitivity.drops != nil
    return (drops ? "; allow that experts are left out" : "")
      + "; or let 'ingot sensitivity' measure encodings of fewer bits as candidates"
  }

  /// - Parameter only: the number of experts left out, by its place; nil for the best.
  private func made(_ tensorBytes: Int, _ asked: String, budget: Int, only: Int? = nil) throws -> Made? {
    let name = "\(Folder.name(of: model.sourceName)), \(asked)"
    guard let (result, variant) = solved(tensorBytes, name, only: only) else { return nil }
    return Made(
      result: result, bytes: try bytes(result.plan), asked: asked, budget: budget,
      left: variants[variant].model, variant: variant)
  }

  private func bytes(_ plan: Plan) throws -> Int {
    try PlanBytes(model, format: format.name, options).bytes(plan, importance: sensitivity.importance)
  }

  /// Name of the statistics that the plan was measured with and its artifact needs; nil without.
  package var importance: String? { sensitivity.importance?["name"]?.string }

  /// A name for the artifact, in examples.
  package var suggestedOutput: String { format.suggestedName("model") }

  package func plan(bits: Double) throws -> Made {
    let budget = Int(bits * Double(model.parameters) / 8)
    let asked = "\(fixed(bits, 2)) bits"
    guard let made = try made(budget, asked, budget: budget) else { try tooSmall(.bits, "\(bits)") }
    return made
  }

  package func plan(bytes: Int, _ asked: String) throws -> Made {
    var best: Made?
    // What is not tensors depends on how many experts stay.
    for variant in variants.indices {
      if let found = try made(bytes: bytes, asked, variant), found.result.sum < best?.result.sum ?? .infinity
      {
        best = found
      }
    }
    guard let best else { try tooSmall(.size, asked) }
    return best
  }

  private func made(bytes: Int, _ asked: String, _ variant: Int) throws -> Made? {
    // And a little on the choice, since headers name it: what is too long by some bytes may be so again with another choice, and
    // is taken from the budget in growing steps.
    var budget = bytes
    var step = 1
    while let found = try made(budget, asked, budget: bytes, only: variant) {
      if found.bytes <= bytes { return found }
      budget -= max(found.bytes - bytes, step)
      step *= 2
    }
    return nil
  }

  /// The best of the largest plans that fit into a machine.
  package func plan(_ machine: Machine, _ engine: Engine, context: Int, cache: CachePrecision) throws -> (
    Made, Fit
  ) {
    let demand = MachineDemand(machine: machine, engine: engine, context: context, cache: cache)
    var best: (Made, Fit)?
    for variant in variants.indices {
      if let found = try largest(demand, variant), found.0.result.sum < best?.0.result.sum ?? .infinity {
        best = found
      }
    }
    guard let best else {
      throw RequestError(
        .fit,
        "nothing fits into \(machine.name) with \(context) tokens of context: the smallest choices take "
          + "\(decimal(leastBytes)) and the cache \(decimal(model.blueprint.cacheBytes(context: context, cache)))"
          + "\(smaller).", isUnmet: true)
    }
    return best
  }

  private struct MachineDemand {
    var machine: Machine
    var engine: Engine
    var context: Int
    var cache: CachePrecision

    func fit(_ made: Made) -> Fit? {
      Demand(made.left.blueprint, Weights(made.left, made.result.plan), context: context, cache: cache)
        .fit(engine, machine)
    }
  }

  /// The largest plan that fits, of one number of experts: bisection over the budget.
  private func largest(_ demand: MachineDemand, _ variant: Int) throws -> (Made, Fit)? {
    let asked = "\(demand.machine.name), \(demand.context) tokens"
    var (low, high) = (variants[variant].allocation.leastBytes, model.bytes)
    var best: (Made, Fit)?
    func attempt(_ budget: Int) throws -> Bool {
      guard let made = try made(budget, asked, budget: budget, only: variant), let fit = demand.fit(made),
        fit.fits
      else { return false }
      best = (made, fit)
      return true
    }
    guard try attempt(low) else { return nil }
    if try !attempt(high) {
      while high - low > max(model.bytes / 20000, 1) {
        let middle = (low + high) / 2
        if try attempt(middle) { low = middle } else { high = middle }
      }
    }
    return best
  }

  // MARK: The file

  private func point(_ tensorBytes: Int, _ sum: Double, _ prediction: Prediction) -> JSONObject {
    [
      "bitsPerWeight": JSON(rounded(8 * Double(tensorBytes) / Double(model.parameters))),
      "tensorBytes": JSON(tensorBytes), "klDivergence": JSON(rounded(prediction.divergence(sum: sum).mean)),
    ]
  }

  /// The size–quality curve: the best plans from the smallest choices up to 8.5 bits.
  private func curve() -> [JSON] {
    var points: [JSON] = []
    let least = 8 * Double(leastBytes) / Double(model.parameters)
    var bits = (least * 4).rounded(.up) / 4
    var last = -1
    while bits <= 8.5 {
      let budget = Int(bits * Double(model.parameters) / 8)
      if let (result, _) = solved(budget, ""), result.tensorBytes > last {
        last = result.tensorBytes
        points.append(.object(point(result.tensorBytes, result.sum, prediction)))
      }
      bits += bits < 5 ? 0.25 : 0.5
    }
    return points
  }

  private func uniform() -> [JSON] {
    sensitivity.candidates.filter { format.refusal($0) == nil }.compactMap { encoding in
      let plan = Plan.uniform(encoding, for: model)
      guard let sum = sensitivity.sum(plan, model) else { return nil }
      let bytes = model.tensors.reduce(0) {
        $0 + (plan.assignments[$1.role]?.encoding.bytes($1.shape) ?? 0)
      }
      var object: JSONObject = ["encoding": .string(encoding.description)]
      for (key, value) in point(bytes, sum, uniformPrediction) { object[key] = value }
      return .object(object)
    }.sorted { ($0["tensorBytes"]?.int ?? 0) < ($1["tensorBytes"]?.int ?? 0) }
  }

  package func divergence(_ made: Made) -> Prediction.Interval { prediction.divergence(sum: made.result.sum) }

  /// The plan with everything that is known of it.
  package func file(_ made: Made) -> PlanFile {
    var file = PlanFile(made.result.plan, format: format.name, for: made.left)
    file.model = ModelName(model, name: model.sourceName).json
    file.budget = ["bytes": JSON(made.budget), "asked": .string(made.asked)]
    file.sensitivity = sensitivity.record(path)
    let predicted = divergence(made)
    file.predicted = .init(
      checksum: file.checksum, bytes: made.bytes, tensorBytes: made.result.tensorBytes,
      bitsPerWeight: 8 * Double(made.result.tensorBytes) / Double(model.parameters), divergence: predicted,
      gap: made.result.gap)
    file.curve = curve()
    file.uniform = uniform()
    file.errors = errors(made, predicted.mean)
    return file
  }

  /// Each tensor's share of the predicted divergence.
  private func errors(_ made: Made, _ mean: Double) -> JSONObject {
    let scale = made.result.sum > 0 ? mean / made.result.sum : 0
    let (plan, known) = (made.result.plan, variants[made.variant].sensitivity)
    var object: JSONObject = [:]
    for (name, roles) in sensitivity.stacks {
      let values = roles.map { role -> JSON in
        guard let role = plan.dropped.map({ $0.role(role) }) ?? role else { return .null }
        let assignment = made.result.plan.assignments[role]
        let encoding = assignment?.quantizer == nil ? nil : assignment?.encoding
        return JSON(rounded(scale * (known.error(role, encoding) ?? 0)))
      }
      object[name] = roles.count == 1 && roles[0].expert == nil ? values[0] : .array(values)
    }
    for (layer, base) in known.bases.enumerated() {
      object["layers.\(layer).\(PlanRecord.dropped)"] = JSON(rounded(scale * base))
    }
    return object
  }
}
