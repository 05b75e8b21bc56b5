/// What two models differ by in a layer, kept context by context: layers of consecutive contexts put together are the same bits as
/// of all contexts in one run.
package struct ComparedLayer: Hashable, Sendable {
  /// Sums over the tokens of one context.
  struct Sums: Hashable, Sendable {
    /// Σ (candidate − original)² and Σ original² of the hidden states after the layer.
    var difference = 0.0
    var norm = 0.0
    /// Of the router (`RoutingDifference`); 0 for a dense layer.
    var tokens = 0
    var changed = 0
    var overlap = 0.0
    var routingWeightShift = 0.0

    init() {}

    /// - Parameters:
    ///   - original: hidden states of the context by the original, and by the candidate.
    init(states original: [Float], of candidate: [Float]) {
      (difference, norm) = squares(of: candidate, from: original)
    }

    mutating func take(_ difference: RoutingDifference) {
      (tokens, changed) = (difference.tokens, difference.changed)
      (overlap, routingWeightShift) = (difference.overlap, difference.routingWeightShift)
    }
  }

  /// In the order of the contexts.
  var contexts: [Sums]
  /// nil for a dense layer.
  var choices: ExpertChoices?
  /// By the original's experts, what `ExpertProbe` finds of some of their tokens.
  var probed: [[ProbedToken]]

  /// Figures of the layer `layer` over all contexts.
  func report(_ layer: Int) -> VerificationReport.Layer {
    var router: VerificationReport.Router?
    if let choices {
      var (tokens, changed, overlap, shift) = (0, 0, 0.0, 0.0)
      for sums in contexts {
        tokens += sums.tokens
        changed += sums.changed
        overlap += sums.overlap
        shift += sums.routingWeightShift
      }
      router = .init(
        overlap: overlap / Double(tokens), changed: Double(changed) / Double(tokens),
        routingWeightShift: shift / Double(tokens), choices: choices)
    }
    return .init(
      layer: layer, hiddenStateError: hiddenStateError, router: router,
      expertErrors: probed.map(ExpertProbe.error))
  }

  var hiddenStateError: Double {
    var (difference, norm) = (0.0, 0.0)
    for sums in contexts {
      difference += sums.difference
      norm += sums.norm
    }
    return difference == 0 ? 0 : (difference / norm).squareRoot()
  }

  /// Adds the same layer of the contexts that follow.
  mutating func append(_ next: ComparedLayer) {
    contexts += next.contexts
    choices = choices.map { own in next.choices.map(own.adding) ?? own }
    probed = zip(probed, next.probed).map { ExpertProbe.chosen($0 + $1) }
  }

  /// Whether another one can be of the same layer.
  func fits(_ other: ComparedLayer) -> Bool {
    probed.count == other.probed.count && choices?.original.count == other.choices?.original.count
  }
}

extension ExpertChoices {
  func adding(_ other: ExpertChoices) -> ExpertChoices {
    var sum = self
    sum.original = zip(original, other.original).map(+)
    sum.candidate = zip(candidate, other.candidate).map(+)
    sum.both = zip(both, other.both).map(+)
    return sum
  }
}

extension ComparedLayer {
  func put(to words: inout FigureWords) {
    words.put(contexts.count)
    for sums in contexts {
      for value in [sums.difference, sums.norm, sums.overlap, sums.routingWeightShift] { words.put(value) }
      words.put(sums.tokens)
      words.put(sums.changed)
    }
    words.put(choices == nil ? 0 : 1)
    if let choices {
      for counts in [choices.original, choices.candidate, choices.both] { words.put(counts) }
    }
    words.put(probed.count)
    for tokens in probed {
      words.put(tokens.count)
      for token in tokens {
        words.put(token.context)
        words.put(token.token)
        words.put(token.difference)
        words.put(token.norm)
      }
    }
  }

  init(_ words: inout FigureReader) {
    contexts = []
    for _ in 0..<words.count(of: 6) {
      var sums = Sums()
      (sums.difference, sums.norm) = (words.double(), words.double())
      (sums.overlap, sums.routingWeightShift) = (words.double(), words.double())
      (sums.tokens, sums.changed) = (words.int(), words.int())
      contexts.append(sums)
    }
    if words.int() == 1 {
      var choices = ExpertChoices(experts: 0)
      (choices.original, choices.candidate, choices.both) = (words.ints(), words.ints(), words.ints())
      self.choices = choices
    }
    probed = []
    for _ in 0..<words.count(of: 1) {
      var tokens: [ProbedToken] = []
      for _ in 0..<words.count(of: 4) {
        tokens.append(
          ProbedToken(
            context: words.int(), token: words.int(), difference: words.double(), norm: words.double()))
      }
      probed.append(tokens)
    }
  }

  /// As journals have it.
  var text: String {
    var words = FigureWords()
    put(to: &words)
    return words.text
  }

  /// - Returns: nil for what is none.
  init?(text: String) {
    var words = FigureReader(text: text)
    self.init(&words)
    guard words.isWhole else { return nil }
  }
}
