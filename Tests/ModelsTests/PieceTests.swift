import IngotSystem
import IngotTokenizer
import Testing

/// SentencePiece models and files of ranks against sentencepiece and tiktoken (Tests/Fixtures/tokenizer/pieces, made by
/// scripts/tools make-piece-vectors).
@Suite struct PieceTests {
  static let models = [
    "llama", "gemma", "bpe", "suffix", "t5", "unigram", "unused", "unused-unigram", "lone", "ties",
  ]

  private func tokenizer(_ name: String, config: String? = nil) throws -> Tokenizer {
    try Tokenizer(
      sentencePieces: fixture("tokenizer/pieces/\(name).model"), path: "m/tokenizer.model",
      config: config.map { Array($0.utf8) })
  }

  private func ranks(config: String? = nil) throws -> Tokenizer {
    let folder = "tokenizer/pieces/kimi"
    return try Tokenizer(
      tiktoken: fixture("\(folder)/tiktoken.model"), path: "m/tiktoken.model",
      config: config.map { Array($0.utf8) } ?? fixture("\(folder)/tokenizer_config.json"))
  }

  private func message(_ body: () throws(FormatError) -> Void) -> String {
    do throws(FormatError) {
      try body()
      return "read"
    } catch {
      return error.description
    }
  }

  @Test(arguments: models + ["kimi"]) func encodesAlike(_ name: String) throws {
    let vectors = try TokenizerVectors.shared.get()
    let texts = try #require(
      JSON.parse(fixture("tokenizer/kinds/kinds.json"), path: "kinds.json")["texts"]?.array
    ).compactMap(\.string)
    let sets = try #require(JSON.parse(fixture("tokenizer/pieces/pieces.json"), path: "p")["sets"]?.array)
    #expect(sets.count == Self.models.count + 1)
    let set = try #require(sets.first { $0["name"]?.string == name })
    let cases = try #require(set["cases"]?.array)
    let tokenizer = name == "kimi" ? try ranks() : try tokenizer(name)
    var different = 0
    for entry in cases {
      let text = texts[try #require(entry.array?[0].int)]
      let expected = try vectors.ids(entry.array?[1])
      let found = tokenizer.encode(text, addingSpecialTokens: false, parsingSpecialTokens: name == "kimi")
      if found != expected {
        different += 1
        if different < 4 {
          Issue.record(
            "\(name): \(text.debugDescription): \(found.map { tokenizer.piece($0) ?? "?" }) for \(expected.map { tokenizer.piece($0) ?? "?" })"
          )
        }
      }
      // Nothing is lost where bytes stand in for characters and nothing is normalized.
      if ["llama", "gemma", "kimi"].contains(name) { #expect(tokenizer.decode(expected) == text) }
    }
    #expect(different == 0 && cases.count >= 70)
  }

  @Test(arguments: models) func writesWhatItReads(_ name: String) throws {
    let model = try SentencePieceModel(fixture("tokenizer/pieces/\(name).model"), path: "m")
    let again = try SentencePieceModel(model.encoded(), path: "again")
    #expect(again == model && model.pieces.count > 250)
    let one = try tokenizer(name)
    let other = try Tokenizer(sentencePieces: model.encoded(), path: "again", config: nil)
    #expect(one.isEquivalent(to: other) && !one.isByteLevel)
  }

  /// Special tokens by transformers' settings: `legacy` puts a space before each stretch of text.
  @Test func settingsSayWhatGoesAround() throws {
    let config = """
      {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": true, "add_eos_token": true, "legacy": LEGACY,
       "added_tokens_decoder": {"0": {"content": "<unk>", "special": true}, "1": {"content": "<s>", "special": true},
       "2": {"content": "</s>", "special": true}, "700": {"content": "<x>", "special": false, "lstrip": true}}}
      """
    let plain = try tokenizer("llama")
    #expect(plain.prefix == [1] && plain.suffix.isEmpty && plain.addedTokens.map(\.id) == [0, 1, 2])
    let legacy = try tokenizer("llama", config: config.replacing("LEGACY", with: "true"))
    let newer = try tokenizer("llama", config: config.replacing("LEGACY", with: "false"))
    #expect(legacy.prefix == [1] && legacy.suffix == [2] && legacy.addedTokens.map(\.id) == [0, 1, 2, 700])
    #expect(legacy.vocabularySize == 701 && legacy.piece(700) == "<x>")
    let space = try #require(plain.tokens.firstIndex(of: "\u{2581}"))
    let letter = try #require(plain.tokens.firstIndex(of: "a"))
    func ids(_ tokenizer: Tokenizer, _ text: String) -> [Int] {
      tokenizer.encode(text, addingSpecialTokens: false)
    }
    let first = ids(legacy, "a")
    #expect(first == ids(plain, "a") && (first == [space, letter] || first.count == 1))
    #expect(ids(legacy, "a  <x>a") == first + [700] + first)
    #expect(ids(newer, "a  <x>a") == first + [700, letter])
    #expect(ids(newer, "<s>a") == [1, letter] && ids(legacy, "<s>a") == [1] + first)
    #expect(!legacy.isEquivalent(to: newer) && legacy.decode([1, 700] + first) == "<s><x> a")
    // Without a begin token in front, as Gemma's models have it, no space is put anywhere.
    let gemma = try tokenizer("gemma")
    #expect(gemma.prefix == [2] && gemma.decode(ids(gemma, " a")) == " a")
    #expect(try tokenizer("t5").prefix.isEmpty && tokenizer("t5").suffix == [1])
  }

  @Test func ranksHaveSpecialTokensBehindThem() throws {
    let tokenizer = try ranks()
    #expect(tokenizer.vocabularySize == 560 + 256 && tokenizer.isByteLevel && tokenizer.ignoresMerges)
    #expect(tokenizer.beginToken == 560 && tokenizer.endToken == 561 && tokenizer.prefix.isEmpty)
    #expect(tokenizer.encode("[BOS]<|reserved_token_563|><left>[EOS]") == [560, 563, 562, 561])
    #expect(!tokenizer.encode("[BOS]", parsingSpecialTokens: false).contains(560))
    #expect(tokenizer.merges.count == 560 - 256)
    for (index, merge) in tokenizer.merges.enumerated() { #expect(Int(merge.result) == 256 + index) }
    let other = message { () throws(FormatError) in
      _ = try Tokenizer(
        tiktoken: Array("AA== 0\n".utf8), path: "m/tiktoken.model",
        config: Array(#"{"tokenizer_class": "QWenTokenizer"}"#.utf8))
    }
    #expect(other.contains("tokenizer_class") && other.contains("QWenTokenizer"))
  }

  @Test(arguments: [
    ("", "none"), ("AA==\n", "line 1"), ("AA== 0\nAA== 0\n", "line 2"),
    ("AA== 0\nAQ== 1\n", "a token for each byte"),
    ("A 0\n", "line 1"), ("AA== x\n", "line 1"), ("A=A= 0\n", "line 1"), ("AA== 4194304\n", "line 1"),
    ("AA== 4000000\n", "leave few numbers free"), (" 0\n", "line 1"), ("AA== -1\n", "line 1"),
  ])
  func refusesOtherRanks(_ text: String, _ words: String) {
    let text = message { () throws(FormatError) in
      _ = try Tokenizer(tiktoken: Array(text.utf8), path: "m/tiktoken.model", config: nil)
    }
    #expect(text.hasPrefix("m/tiktoken.model") && (words == "none" || text.contains(words)), "\(text)")
  }

  @Test func refusesOtherModels() throws {
    let good = try SentencePieceModel(fixture("tokenizer/pieces/llama.model"), path: "m")
    func changed(_ change: (inout SentencePieceModel) -> Void) -> String {
      var model = good
      change(&model)
      return message { () throws(FormatError) in
        _ = try SentencePieceModel(model.encoded(), path: "m/t.model")
      }
    }
    #expect(changed { _ in } == "read")
    #expect(changed { $0.pieces[9].text = $0.pieces[8].text }.contains("a second time"))
    #expect(changed { $0.pieces[300].text = [] }.contains("piece 300 of 1 to 1024 bytes"))
    #expect(changed { $0.pieces[300].text = [0xFF] }.contains("UTF-8"))
    #expect(changed { $0.pieces[300].score = .nan }.contains("a score"))
    #expect(changed { $0.pieces[0].kind = .normal }.contains("one unknown piece"))
    #expect(changed { $0.pieces[5].text = Array("x<".utf8) }.contains("a piece for each byte"))
    #expect(changed { $0.pieces = [] }.contains("none"))
    for map in [[1], [0, 0, 0, 0, 0], [8, 0, 0, 0, 1, 2, 3, 4, 0], [4, 0, 0, 0, 1, 2, 3, 4, 5]] as [[UInt8]] {
      var model = good
      model.characterMap = map
      let text = message { () throws(FormatError) in
        _ = try Tokenizer(sentencePieces: model.encoded(), path: "m/t.model", config: nil)
      }
      #expect(text.contains("precompiled_charsmap"), "\(map)")
    }
    let none = message { () throws(FormatError) in _ = try Tokenizer(folder: "m") { _ in nil } }
    #expect(
      none
        == "m: expected tokenizer.json, tokenizer.model, tiktoken.model, or vocab.json with merges.txt, found none"
    )
  }

  /// Files cut off and with bytes changed: an error or a tokenizer.
  @Test(arguments: ["gemma", "t5"]) func neverCrashes(_ name: String) throws {
    let file = try fixture("tokenizer/pieces/\(name).model")
    for length in stride(from: 0, to: file.count, by: 37) {
      _ = try? Tokenizer(sentencePieces: Array(file[..<length]), path: "m", config: nil)
    }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var changed = file
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        changed[Int.random(in: 0..<file.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if let tokenizer = try? Tokenizer(sentencePieces: changed, path: "m", config: nil) {
        _ = tokenizer.decode(tokenizer.encode("the ﬁrst\n\n\u{3000}kiln\u{212B} <left> 12\u{301}"))
      }
    }
  }

  /// A million of one thing: quadratic time would be minutes.
  @Test(arguments: [" ", "a", "\n", "漢", "the ", "<left", "ﬁ"]) func longTexts(_ unit: String) throws {
    let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
    for name in ["gemma", "t5"] {
      let tokenizer = try tokenizer(name)
      let time = ContinuousClock().measure { _ = tokenizer.encode(text) }
      #expect(time < .seconds(30), "\(name), \(unit.debugDescription): \(time)")
    }
  }
}
