import ArgumentParser
import Inference
import Models
import Quantization
import Synchronization
import Tensors

/// Whether layers are calibrated by what quantized ones give.
struct SequentialOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "With --importance: calibrate each layer on what the quantized layers before it make of these texts.",
      valueName: "text"))
  var sequential: [String] = []

  /// Contexts of 512 tokens.
  func contexts(_ model: Model) throws(FormatError) -> [Context] {
    try TextOptions.contexts(sequential, length: 512, try Tokenizer(of: model)).flatMap { $0 }
  }
}

/// Quantization layer by layer, each by what the layers before it, quantized already, give.
actor SequentialRun {
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

  /// - Parameters:
  ///   - model: what `quantized` was made of.
  ///   - live: what the calibration of `quantized` goes by.
  init(_ model: Model, _ quantized: Model, _ plan: Plan, _ live: Live, _ contexts: [Context], workers: Int)
    throws(FormatError)
  {
    let planes = KeptPlanes()
    let kept = try quantized.mapTensors { tensor in
      guard tensor.role.layer != nil, plan.assignments[tensor.role]?.quantizer == Quantizer.gptq.rawValue
      else {
        return tensor
      }
      return planes.keeping(tensor)
    }
    self.quantized = kept
    self.planes = planes
    self.live = live
    layers = model.hyperparameters.layers
    pass = try SequentialPass(model, kept, contexts, workers: workers)
  }

  /// The model to write, layer by layer.
  nonisolated let quantized: Model

  /// Quantizes a layer, or gathers the head's evidence after the last.
  func prepare(_ layer: Int) async throws(FormatError) {
    planes.clear()
    if layer == layers {
      live.set(try pass!.head())
    } else {
      let live = live
      var pass = pass!
      self.pass = nil
      try await pass.run(layer: layer) { live.set($0) }
      self.pass = pass
    }
  }
}
