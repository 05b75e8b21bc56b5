import Foundation
import IngotInference
import IngotModels
import IngotQuantization
import Testing

/// How unsure a model is of the next token, against sums over the whole vocabulary.
@Suite struct UncertaintyTests {
  private static func logits(_ count: Int, _ seed: UInt64, scale: Float) -> [Float] {
    var random = SplitMix64(state: seed)
    return (0..<count).map { _ in scale * Float(random.next(below: 2001)) / 1000 - scale }
  }

  @Test(arguments: [0.01, 1, 12, 60] as [Float])
  func uncertaintyIsThatOfTheSoftmax(_ scale: Float) {
    let a = Self.logits(300, 7, scale: scale)
    let b = Self.logits(300, 8, scale: scale)
    var score = TokenComparison()
    for first in stride(from: 0, to: 300, by: 70) {
      let range = first..<min(first + 70, 300)
      score.absorb(TokenComparison(a.span.extracting(range), b.span.extracting(range), first: first, next: 5))
    }
    let weights = a.map { exp(Double($0)) }
    let sum = weights.reduce(0, +)
    let squares = weights.reduce(0) { $0 + ($1 / sum) * ($1 / sum) }
    #expect(abs(score.uncertainty - (1 - squares)) < 1e-12)
  }

  /// Errors that do not depend on each other give σ²/2 times the uncertainty.
  @Test func divergencesOfSmallErrorsAreProportional() {
    for scale in [2, 6, 9] as [Float] {
      let (sigma, count) = (0.02, 2000)
      let a = Self.logits(count, 3, scale: scale)
      var (sum, expected) = (0.0, 0.0)
      for seed in 0..<60 {
        let errors = Self.logits(count, UInt64(100 + seed), scale: Float(sigma * 3.0.squareRoot()))
        let b = zip(a, errors).map { $0 + $1 }
        let score = TokenComparison(a.span, b.span, first: 0, next: 0)
        sum += score.divergence
        expected += sigma * sigma / 2 * score.uncertainty
      }
      #expect(abs(sum / expected - 1) < 0.1, "\(scale): \(sum / expected)")
    }
  }

  @Test func passesSayItForEachText() async throws {
    let model = try Nano.model()
    let candidate = try model.quantized(by: Recipe.named("int4").plan(for: model))
    var contexts = try Nano.contexts(3, of: 64)
    contexts[2].text = "other"
    var pass = try WholePass(model, [candidate], contexts, workers: 2)
    while pass.layer < model.blueprint.layerCount { try await pass.run() }
    let found = try #require(try await pass.divergences().first)
    let report = try await verify(candidate, against: model, contexts)
    #expect(abs(found.uncertainty - report.uncertainty) < 1e-6 && (0.001...0.999).contains(found.uncertainty))
    #expect(found.texts.map(\.name) == report.texts.map(\.name) && found.texts.count == 2)
    for (one, other) in zip(found.texts, report.texts) {
      #expect(abs(one.mean - other.divergence.value) < 1e-3 * one.mean)
      #expect(abs(one.uncertainty - other.uncertainty) < 1e-6)
    }
    // The mean over all positions is that of the texts, by their positions.
    #expect(abs((2 * found.texts[0].mean + found.texts[1].mean) / 3 - found.mean) < 1e-9)
  }
}
