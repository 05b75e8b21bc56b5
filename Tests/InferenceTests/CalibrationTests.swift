import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

@Suite struct CalibrationTests {
  static func statistics(_ model: Model, contexts: Int = 8, workers: Int = 2) async throws
    -> CalibrationStatistics
  {
    var options = CalibrationOptions()
    options.workers = workers
    var layers: [LayerStatistics] = []
    let text = Array(Context.cut(try Nano.heldOut(), length: 128).prefix(contexts))
    try await calibrate(model, text, options) { layers.append($0) }
    let all = layers
    return CalibrationStatistics(tokens: contexts * 128, layers: all.count, texts: ["held-out"]) { all[$0] }
  }

  @Test func evidenceIsTheSameForAnyNumberOfWorkers() async throws {
    let model = try Nano.model()
    let one = try await Self.statistics(model, contexts: 3, workers: 1)
    let three = try await Self.statistics(model, contexts: 3, workers: 3)
    for layer in 0..<one.layers {
      let (a, b) = (try one.layer(layer), try three.layer(layer))
      #expect(a.fields.count == LayerStatistics.fields(layer: layer, model.blueprint).count)
      for (field, bytes) in a.fields { #expect(bytes.array == b.fields[field]!.array, "\(layer) \(field)") }
    }
  }

  @Test func knownChoicesOfScalesAreNotSearchedAgain() async throws {
    let model = try Nano.model()
    let statistics = try await Self.statistics(model, contexts: 3)
    let plan = try SequentialTests.recipe("search").plan(for: model)
    let heard = Mutex<[Int: [ChannelScales.Choice]]>([:])
    let first = try await ChannelScales.search(model, plan, statistics, workers: 2) { layer, choices in
      heard.withLock { $0[layer] = choices }
    }
    let known = heard.withLock { $0 }
    #expect(known.keys.sorted() == Array(0..<statistics.layers))
    #expect(known.values.contains { $0.contains { $0.alpha != 0 || $0.beta != 0 } }, "something is scaled")
    // All but one, as if a run had ended there; that one is searched.
    let again = Mutex<[Int]>([])
    let second = try await ChannelScales.search(
      model, plan, statistics, workers: 2, known: known.filter { $0.key != 2 }
    ) { layer, _ in again.withLock { $0.append(layer) } }
    #expect(again.withLock { $0 } == [2])
    let (a, b) = (try model.rescaled(by: first), try model.rescaled(by: second))
    for (tensor, other) in zip(a.tensors, b.tensors) {
      #expect(
        try tensor.encoding == other.encoding && tensor.planes().map(\.array) == other.planes().map(\.array),
        "\(tensor.name)")
    }
  }

  @Test func evidenceAgreesWithItself() async throws {
    let model = try Nano.model()
    let blueprint = model.blueprint
    let statistics = try await Self.statistics(model, contexts: 3)
    let layer = try statistics.layer(1)
    let load = layer.load(experts: blueprint.experts.count)
    #expect(load.reduce(0) { $0 + $1.tokens } == statistics.tokens * blueprint.experts.perToken)
    #expect(abs(load.reduce(0) { $0 + $1.mass } - Double(statistics.tokens)) < 1e-2)
    let hidden = blueprint.hiddenSize
    let inputs = layer.floats(.inputs)
    let hessian = layer.floats(.expertInput)
    for (i, j) in [(0, 0), (3, 17), (17, 3), (hidden - 1, 5)] {
      let mean =
        (0..<statistics.tokens).reduce(0.0) {
          $0 + Double(inputs[$1 * hidden + i]) * Double(inputs[$1 * hidden + j])
        } / Double(statistics.tokens)
      let scale = (Double(hessian[i * hidden + i]) * Double(hessian[j * hidden + j])).squareRoot()
      #expect(abs(mean - Double(hessian[i * hidden + j])) < 1e-2 * scale)
    }
    let expert = load.indices.max { load[$0].tokens < load[$1].tokens }!
    let routedTokens = layer.routedTokens(of: expert)
    #expect(routedTokens.count == load[expert].tokens)
    let squares = layer.floats(.inputSquares, expert * hidden..<(expert + 1) * hidden)
    let mean = routedTokens.reduce(0.0) {
      $0 + Double(inputs[$1.token * hidden + 7]) * Double(inputs[$1.token * hidden + 7])
    }
    #expect(abs(mean / Double(routedTokens.count) / Double(squares[7]) - 1) < 1e-2)
  }

  @Test func filesHoldWhatIsWritten() async throws {
    let model = try Nano.model()
    let statistics = try await Self.statistics(model, contexts: 2)
    let path = NSTemporaryDirectory() + "\(UUID()).calib"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let writer = try CalibrationFile.Writer(
      path, for: model, texts: ["a", "\"b\""])
    try writer.begin(tokens: 256)
    for layer in 0..<statistics.layers { try writer.write(try statistics.layer(layer)) }
    #expect(!FileManager.default.fileExists(atPath: path), "it appears when it is complete")
    try writer.commit()
    #expect(CalibrationFile.recognizes(path))
    #expect(!CalibrationFile.recognizes(Nano.folder + "/model.safetensors"))
    let read = try CalibrationFile.read(path, for: model)
    #expect(read.tokens == 256 && read.texts == ["a", "\"b\""])
    for layer in 0..<statistics.layers {
      for (field, bytes) in try statistics.layer(layer).fields {
        #expect(try read.layer(layer).fields[field]!.array == bytes.array, "\(layer) \(field)")
      }
    }
    #expect(throws: FormatError.self) {
      try CalibrationFile.Writer(path, for: model, texts: [])
    }
  }

  @Test func theLedgerKnowsWhatIsMissing() async throws {
    let model = try Nano.model()
    let statistics = try await Self.statistics(model, contexts: 1)
    var ledger = ExpertLedger(model.blueprint)
    for layer in 0..<statistics.layers { ledger.add(try statistics.layer(layer)) }
    #expect(ledger.entries.count == 4 * 8)
    for entry in ledger.entries {
      #expect(entry.effectiveRank <= Double(max(entry.tokens, 0)) + 1e-6)
      #expect((0...1).contains(entry.unseenEnergy))
      if entry.tokens == 0 { #expect(entry.unseenEnergy == 1 && entry.gateMass == 0) }
      if entry.tokens > 64 { #expect(entry.unseenEnergy < 0.9) }
    }
  }

  @Test func scalingChannelsChangesNothing() async throws {
    let model = try Nano.model()
    let statistics = try await Self.statistics(model, contexts: 4)
    let plan = try Recipe.named("int3").plan(for: model)
    let scales = try await ChannelScales.search(model, plan, statistics, workers: 2)
    #expect(scales.choices.flatMap(\.self).contains { $0.beta > 0 }, "some place gains by it")
    #expect(scales.choices.flatMap(\.self).allSatisfy { $0.errorShare <= 1 })
    let rescaled = try model.rescaled(by: scales)
    let changed = zip(model.tensors, rescaled.tensors).filter { $0.encoding != $1.encoding }
    #expect(!changed.isEmpty)
    let contexts = try Nano.contexts(2, of: 128)
    let report = try await verify(rescaled, against: model, contexts, VerifyTests.options(workers: 2))
    #expect(report.divergence.mean.value < 1e-6, "\(report.divergence.mean.value)")
    #expect(report.layers.allSatisfy { $0.router!.changed < 0.01 })
  }

  @Test func anOverflowIsRescued() async throws {
    let model = try Nano.model()
    let honest = try await Self.statistics(model, contexts: 2)
    // Layer 1's expert 3 claims to have been as loud as no F16 is.
    let blueprint = model.blueprint
    let statistics = CalibrationStatistics(tokens: honest.tokens, layers: honest.layers, texts: []) {
      layer throws(FormatError) in
      var found = try honest.layer(layer)
      guard layer == 1 else { return found }
      var peaks = [UInt8](repeating: 0, count: 4 * blueprint.experts.count)
      let loud = Float(300_000).bitPattern
      for byte in 0..<4 { peaks[12 + byte] = UInt8(truncatingIfNeeded: loud >> UInt32(8 * byte)) }
      found.fields[.innerPeaks] = Bytes(peaks)
      return found
    }
    let plan = try Recipe.named("int4").plan(for: model)
    let scales = try await ChannelScales.search(model, plan, statistics, rescuingOverflow: true, workers: 1)
    #expect(scales.rescued == [Role(.down, layer: 1, expert: 3)])
    let plain = try await ChannelScales.search(model, plan, statistics, workers: 1)
    let (one, other) = (try model.rescaled(by: plain), try model.rescaled(by: scales))
    let up = Role(.up, layer: 1, expert: 3)
    let ratios = zip(try one[up]!.floats(), try other[up]!.floats()).filter { $0.0 != 0 }.map { $0.0 / $0.1 }
    #expect(ratios.allSatisfy { $0 == ratios[0] } && ratios[0] >= 2 * 300_000 / 65504 / 2, "\(ratios[0])")
    let report = try await verify(
      other, against: model, Nano.contexts(1, of: 128), VerifyTests.options(workers: 2))
    #expect(report.divergence.mean.value < 1e-6)
  }

  @Test(arguments: [
    "int4 g64 zero f16", "int3 g64 bias bf16", "int4 g128 sym f16", "int4 row sym f32", "q4_0", "q4_k",
    "q3_k", "q6_k",
    "iq4_xs", "mxfp4", "mx-fp4", "nv-fp4 global", "trellis-3", "trellis-2.5 w9",
  ])
  func gptqBeatsTheSearch(_ name: String) async throws {
    let model = try Nano.model()
    let statistics = try await Self.statistics(model)
    let encoding = Encoding(name: name)!
    let text = """
      rules:
        - {parts: [embedding, head], encoding: bf16}
        - {encoding: "\(name)", quantizer: search}
      """
    let plan = try Recipe(yaml: text, path: "test").plan(for: model)
    let calibration = Calibration(statistics)
    var options = QuantizationOptions()
    options.calibration = calibration
    let searched = try model.quantized(by: plan)
    let calibrated = try model.quantized(by: plan.calibrated(by: calibration, model.blueprint), options)
    let layer = try statistics.layer(2)
    for role in [Role(.query, layer: 2), Role(.attentionOutput, layer: 2)] {
      let field: LayerStatistics.Field = role.kind == .query ? .attentionInput : .attentionOutput
      let hessian = layer.floats(field)
      let exact = try model[role]!.floats()
      let one = Self.error(exact, try searched[role]!.floats(), hessian)
      let other = Self.error(exact, try calibrated[role]!.floats(), hessian)
      #expect(calibrated[role]!.encoding == encoding)
      #expect(other < one, "\(name) \(role): \(other) of \(one)")
    }
    for part in [TensorKind.down, .gate, .up] {
      let role = Role(part, layer: 1, expert: 3)
      let exact = try model[role]!.floats()
      let found = try calibrated[role]!.floats()
      let difference = zip(exact, found).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      #expect(difference < exact.reduce(0.0) { $0 + Double($1) * Double($1) }, "\(name) \(role)")
    }
  }

  /// Σ (w − ŵ)H(w − ŵ)ᵀ
  static func error(_ exact: [Float], _ found: [Float], _ hessian: [Float]) -> Double {
    let n = Int(Double(hessian.count).squareRoot())
    var sum = 0.0
    for row in 0..<exact.count / n {
      let d = (0..<n).map { Double(exact[row * n + $0]) - Double(found[row * n + $0]) }
      for i in 0..<n {
        var product = 0.0
        for j in 0..<n { product += Double(hessian[i * n + j]) * d[j] }
        sum += d[i] * product
      }
    }
    return sum
  }

  /// With fewer tokens than columns, codes that go by them alone are worse for other tokens than those that hardly trust them.
  @Test func fewTokensAreTrustedLess() async throws {
    let model = try Nano.model()
    let few = try await Self.statistics(model, contexts: 1)
    let many = try await Self.statistics(model, contexts: 24)
    let judging = try many.layer(2)
    let columns = model.blueprint.hiddenSize
    var sums: [Float?: Double] = [:]
    for damping: Float? in [nil, 0.01] {
      var calibration = Calibration(few)
      calibration.damping = damping
      let plan = try SequentialTests.recipe("search").plan(for: model)
        .calibrated(by: calibration, model.blueprint)
      var options = QuantizationOptions()
      options.calibration = calibration
      let made = try model.quantized(by: plan, options)
      for expert in 0..<model.blueprint.experts.count {
        let role = Role(.gate, layer: 2, expert: expert)
        let hessian = ExpertInputs(judging, expert: expert, hidden: columns, divisors: []).hessian()
        sums[damping, default: 0] += Self.error(
          try model[role]!.floats(), try made[role]!.floats(), hessian)
      }
    }
    #expect(sums[nil]! < 0.95 * sums[0.01]!, "\(sums)")
  }

  @Test func bytesDoNotDependOnWorkersOrOrder() async throws {
    let model = try Nano.model()
    let statistics = try await Self.statistics(model, contexts: 2)
    let calibration = Calibration(statistics)
    let plan = try Recipe.named("int4").plan(for: model).calibrated(by: calibration, model.blueprint)
    var options = QuantizationOptions()
    options.calibration = calibration
    let folder = NSTemporaryDirectory() + "\(UUID())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var files: [Data] = []
    for workers in [1, 3] {
      var writing = WriteOptions()
      writing.workers = workers
      writing.hashSource = false
      let path = "\(folder)/\(workers).ingot"
      _ = try await model.quantized(by: plan, options).write(path, as: .named("ingot")!, writing)
      files.append(try Data(contentsOf: URL(filePath: path)))
    }
    #expect(files[0] == files[1])
    // Down before gate, and each part twice.
    let again = try model.quantized(by: plan, options)
    let fixed = try model.quantized(by: plan, options)
    for part in [TensorKind.gate, .up, .down] {
      let role = Role(part, layer: 0, expert: 1)
      _ = try again[.down, layer: 0, expert: 1]!.planes()
      let one = try again[role]!.planes().map(\.array)
      #expect(one == (try fixed[role]!.planes().map(\.array)))
    }
  }

  @Test func gptqWithoutEvidenceIsRefused() throws {
    let model = try Nano.model()
    let text = "rules: [{parts: experts, encoding: int4 g64, quantizer: gptq}]"
    let plan = try Recipe(yaml: text, path: "test").plan(for: model)
    let error = #expect(throws: FormatError.self) { try model.quantized(by: plan) }
    #expect("\(error!)".contains("calibration statistics"))
  }
}
