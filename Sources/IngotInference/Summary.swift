import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Scored predictions of two models, made into figures.
struct Summary {
  /// contexts × predictions
  let scores: [[PredictionScore]]
  private let options: VerificationOptions

  init(_ scores: [[PredictionScore]], _ options: VerificationOptions) {
    self.scores = scores
    self.options = options
  }

  /// Refuses predictions whose figures are none, naming the first.
  func requireFinite(_ candidate: Model, _ contexts: [Context]) throws(FormatError) {
    for (context, scores) in scores.enumerated() {
      for (row, score) in scores.enumerated() where !(score.divergence + score.deltaP).isFinite {
        throw FormatError(
          path: candidate.path, expected: "a finite KL divergence",
          found: "\(score.divergence) at token \(contexts[context].scoredPositions.lowerBound + row) of "
            + contexts.name(context))
      }
    }
    // Some contexts of many may have none that is scored.
    if scores.contains(where: { !$0.isEmpty }) { try requireFinitePerplexities(candidate) }
  }

  func requireFinitePerplexities(_ candidate: Model) throws(FormatError) {
    let perplexities = perplexities(Array(scores.indices))
    for value in [perplexities.original.value, perplexities.candidate.value, perplexities.ratio.value]
    where !value.isFinite {
      throw unrepresentable("perplexity", value, candidate)
    }
  }

  /// Places of the predictions that diverge most, the worst first and of equal ones the earlier; none without divergence.
  func worst(_ count: Int) -> [(context: Int, row: Int)] {
    var best: [(context: Int, row: Int, divergence: Double)] = []
    for (context, scores) in scores.enumerated() {
      for (row, score) in scores.enumerated() where score.divergence > 0 {
        if best.count == count, let last = best.last, !(score.divergence > last.divergence) { continue }
        var place = best.count
        while place > 0, score.divergence > best[place - 1].divergence { place -= 1 }
        best.insert((context, row, score.divergence), at: place)
        if best.count > count { best.removeLast() }
      }
    }
    return best.map { ($0.context, $0.row) }
  }

  func divergence(_ context: Int, _ row: Int) -> Double { scores[context][row].divergence }

  /// The score of a position of a context.
  func score(_ index: Int, _ position: Int, _ context: Context) -> PredictionScore {
    scores[index][position - context.scoredPositions.lowerBound]
  }

  /// The mean over what contexts have, with its standard error over contexts.
  func mean<Value>(_ members: [[Value]], _ figure: (Value) -> Double) -> Estimate {
    let sums = members.map { $0.reduce(0.0) { $0 + figure($1) } }
    let counts = members.map(\.count)
    let errors = Bootstrap(counts: counts, resamples: options.resamples, seed: options.seed)
    return Estimate(
      value: sums.reduce(0, +) / Double(counts.reduce(0, +)), standardError: errors.standardError(sums: sums))
  }

  func report(
    _ contexts: [Context], _ layers: [VerificationReport.Layer], _ worst: [WorstPrediction], seconds: Double
  ) -> VerificationReport {
    let all = Array(scores.indices)
    let divergences = scores.joined().map(\.divergence).sorted()
    let changes = scores.joined().map(\.deltaP)
    let tokens = Double(divergences.count)
    var names: [String] = []
    for context in contexts {
      if let name = context.text, !names.contains(name) { names.append(name) }
    }
    return VerificationReport(
      tokens: divergences.count,
      contexts: contexts.count,
      perplexity: perplexities(all),
      divergence: .init(
        mean: mean(all, \.divergence),
        median: percentile(0.5, of: divergences),
        p90: percentile(0.9, of: divergences),
        p95: percentile(0.95, of: divergences),
        p99: percentile(0.99, of: divergences),
        p999: percentile(0.999, of: divergences),
        maximum: divergences[divergences.count - 1],
        histogram: Histogram(of: divergences),
        contextMeans: scores.filter { !$0.isEmpty }.map { scores in
          scores.reduce(0) { $0 + $1.divergence } / Double(scores.count)
        }),
      uncertainty: uncertainty(all),
      deltaP: .init(
        mean: changes.reduce(0, +) / tokens,
        rms: (changes.reduce(0) { $0 + $1 * $1 } / tokens).squareRoot()),
      sameTop: sameTop(all),
      layers: layers,
      texts: names.compactMap { name in
        let members = all.filter { contexts[$0].text == name }
        let count = members.reduce(0) { $0 + scores[$1].count }
        guard count > 0 else { return nil }
        return .init(
          name: name, tokens: count, perplexity: perplexities(members),
          divergence: mean(members, \.divergence), uncertainty: uncertainty(members),
          sameTop: sameTop(members))
      },
      spans: spans(contexts),
      toolCalls: toolCalls(contexts),
      worst: worst,
      seconds: seconds)
  }

  /// The mean over the predictions of some contexts.
  private func mean(_ members: [Int], _ figure: (PredictionScore) -> Double) -> Estimate {
    mean(members.map { scores[$0] }, figure)
  }

  /// exp of means; to first order the standard error is the mean's times the value.
  private func perplexities(_ members: [Int]) -> VerificationReport.Perplexities {
    func exponential(_ estimate: Estimate) -> Estimate {
      let value = exp(estimate.value)
      return Estimate(value: value, standardError: estimate.standardError.map { $0 * value })
    }
    return .init(
      original: exponential(mean(members) { -$0.original }),
      candidate: exponential(mean(members) { -$0.candidate }),
      ratio: exponential(
        mean(members) { $0.original - $0.candidate }))
  }

  private func uncertainty(_ members: [Int]) -> Double {
    let sum = members.reduce(0.0) { $0 + scores[$1].reduce(0.0) { $0 + $1.uncertainty } }
    return sum / Double(members.reduce(0) { $0 + scores[$1].count })
  }

  private func sameTop(_ members: [Int]) -> Double {
    let count = members.reduce(0) { $0 + scores[$1].count }
    return Double(members.reduce(0) { $0 + scores[$1].count { $0.sameTop } }) / Double(count)
  }
}
