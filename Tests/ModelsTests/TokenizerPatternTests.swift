import Models
import Testing

@Suite("Pattern") struct TokenizerPatternTests {
  func pieces(_ pattern: String, _ text: String) throws -> [String] {
    let bytes = Array(text.utf8)
    return try Pattern(pattern).matches(in: bytes).ranges.map { String(decoding: bytes[$0], as: UTF8.self) }
  }

  @Test func prefersAsBacktrackingDoes() throws {
    #expect(try pieces("a|ab", "ab") == ["a"])
    #expect(try pieces("(?:a|ab)(?:c|bcd)d*", "abcd") == ["abcd"])
  }
}
