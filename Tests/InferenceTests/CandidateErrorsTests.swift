import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// What candidates do to a layer's outputs, of which trellis codes are not all chosen.
@Suite struct CandidateErrorsTests {
  private func candidate(_ name: String, _ model: Model) throws -> CandidateModel {
    let encoding = try #require(Encoding(name: name))
    let quantized = try model.quantized(by: .uniform(encoding, for: model))
    return try CandidateModel(encoding, model, quantized: quantized, scales: nil)
  }

  /// Where experts are sampled, errors of `calibrated` are those of the codes that it has: here such as the search finds. The
  /// estimate for codes of other states is what these errors stand for. Few tokens, whose outputs have much in common, leave room; at
  /// the fewest bits errors are no longer independent of the weights, and estimates somewhat low.
  @Test(arguments: [
    ("trellis-1.5 w9", "trellis-1.5 w9"), ("trellis-4 w9", "trellis-4 w9"), ("trellis-3", "trellis-3 w9"),
  ])
  func estimatesAreNearWhatCodesDo(_ name: String, _ quick: String) async throws {
    let model = try Nano.model()
    let statistics = try await CalibrationTests.statistics(model).layer(1)
    let errors = CandidateErrors(
      model, [try candidate(name, model)], calibrated: [try candidate(quick, model)])
    let found = try await errors.errors(statistics, workers: 2)
    let ratios = try found.map { role, errors in
      let (estimated, made) = (try #require(errors.searched[0]), try #require(errors.made[0]))
      #expect(abs(estimated / made - 1) < 0.5, "\(role): \(estimated) of \(made)")
      return estimated / made
    }
    let mean = ratios.reduce(0, +) / Double(ratios.count)
    #expect(ratios.count == 4 + 3 * 8 && abs(mean - 1) < 0.12, "\(mean)")
  }

  @Test func embeddingsAreEstimatedToo() throws {
    let model = try Nano.model()
    let candidate = try candidate("trellis-2 w8", model)
    let errors = try CandidateErrors(model, [candidate]).embedding()
    let exact = try #require(model[.embedding]).floats()
    let codes = try #require(candidate.model[.embedding]).floats()
    let error = zip(exact, codes).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    let mean = error / Double(exact.count)
    #expect(abs(try #require(errors.made[0]) / mean - 1) < 0.1, "\(errors.made), \(mean)")
  }

  @Test func quickFormsHaveFewStates() throws {
    let encoding = try #require(Encoding(name: "trellis-2.5"))
    #expect("\(encoding.quick)" == "trellis-2.5 w9" && encoding.quick.quick == encoding.quick)
    #expect(encoding.quickErrorRatio > 1.1 && encoding.quickErrorRatio < 1.3)
    for name in ["trellis-3 w8", "int3 g64 zero f16", "q4_k", "bf16"] {
      let encoding = try #require(Encoding(name: name))
      #expect(encoding.quick == encoding && encoding.quickErrorRatio == 1)
    }
  }

  /// Columns have scales of their own.
  @Test func channelsOfTrellisCodesAreNotScaled() async throws {
    let model = try Nano.model()
    let statistics = try await CalibrationTests.statistics(model, contexts: 3)
    let plan = Plan.uniform(try #require(Encoding(name: "trellis-2")), for: model)
    let scales = try await ChannelScales.search(model, plan, statistics, workers: 2)
    #expect(!scales.choices.joined().isEmpty)
    #expect(scales.choices.joined().allSatisfy { $0.alpha == 0 && $0.beta == 0 && $0.errorShare == 1 })
  }
}
