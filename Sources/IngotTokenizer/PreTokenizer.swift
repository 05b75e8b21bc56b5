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

  /// One step after another, each on the pieces that the one before left.
  enum Stage: Sendable {
    case cut(Step)
    /// A piece that does not begin with a space is given one.
    case space
    case metaspace(Metaspace)
    /// From here on a piece is written in the alphabet for bytes.
    case alphabet
  }

  /// Words of a text, which may have been changed on the way.
  struct Words {
    var text: [UInt8]
    var ranges: [Range<Int>]
  }

  private(set) var stages: [Stage] = []
  /// Whether words are bytes, whose tokens are found by the alphabet for bytes, or characters.
  private(set) var isByteLevel = false

  var steps: [Step] {
    stages.compactMap { stage in
      if case .cut(let step) = stage { step } else { nil }
    }
  }

  mutating func add(_ stage: Stage) { stages.append(stage) }

  /// The last stage so far leaves bytes.
  mutating func endInBytes() { isByteLevel = true }

  /// GPT-2's expression, which ByteLevel applies unless told otherwise.
  static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// The words of `text`, in order, none empty.
  /// - Parameter begins: whether it stands at the start of what is encoded.
  func words(of text: [UInt8], begins: Bool = true) -> Words {
    var words = Words(text: text, ranges: text.isEmpty ? [] : [0..<text.count])
    var begins = begins
    var isWritten = false
    for stage in stages {
      switch stage {
      case .cut(let step):
        words.cut(step)
        begins = begins && words.ranges.first?.lowerBound == 0
      case .space:
        words.rewrite { piece, _ in piece.first == 0x20 ? Array(piece) : [0x20] + piece }
      case .metaspace(let space):
        let bytes = space.bytes
        words.rewrite { piece, isFirst in
          let text = piece.flatMap { $0 == 0x20 ? bytes : [$0] }
          let isPrepended = space.scheme == .always || space.scheme == .first && isFirst && begins
          return isPrepended && !text.starts(with: bytes) ? bytes + text : text
        }
        if space.isCut { words.cut(before: bytes) }
      case .alphabet:
        isWritten = true
        words.rewrite { piece, _ in Array(ByteAlphabet.piece(piece).utf8) }
      }
    }
    if isWritten {
      words.rewrite { piece, _ in
        var bytes: [UInt8] = []
        ByteAlphabet.append(bytesOf: String(decoding: piece, as: UTF8.self), to: &bytes)
        return bytes
      }
    }
    return words
  }
}

extension PreTokenizer.Words {
  /// Cuts the pieces at the matches of a step.
  mutating func cut(_ step: PreTokenizer.Step) {
    var matcher = PatternMatcher(step.pattern, atoms: step.pattern.alphabet.atoms(of: text))
    var result: [Range<Int>] = []
    for piece in ranges { PreTokenizer.cut(piece, with: &matcher, step, into: &result) }
    ranges = result
  }

  /// Cuts the pieces before each occurrence of a character.
  mutating func cut(before character: [UInt8]) {
    var result: [Range<Int>] = []
    for piece in ranges {
      var start = piece.lowerBound
      for at in piece
      where at > start && text[at] == character[0] && text[at..<piece.upperBound].starts(with: character) {
        result.append(start..<at)
        start = at
      }
      result.append(start..<piece.upperBound)
    }
    ranges = result
  }

  /// Puts another text in each piece's place.
  mutating func rewrite(_ body: (_ piece: ArraySlice<UInt8>, _ isFirst: Bool) -> [UInt8]) {
    var rewritten: [UInt8] = []
    rewritten.reserveCapacity(text.count + ranges.count)
    for (index, range) in ranges.enumerated() {
      let start = rewritten.count
      rewritten += body(text[range], index == 0)
      ranges[index] = start..<rewritten.count
    }
    text = rewritten
  }
}

extension PreTokenizer {
  fileprivate static func cut(
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
