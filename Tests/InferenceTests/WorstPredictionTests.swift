import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// What a report shows of single predictions.
@Suite struct WorstPredictionTests {
  /// Held against the whole logits of both models: which predictions are worst, and what is expected there.
  @Test func theWorstAndWhatIsExpectedThere() async throws {
    let model = try Nano.model()
    let candidate = try model.quantized(by: Recipe.named("int3").plan(for: model))
    let contexts = try Nano.contexts(3, of: 64)
    var options = VerificationOptions()
    options.worst = 7
    var reports: [VerificationReport] = []
    for workers in [1, 3] {
      options.workers = workers
      var report = try await verify(candidate, against: model, contexts, options)
      report.seconds = 0
      reports.append(report)
    }
    #expect(reports[0] == reports[1])
    let (all, others) = (try await logits(of: model, contexts), try await logits(of: candidate, contexts))
    let vocabulary = model.blueprint.vocabulary
    func shares(_ logits: [Float], _ position: Int) -> [Double] {
      let row = logits[position * vocabulary..<(position + 1) * vocabulary].map { exp(Double($0)) }
      let sum = row.reduce(0, +)
      return row.map { $0 / sum }
    }
    var divergences: [(Double, Int, Int)] = []
    for (index, context) in contexts.enumerated() {
      for position in context.scoredPositions {
        let (a, b) = (shares(all[index], position), shares(others[index], position))
        divergences.append((zip(a, b).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }, index, position))
      }
    }
    divergences.sort { $0.0 > $1.0 }
    let worst = reports[0].worst
    #expect(worst.count == 7)
    for (found, wanted) in zip(worst, divergences) {
      #expect((found.context, found.position) == (wanted.1, wanted.2))
      #expect(abs(found.divergence - wanted.0) < 1e-5)
      let tokens = contexts[found.context].tokens
      #expect(found.before == Array(tokens[max(0, found.position - 39)...found.position]))
      #expect(found.next == tokens[found.position + 1])
      #expect(found.after == Array(tokens[(found.position + 2)...].prefix(12)))
      let (a, b) = (shares(all[found.context], found.position), shares(others[found.context], found.position))
      func top(_ shares: [Double]) -> [Int] {
        Array(shares.indices.sorted { shares[$0] > shares[$1] }.prefix(5))
      }
      #expect(Set(found.expected.map(\.token)) == Set(top(a) + top(b) + [found.next]))
      #expect(found.expected.map(\.original) == found.expected.map(\.original).sorted(by: >))
      for one in found.expected {
        #expect(abs(one.original - a[one.token]) < 1e-5 && abs(one.candidate - b[one.token]) < 1e-5)
      }
    }
    options.worst = 0
    #expect(try await verify(candidate, against: model, contexts, options).worst.isEmpty)
    #expect(try await verify(model, against: model, contexts).worst.isEmpty, "nothing diverges")
  }

  @Test func choicesOfExpertsAddUp() async throws {
    let model = try Nano.model()
    let candidate = try model.quantized(by: Recipe.named("int3").plan(for: model))
    let contexts = try Nano.contexts(2, of: 64)
    for layer in try await verify(candidate, against: model, contexts).layers {
      let choices = layer.router!.choices
      #expect(choices.original.reduce(0, +) == 2 * 2 * 64 && choices.candidate.reduce(0, +) == 2 * 2 * 64)
      for expert in choices.both.indices {
        #expect(choices.both[expert] <= min(choices.original[expert], choices.candidate[expert]))
      }
      // With two experts a token, sets that differ lose one or both of them.
      let lost = 2 * 2 * 64 - choices.both.reduce(0, +)
      let changed = Int((layer.router!.changed * 128).rounded())
      #expect(lost >= changed && lost <= 2 * changed)
    }
  }

  @Test func histogramHoldsEveryValueOnce() {
    let values = [0, 1e-12, 1e-8, 1.5e-8, 3e-5, 0.01, 0.0100001, 2.5].sorted()
    let histogram = Histogram(of: values)
    #expect(histogram.below == 2)
    #expect(histogram.counts.reduce(histogram.below, +) == values.count)
    #expect(histogram.edges.count == histogram.counts.count + 1)
    for (index, count) in histogram.counts.enumerated() {
      let (low, high) = (histogram.edges[index], histogram.edges[index + 1])
      #expect(abs(log10(high / low) - 0.2) < 1e-9)
      #expect(count == values.count { $0 >= low && $0 < high })
    }
    #expect(histogram.counts.first! > 0 && histogram.counts.last! > 0, "no empty ends")
    #expect(Histogram(of: [0, 0]).edges.isEmpty && Histogram(of: [0, 0]).below == 2)
  }
}
