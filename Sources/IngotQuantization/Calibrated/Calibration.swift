import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// What GPTQ goes by, and what it reports.
public struct Calibration: Sendable {
  public var evidence: Evidence
  /// Channels that the model it is used on has been scaled by; nil for none.
  public var scales: ChannelScales?
  var options = GPTQOptions()
  /// Whether GPTQ is followed by refits of scales, offsets and codes.
  public var refits = true {
    didSet { options.sweeps = refits ? GPTQOptions().sweeps : 0 }
  }
  /// Whether a down projection makes up for what quantizing gate and up did to its inputs, and, where evidence has the
  /// original's inputs as targets, every layer for what quantizing the layers before did to its own.
  public var correctsInputs = true
  /// Whether output and down projections also make up for the difference that the state they are added to has by then;
  /// only where evidence has targets.
  public var fitsResiduals = true
  /// Hears of each quantized tensor: the share of its outputs' energy that the error is, by its Hessian. From any task.
  public var report: (@Sendable (Role, Double) -> Void)?
  /// Hears of each quantized expert: tokens of its own, and the share of its outputs' energy that the error of all three
  /// projections together is, measured on a sample of them. From any task.
  public var reportExpert: (@Sendable (_ layer: Int, _ expert: Int, _ tokens: Int, _ share: Double) -> Void)?

  public init(_ evidence: Evidence) { self.evidence = evidence }

  /// The same with evidence of the model as it is quantized, scaled channels and all.
  public func following(_ layer: @escaping @Sendable () -> LayerEvidence) -> Calibration {
    var calibration = self
    calibration.scales = nil
    calibration.evidence = Evidence(tokens: evidence.tokens, layers: evidence.layers, texts: evidence.texts) {
      _ in layer()
    }
    return calibration
  }
}

extension Plan {
  /// The plan with GPTQ in place of the search, wherever evidence and encoding allow it.
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

/// Quantizes linear layers by GPTQ, those of one expert together: gate and up share a Hessian, and down is calibrated on
/// what the quantized gate and up give.
final class CalibratedUnits: Sendable {
  private let model: Model
  private let plan: Plan
  private let calibration: Calibration
  private let options: QuantizationOptions

  private struct Key: Hashable {
    var layer: Int
    var expert: Int
  }

  /// Planes of a gated MLP's projections that have not been asked for yet.
  private final class Slot: Sendable { let planes = Mutex<[TensorKind: [Bytes]]?>(nil) }

  private let slots = Mutex<[Key: Slot]>([:])

  init(_ model: Model, _ plan: Plan, _ calibration: Calibration, _ options: QuantizationOptions) {
    self.model = model
    self.plan = plan
    self.calibration = calibration
    self.options = options
  }

  /// All planes of a tensor. Those of the expert's other parts are kept until they are asked for.
  func planes(of role: Role) throws(FormatError) -> [Bytes] {
    guard let layer = role.layer,
      model.blueprint.layers[layer].feedForward.projections.all.contains(role.kind)
    else { return try single(role) }
    let expert = role.expert ?? 0
    let key = Key(layer: layer, expert: expert)
    let slot = slots.withLock { slots in
      let slot = slots[key] ?? Slot()
      slots[key] = slot
      return slot
    }
    let outcome: Result<([Bytes], Bool), FormatError> = slot.planes.withLock { planes in
      do throws(FormatError) {
        if planes?[role.kind] == nil { planes = try self.expert(expert, layer: layer) }
        let mine = planes!.removeValue(forKey: role.kind)!
        return .success((mine, planes!.isEmpty))
      } catch {
        return .failure(error)
      }
    }
    let (planes, isEmpty) = try outcome.get()
    if isEmpty { slots.withLock { _ = $0.removeValue(forKey: key) } }
    return planes
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

  private func single(_ role: Role) throws(FormatError) -> [Bytes] {
    let layer = role.layer ?? calibration.evidence.layers - 1
    let tap = role.layer == nil ? nil : model.blueprint.layers[layer].tap(of: role.kind)!
    let evidence = try calibration.evidence.layer(layer)
    var hessian = evidence.floats(tap.map { .init($0) } ?? .headInput)
    CalibratedUnits.divide(&hessian, tap.map { divisors($0, layer: layer) } ?? [])
    let tensor = model[role]!
    var values = try tensor.finiteFloats(0..<tensor.rows, tensor.planes(), options)
    if let targets = evidence.targets, calibration.correctsInputs, let tap {
      let isOutput = tap == model.blueprint.layers[layer].mixerOutput
      let cross = isOutput ? targets.attentionOutput : targets.attentionInput
      let wanted = isOutput && calibration.fitsResiduals ? targets.attentionResidual : nil
      ExpertInputs.correct(&values, rows: tensor.rows, width: tensor.columns, hessian, cross, wanted)
    }
    let prepared = GPTQHessian(hessian, columns: tensor.columns, calibration.options)
    return quantize(role, values, rows: tensor.rows, columns: tensor.columns, prepared, encoding(role)!)
  }

  private static func divide(_ hessian: inout [Float], _ divisors: [Float]) {
    if divisors.isEmpty { return }
    let n = divisors.count
    for row in 0..<n {
      for column in 0..<n { hessian[row * n + column] /= divisors[row] * divisors[column] }
    }
  }

  private func quantize(
    _ role: Role, _ values: [Float], rows: Int, columns: Int, _ hessian: GPTQHessian, _ encoding: Encoding
  ) -> [Bytes] {
    let (planes, result) = Quantizer.calibrated(
      values, rows: rows, columns: columns, hessian: hessian, encoding: encoding, calibration.options)
    calibration.report?(role, result.power > 0 ? result.error / result.power : 0)
    return planes
  }

  // ---- experts -------------------------------------------------------------------------------------------------------

  private func expert(_ expert: Int, layer: Int) throws(FormatError) -> [TensorKind: [Bytes]] {
    let evidence = try calibration.evidence.layer(layer)
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
    let biases = try MLPBiases(model, layer: layer)
    let inputs = ExpertInputs(
      evidence, expert: expert, hidden: hidden,
      divisors: divisors(model.blueprint.layers[layer].feedForwardInput, layer: layer), biases: biases)
    var planes: [TensorKind: [Bytes]] = [:]
    let gate = try values(gating)
    let up = try values(lifting)
    var quantized: [TensorKind: [Float]] = [gating: gate, lifting: up]
    let kinds = block.projections.inputs.filter { encoding(role($0)) != nil }
    if !kinds.isEmpty {
      let hessian = inputs.hessian()
      if evidence.targets != nil && calibration.correctsInputs {
        let cross = inputs.cross()
        for kind in kinds {
          ExpertInputs.correct(&quantized[kind]!, rows: width, width: hidden, hessian, cross)
        }
      }
      let prepared = GPTQHessian(hessian, columns: hidden, calibration.options)
      for kind in kinds {
        let encoding = encoding(role(kind))!
        planes[kind] = quantize(
          role(kind), quantized[kind]!, rows: width, columns: hidden, prepared, encoding)
        var decoded = [Float](repeating: 0, count: width * hidden)
        var span = decoded.mutableSpan
        encoding.decode(planes[kind]!, rows: width, columns: hidden, into: &span)
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
    planes[lowering] = quantize(
      role(lowering), target, rows: hidden, columns: width,
      GPTQHessian(hessian, columns: width, calibration.options), encoding)
    if let reportExpert = calibration.reportExpert {
      var down = [Float](repeating: 0, count: hidden * width)
      var span = down.mutableSpan
      encoding.decode(planes[lowering]!, rows: hidden, columns: width, into: &span)
      let (tokens, share) = inputs.outputError(
        [gate, up, try values(lowering)], [quantized[gating]!, quantized[lifting]!, down], width: width)
      reportExpert(layer, expert, tokens, share)
    }
    return planes
  }
}

/// Biases of a dense gated MLP's input projections; empty for none.
package struct MLPBiases: Sendable {
  package var gate: [Float] = []
  package var up: [Float] = []

  package init() {}

  package init(_ model: Model, layer: Int) throws(FormatError) {
    let description = model.blueprint.layers[layer]
    let projections = description.feedForward.projections
    if let bias = description.bias(of: projections.gating) {
      gate = try model[bias, layer: layer]?.floats() ?? []
    }
    if let bias = description.bias(of: projections.lifting) {
      up = try model[bias, layer: layer]?.floats() ?? []
    }
  }
}

extension Quantizer {
  /// Planes by GPTQ: the search gives the grid to begin with, columns weighted by the Hessian's diagonal.
  static func calibrated(
    _ values: [Float], rows: Int, columns: Int, hessian: GPTQHessian, encoding: Encoding,
    _ options: GPTQOptions
  ) -> ([Bytes], GPTQResult) {
    let importance = (0..<columns).map { hessian.matrix[$0 * columns + $0] }
    let planes = Quantizer.search.planes(
      values, rows: rows, columns: columns, importance: importance, encoding: encoding)
    var grid = encoding.grid(planes, rows: rows, columns: columns)
    let result = chooseCodes(values.span, hessian: hessian, grid: &grid, options)
    return (encoding.planes(grid, result.values, from: planes), result)
  }
}
