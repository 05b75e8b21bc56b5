import IngotInference
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer
import Synchronization

/// Quantization layer by layer, each by what the layers before it, quantized already, give.
package actor SequentialRun {
  private var pass: SequentialPass?
  private let live: Live
  private let held = HeldPlanes()
  private let workers: Int
  private let refitsBias: Bool
  /// The model with each layer's units of GPTQ, which go by the layer's statistics as they are by then.
  private nonisolated let model: Model
  nonisolated let refits = Refits()

  /// Statistics of the layer at hand.
  final class Live: Sendable {
    private let statistics = Mutex<LayerStatistics?>(nil)

    func set(_ new: LayerStatistics) { statistics.withLock { $0 = new } }
    func get() -> LayerStatistics { statistics.withLock { $0! } }
  }

  /// What came of refitting the routers' bias, by layer.
  package final class Refits: Sendable {
    private let found = Mutex<[Int: BiasRefit]>([:])

    func add(_ refit: BiasRefit) { found.withLock { $0[refit.layer] = refit } }
    package var all: [BiasRefit] { found.withLock { $0.values.sorted { $0.layer < $1.layer } } }
  }

  /// - Parameters:
  ///   - model: what `quantized` was made of.
  ///   - live: what the calibration of `quantized` goes by.
  init(
    _ model: Model, _ quantized: Model, _ live: Live, _ contexts: [Context], refitsBias: Bool, workers: Int
  ) throws(FormatError) {
    let held = held
    self.model = quantized
    self.live = live
    self.workers = workers
    self.refitsBias = refitsBias
    let read = try quantized.mapTensors { tensor in
      tensor.unit == nil || tensor.role.layer == nil ? tensor : held.reading(tensor)
    }
    pass = try SequentialPass(model, read, contexts, workers: workers, refitsBias: refitsBias)
  }

  /// The model to write. What GPTQ makes of a layer is one unit of work, which takes both models through the layer and so
  /// follows the unit of the layer before; the head follows the last.
  nonisolated func quantized() throws(FormatError) -> Model {
    var tensors = [[Tensor]](repeating: [], count: model.blueprint.layerCount)
    for tensor in model.tensors {
      guard let layer = tensor.role.layer else { continue }
      if tensor.unit != nil || refitsBias && tensor.role.kind == .routerBias { tensors[layer].append(tensor) }
    }
    var units: [Role: WorkUnit] = [:]
    var previous: WorkUnit?
    for (layer, tensors) in tensors.enumerated() {
      let parts = tensors.workUnits
      let unit = WorkUnit(tensors.map(\.role), reads: parts.flatMap(\.reads), after: previous) {
        () async throws(FormatError) in try await self.run(layer, parts.filter { !$0.isStreamed })
      }
      for tensor in tensors { units[tensor.role] = unit }
      previous = unit
    }
    if let head = model[.head]?.unit {
      units[Role(.head)] = WorkUnit(head.roles, reads: head.reads, after: previous) {
        () async throws(FormatError) in try await self.run(head)
      }
    }
    return try model.mapTensors { tensor in
      units[tensor.role].map { tensor.made(by: $0, as: tensor.encoding) } ?? tensor
    }
  }

  private func run(_ layer: Int, _ units: [WorkUnit]) async throws(FormatError) -> WorkUnit.Planes {
    let work = LayerWork(units, model.blueprint.layers[layer].observedTaps, live, held, workers)
    var pass = pass!
    self.pass = nil
    let refit = try await pass.run(layer: layer) { work.run($0) }
    self.pass = pass
    if let error = work.error { throw error }
    var planes = held.take()
    if refitsBias, let tensor = model[.routerBias, layer: layer] {
      if let fitted = refit.flatMap({ tensor.refitted(by: $0) }) {
        planes[tensor.role] = fitted
      } else {
        planes[tensor.role] = try tensor.planes()
      }
    }
    if let refit { refits.add(refit) }
    return planes
  }

  private func run(_ head: WorkUnit) throws(FormatError) -> WorkUnit.Planes {
    live.set(try pass!.head())
    return try head.planes()
  }
}

/// What GPTQ makes of one layer: each unit as soon as the pass has its statistics, and before the pass reads what it makes.
private final class LayerWork: Sendable {
  private let live: SequentialRun.Live
  private let held: HeldPlanes
  private let workers: Int
  private let state: Mutex<(waiting: [(field: LayerStatistics.Field, unit: WorkUnit)], error: FormatError?)>

  init(
    _ units: [WorkUnit], _ taps: [Tap], _ live: SequentialRun.Live, _ held: HeldPlanes, _ workers: Int
  ) {
    self.live = live
    self.held = held
    self.workers = workers
    let waiting = units.map { unit in
      let tap = taps.first { $0.linears.contains(unit.roles[0].kind) }
      return (field: tap.map { LayerStatistics.Field($0) } ?? .inputs, unit: unit)
    }
    state = Mutex((waiting, nil))
  }

  /// What went wrong with a unit; the pass meets the same where it reads what that makes.
  var error: FormatError? { state.withLock { $0.error } }

  func run(_ statistics: LayerStatistics) {
    live.set(statistics)
    let due = state.withLock { state in
      let due = state.waiting.filter { statistics.fields[$0.field] != nil }
      state.waiting.removeAll { statistics.fields[$0.field] != nil }
      return due.map(\.unit)
    }
    do throws(FormatError) {
      try held.hold(due, workers: workers)
    } catch {
      state.withLock { $0.error = $0.error ?? error }
    }
  }
}

extension Tensor {
  /// The planes of a router's bias with what was fitted in its place; nil where it stays.
  fileprivate func refitted(by refit: BiasRefit) -> [Bytes]? {
    guard refit.wins, case .dense(let type) = encoding, let format = type.floatFormat else { return nil }
    return [Bytes(count: refit.bias.count * format.byteCount) { encode(format, refit.bias.span, into: &$0) }]
  }
}

extension SequentialRun.Refits {
  var json: JSON {
    .array(
      all.map { refit in
        [
          "layer": JSON(refit.layer), "tokens": JSON(refit.tokens),
          "changedBefore": JSON(refit.changedBefore),
          "changedAfter": JSON(refit.changedAfter), "mended": JSON(refit.mended),
          "broken": JSON(refit.broken), "applied": .bool(refit.wins),
        ]
      })
  }
}
