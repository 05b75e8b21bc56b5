import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

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
      func add(_ roles: [Role], reads: [Role], _ make: @escaping WorkUnit.Make) {
        if roles.isEmpty { return }
        let unit = unit(roles, reads: reads.map { model[$0]! }, layer: layer, nil, make)
        for role in roles { units[role] = unit }
      }
      for tap in description.observedTaps {
        let roles = tap.linears.map { Role($0, layer: layer) }.filter { encoding($0) != nil }
        add(roles, reads: roles) { threads throws(FormatError) in
          try siblings(roles, tap, layer: layer, threads)
        }
      }
      let block = description.feedForward
      for expert in 0..<block.count {
        func roles(_ kinds: [TensorKind]) -> [Role] {
          kinds.map { block.role($0, layer: layer, expert: expert) }
        }
        let made = roles(block.projections.all).filter { encoding($0) != nil }
        let inputs = roles(block.projections.inputs)
        add(made, reads: inputs + made.filter { !inputs.contains($0) }) { threads throws(FormatError) in
          try self.expert(expert, layer: layer, threads)
        }
      }
    }
    let head = Role(.head)
    if encoding(head) != nil {
      let layer = calibration.statistics.layers - 1
      let work = HeadWork()
      units[head] = unit([head], reads: [model[head]!], layer: layer, headRows(work, layer: layer)) {
        threads throws(FormatError) in
        try siblings([head], nil, layer: layer, threads)
      }
    }
    return units
  }

  /// What rows of the head are made with, from the first that are asked for on.
  private final class HeadWork: Sendable {
    let hessian = Mutex<GPTQHessian?>(nil)
  }

  /// Makes rows of the head for a forward pass, which reads it a range after the other; nil where rows are not kept apart.
  private func headRows(_ work: HeadWork, layer: Int) -> WorkUnit.RowMaker? {
    let head = Role(.head)
    let (tensor, encoding) = (model[head]!, encoding(head)!)
    guard encoding.keepsRowsApart, RowPieces.step % tensor.rowStep == 0 else { return nil }
    let columns = tensor.columns
    return WorkUnit.RowMaker(
      step: RowPieces(rows: tensor.rows, columns: columns).ranges[0].count,
      make: { _, rows throws(FormatError) in
        let hessian = try work.hessian.withLock { kept throws(FormatError) in
          if let kept { return kept }
          let statistics = try calibration.statistics.layer(layer)
          let made = GPTQHessian(
            statistics.floats(.headInput), columns: columns, together: encoding.columnsTogether,
            calibration.options(tokens: statistics.tokens, columns: columns))
          kept = made
          return made
        }
        var options = options
        options.replaced = nil
        let values = try tensor.finiteFloats(rows, tensor.planes(rows: rows), options)
        let (planes, _) = Quantizer.calibrated(
          values, rows: rows.count, columns: columns, hessian: hessian, encoding: encoding,
          calibration.options(
            calibration.options(tokens: calibration.statistics.tokens, columns: columns), for: encoding))
        let watch = ScaleWatch(tensor, as: encoding)
        try watch.check(planes, rows: rows) { () throws(FormatError) in values }
        return planes
      }, drop: { work.hessian.withLock { $0 = nil } })
  }

  /// A unit by statistics of a layer.
  private func unit(
    _ roles: [Role], reads: [Tensor], layer: Int, _ rowMaker: WorkUnit.RowMaker? = nil,
    _ make: @escaping WorkUnit.Make
  ) -> WorkUnit {
    let tensors = roles.map { model[$0]! }
    var (operations, memory, most) = (0.0, 0, 0)
    for columns in Set(tensors.map(\.columns)) {
      // A factor, and the matrix that it is of.
      operations += Double(columns) * Double(columns) * Double(columns)
      memory += 2 * 4 * columns * columns
    }
    for tensor in tensors {
      // A pass over all columns, and some more for each refit.
      let passes = Double(1 + 3 * calibration.options.sweeps)
      operations += 2 * passes * Double(tensor.count) * Double(tensor.columns)
      let pieces = RowPieces(
        rows: tensor.rows, columns: tensor.columns, isWhole: !encoding(tensor.role)!.keepsRowsApart)
      most = max(most, pieces.buffers)
      memory += encoding(tensor.role)!.bytes(tensor.shape) ?? 0
    }
    return WorkUnit(
      roles, reads: reads, statistics: calibration.statistics.statistics(layer: layer),
      operations: operations,
      memory: memory + most, rowMaker: rowMaker, make: make)
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
  private func siblings(_ roles: [Role], _ tap: Tap?, layer: Int, _ threads: Threads?) throws(FormatError)
    -> WorkUnit.Planes
  {
    let statistics = try calibration.statistics.layer(layer)
    var hessian = statistics.floats(tap.map { .init($0) } ?? .headInput)
    CalibratedUnits.divide(&hessian, tap.map { divisors($0, layer: layer) } ?? [])
    let columns = model[roles[0]]!.columns
    var correction: InputCorrection?
    if let targets = statistics.targets, calibration.correctsInputs, let tap,
      let cross = targets.cross[LayerStatistics.Field(tap)]
    {
      let isOutput = tap == model.blueprint.layers[layer].mixerOutput
      let wanted =
        isOutput && calibration.fitsResiduals && !targets.attentionResidual.isEmpty
        ? targets.attentionResidual : nil
      correction = InputCorrection(
        hessian, cross, wanted, rows: roles.reduce(0) { $0 + model[$1]!.rows }, width: columns)
    }
    let options = calibration.options(tokens: statistics.tokens, columns: columns)
    let prepared = GPTQHessians(hessian, columns: columns, options)
    hessian = []
    var planes: WorkUnit.Planes = [:]
    for role in roles {
      planes[role] = try quantize(role, weights(role), correction, prepared, options, threads)
    }
    return planes
  }

  /// A tensor's weights, all finite or made so as the options say, of which a listener hears once however often they are read.
  private func weights(_ role: Role) throws(FormatError) -> WeightRows {
    let tensor = model[role]!
    let heard = Heard()
    return try WeightRows(
      rows: tensor.rows, columns: tensor.columns, isHeld: RowPieces.step % tensor.rowStep != 0
    ) { rows throws(FormatError) in
      var options = options
      if !heard.isFirst(rows) { options.replaced = nil }
      return try tensor.finiteFloats(rows, tensor.planes(rows: rows), options)
    }
  }

  /// Ranges of rows that were read.
  private final class Heard: Sendable {
    private let beginnings = Mutex<Set<Int>>([])

    func isFirst(_ rows: Range<Int>) -> Bool { beginnings.withLock { $0.insert(rows.lowerBound).inserted } }
  }

  private static func divide(_ hessian: inout [Float], _ divisors: [Float]) {
    if divisors.isEmpty { return }
    let n = divisors.count
    for row in 0..<n {
      for column in 0..<n { hessian[row * n + column] /= divisors[row] * divisors[column] }
    }
  }

  private func quantize(
    _ role: Role, _ weights: WeightRows, _ correction: InputCorrection?, _ hessians: GPTQHessians,
    _ options: GPTQOptions, _ threads: Threads?
  ) throws(FormatError) -> [Bytes] {
    let tensor = model[role]!
    let encoding = encoding(role)!
    let hessian = hessians.ordered(for: encoding)
    let watch = ScaleWatch(
      tensor, as: encoding, names: { [model] in model.fusedNames(tensor) }, heard: self.options.coarse)
    let pieces = RowPieces(rows: tensor.rows, columns: tensor.columns, isWhole: !encoding.keepsRowsApart)
    let pieced = PiecedPlanes(encoding.planes(tensor.shape)!, pieces)
    let options = calibration.options(options, for: encoding)
    try threads.share(pieces.ranges.count) { piece throws(FormatError) in
      let rows = pieces.ranges[piece]
      var corrected = try weights(rows)
      correction?.apply(&corrected, rows: rows)
      let values = corrected
      let (planes, result) = Quantizer.calibrated(
        values, rows: rows.count, columns: tensor.columns, hessian: hessian, encoding: encoding, options)
      try watch.check(planes, rows: rows) { () throws(FormatError) in values }
      pieced.put(piece, planes, result, values: values)
    }
    let made = pieced.take(hessian)
    calibration.report?(role, made.power > 0 ? made.error / made.power : 0)
    return made.planes
  }

  // ---- experts -------------------------------------------------------------------------------------------------------

  private func expert(_ expert: Int, layer: Int, _ threads: Threads?) throws(FormatError) -> WorkUnit.Planes {
    let statistics = try calibration.statistics.layer(layer)
    let block = model.blueprint.layers[layer].feedForward
    let (gating, lifting, lowering) = (
      block.projections.gating, block.projections.lifting, block.projections.lowering
    )
    let hidden = model.blueprint.hiddenSize
    func role(_ kind: TensorKind) -> Role { block.role(kind, layer: layer, expert: expert) }
    /// What is left of a projection in planes.
    func decoded(_ kind: TensorKind, _ planes: [Bytes]) throws(FormatError) -> WeightRows {
      let (encoding, tensor) = (encoding(role(kind))!, model[role(kind)]!)
      let layout = encoding.planes(tensor.shape)!
      return try WeightRows(
        rows: tensor.rows, columns: tensor.columns, isHeld: !encoding.keepsRowsApart
      ) { rows in
        var values = [Float](repeating: 0, count: rows.count * tensor.columns)
        var span = values.mutableSpan
        encoding.decode(
          zip(layout, planes).map { $1[$0.range(rows: rows)] }, rows: rows.count, columns: tensor.columns,
          into: &span)
        return values
      }
    }
    let biases = try MLPBiases(model, layer: layer, expert: block.isMixture ? expert : nil)
    let inputs = ExpertInputs(
      statistics, expert: expert, hidden: hidden,
      divisors: divisors(model.blueprint.layers[layer].feedForwardInput, layer: layer), biases: biases,
      activation: block.activation, scalesInputs: block.scalesInputs, pseudoTokens: calibration.pseudoTokens)
    var planes: WorkUnit.Planes = [:]
    let gate = try weights(role(gating))
    let up = try weights(role(lifting))
    var quantized: [TensorKind: WeightRows] = [gating: gate, lifting: up]
    let kinds = block.projections.inputs.filter { encoding(role($0)) != nil }
    if !kinds.isEmpty {
      var hessian = inputs.hessian()
      var correction: InputCorrection?
      if statistics.targets != nil && calibration.correctsInputs {
        correction = InputCorrection(hessian, inputs.cross(), rows: kinds.count * gate.rows, width: hidden)
      }
      let options = calibration.options(tokens: inputs.tokens, columns: hidden)
      let prepared = GPTQHessians(hessian, columns: hidden, options)
      hessian = []
      for kind in kinds {
        let made = try quantize(role(kind), quantized[kind]!, correction, prepared, options, threads)
        planes[role(kind)] = made
        quantized[kind] = try decoded(kind, made)
      }
    }
    guard encoding(role(lowering)) != nil else { return planes }
    let down = try weights(role(lowering))
    let products = try inputs.inner(
      gate: quantized[gating]!, up: quantized[lifting]!,
      exact: calibration.correctsInputs ? (gate, up) : nil)
    let correction = products.cross.map {
      InputCorrection(
        products.hessian, $0, calibration.fitsResiduals ? products.residual : nil, rows: down.rows,
        width: down.columns)
    }
    let options = calibration.options(tokens: inputs.tokens, columns: down.columns)
    planes[role(lowering)] = try quantize(
      role(lowering), down, correction,
      GPTQHessians(products.hessian, columns: down.columns, options), options, threads)
    if let reportExpert = calibration.reportExpert {
      let (tokens, share) = try inputs.outputError(
        [gate, up, down],
        [quantized[gating]!, quantized[lifting]!, decoded(lowering, planes[role(lowering)]!)])
      reportExpert(layer, expert, tokens, share)
    }
    return planes
  }
}

/// A Hessian in the orders that encodings ask for, each made when it is first asked for; for one thread.
final class GPTQHessians {
  private var matrix: [Float]
  private let columns: Int
  private let options: GPTQOptions
  private var ordered: [Int: GPTQHessian] = [:]

  init(_ matrix: consuming [Float], columns: Int, _ options: GPTQOptions) {
    self.matrix = matrix
    (self.columns, self.options) = (columns, options)
  }

  func ordered(for encoding: Encoding) -> GPTQHessian {
    let together = encoding.columnsTogether
    if let made = ordered[together] { return made }
    // The first one takes the matrix over: most layers have one order only.
    var matrix: [Float] = []
    swap(&matrix, &self.matrix)
    if let other = ordered.first?.value { matrix = other.matrix }
    let made = GPTQHessian(matrix, columns: columns, together: together, options)
    ordered[together] = made
    return made
  }
}

extension Quantizer {
  /// Planes by GPTQ: the search gives the grid to begin with, columns weighted by the Hessian's diagonal. Where rows are kept
  /// apart, the result has no power.
  package static func calibrated(
    _ values: [Float], rows: Int, columns: Int, hessian: GPTQHessian, encoding: Encoding,
    _ options: GPTQOptions
  ) -> ([Bytes], GPTQResult) {
    if case .trellis(let scheme) = encoding {
      return trellis(values, rows: rows, columns: columns, hessian: hessian, scheme, options)
    }
    if case .tiles(let scheme) = encoding {
      return tiles(values, rows: rows, columns: columns, hessian: hessian.matrix, scheme, options)
    }
    let planes = Quantizer.search.planes(
      values, rows: rows, columns: columns, importance: hessian.diagonal, encoding: encoding)
    var grid = encoding.grid(planes, rows: rows, columns: columns)
    let result = chooseCodes(
      values.span, hessian: hessian, grid: &grid, options, measuresPower: false)
    return (encoding.planes(grid, result.values, from: planes), result)
  }
}
