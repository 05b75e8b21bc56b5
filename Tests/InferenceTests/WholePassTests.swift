import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

@Suite struct WholePassTests {
  private static func quantized() throws -> (model: Model, all: [Model]) {
    let model = try Nano.model()
    return (
      model,
      try ["int8", "int4"].map { try model.quantized(by: Recipe.named($0).plan(for: model)) }
    )
  }

  @Test func divergencesAreThoseOfVerify() async throws {
    let (model, all) = try Self.quantized()
    let contexts = try Nano.contexts(3, of: 64)
    var pass = try WholePass(model, all, contexts, workers: 2)
    while pass.layer < model.blueprint.layerCount { try await pass.run() }
    let found = try await pass.divergences()
    #expect(found.count == 2)
    for (candidate, divergence) in zip(all, found) {
      let report = try await verify(candidate, against: model, contexts)
      let mean = report.divergence.mean
      #expect(mean.value > 0 && abs(divergence.mean - mean.value) < 1e-3 * mean.value)
      let (one, other) = (try #require(divergence.standardError), try #require(mean.standardError))
      #expect(abs(one - other) < 0.1 * other, "\(one), verify has \(other)")
    }
  }

  @Test func goesOnFromStatesToTheSameDivergences() async throws {
    let (model, all) = try Self.quantized()
    let contexts = try Nano.contexts(2, of: 32)
    var whole = try WholePass(model, all, contexts, workers: 1)
    var kept: [[Float]] = []
    while whole.layer < model.blueprint.layerCount {
      try await whole.run()
      if whole.layer == 2 { kept = whole.states }
    }
    #expect(kept.map(\.count) == WholePass.counts(model, contexts, models: 2))
    var rest = try WholePass(model, all, contexts, workers: 3, layer: 2, states: kept)
    while rest.layer < model.blueprint.layerCount { try await rest.run() }
    #expect(try await rest.divergences() == whole.divergences())
  }
}
