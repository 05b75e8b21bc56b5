import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

@Suite("Pattern") struct TokenizerPatternTests {
  /// 450 expressions with Oniguruma's matches, made by scripts/tools make-tokenizer-vectors.
  @Test func matchesAsOniguruma() throws {
    let rows = try #require(JSON.parse(fixture("tokenizer/patterns.json"), path: "patterns.json").array)
    var count = 0
    for row in rows {
      let parts = try #require(row.array)
      let pattern = try Pattern(try #require(parts[0].string))
      for entry in parts.dropFirst() {
        let text = Array(try #require(entry.array?[0].string).utf8)
        let expected = entry.array?[1].array?.compactMap(\.int)
        for patient in [true, false] {
          let ranges = pattern.matches(in: text, patient: patient).ranges.filter { !$0.isEmpty }
          let found = ranges.flatMap { [$0.lowerBound, $0.upperBound] }
          #expect(found == expected, "\(pattern.source) in \(entry), patient: \(patient)")
        }
        count += 1
      }
    }
    #expect(count > 2000)
  }

  @Test(
    arguments: [
      "(", ")", "(?:a", "a)", "[", "[a", "[]", "[]a]", "[^]", "[z-a]", "[a-\\d]", "[\\w-x]", "[[:alpha:]]",
      "[a-[b]]",
      "*", "+a", "?", "{2}", "^a", "a**", "a+*", "a{3,1}", "a{1", "a{x}", "a{}", "a{1001}",
      "a{,99999999999999999999}",
      "(?:a?)*", "(a*)*b", "(?:|a)+", "(?:ab)++", "(?>a)", "(?<x>a)", "(?<=a)b", "(?=ab)", "(?!a|)", "(?=a)+",
      "$*", "\\z{2}",
      "\\1", "\\b", "\\A", "\\G", "\\R", "\\X", "\\k<a>", "\\", "\\p", "\\pL", "\\p{", "\\p{Klingon}",
      "\\p{Lu", "\\x4", "\\x80", "\\u12",
      "\\x{110000}", "\\x{D800}", "\\u", "(?i:é)", "(?i:ss)", "(?i:fi)", "(?i:[é])", "(?i:[\\p{Lu}])",
      "(?x) a", "x(?i)a",
      "((a{1000}){1000}){1000}", "(?:(?:a?b){1000}){1000}", String(repeating: "(", count: 100_000),
      String(repeating: "[", count: 100_000), String(repeating: "a|", count: 10_000),
      "\\p{\(String(repeating: "L", count: 1000))}",
    ])
  func refuses(_ source: String) {
    #expect(throws: PatternError.self, "\(source.prefix(40))") { try Pattern(source) }
  }

  @Test func refusesTooManySets() {
    let sets = (0..<300).map { "[\\x{\(String(0x4E00 + $0, radix: 16))}]" }.joined(separator: "|")
    #expect(throws: PatternError.self) { try Pattern(sets) }
  }

  /// Expressions and texts on which a plain backtracking engine takes exponential or quadratic time.
  @Test(
    arguments: [
      ("(?:a+)+b", "a"), ("(?:a|aa)+b", "a"), ("(?:a|a)*b|a", "a"), ("a*b|a", "a"), ("a++b|a", "a"),
      ("(?:a+)+(?:a+)+(?:a+)+$|b", "a"), ("a*a*a*a*a*a*b", "a"), ("(?:a{1,3}+)+b|a", "a"),
      ("a?a?a?a?a?a?a?a?b", "a"),
      ("(?:a*+b|a)+c", "a"), ("a+?b|a", "a"), ("(?:(?:a|b)*c|a)*d", "ab"),
      ("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", " "),
      ("\\s*\\n|\\s+$|\\s", " "), ("(?:é|éé)+b", "é"), ("(?:\\s+ )+x|.", " \n"),
    ])
  func takesLinearTime(_ source: String, _ unit: String) throws {
    let pattern = try Pattern(source)
    var perByte: [Int] = []
    for size in [10_000, 100_000] {
      let text = Array(String(repeating: unit, count: size / unit.utf8.count).utf8)
      perByte.append(pattern.matches(in: text).steps / text.count)
    }
    // At most the free allowance and then each (instruction, position) once, with the length of runs.
    #expect(perByte[0] < 300 && perByte[1] < 300, "\(source): \(perByte) steps a byte")
  }

  @Test func lookaheadEndsWithTheText() throws {
    #expect(try Pattern("a(?!b)").matches(in: Array("a".utf8)).ranges == [0..<1])
    #expect(try Pattern("a(?=b)").matches(in: Array("a".utf8)).ranges == [])
    #expect(try Pattern("").matches(in: Array("é".utf8)).ranges == [0..<0, 2..<2])
    #expect(try Pattern("a*").matches(in: Array("baa".utf8)).ranges == [0..<0, 1..<3])
  }
}
