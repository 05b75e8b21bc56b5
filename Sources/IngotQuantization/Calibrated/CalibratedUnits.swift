import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Quantizes linear layers by GPTQ. Those that share a Hessian, such as query, key and value, are one unit of work, and so are
/// the projections of an expert: gate and up share a Hessian, and down is calibrated on what the quantized gate and up give.
struct CalibratedUnits: Sendable {
  private let model: Model
  private let plan: Plan
  private let calibration: Calibration
  private let options: QuantizationOptions

  init(_ model: Model, _ plan: Plan, _ calibration: Calibration, _ options: QuantizationOptions) {
    self.model = model
    self.plan = plan
    self.calibration = calibration
    self.options = options
  }

  /// The unit of each tensor that the plan quantizes by GPTQ.
  func byRole() -> [Role: WorkUnit] {
    var units: [Role: WorkUnit] = [:]
    for (layer, description) in model.blueprint.layers.enumerated() {
      let loads = calibration.statistics.statistics(layer: layer)
      func add(
        _ roles: [Role], reads: [Role],
        _ make: @escaping @Sendable () throws(FormatError) -> WorkUnit.Planes
      ) {
        if roles.isEmpty { return }
        let unit = WorkUnit(
          roles, reads: reads.map { model[$0]! }, statistics: loads, make: make)
        for role in roles { units[role] = unit }
      }
      for tap in description.observedTaps {
        let roles = tap.linears.map { Role($0, layer: layer) }.filter { encoding($0) != nil }
        add(roles, reads: roles) { () throws(FormatError) in try siblings(roles, tap, layer: layer) }
      }
      let block = description.feedForward
      for expert in 0..<block.count {
        func roles(_ kinds: [TensorKind]) -> [Role] {
          kinds.map { block.role($0, layer: layer, expert: expert) }
        }
        let made = roles(block.projections.all).filter { encoding($0) != nil }
        let inputs = roles(block.projections.inputs)
        add(made, reads: inputs + made.filter { !inputs.contains($0) }) { () throws(FormatError) in
          try self.expert(expert, layer: layer)
        }
      }
    }
    let head = Role(.head)
    if encoding(head) != nil {
      let layer = calibration.statistics.layers - 1
      units[head] = WorkUnit(
        [head], reads: [model[head]!], statistics: calibration.statistics.statistics(layer: layer)
      ) { () throws(FormatError) in try siblings([head], nil, layer: layer) }
    }
    return units
  }

  private func encoding(_ role: Role) -> Encoding? {
    guard let assignment = plan.assignments[role], assignment.quantizer == Quantizer.gptq.rawValue else {
      return nil
    }
    return assignment.encoding
  }

  /// The columns' divisors of a layer's inputs.
  private func divisors(_ tap: Tap, layer: Int) -> [Float] {
    calibration.scales?.factors(tap, model.blueprint.layers[layer], layer: layer, expert: 0) ?? []
  }

  // ---- mixers and head -----------------------------------------------------------------------------------------------

  /// Linear layers that read one tap of a layer's mixer, or the head without a tap.
  private func siblings(_ roles: [Role], _ tap: Tap?, layer: Int) throws(FormatError) -> WorkUnit.Planes {
    let statistics = try calibration.statistics.layer(layer)
    var hessian = statistics.floats(tap.map { .init($0) } ?? .headInput)
    CalibratedUnits.divide(&hessian, tap.map { divisors($0, layer: layer) } ?? [])
    let prepared = GPTQHessians(hessian, columns: model[roles[0]]!.columns, calibration.options)
    var planes: WorkUnit.Planes = [:]
    for role in roles {
      let tensor = model[role]!
      var values = try tensor.finiteFloats(0..<tensor.rows, tensor.planes(), options)
      if let targets = statistics.targets, calibration.correctsInputs, let tap,
        let cross = targets.cross[LayerStatistics.Field(tap)]
      {
        let isOutput = tap == model.blueprint.layers[layer].mixerOutput
        let wanted =
          isOutput && calibration.fitsResiduals && !targets.attentionResidual.isEmpty
          ? targets.attentionResidual : nil
        ExpertInputs.correct(&values, rows: tensor.rows, width: tensor.columns, hessian, cross, wanted)
      }
      planes[role] = try quantize(
        role, values, rows: tensor.rows, columns: tensor.columns, prepared, encoding(role)!)
    }
    return planes
  }

  private static func divide(_ hessian: inout [Float], _ divisors: [Float]) {
    if divisors.isEmpty { return }
    let n = divisors.count
    for row in 0..<n {
      for column in 0..<n { hessian[row * n + column] /= divisors[row] * divisors[column] }
    }
  }

  private func quantize(
    _ role: Role, _ values: [Float], rows: Int, columns: Int, _ hessians: GPTQHessians, _ encoding: Encoding
  ) throws(FormatError) -> [Bytes] {
    let (planes, result) = Quantizer.calibrated(
      values, rows: rows, columns: columns, hessian: hessians.ordered(for: encoding), encoding: encoding,
      calibration.options)
    let tensor = model[role]!
    let watch = ScaleWatch(
      tensor, as: encoding, names: { [model] in model.fusedNames(tensor) }, heard: options.coarse)
    try watch.check(planes, rows: 0..<rows) { () throws(FormatError) in values }
    calibration.report?(role, result.power > 0 ? result.error / result.power : 0)
    return planes
  }

  // ---- experts -------------------------------------------------------------------------------------------------------

  private func expert(_ expert: Int, layer: Int) throws(FormatError) -> WorkUnit.Planes {
    let statistics = try calibration.statistics.layer(layer)
    let block = model.blueprint.layers[layer].feedForward
    let (gating, lifting, lowering) = (
      block.projections.gating, block.projections.lifting, block.projections.lowering
    )
    let (hidden, width) = (model.blueprint.hiddenSize, block.intermediateSize)
    func role(_ kind: TensorKind) -> Role { block.role(kind, layer: layer, expert: expert) }
    func values(_ kind: TensorKind) throws(FormatError) -> [Float] {
      let tensor = model[role(kind)]!
      return try tensor.finiteFloats(0..<tensor.rows, tensor.planes(), options)
    }
    let biases = try MLPBiases(model, layer: layer, expert: block.isMixture ? expert : nil)
    let inputs = ExpertInputs(
      statistics, expert: expert, hidden: hidden,
      divisors: divisors(model.blueprint.layers[layer].feedForwardInput, layer: layer), biases: biases,
      activation: block.activation, scalesInputs: block.scalesInputs)
    var planes: WorkUnit.Planes = [:]
    let gate = try values(gating)
    let up = try values(lifting)
    var quantized: [TensorKind: [Float]] = [gating: gate, lifting: up]
    let kinds = block.projections.inputs.filter { encoding(role($0)) != nil }
    if !kinds.isEmpty {
      let hessian = inputs.hessian()
      if statistics.targets != nil && calibration.correctsInputs {
        let cross = inputs.cross()
        for kind in kinds {
          ExpertInputs.correct(&quantized[kind]!, rows: width, width: hidden, hessian, cross)
        }
      }
      let prepared = GPTQHessians(hessian, columns: hidden, calibration.options)
      for kind in kinds {
        let encoding = encoding(role(kind))!
        planes[role(kind)] = try quantize(
          role(kind), quantized[kind]!, rows: width, columns: hidden, prepared, encoding)
        var decoded = [Float](repeating: 0, count: width * hidden)
        var span = decoded.mutableSpan
        encoding.decode(planes[role(kind)]!, rows: width, columns: hidden, into: &span)
        quantized[kind] = decoded
      }
    }
    guard let encoding = encoding(role(lowering)) else { return planes }
    var target = try values(lowering)
    let (hessian, cross, wanted) = inputs.inner(
      gate: quantized[gating]!, up: quantized[lifting]!,
      trueGate: calibration.correctsInputs ? gate : [], trueUp: up, width: width)
    if let cross {
      ExpertInputs.correct(
        &target, rows: hidden, width: width, hessian, cross, calibration.fitsResiduals ? wanted : nil)
    }
    planes[role(lowering)] = try quantize(
      role(lowering), target, rows: hidden, columns: width,
      GPTQHessians(hessian, columns: width, calibration.options), encoding)
    if let reportExpert = calibration.reportExpert {
      var down = [Float](repeating: 0, count: hidden * width)
      var span = down.mutableSpan
      encoding.decode(planes[role(lowering)]!, rows: hidden, columns: width, into: &span)
      let (tokens, share) = inputs.outputError(
        [gate, up, try values(lowering)], [quantized[gating]!, quantized[lifting]!, down], width: width)
      reportExpert(layer, expert, tokens, share)
    }
    return planes
  }
}

/// A Hessian in the orders that encodings ask for, each made when it is first asked for; for one thread.
final class GPTQHessians {
  private let matrix: [Float]
  private let columns: Int
  private let options: GPTQOptions
  private var ordered: [Int: GPTQHessian] = [:]

  init(_ matrix: [Float], columns: Int, _ options: GPTQOptions) {
    (self.matrix, self.columns, self.options) = (matrix, columns, options)
  }

  func ordered(for encoding: Encoding) -> GPTQHessian {
    let together = encoding.columnsTogether
    if let made = ordered[together] { return made }
    let made = GPTQHessian(matrix, columns: columns, together: together, options)
    ordered[together] = made
    return made
  }
}

extension Quantizer {
  /// Planes by GPTQ: the search gives the grid to begin with, columns weighted by the Hessian's diagonal.
  static func calibrated(
    _ values: [Float], rows: Int, columns: Int, hessian: GPTQHessian, encoding: Encoding,
    _ options: GPTQOptions
  ) -> ([Bytes], GPTQResult) {
    if case .trellis(let scheme) = encoding {
      return trellis(values, rows: rows, columns: columns, hessian: hessian, scheme, options)
    }
    if case .tiles(let scheme) = encoding {
      return tiles(values, rows: rows, columns: columns, hessian: hessian.matrix, scheme)
    }
    let importance = (0..<columns).map { hessian.matrix[$0 * columns + $0] }
    let planes = Quantizer.search.planes(
      values, rows: rows, columns: columns, importance: importance, encoding: encoding)
    var grid = encoding.grid(planes, rows: rows, columns: columns)
    let result = chooseCodes(values.span, hessian: hessian, grid: &grid, options)
    return (encoding.planes(grid, result.values, from: planes), result)
  }
}
