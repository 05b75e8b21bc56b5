import IngotModels

extension SeenContexts {
  /// - Parameter contexts: all of one length.
  public init(_ contexts: [Context]) {
    self.init(length: contexts.first?.tokens.count ?? 1, texts: [])
    var places: [String: Int] = [:]
    for context in contexts {
      let name = context.text ?? ""
      let place = places[name] ?? texts.count
      if place == texts.count {
        places[name] = place
        texts.append(Text(name: name, hashes: []))
      }
      texts[place].hashes.append(SeenContexts.hash(context.tokens))
    }
  }
}

/// The contexts that a measurement is made on, and those that its choices are judged by afterwards.
///
/// GPTQ's codes are too good on the contexts of their calibration statistics, so neither is taken from those where the texts
/// have others.
public struct ContextSplit: Sendable {
  public private(set) var choosing: [Context] = []
  public private(set) var judging: [Context] = []
  /// Of the contexts that judge.
  public private(set) var novelty = Novelty.unseen
  /// Contexts of the texts that the statistics have seen.
  public private(set) var seenCount = 0
  /// Whether contexts to choose by are ones that were seen, since there are not enough others.
  public private(set) var isChosenBySeen = false

  /// Without statistics the first `chunks` of each text choose, and of those that follow the last ones judge, twice as many at
  /// most; without `chunks`, or where no context follows, the last quarter of those that there are; a text of one context does
  /// both. With statistics the same is done with the contexts that they have not seen, of which a third choose where they are
  /// fewer than three times `chunks`, and half without `chunks`; a text all of whose contexts were seen is left out, unless
  /// there is no other.
  ///
  /// - Parameters:
  ///   - texts: all contexts of each text.
  ///   - seen: what the statistics were made of; nil where there are no statistics.
  public init(_ texts: [[Context]], chunks: Int?, seen: Statistics?) {
    guard let seen, !texts.joined().isEmpty else {
      split(texts, chunks)
      return
    }
    let hashes = seen.contexts?.hashes ?? []
    let unseen = texts.map { $0.filter { !hashes.contains(SeenContexts.hash($0.tokens)) } }
    seenCount = texts.joined().count - unseen.joined().count
    let names = Set(texts.joined().compactMap(\.text))
    let length = texts.joined().first?.tokens.count
    if seenCount == 0 {
      if seen.contexts?.length != length, !names.isDisjoint(with: seen.texts) { novelty = .unknown }
      split(texts, chunks)
      return
    }
    for contexts in unseen {
      let few = max(contexts.count / 3, min(contexts.count / 2, 1))
      let first = chunks.map { contexts.count >= 3 * $0 ? $0 : few } ?? contexts.count / 2
      choosing += contexts.prefix(first)
      judging += contexts.dropFirst(first).suffix(chunks.map { 2 * $0 } ?? contexts.count)
    }
    if judging.isEmpty {
      novelty = .seen
      split(texts, chunks)
    } else if choosing.isEmpty {
      isChosenBySeen = true
      choosing = texts.flatMap {
        $0.filter { hashes.contains(SeenContexts.hash($0.tokens)) }.prefix(chunks ?? 8)
      }
    }
  }

  /// What is known of calibration statistics' contexts.
  public struct Statistics: Sendable {
    /// Names of the texts.
    public var texts: [String]
    /// nil where their file does not say.
    public var contexts: SeenContexts?

    public init(texts: [String], contexts: SeenContexts?) {
      self.texts = texts
      self.contexts = contexts
    }
  }

  private mutating func split(_ texts: [[Context]], _ chunks: Int?) {
    for all in texts {
      var first = min(chunks ?? all.count, all.count)
      if first == all.count { first = max(all.count - max(all.count / 4, 1), min(all.count, 1)) }
      choosing += all.prefix(first)
      let others = all.dropFirst(first)
      judging += others.isEmpty ? all[...] : others.suffix(2 * (chunks ?? all.count))
    }
  }

  /// How many contexts at the end of a text of so many `calibrate` leaves to `sensitivity` and `verify`: an eighth, or 4 of a
  /// short text, never more than a quarter.
  public static func reserved(of count: Int) -> Int { max(count / 8, min(4, count / 4)) }

  /// How many contexts a text needs at most so that `chunks` of them may be used beside those that are reserved.
  public static func needed(for chunks: Int) -> Int {
    let (sum, overflow) = chunks.addingReportingOverflow(max(chunks / 7 + 1, 4))
    return overflow ? Int.max : sum
  }
}
