import Foundation
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// Files under Tests/Fixtures.
func fixture(_ name: String) throws -> [UInt8] {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  return Array(try Data(contentsOf: tests.appending(path: "Fixtures").appending(path: name)))
}

func tokenizer(_ name: String) throws -> Tokenizer {
  if name == "m2-nano" {
    return try Tokenizer(
      json: fixture("m2-nano/tokenizer.json"), path: "m2-nano/tokenizer.json",
      config: fixture("m2-nano/tokenizer_config.json"))
  }
  return try Tokenizer(json: fixture("tokenizer/\(name).json"), path: "\(name).json", config: nil)
}

/// Tokens and texts as Hugging Face tokenizers has them, made by scripts/tools make-tokenizer-vectors.
struct TokenizerVectors {
  static let shared = Result { try TokenizerVectors() }

  let texts: [String]
  let sets: [String: JSON]
  private let values: [UInt8: Int]

  init() throws {
    let json = try JSON.parse(fixture("tokenizer/vectors.json"), path: "vectors.json")
    texts = try #require(json["texts"]?.array).map { try #require($0.string) }
    let named = try #require(json["sets"]?.array).map { (try #require($0["name"]?.string), $0) }
    sets = Dictionary(uniqueKeysWithValues: named)
    let alphabet = try #require(json["alphabet"]?.string)
    values = Dictionary(uniqueKeysWithValues: alphabet.utf8.enumerated().map { ($1, $0) })
  }

  /// Two characters a token, the higher six bits first.
  func ids(_ json: JSON?) throws -> [Int] {
    let digits = try #require(json?.string).utf8.map { try #require(values[$0]) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 6 | digits[$0 + 1] }
  }
}

private let names = [
  "m2-nano", "gpt2", "spaced", "llama3", "gpt4", "deepseek", "han", "digits", "behaviors", "unknown",
]

@Suite("Tokenizer against Hugging Face tokenizers") struct TokenizerVectorTests {
  @Test(arguments: names) func encodesAndDecodesAlike(_ name: String) throws {
    let vectors = try TokenizerVectors.shared.get()
    let set = try #require(vectors.sets[name])
    let tokenizer = try tokenizer(name)
    #expect(tokenizer.prefix == set["prefix"]?.array?.compactMap(\.int))
    #expect(tokenizer.suffix == set["suffix"]?.array?.compactMap(\.int))

    var decoded: [Int: String] = [:]
    for pair in try #require(set["inexact"]?.array) {
      decoded[try #require(pair.array?[0].int)] = try #require(pair.array?[1].string)
    }
    var different = 0
    let cases = try #require(set["cases"]?.array)
    for entry in cases {
      let index = try #require(entry.array?[0].int)
      let text = vectors.texts[index]
      let expected = try vectors.ids(entry.array?[1])
      let found = tokenizer.encode(text, addingSpecialTokens: false)
      let back = tokenizer.decode(expected)
      let same = found == expected && back.utf8.elementsEqual((decoded[index] ?? text).utf8)
      if !same {
        different += 1
        if different < 5 {
          Issue.record("\(name): text \(index) \(text.debugDescription): \(found) for \(expected), \(back)")
        }
      }
      #expect(tokenizer.encode(text) == tokenizer.prefix + found + tokenizer.suffix)
    }
    #expect(different == 0, "of \(cases.count) texts")
    if name == "m2-nano" { #expect(cases.count >= 3000) }
  }

  @Test(arguments: names) func decodesAnyTokensAlike(_ name: String) throws {
    let vectors = try TokenizerVectors.shared.get()
    let set = try #require(vectors.sets[name])
    let tokenizer = try tokenizer(name)
    for entry in try #require(set["decodings"]?.array) {
      let parts = try #require(entry.array)
      let ids = try vectors.ids(parts[0])
      let text = tokenizer.decode(ids, skippingSpecialTokens: parts[1] == true)
      #expect(text.utf8.elementsEqual(try #require(parts[2].string).utf8), "\(name): \(ids)")
    }
  }

  @Test func readsTheModelsOwnFile() throws {
    let tokenizer = try tokenizer("m2-nano")
    #expect(tokenizer.vocabularySize == 2048)
    #expect(tokenizer.merges.count == 1785)
    #expect(tokenizer.addedTokens.map(\.id) == Array(2041...2047))
    #expect(tokenizer.addedTokens.filter(\.isSpecial).map(\.content) == ["]~b]", "[e~[", "]~!b["])
    #expect(tokenizer.beginToken == 2043 && tokenizer.endToken == 2042)
    #expect(tokenizer.addBeginTokenFlag == nil && !tokenizer.addsBeginToken && tokenizer.prefix.isEmpty)
    #expect(tokenizer.pattern?.hasPrefix(#"[^\r\n\p{L}\p{N}]?[\p{Lu}"#) == true)
    #expect(tokenizer.piece(0) == "!" && tokenizer.piece(2044) == "<think>")
    #expect(tokenizer.piece(-1) == nil && tokenizer.piece(2048) == nil)
    #expect(tokenizer.decode([-5, 0, 99_999, 2042], skippingSpecialTokens: true) == "!")
  }

  @Test func beginTokenOnlyWhereTheFileAddsIt() throws {
    let json = try fixture("tokenizer/llama3.json")
    let config = Array(#"{"bos_token": {"content": "<|begin|>"}, "add_bos_token": true}"#.utf8)
    let tokenizer = try Tokenizer(json: json, path: "x/tokenizer.json", config: config)
    #expect(tokenizer.addsBeginToken && tokenizer.addBeginTokenFlag == true)
    #expect(tokenizer.encode("").count == 2 && tokenizer.encode("", addingSpecialTokens: false).isEmpty)
    let without = try Tokenizer(
      json: fixture("m2-nano/tokenizer.json"), path: "tokenizer.json",
      config: Array(#"{"bos_token": "]~!b[", "add_bos_token": true}"#.utf8))
    #expect(!without.addsBeginToken && without.addBeginTokenFlag == true && without.encode("").isEmpty)
  }
}
