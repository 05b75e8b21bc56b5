import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

@Suite struct SequentialTests {
  /// Planes of every tensor that GPTQ quantizes, in the order in which they are asked for.
  static func planes(_ model: Model, _ plan: Plan, layers: [Int]) throws -> [Role: [[UInt8]]] {
    var found: [Role: [[UInt8]]] = [:]
    for tensor in model.tensors {
      guard let layer = tensor.role.layer, layers.contains(layer),
        plan.assignments[tensor.role]?.quantizer == Quantizer.gptq.rawValue
      else { continue }
      found[tensor.role] = try tensor.planes().map(\.array)
    }
    return found
  }

  /// Three bits; the embedding stays as it is, so that the first layer's inputs do.
  static func recipe(_ quantizer: String) throws -> Recipe {
    try Recipe(
      yaml: """
        name: three
        rules:
          - {parts: [embedding, head], encoding: bf16}
          - {encoding: 'int3 g64 zero f16', quantizer: \(quantizer)}
        """, path: "test")
  }

  static func calibrated(_ model: Model, _ statistics: CalibrationStatistics) throws -> (
    model: Model, plan: Plan
  ) {
    let calibration = Calibration(statistics)
    let plan = try recipe("search").plan(for: model).calibrated(by: calibration, model.blueprint)
    var options = QuantizationOptions()
    options.calibration = calibration
    return (try model.quantized(by: plan, options), plan)
  }

  @Test func layersApartGiveTheBytesOfLayersTogether() async throws {
    let model = try Nano.model()
    let statistics = try await CalibrationTests.statistics(model, contexts: 4)
    let layers = Array(0..<statistics.layers)
    let (whole, plan) = try Self.calibrated(model, statistics)
    let together = try Self.planes(whole, plan, layers: layers)
    #expect(together.count > 4 * statistics.layers)
    for layer in layers.reversed() {
      // Statistics of this layer alone, and of the others none.
      let own = CalibrationStatistics(tokens: statistics.tokens, layers: statistics.layers, texts: []) {
        asked throws(FormatError) in
        precondition(asked == layer, "no other layer's evidence")
        return try statistics.layer(asked)
      }
      let (part, _) = try Self.calibrated(model, own)
      for (role, planes) in try Self.planes(part, plan, layers: [layer]) {
        #expect(planes == together[role], "\(role)")
      }
    }
  }

  /// A run through both models; gives the quantized one with its planes kept, and the statistics of each layer.
  static func run(_ model: Model, workers: Int, contexts: [Context]) async throws -> (
    Model, Plan, [LayerStatistics]
  ) {
    let live = Live()
    let statistics = CalibrationStatistics(tokens: 0, layers: model.blueprint.layerCount, texts: []) { _ in
      live.statistics
    }
    let (quantized, plan) = try calibrated(model, statistics)
    let kept = try quantized.mapTensors { tensor in
      guard tensor.role.layer != nil, plan.assignments[tensor.role]?.quantizer == Quantizer.gptq.rawValue
      else {
        return tensor
      }
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: tensor.encoding,
        path: tensor.path,
        rowStep: max(tensor.rows, 1)
      ) { _ throws(FormatError) in
        if let known = live.planes(tensor.role) { return known }
        let planes = try tensor.planes()
        live.keep(planes, tensor.role)
        return planes
      }
    }
    var pass = try SequentialPass(model, kept, contexts, workers: workers)
    var layers: [LayerStatistics] = []
    for layer in 0..<model.blueprint.layerCount {
      try await pass.run(layer: layer) { live.statistics = $0 }
      layers.append(live.statistics)
      // Experts that no token reached are asked for by a writer only.
      for tensor in kept.tensors where tensor.role.layer == layer { _ = try tensor.planes() }
    }
    live.statistics = try pass.head()
    return (kept, plan, layers)
  }

  final class Live: Sendable {
    private let current = Mutex<LayerStatistics?>(nil)
    private let found = Mutex<[Role: [Bytes]]>([:])

    var statistics: LayerStatistics {
      get { current.withLock { $0! } }
      set { current.withLock { $0 = newValue } }
    }

    func planes(_ role: Role) -> [Bytes]? { found.withLock { $0[role] } }
    func keep(_ planes: [Bytes], _ role: Role) { found.withLock { $0[role] = planes } }
  }

  @Test func theFirstLayersInputsAreTheOriginals() async throws {
    let model = try Nano.model()
    let contexts = try Nano.contexts(4, of: 128)
    let plain = try await CalibrationTests.statistics(model, contexts: 4)
    let (_, _, layers) = try await Self.run(model, workers: 2, contexts: contexts)
    let (first, second) = (layers[0], layers[1])
    let targets = try #require(first.targets)
    #expect(
      targets.cross[.attentionInput]!.allSatisfy { $0 == 0 }, "nothing is quantized before the first layer")
    #expect(targets.attentionResidual.allSatisfy { $0 == 0 })
    #expect(
      targets.cross[.attentionOutput]!.contains { $0 != 0 }, "value is quantized before the output projection"
    )
    let expected = try plain.layer(0).floats(.attentionInput)
    let found = first.floats(.attentionInput)
    #expect(zip(expected, found).allSatisfy { abs($0 - $1) <= 1e-4 * max(abs($0), 1e-3) })
    #expect(second.targets!.cross[.attentionInput]!.contains { $0 != 0 })
    #expect(second.targets!.inputs.count == second.fields[.inputs]!.count)
    #expect(second.targets!.inputs.array != second.fields[.inputs]!.array)
  }

  @Test func bytesAreTheSameForAnyNumberOfWorkers() async throws {
    let model = try Nano.model()
    let contexts = try Nano.contexts(3, of: 128)
    let (one, plan, _) = try await Self.run(model, workers: 1, contexts: contexts)
    let (three, _, _) = try await Self.run(model, workers: 3, contexts: contexts)
    let layers = Array(0..<model.blueprint.layerCount)
    let (a, b) = (try Self.planes(one, plan, layers: layers), try Self.planes(three, plan, layers: layers))
    #expect(a.count == b.count && !a.isEmpty)
    for (role, planes) in a { #expect(planes == b[role], "\(role)") }
  }

  @Test func quantizedLayersAreFollowed() async throws {
    let model = try Nano.model()
    let contexts = try Nano.contexts(4, of: 128)
    let (quantized, _, _) = try await Self.run(model, workers: 2, contexts: contexts)
    let report = try await verify(quantized, against: model, contexts, VerifyTests.options(workers: 2))
    let rounded = try model.quantized(by: try Self.recipe("round-to-nearest").plan(for: model))
    let worse = try await verify(rounded, against: model, contexts, VerifyTests.options(workers: 2))
    #expect(report.divergence.mean.value < 0.5 * worse.divergence.mean.value)
  }
}
