import IngotModels
import IngotSystem

/// What a comparison of two models found of consecutive contexts, before it is made into figures. Of all contexts in one run, or in
/// several that are put together: the figures are the same bits.
package struct ComparedContexts: Hashable, Sendable {
  /// Number of the first of them among all.
  package var first: Int
  /// contexts × predictions
  var scores: [[PredictionScore]]
  var layers: [ComparedLayer]
  /// The predictions of these that diverge most, as a report of these alone would have them; contexts by their number among all.
  var worst: [WorstPrediction]

  package var count: Int { scores.count }
  /// Predictions scored.
  package var predictions: Int { scores.reduce(0) { $0 + $1.count } }

  /// Adds those that follow.
  ///
  /// - Parameter worst: how many of the most diverging predictions are kept.
  private mutating func append(_ next: ComparedContexts, worst count: Int) {
    scores += next.scores
    for layer in layers.indices { layers[layer].append(next.layers[layer]) }
    // Of equal ones the earlier comes first, and these are earlier.
    var merged: [WorstPrediction] = []
    var (own, other) = (worst[...], next.worst[...])
    while merged.count < count, let prediction = own.first ?? other.first {
      if let following = other.first, own.isEmpty || following.divergence > prediction.divergence {
        merged.append(following)
        other.removeFirst()
      } else {
        merged.append(prediction)
        own.removeFirst()
      }
    }
    worst = merged
  }

  /// All of them in one.
  ///
  /// - Parameters:
  ///   - parts: in the order of their contexts.
  ///   - worst: how many of the most diverging predictions a report shows.
  /// - Returns: nil for parts that do not follow one another, or are not of models of one shape.
  package static func merged(_ parts: [ComparedContexts], worst: Int) -> ComparedContexts? {
    guard var whole = parts.first, whole.first == 0 else { return nil }
    for part in parts.dropFirst() {
      guard part.first == whole.count, part.layers.count == whole.layers.count,
        zip(whole.layers, part.layers).allSatisfy({ $0.fits($1) })
      else { return nil }
      whole.append(part, worst: worst)
    }
    return whole
  }
}

extension ComparedContexts {
  /// For a file; `init(_:contexts:)` reads it.
  package var bytes: [UInt8] {
    var words = FigureWords()
    words.put(first)
    words.put(scores.count)
    for scores in scores {
      words.put(scores.count)
      for score in scores { score.put(to: &words) }
    }
    words.put(layers.count)
    for layer in layers { layer.put(to: &words) }
    words.put(worst.count)
    for prediction in worst {
      for number in [prediction.context, prediction.position] { words.put(number) }
      words.put(prediction.divergence)
      words.put(prediction.expected.count)
      for expected in prediction.expected {
        words.put(expected.token)
        words.put(expected.original)
        words.put(expected.candidate)
      }
    }
    return words.bytes
  }

  /// - Parameter contexts: all, of which these are some.
  /// - Returns: nil for bytes that are none of these contexts.
  package init?(_ bytes: Bytes, contexts: [Context]) {
    var words = FigureReader(bytes)
    let first = words.int()
    let scores = (0..<words.count(of: 1)).map { _ in
      (0..<words.count(of: PredictionScore.words)).map { _ in PredictionScore(&words) }
    }
    let layers = (0..<words.count(of: 3)).map { _ in ComparedLayer(&words) }
    guard first >= 0, first <= contexts.count, scores.count <= contexts.count - first,
      zip(contexts[first...], scores).allSatisfy({ $0.scoredPositions.count == $1.count }),
      layers.allSatisfy({ $0.contexts.count == scores.count })
    else { return nil }
    var worst: [WorstPrediction] = []
    for _ in 0..<words.count(of: 4) {
      let (context, position, divergence) = (words.int(), words.int(), words.double())
      let expected = (0..<words.count(of: 3)).map { _ in
        WorstPrediction.Expected(token: words.int(), original: words.double(), candidate: words.double())
      }
      guard context >= first, context < first + scores.count,
        contexts[context].scoredPositions.contains(position)
      else { return nil }
      worst.append(
        WorstPrediction(contexts[context], context, position, divergence: divergence, expected: expected))
    }
    guard words.isWhole else { return nil }
    self.init(first: first, scores: scores, layers: layers, worst: worst)
  }
}
