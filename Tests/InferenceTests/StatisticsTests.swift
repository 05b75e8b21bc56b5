import Foundation
import IngotInference
import Testing

@Suite struct StatisticsTests {
  @Test func percentilesLieBetweenNeighbours() {
    let values = [1.0, 2, 4, 8, 16]
    #expect(percentile(0, of: values) == 1)
    #expect(percentile(0.5, of: values) == 4)
    #expect(percentile(1, of: values) == 16)
    #expect(abs(percentile(0.9, of: values) - (0.4 * 8 + 0.6 * 16)) < 1e-12)
    #expect(percentile(0.25, of: values) == 2)
    #expect(percentile(0.99, of: [3]) == 3)
  }

  @Test func bootstrapFindsTheStandardErrorOfAMean() {
    // For blocks of one size the bootstrap goes to the standard error of the mean of the blocks' means.
    let means = [1.0, 4, 2, 8, 5, 7, 1, 3]
    let mean = means.reduce(0, +) / 8
    let exact = (means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 7 / 8).squareRoot()
    let bootstrap = Bootstrap(counts: [Int](repeating: 10, count: 8), resamples: 20_000, seed: 3)
    let found = bootstrap.standardError(sums: means.map { $0 * 10 })!
    #expect(abs(found / exact - 1) < 0.03)
    let again = Bootstrap(counts: [Int](repeating: 10, count: 8), resamples: 20_000, seed: 3)
    #expect(again.standardError(sums: means.map { $0 * 10 }) == found)
  }

  @Test func bootstrapOfEqualBlocksHasNoError() {
    let bootstrap = Bootstrap(counts: [3, 3, 3], resamples: 100, seed: 1)
    #expect(bootstrap.standardError(sums: [0.3, 0.3, 0.3]) == 0)
  }

  @Test func oneBlockTellsNothing() {
    #expect(Bootstrap(counts: [100], resamples: 100, seed: 1).standardError(sums: [5]) == nil)
    // Blocks without values do not count.
    #expect(Bootstrap(counts: [100, 0], resamples: 100, seed: 1).standardError(sums: [5, 0]) == nil)
  }

  /// First values of the generator for state 0, as published with it.
  @Test func generatorIsSplitMix64() {
    var generator = SplitMix64(state: 0)
    #expect(generator.next() == 0xE220_A839_7B1D_CDAF)
    #expect(generator.next() == 0x6E78_9E6A_A1B9_65F4)
    #expect(generator.next() == 0x06C4_5D18_8009_454F)
  }

  @Test func divergenceOfThreeTokens() {
    // p = 1/2, 1/4, 1/4 and q = 1/4, 1/4, 1/2: KL = ½ ln 2 + 0 − ¼ ln 2.
    let a = [2, 1, 1].map { Float(log(Double($0))) + 3 }
    let b = [1, 1, 2].map { Float(log(Double($0))) - 50 }
    for cut in 0...3 {
      var score = TokenComparison()
      for range in [0..<cut, cut..<3] where !range.isEmpty {
        score.absorb(
          TokenComparison(
            a.span.extracting(range), b.span.extracting(range), first: range.lowerBound, next: 2))
      }
      #expect(abs(score.divergence - log(2) / 4) < 1e-6)
      #expect(abs(score.deltaP - 0.25) < 1e-6)
      #expect(abs(score.original.logProbability - log(0.25)) < 1e-6)
      #expect(abs(score.candidate.logProbability - log(0.5)) < 1e-6)
      #expect(!score.sameTop)
      #expect(score.original.top == 0 && score.candidate.top == 2)
    }
  }

  @Test func equalLogitsHaveTheLowerTopAndNoDivergence() {
    let logits: [Float] = [1, 5, 5, -80, 5, 100, 100, 3]
    var score = TokenComparison()
    for first in stride(from: 0, to: 8, by: 2) {
      let range = first..<first + 2
      score.absorb(
        TokenComparison(
          logits.span.extracting(range), logits.span.extracting(range), first: first, next: 3))
    }
    #expect(score.divergence == 0 && score.deltaP == 0 && score.sameTop)
    #expect(score.original.top == 5)
  }

  /// Distant logits: exp(−1e30) is nothing, and nothing overflows.
  @Test func extremeLogitsStayFinite() {
    let score = TokenComparison(
      ([1e30, -1e30] as [Float]).span, ([-1e30, 1e30] as [Float]).span, first: 0, next: 1)
    #expect(score.divergence.isFinite && score.divergence > 1e30)
    #expect(score.deltaP == 1)
  }

  @Test func relativeErrorOfStates() {
    #expect(relativeError(of: [[3, 4], [0]], to: [[3, 4], [0]]) == 0)
    #expect(relativeError(of: [[3, 5], [0]], to: [[3, 4], [0]]) == 0.2)
    #expect(relativeError(of: [[0]], to: [[0]]) == 0)
    #expect(relativeError(of: [[1]], to: [[0]]) == .infinity)
  }
}
