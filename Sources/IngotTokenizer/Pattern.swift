/// A regular expression that cannot be made slow: see `PatternParser` for the syntax, `PatternMatcher` for
/// how the time stays linear in the text.
package struct Pattern: Sendable {
  /// The expression as it was given.
  package let source: String
  let program: PatternProgram
  let alphabet: Alphabet

  package init(_ source: String) throws(PatternError) {
    self.source = source
    program = try PatternProgram(PatternParser.parse(source))
    guard let alphabet = Alphabet(sets: program.sets) else {
      throw PatternError(at: 0, expected: "sets that cut Unicode into at most 254 parts", found: "more")
    }
    self.alphabet = alphabet
  }

  /// Every match in `text` (well-formed UTF-8), as byte offsets, and the number of steps it took.
  /// - Parameter patient: see `PatternMatcher`.
  package func matches(in text: [UInt8], patient: Bool = true) -> (ranges: [Range<Int>], steps: Int) {
    var matcher = PatternMatcher(self, atoms: alphabet.atoms(of: text), patient: patient)
    var ranges: [Range<Int>] = []
    matcher.matches(in: 0..<text.count) { ranges.append($0) }
    return (ranges, matcher.steps)
  }
}
