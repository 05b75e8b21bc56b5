import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

/// What is more than a forward pass, for dense models, mixtures and models with both: statistics, GPTQ, sequential calibration,
/// sensitivities, comparison, dropped experts.
@Suite struct FamilyRoadTests {
  /// Dense with all biases, dense and tied, mixtures, dense layers among mixtures, weights that are not normalized.
  /// And every kind of mixer and feed-forward: latent attention, sinks, norms behind blocks, DeltaNet, lightning attention,
  /// shared experts with and without a gate, biases of experts, factors on residuals.
  static let cases = [
    "llama-bias", "qwen2-tied", "mixtral-plain", "qwen3_moe-step", "qwen3_moe-raw", "deepseek_v3-plain",
    "deepseek_v2-lite", "glm4_moe-norm", "gpt_oss-plain", "gemma3-text", "gemma2-capped", "qwen3_next-long",
    "qwen3_5_moe-fused", "minimax-text01", "qwen2_moe-norm", "granitemoe-tied", "deepseek_v32-plain",
    "minimax_m3-plain", "glm_moe_dsa-shared", "phimoe-plain", "gemma4-dense", "gemma4-moe", "gemma4-shared",
    "llama4-scout", "llama4-maverick",
  ]

  private func model(_ name: String) throws -> Model { try Model.read("\(FamilyFixtures.folder)/\(name)") }

  private func plan(_ model: Model, _ encoding: String = "int3 row sym f32") throws -> Plan {
    try Recipe(
      yaml: """
        name: trial
        rules:
          - parts: [attention, experts, mlp, shared_gate, shared_up, shared_down]
            encoding: \(encoding)
        """,
      path: "trial"
    )
    .plan(for: model)
  }

  private func statistics(_ model: Model, _ contexts: [Context]) async throws -> CalibrationStatistics {
    var layers: [LayerStatistics] = []
    try await calibrate(model, contexts) { layers.append($0) }
    let found = layers
    #expect(found.count == model.blueprint.layerCount)
    return CalibrationStatistics(
      tokens: contexts.reduce(0) { $0 + $1.tokens.count }, layers: found.count, texts: []
    ) {
      found[$0]
    }
  }

  @Test(arguments: cases) func verifyOfItselfFindsNothing(_ name: String) async throws {
    let model = try model(name)
    let report = try await verify(model, against: model, FamilyFixtures.golden(name).contexts)
    #expect(report.divergence.mean.value == 0 && report.sameTop == 1)
    for layer in report.layers {
      #expect((layer.router != nil) == model.blueprint.layers[layer.layer].feedForward.isMixture)
      #expect(layer.hiddenStateError == 0 && layer.router?.changed ?? 0 == 0)
    }
  }

  /// GPTQ, with channels scaled, leaves less divergence on its own text than rounding by least squares does.
  @Test(arguments: cases) func gptqIsBetterThanSearch(_ name: String) async throws {
    let model = try model(name)
    let contexts = try FamilyFixtures.golden(name).contexts
    let statistics = try await statistics(model, contexts)
    let plan = try plan(model)
    var calibration = Calibration(statistics)
    let calibrated = plan.calibrated(by: calibration, model.blueprint)
    let scales = try await ChannelScales.search(model, calibrated, statistics, workers: 2)
    calibration.scales = scales
    var options = QuantizationOptions()
    options.calibration = calibration
    let gptq = try model.rescaled(by: scales).quantized(by: calibrated, options)
    let search = try model.quantized(by: plan)
    let better = try await verify(gptq, against: model, contexts).divergence.mean.value
    let worse = try await verify(search, against: model, contexts).divergence.mean.value
    #expect(better < worse, "\(name): \(better) by GPTQ, \(worse) by search")
    // Scaling channels alone changes nothing.
    let same = try await verify(model.rescaled(by: scales), against: model, contexts).divergence.mean.value
    #expect(same < 1e-4, "\(name): \(same)")
  }

  @Test(arguments: cases) func statisticsComeBackFromTheirFile(_ name: String) async throws {
    let model = try model(name)
    let folder = try FamilyFixtures.scratch()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let contexts = try FamilyFixtures.golden(name).contexts
    let known = try await statistics(model, contexts)
    let path = folder + "/x.calib"
    let writer = try CalibrationFile.Writer(path, for: model, texts: [])
    try writer.begin(tokens: known.tokens)
    for layer in 0..<known.layers { try writer.write(known.layer(layer)) }
    try writer.commit()
    let back = try CalibrationFile.read(path, for: model)
    for layer in 0..<known.layers {
      let (a, b) = (try known.layer(layer), try back.layer(layer))
      #expect(a.fields.mapValues(\.array) == b.fields.mapValues(\.array), "layer \(layer)")
      let importance = b.importance(model.blueprint)
      #expect(
        !importance.columns.isEmpty && importance.columns.keys.allSatisfy { model.blueprint.isLinear($0) })
    }
  }

  /// What layers leave for later ones is among what a pass keeps between two layers.
  @Test(arguments: ["deepseek_v32-plain", "glm_moe_dsa-shared", "gemma4-shared"])
  func passesGoOnWhereTheyEnded(_ name: String) async throws {
    let model = try model(name)
    let contexts = try FamilyFixtures.golden(name).contexts
    var points: [PassPoint] = []
    var whole: [LayerStatistics] = []
    try await calibrate(model, contexts) { statistics, point in
      points.append(point)
      whole.append(statistics)
      return true
    }
    let counts = passStateCounts(model, contexts)
    for point in points.dropLast() {
      #expect(point.states.map(\.count) == counts)
      var next = point.layer
      try await calibrate(model, contexts, from: point) { statistics, _ in
        #expect(
          statistics.fields.mapValues(\.array) == whole[next].fields.mapValues(\.array), "layer \(next)")
        next += 1
        return true
      }
    }
  }

  @Test(arguments: cases) func layersAreCalibratedOneAfterTheOther(_ name: String) async throws {
    let model = try model(name)
    let contexts = try FamilyFixtures.golden(name).contexts
    let current = Mutex<LayerStatistics?>(nil)
    let live = CalibrationStatistics(tokens: 0, layers: model.blueprint.layerCount, texts: []) { _ in
      current.withLock { $0! }
    }
    let calibration = Calibration(live)
    let plan = try plan(model).calibrated(by: calibration, model.blueprint)
    var options = QuantizationOptions()
    options.calibration = calibration
    let quantized = try model.quantized(by: plan, options)
    var pass = try SequentialPass(model, quantized, contexts, workers: 2)
    for layer in 0..<model.blueprint.layerCount {
      try await pass.run(layer: layer) { statistics in current.withLock { $0 = statistics } }
    }
  }

  @Test(arguments: cases) func sensitivitiesAreMeasured(_ name: String) async throws {
    let model = try model(name)
    let contexts = try FamilyFixtures.golden(name).contexts
    let reference = try model.quantized(by: Plan.uniform(Encoding(name: "int4 row sym f32")!, for: model))
    var pass = try SensitivityPass(model, reference: reference, uniform: [reference], contexts, workers: 2)
    for _ in 0..<model.blueprint.layerCount {
      _ = try await pass.observe()
      _ = try await pass.finish(reference: reference)
    }
    let (groups, uniform) = try await pass.divergences(reference: reference)
    #expect(uniform[0].mean > 0)
    let named = Set(groups.map(\.group))
    #expect(named.contains(Role(.embedding)) && named.contains(Role(.head)) != model.blueprint.isHeadTied)
    for (group, divergence) in groups where group.kind != .router {
      #expect(divergence.mean > 0, "\(name): \(group)")
    }
  }

  /// What a pass shows of some layers, in their order, or of all, and what its runs come to.
  private func measured(_ model: Model, _ contexts: [Context], _ reference: Model, _ layers: Range<Int>?)
    async throws -> (
      layers: [[TensorKind: [Double]]], dropped: [DroppedOutputs], groups: [Role: SensitivityPass.Divergence],
      uniform: [SensitivityPass.Divergence]
    )
  {
    let all = model.blueprint.layers.indices
    let isLast = layers.map { $0.upperBound == all.upperBound } ?? true
    var pass = try SensitivityPass(
      model, reference: reference, uniform: isLast ? [reference] : [], contexts, workers: 2, measuring: layers
    )
    var (shown, dropped): ([[TensorKind: [Double]]], [DroppedOutputs]) = ([], [])
    for layer in all {
      if layers?.contains(layer) ?? true {
        _ = try await pass.observe()
        let finished = try await pass.finish(reference: reference)
        shown.append(finished.experts)
        dropped.append(finished.dropped)
      } else {
        try await pass.advance()
      }
      // As a run does that is interrupted after each layer.
      let counts = SensitivityPass.counts(
        model, contexts, uniform: isLast ? 1 : 0, measuring: layers, layer: pass.layer)
      #expect(pass.states.map(\.count) == counts)
      pass = try SensitivityPass(
        model, reference: reference, uniform: isLast ? [reference] : [], contexts, workers: 1,
        measuring: layers, layer: pass.layer, states: pass.states)
    }
    let (groups, uniform) = try await pass.divergences(reference: reference)
    return (shown, dropped, Dictionary(uniqueKeysWithValues: groups), uniform)
  }

  @Test(arguments: cases) func rangesOfLayersAreMeasuredApart(_ name: String) async throws {
    let model = try model(name)
    let contexts = try FamilyFixtures.golden(name).contexts
    let reference = try model.quantized(by: Plan.uniform(Encoding(name: "int4 row sym f32")!, for: model))
    let whole = try await measured(model, contexts, reference, nil)
    let count = model.blueprint.layerCount
    var (layers, groups): ([[TensorKind: [Double]]], [Role: SensitivityPass.Divergence]) = ([], [:])
    var dropped: [DroppedOutputs] = []
    let ends = Set([0, 1, count - 1, count]).sorted()
    for range in zip(ends, ends.dropFirst()).map({ $0..<$1 }) {
      let part = try await measured(model, contexts, reference, range)
      layers += part.layers
      dropped += part.dropped
      groups.merge(part.groups) { _, _ in fatalError("a group is measured once") }
      if range.upperBound == count { #expect(part.uniform == whole.uniform) }
    }
    #expect(layers == whole.layers && dropped == whole.dropped && groups == whole.groups, "\(name)")
  }

  @Test(arguments: [
    "mixtral-plain", "qwen3_moe-step", "qwen3_moe-raw", "deepseek_v3-plain", "gpt_oss-plain",
    "qwen3_next-long", "phimoe-plain", "gemma4-moe", "llama4-maverick",
  ])
  func expertsAreLeftOut(_ name: String) async throws {
    let model = try model(name)
    let contexts = try FamilyFixtures.golden(name).contexts
    let mixtures = Set(model.blueprint.mixtures)
    let dropped = DroppedExperts(
      experts: model.blueprint.experts.count,
      layers: (0..<model.blueprint.layerCount).map { mixtures.contains($0) ? [1] : [] })
    let left = try model.dropping(dropped)
    #expect(left.blueprint.experts.count == model.blueprint.experts.count - 1)
    let report = try await verify(left, against: model, contexts)
    #expect(report.divergence.mean.value > 0 && report.dropped == dropped)
    let statistics = try await statistics(model, contexts).dropping(dropped, of: model)
    for layer in 0..<statistics.layers { _ = try statistics.layer(layer) }
  }
}
