import Foundation
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// The errors of single experts' outputs that `verify` reports.
@Suite struct ExpertProbeTests {
  private func errors(_ candidate: Model, _ contexts: [Context]) async throws -> [[Double?]] {
    try await verify(candidate, against: Nano.model(), contexts, VerifyTests.options(workers: 2)).layers
      .map(\.expertErrors)
  }

  /// The model with one expert of a layer at 3 bits.
  private func damaged(_ model: Model, layer: Int, expert: Int) throws -> Model {
    let coarse = try Recipe.named("int3").plan(for: model)
    let other = try model.quantized(by: coarse)
    return try model.mapTensors { tensor in
      tensor.role.layer == layer && tensor.role.expert == expert ? other[tensor.role]! : tensor
    }
  }

  @Test func onlyTheExpertItselfCounts() async throws {
    let model = try Nano.model()
    let found = try await errors(damaged(model, layer: 1, expert: 3), Nano.contexts(2, of: 128))
    #expect(found.map(\.count) == [8, 8, 8, 8])
    for (layer, errors) in found.enumerated() {
      for (expert, error) in errors.enumerated() {
        if layer == 1 && expert == 3 {
          #expect(try #require(error) > 0.01)
        } else {
          // What the damaged expert did to the states of later layers is not theirs.
          #expect(error == nil || error == 0, "layer \(layer), expert \(expert): \(error!)")
        }
      }
    }
  }

  /// Against products one by one in F64, of the inputs that calibration keeps (BF16).
  @Test func isWhatTheDefinitionSays() async throws {
    let model = try Nano.model()
    let (layer, expert) = (2, 5)
    let candidate = try damaged(model, layer: layer, expert: expert)
    let found = try await errors(candidate, Context.cut(try Nano.heldOut(), length: 128).prefix(3).map { $0 })
    let statistics = try await CalibrationTests.statistics(model, contexts: 3).layer(layer)
    let blueprint = model.blueprint
    let (hidden, width) = (blueprint.hiddenSize, blueprint.experts.intermediateSize)
    let routedTokens = statistics.routedTokens(of: expert)
    let count = min(routedTokens.count, 8)
    try #require(count == 8)
    let inputs = statistics.floats(.inputs)
    func output(_ model: Model, _ token: Int) throws -> [Double] {
      func product(_ kind: TensorKind, _ x: [Double]) throws -> [Double] {
        let weights = try model[Role(kind, layer: layer, expert: expert)]!.floats()
        return (0..<weights.count / x.count).map { row in
          x.indices.reduce(0.0) { $0 + x[$1] * Double(weights[row * x.count + $1]) }
        }
      }
      let x = (0..<hidden).map { Double(inputs[token * hidden + $0]) }
      let inner = zip(try product(.gate, x), try product(.up, x)).map { $0 / (1 + exp(-$0)) * $1 }
      #expect(inner.count == width)
      return try product(.down, inner)
    }
    var (difference, norm) = (0.0, 0.0)
    // Those of the lowest priority, whatever contexts are beside theirs; statistics number tokens through.
    let chosen = routedTokens.map(\.token).sorted {
      ExpertProbe.priority(context: $0 / 128, token: $0 % 128)
        < ExpertProbe.priority(context: $1 / 128, token: $1 % 128)
    }
    for token in chosen.prefix(count) {
      for (a, b) in zip(try output(model, token), try output(candidate, token)) {
        difference += (b - a) * (b - a)
        norm += a * a
      }
    }
    let expected = (difference / norm).squareRoot()
    let error = try #require(found[layer][expert])
    #expect(abs(error / expected - 1) < 0.01, "\(error), \(expected)")
  }

  @Test func fewerBitsAreWorseForEveryExpert() async throws {
    let model = try Nano.model()
    let contexts = try Nano.contexts(4, of: 128)
    var all: [[Double]] = []
    for name in ["int8", "int4", "int3"] {
      let candidate = try model.quantized(by: Recipe.named(name).plan(for: model))
      all.append(try await errors(candidate, contexts).joined().compactMap { $0 })
    }
    #expect(all[0].count > 24 && all[0].count == all[1].count && all[1].count == all[2].count)
    for ((eight, four), three) in zip(zip(all[0], all[1]), all[2]) {
      #expect(0 < eight && 4 * eight < four && four < three && three < 1, "\(eight), \(four), \(three)")
    }
  }

  /// Channels that moved between the norm and the experts are no error.
  @Test func scaledChannelsAreNoError() async throws {
    let model = try Nano.model()
    let plan = try Recipe.named("int3").plan(for: model)
    let statistics = try await CalibrationTests.statistics(model, contexts: 4)
    let scales = try await ChannelScales.search(model, plan, statistics, workers: 2)
    #expect(scales.choices.flatMap(\.self).contains { $0.beta > 0 || $0.alpha > 0 })
    let rescaled = try model.rescaled(by: scales)
    let norms = Role(.feedForwardNorm, layer: 1)
    #expect(try model[norms]!.floats() != rescaled[norms]!.floats(), "something moved")
    for error in try await errors(rescaled, Nano.contexts(2, of: 128)).joined() {
      #expect(error ?? 0 < 1e-5, "\(error!)")
    }
  }

  @Test func expertsThatAreGoneHaveNone() async throws {
    let model = try Nano.model()
    let left = try model.dropping(DroppingTests.dropped)
    let found = try await errors(left, Nano.contexts(2, of: 128))
    var measured = 0
    for (layer, errors) in found.enumerated() {
      #expect(errors.count == 8)
      for expert in DroppingTests.dropped.layers[layer] { #expect(errors[expert] == nil) }
      for error in errors.compactMap({ $0 }) {
        #expect(error == 0)
        measured += 1
      }
    }
    #expect(measured >= 20)
  }
}
