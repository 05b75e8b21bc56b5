import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A prediction that diverges most from the original's, with the text around it and what both models expect there.
public struct WorstPrediction: Hashable, Sendable {
  /// Index of the context, and the name of its text.
  public var context: Int
  public var text: String?
  /// Position in the context of the last token that the models see: they predict the one after it.
  public var position: Int
  /// KL(original ‖ candidate) in nats.
  public var divergence: Double
  /// Tokens up to the position, those nearest to it.
  public var before: [Int]
  /// The token that comes next in the text.
  public var next: Int
  /// Tokens behind that one.
  public var after: [Int]
  /// The tokens most probable by either model and the next one, most probable by the original first.
  public var expected: [Expected]

  /// A token that may come next.
  public struct Expected: Hashable, Sendable {
    public var token: Int
    /// Probability by the original.
    public var original: Double
    public var candidate: Double
  }

  /// Tokens that a report shows before and behind the position.
  static let (shownBefore, shownAfter) = (40, 12)
  /// Most probable tokens of each model.
  static let likely = 5
}

/// What one pass over the vocabulary leaves of a position's logits by two models.
private struct Candidates: Sendable {
  private struct Entry {
    var token: Int
    var original: Float
    var candidate: Float
  }

  private var scores = (original: TokenScore(), candidate: TokenScore())
  private var byOriginal: [Entry] = []
  private var byCandidate: [Entry] = []
  private var next: Entry?

  init() {}

  /// - Parameters:
  ///   - logits: the original's for a range of the vocabulary.
  ///   - other: the candidate's.
  ///   - first: index of the first of them.
  ///   - next: index of the token that comes next.
  init(_ logits: Span<Float>, _ other: Span<Float>, first: Int, next: Int) {
    scores = (TokenScore(logits, first: first, next: next), TokenScore(other, first: first, next: next))
    func entry(_ index: Int) -> Entry {
      Entry(token: first + index, original: logits[index], candidate: other[index])
    }
    let count = min(WorstPrediction.likely, logits.count)
    byOriginal = largest(count, of: logits.indices.map { logits[$0] }).map(entry)
    byCandidate = largest(count, of: other.indices.map { other[$0] }).map(entry)
    if (first..<first + logits.count).contains(next) { self.next = entry(next - first) }
  }

  /// Takes in the range after those so far.
  mutating func absorb(_ following: Candidates) {
    scores.original.absorb(following.scores.original)
    scores.candidate.absorb(following.scores.candidate)
    byOriginal = Candidates.best(byOriginal + following.byOriginal, \.original)
    byCandidate = Candidates.best(byCandidate + following.byCandidate, \.candidate)
    next = next ?? following.next
  }

  private static func best(_ entries: [Entry], _ logit: (Entry) -> Float) -> [Entry] {
    let sorted = entries.sorted { (-logit($0), $0.token) < (-logit($1), $1.token) }
    return Array(sorted.prefix(WorstPrediction.likely))
  }

  var expected: [WorstPrediction.Expected] {
    var entries = byOriginal
    for entry in byCandidate + (next.map { [$0] } ?? [])
    where !entries.contains(where: { $0.token == entry.token }) {
      entries.append(entry)
    }
    let sums = (scores.original.normalizer.logSum, scores.candidate.normalizer.logSum)
    return entries.map {
      .init(
        token: $0.token, original: exp(Double($0.original) - sums.0),
        candidate: exp(Double($0.candidate) - sums.1))
    }.sorted { (-$0.original, $0.token) < (-$1.original, $1.token) }
  }
}

/// Goes through the head again with the positions that diverge most, so that no prediction keeps more than its score.
///
/// - Parameter firstContext: number of the first of the lanes' contexts among all.
func worstPredictions(
  _ first: Lane, _ second: Lane, _ summary: Summary, _ firstContext: Int, _ workers: Workers,
  _ options: VerificationOptions
) async throws(FormatError) -> [WorstPrediction] {
  let contexts = first.contexts
  let places = summary.worst(options.worst)
  guard !places.isEmpty else { return [] }
  var positions = contexts.map { _ in [Int]() }
  for place in places {
    positions[place.context].append(contexts[place.context].scoredPositions.lowerBound + place.row)
  }
  for context in positions.indices { positions[context].sort() }
  var found = positions.map { [Candidates](repeating: Candidates(), count: $0.count) }
  try await first.head(positions, with: second, workers) { [positions] context, rows, logits, other in
    let tokens = contexts[context].tokens
    return positions[context].enumerated().map { row, position in
      let range = row * rows.count..<(row + 1) * rows.count
      return Candidates(
        logits.extracting(range), other.extracting(range), first: rows.lowerBound, next: tokens[position + 1])
    }
  } deliver: { _, outputs in
    for (context, chunk) in outputs.enumerated() {
      for (row, candidates) in chunk.enumerated() { found[context][row].absorb(candidates) }
    }
  }
  return places.map { place in
    let context = contexts[place.context]
    let position = context.scoredPositions.lowerBound + place.row
    let row = positions[place.context].firstIndex(of: position)!
    return WorstPrediction(
      context, firstContext + place.context, position,
      divergence: summary.divergence(place.context, place.row), expected: found[place.context][row].expected)
  }
}

extension WorstPrediction {
  /// - Parameters:
  ///   - context: that it is in, and its number.
  ///   - position: of the last token that the models see.
  init(_ context: Context, _ index: Int, _ position: Int, divergence: Double, expected: [Expected]) {
    let tokens = context.tokens
    self.init(
      context: index, text: context.text, position: position, divergence: divergence,
      before: Array(tokens[...position].suffix(WorstPrediction.shownBefore)), next: tokens[position + 1],
      after: Array(tokens[(position + 2)...].prefix(WorstPrediction.shownAfter)), expected: expected)
  }
}

extension WorstPrediction {
  /// - Parameter spell: tokens as text; nil leaves their numbers.
  func json(_ spell: (([Int]) -> String)?) -> JSON {
    func tokens(_ ids: [Int]) -> JSON {
      var object: JSONObject = ["tokens": .array(ids.map { JSON($0) })]
      if let spell { object["text"] = .string(spell(ids)) }
      return .object(object)
    }
    func token(_ id: Int) -> JSONObject {
      var object: JSONObject = ["token": JSON(id)]
      if let spell { object["text"] = .string(spell([id])) }
      return object
    }
    return [
      "context": JSON(context), "text": JSON(text), "position": JSON(position),
      "divergence": JSON(divergence), "before": tokens(before), "next": .object(token(next)),
      "after": tokens(after),
      "expected": .array(
        expected.map {
          var object = token($0.token)
          object["original"] = JSON($0.original)
          object["candidate"] = JSON($0.candidate)
          return .object(object)
        }),
    ]
  }
}
