import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Lane {
  /// Divergence from this model of another one that has passed the same layers.
  func divergence(of other: Lane, _ workers: Workers) async throws(FormatError) -> SensitivityPass.Divergence
  {
    var scores = emptyScores
    try await head(contexts.map { Array($0.scoredPositions) }, with: other, workers) {
      [contexts] context, rows, logits, others in
      compared(contexts[context], rows, logits, others)
    } deliver: { _, outputs in
      for (context, chunk) in outputs.enumerated() {
        for (row, score) in chunk.enumerated() { scores[context][row].absorb(score) }
      }
    }
    return try SensitivityPass.Divergence(scores, contexts, model)
  }

  /// Divergences from this lane of others of its model: each row of the head is decoded once.
  func divergences(of perturbedRuns: [Lane], _ workers: Workers) async throws(FormatError)
    -> [SensitivityPass.Divergence]
  {
    let positions = contexts.map { Array($0.scoredPositions) }
    let inputs = try headInputs(positions)
    var others: [[[Float]]] = []
    for copy in perturbedRuns { others.append(try copy.headInputs(positions)) }
    let step = try head.rowStep
    let stride = (headRowsAtOnce + step - 1) / step * step
    let chunks = (blueprint.vocabulary + stride - 1) / stride
    var scores = perturbedRuns.map { _ in emptyScores }
    let (lane, copied) = (self, others)
    try await workers.inOrder(chunks) { chunk, buffers throws(FormatError) in
      let rows = chunk * stride..<min((chunk + 1) * stride, lane.blueprint.vocabulary)
      try lane.head.decode(rows: rows, into: &buffers.weights)
      var outputs = copied.map { _ in [[TokenComparison]]() }
      for (context, text) in lane.contexts.enumerated() {
        let size = positions[context].count * rows.count
        try lane.logits(
          inputs[context], context, positions[context], rows, buffers.weights, into: &buffers.logits)
        for (copy, other) in copied.enumerated() {
          try lane.logits(
            other[context], context, positions[context], rows, buffers.weights, into: &buffers.otherLogits)
          outputs[copy].append(
            compared(
              text, rows, buffers.logits.span.extracting(0..<size),
              buffers.otherLogits.span.extracting(0..<size)))
        }
      }
      return outputs
    } deliver: { _, outputs in
      for (copy, contexts) in outputs.enumerated() {
        for (context, chunk) in contexts.enumerated() {
          for (row, score) in chunk.enumerated() { scores[copy][context][row].absorb(score) }
        }
      }
    }
    var found: [SensitivityPass.Divergence] = []
    for score in scores { found.append(try .init(score, contexts, model)) }
    return found
  }

  private var emptyScores: [[TokenComparison]] {
    contexts.map { [TokenComparison](repeating: TokenComparison(), count: $0.scoredPositions.count) }
  }
}

/// Scores of one context's positions over a range of the vocabulary.
private func compared(_ text: Context, _ rows: Range<Int>, _ logits: Span<Float>, _ others: Span<Float>)
  -> [TokenComparison]
{
  text.scoredPositions.enumerated().map { row, position in
    let range = row * rows.count..<(row + 1) * rows.count
    return TokenComparison(
      logits.extracting(range), others.extracting(range), first: rows.lowerBound,
      next: text.tokens[position + 1])
  }
}

extension SensitivityPass.Divergence {
  /// Mean over all positions, and its error by the spread of contexts.
  fileprivate init(_ scores: [[TokenComparison]], _ contexts: [Context], _ model: Model) throws(FormatError) {
    let all = Sums(scores)
    mean = all.divergence
    uncertainty = all.uncertainty
    texts = []
    for name in contexts.compactMap(\.text) where !texts.contains(where: { $0.name == name }) {
      let sums = Sums(contexts.indices.filter { contexts[$0].text == name }.map { scores[$0] })
      texts.append(Text(name: name, mean: sums.divergence, uncertainty: sums.uncertainty))
    }
    guard mean.isFinite else { throw unrepresentable("KL divergence", mean, model) }
    standardError = all.standardError
  }

  /// Sums over the positions of some contexts.
  private struct Sums {
    /// By context.
    let divergences: [Double]
    let counts: [Int]
    let uncertainty: Double

    init(_ scores: [[TokenComparison]]) {
      divergences = scores.map { $0.reduce(0.0) { $0 + max($1.divergence, 0) } }
      counts = scores.map(\.count)
      let sum = scores.joined().reduce(0.0) { $0 + $1.uncertainty }
      uncertainty = sum / Double(max(counts.reduce(0, +), 1))
    }

    var count: Double { Double(max(counts.reduce(0, +), 1)) }
    var divergence: Double { divergences.reduce(0, +) / count }

    /// Of a ratio of sums over contexts; nil for fewer than two.
    var standardError: Double? {
      guard counts.count > 1 else { return nil }
      let squares = zip(divergences, counts).reduce(0.0) { total, pair in
        let difference = pair.0 - divergence * Double(pair.1)
        return total + difference * difference
      }
      let n = Double(counts.count)
      return (squares * n / (n - 1)).squareRoot() / count
    }
  }
}
