/// Cuts a text into the words that byte-pair encoding works on: one step after another, each cutting the
/// pieces of the step before.
struct PreTokenizer: Sendable {
  /// What becomes of the matches of a step, as tokenizer.json names it.
  enum Behavior: String, Sendable, CaseIterable {
    /// Matches are dropped.
    case removed = "Removed"
    /// Matches and what lies between them are pieces of their own.
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    /// Neighbouring matches are one piece.
    case contiguous = "Contiguous"
  }

  struct Step: Sendable {
    var pattern: Pattern
    var behavior: Behavior
    /// Matches count as what lies between them and the other way round.
    var inverted: Bool
  }

  var steps: [Step] = []
  /// Whether a text that does not begin with a space is given one.
  var addsSpace = false

  /// GPT-2's expression, which ByteLevel applies unless told otherwise.
  static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// The words of `text` within `bounds`, in order, none empty.
  func words(of text: [UInt8], in bounds: Range<Int>) -> [Range<Int>] {
    var pieces = bounds.isEmpty ? [] : [bounds]
    for step in steps {
      var matcher = PatternMatcher(step.pattern, atoms: step.pattern.alphabet.atoms(of: text))
      var cut: [Range<Int>] = []
      for piece in pieces { Self.cut(piece, with: &matcher, step, into: &cut) }
      pieces = cut
    }
    return pieces
  }

  private static func cut(
    _ piece: Range<Int>, with matcher: inout PatternMatcher, _ step: Step, into result: inout [Range<Int>]
  ) {
    if step.behavior == .isolated {
      // The usual case needs no list of its own; which pieces matched does not matter.
      var done = piece.lowerBound
      matcher.matches(in: piece) { match in
        if done < match.lowerBound { result.append(done..<match.lowerBound) }
        if !match.isEmpty { result.append(match) }
        done = match.upperBound
      }
      if done < piece.upperBound { result.append(done..<piece.upperBound) }
      return
    }
    var parts: [(range: Range<Int>, matches: Bool)] = []
    var done = piece.lowerBound
    matcher.matches(in: piece) { match in
      if done < match.lowerBound { parts.append((done..<match.lowerBound, step.inverted)) }
      parts.append((match, !step.inverted))
      done = match.upperBound
    }
    if done < piece.upperBound { parts.append((done..<piece.upperBound, step.inverted)) }
    if step.behavior == .mergedWithNext { parts.reverse() }

    var cuts: [Range<Int>] = []
    var previousMatches = false
    for (range, matches) in parts {
      let joins =
        switch step.behavior {
        case .contiguous: matches == previousMatches
        case .mergedWithPrevious, .mergedWithNext: matches && !previousMatches
        case .removed, .isolated: false
        }
      previousMatches = matches
      if step.behavior == .removed, matches { continue }
      if joins, let last = cuts.last {
        cuts[cuts.count - 1] = min(last.lowerBound, range.lowerBound)..<max(last.upperBound, range.upperBound)
      } else {
        cuts.append(range)
      }
    }
    if step.behavior == .mergedWithNext { cuts.reverse() }
    result += cuts.filter { !$0.isEmpty }
  }
}
