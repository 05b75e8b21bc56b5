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
  /// Of the layer at hand, which the pass needs first and the writer after it.
  private let planes: KeptPlanes
  private let layers: Int

  /// Evidence of the layer at hand.
  final class Live: Sendable {
    private let evidence = Mutex<LayerEvidence?>(nil)

    func set(_ new: LayerEvidence) { evidence.withLock { $0 = new } }
    func get() -> LayerEvidence { evidence.withLock { $0! } }
  }

  /// What came of refitting the routers' bias, by layer.
  package final class Refits: Sendable {
    private let found = Mutex<[Int: BiasRefit]>([:])

    func add(_ refit: BiasRefit) { found.withLock { $0[refit.layer] = refit } }
    package var all: [BiasRefit] { found.withLock { $0.values.sorted { $0.layer < $1.layer } } }

    /// What a layer's bias is to be: (experts); nil where it stays.
    func bias(_ layer: Int) -> [Float]? {
      found.withLock { refits in refits[layer].flatMap { $0.wins ? $0.bias : nil } }
    }
  }

  /// - Parameters:
  ///   - model: what `quantized` was made of.
  ///   - live: what the calibration of `quantized` goes by.
  init(
    _ model: Model, _ quantized: Model, _ plan: Plan, _ live: Live, _ contexts: [Context],
    refitsBias: Bool, workers: Int
  ) throws(FormatError) {
    let planes = KeptPlanes()
    let refits = Refits()
    let kept = try quantized.mapTensors { tensor in
      if refitsBias, tensor.role.kind == .routerBias { return tensor.refitted(by: refits) }
      guard tensor.role.layer != nil, plan.assignments[tensor.role]?.quantizer == Quantizer.gptq.rawValue
      else {
        return tensor
      }
      return planes.keeping(tensor)
    }
    self.quantized = kept
    self.planes = planes
    self.live = live
    layers = model.blueprint.layerCount
    self.refits = refits
    pass = try SequentialPass(model, kept, contexts, workers: workers, refitsBias: refitsBias)
  }

  /// The model to write, layer by layer.
  nonisolated let quantized: Model
  nonisolated let refits: Refits

  /// Quantizes a layer, or gathers the head's evidence after the last.
  func prepare(_ layer: Int) async throws(FormatError) {
    planes.clear()
    if layer == layers {
      live.set(try pass!.head())
    } else {
      let live = live
      var pass = pass!
      self.pass = nil
      if let refit = try await pass.run(layer: layer, deliver: { live.set($0) }) { refits.add(refit) }
      self.pass = pass
    }
  }
}

extension Tensor {
  /// A router's bias, or what was fitted in its place by the time it is asked for.
  fileprivate func refitted(by refits: SequentialRun.Refits) -> Tensor {
    guard case .dense(let type) = encoding, let format = type.floatFormat, let layer = role.layer else {
      return self
    }
    let columns = columns
    return mapped(to: encoding) { rows, planes in
      guard let bias = refits.bias(layer) else { return planes }
      let own = Array(bias[rows.lowerBound * columns..<rows.upperBound * columns])
      return [Bytes(count: own.count * format.byteCount) { encode(format, own.span, into: &$0) }]
    }
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
