import IngotSystem
import IngotTokenizer
import Testing

/// Normalizers, pre-tokenizers and decoders of published families, against Hugging Face tokenizers
/// (Tests/Fixtures/tokenizer/kinds, made by scripts/tools make-tokenizer-vectors).
@Suite struct TokenizerKindTests {
  static let names = [
    "qwen", "nfd", "nfkc", "nfkd", "llama2", "gemma", "mistral", "metaspace", "metaspace-never",
    "metaspace-first",
    "falcon", "punctuation", "after", "whitespace", "whitespace-split", "nothing",
    "gpt-oss", "kimi", "glm", "qwen35", "deepseek-v3",
  ]

  private func tokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(json: fixture("tokenizer/kinds/\(name).json"), path: "\(name).json", config: nil)
  }

  @Test(arguments: names) func encodesAndDecodesAlike(_ name: String) throws {
    let vectors = try TokenizerVectors.shared.get()
    let kinds = try JSON.parse(fixture("tokenizer/kinds/kinds.json"), path: "kinds.json")
    let texts = try #require(kinds["texts"]?.array).compactMap(\.string)
    let sets = try #require(kinds["sets"]?.array)
    #expect(sets.count == Self.names.count)
    let set = try #require(sets.first { $0["name"]?.string == name })
    let tokenizer = try tokenizer(name)
    var different = 0
    let cases = try #require(set["cases"]?.array)
    for entry in cases {
      let parts = try #require(entry.array)
      let text = texts[try #require(parts[0].int)]
      let expected = try vectors.ids(parts[1])
      let found = tokenizer.encode(text, addingSpecialTokens: false)
      let back = tokenizer.decode(expected)
      let expectedText = parts.count > 2 ? try #require(parts[2].string) : text
      guard found != expected || !back.utf8.elementsEqual(expectedText.utf8) else { continue }
      different += 1
      if different < 4 {
        Issue.record(
          """
          \(name): \(text.debugDescription)
          \(found.map { tokenizer.piece($0) ?? "?" }) for
          \(expected.map { tokenizer.piece($0) ?? "?" });
          \(back.debugDescription) for \(expectedText.debugDescription)
          """)
      }
    }
    #expect(different == 0 && cases.count > 50, "\(different) of \(cases.count) texts")
    for entry in try #require(set["decodings"]?.array) {
      let parts = try #require(entry.array)
      let text = tokenizer.decode(try vectors.ids(parts[0]), skippingSpecialTokens: parts[1] == true)
      #expect(text.utf8.elementsEqual(try #require(parts[2].string).utf8), "\(name): \(parts)")
    }
  }

  @Test func knowsWhatWordsAre() throws {
    #expect(try tokenizer("qwen").isByteLevel && tokenizer("falcon").isByteLevel)
    #expect(try !tokenizer("llama2").isByteLevel && !tokenizer("whitespace").isByteLevel)
    // The same vocabulary under another normalizer gives other tokens.
    let json = String(decoding: try fixture("tokenizer/kinds/qwen.json"), as: UTF8.self)
    let other = json.replacing("{\"type\":\"NFC\"}", with: "{\"type\":\"NFD\"}")
    #expect(other != json)
    let changed = try Tokenizer(json: Array(other.utf8), path: "x", config: nil)
    #expect(try !changed.isEquivalent(to: tokenizer("qwen")))
  }

  /// What is not supported is refused with the file, the key and a way out.
  @Test func refusesOthersByPlace() throws {
    let json = String(decoding: try fixture("tokenizer/kinds/llama2.json"), as: UTF8.self)
    func message(_ old: String, _ new: String) -> String? {
      let changed = json.replacing(old, with: new)
      #expect(changed != json, "\(old)")
      do throws(FormatError) {
        _ = try Tokenizer(json: Array(changed.utf8), path: "m/tokenizer.json", config: nil)
        return nil
      } catch {
        return error.description
      }
    }
    let prepend = #"{"type":"Prepend","prepend":"▁"}"#
    for (new, words) in [
      (#"{"type":"Precompiled","precompiled_charsmap":""}"#, "normalizer.normalizers[0].type"),
      (#"{"type":"BertNormalizer"}"#, "conversions do not need it"),
      (#"{"type":"Prepend"}"#, "normalizer.normalizers[0].prepend"),
      (
        #"{"type":"Replace","pattern":{"String":""},"content":"x"}"#,
        "normalizer.normalizers[0].pattern.String"
      ),
      (
        #"{"type":"Replace","pattern":{"Regex":"(a)\\1"},"content":"x"}"#, "normalizer.normalizers[0].pattern"
      ),
      (#"{"type":"Sequence"}"#, "normalizer.normalizers[0].normalizers"),
    ] {
      let text = message(prepend, new)
      #expect(
        text?.hasPrefix("m/tokenizer.json: ") == true && text?.contains(words) == true, "\(text ?? "read")")
    }
    for (old, new, words) in [
      (
        #""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"Metaspace","replacement":"ab"}"#,
        "pre_tokenizer.replacement"
      ),
      (
        #""pre_tokenizer":null"#,
        #""pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}"#,
        "pre_tokenizer.prepend_scheme"
      ),
      (#""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"BertPreTokenizer"}"#, "pre_tokenizer.type"),
      (
        #""pre_tokenizer":null"#,
        #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"ByteLevel","add_prefix_space":false}]}"#,
        "may follow ByteLevel"
      ),
      (#"{"type":"Fuse"}"#, #"{"type":"CTC"}"#, "decoder.decoders[2].type"),
      (#""content":" ","start":1"#, #""content":"","start":1"#, "decoder.decoders[3].content"),
      ("<0x41>", "<0x4_>", "'<0x41>'"),
    ] {
      let text = message(old, new)
      #expect(text?.contains(words) == true, "\(words): \(text ?? "read")")
    }
  }

  /// Every normalizer, pre-tokenizer and decoder with every vocabulary, and files with bytes changed: refused, or read and used
  /// without a crash.
  @Test func anyPartsTogetherAreSafe() throws {
    let text = "Å a\u{0301}\u{0323} <x> 12 \u{1100}\u{1161}\u{11A8} ﬁ don't\n  ▁é\u{1F469}\u{200D}\u{1F52C}"
    let files = try Self.names.map { try fixture("tokenizer/kinds/\($0).json") }
    var read = 0
    func use(_ json: [UInt8]) {
      guard let tokenizer = try? Tokenizer(json: json, path: "x", config: nil) else { return }
      let ids = tokenizer.encode(text)
      _ = tokenizer.decode(ids + [0, 5, tokenizer.vocabularySize - 1])
      read += 1
    }
    /// What stands between one key of the top and the next.
    func part(_ file: String, _ key: String, before next: String) -> Substring {
      guard let start = file.firstRange(of: ",\"\(key)\":"), let end = file.firstRange(of: ",\"\(next)\":")
      else { return "" }
      return file[start.upperBound..<end.lowerBound]
    }
    for (index, file) in files.enumerated() {
      let base = String(decoding: file, as: UTF8.self)
      let other = String(decoding: files[(index * 7 + 3) % files.count], as: UTF8.self)
      for (key, next) in [
        ("normalizer", "pre_tokenizer"), ("pre_tokenizer", "post_processor"), ("decoder", "model"),
      ] {
        let (old, new) = (part(base, key, before: next), part(other, key, before: next))
        #expect(!old.isEmpty && !new.isEmpty)
        let mixed = base.replacing(",\"\(key)\":\(old)", with: ",\"\(key)\":\(new)")
        use(Array(mixed.utf8))
      }
    }
    #expect(read >= 30)
    var state: UInt64 = 1
    for file in files {
      for _ in 0..<12 {
        var changed = file
        for _ in 0..<3 {
          state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          // Most of what is not vocabulary stands in the first part of a file.
          changed[Int(state >> 33) % 1600] = UInt8(truncatingIfNeeded: state >> 25) & 0x7F
        }
        use(changed)
      }
    }
  }

  /// Marks without end take time in proportion, and texts may grow where a form says so.
  @Test func longTextsTakeTimeInProportion() throws {
    let marks = String(repeating: "\u{0301}\u{0323}\u{05B0}", count: 4000)
    let wide = String(repeating: "\u{FDFA}", count: 1000)
    let plain = String(repeating: "▁", count: 20_000)
    for name in ["qwen", "nfkd", "llama2", "metaspace", "falcon"] {
      let tokenizer = try tokenizer(name)
      let took = ContinuousClock().measure {
        for text in [marks, wide, plain, "a" + marks] { _ = tokenizer.decode(tokenizer.encode(text)) }
      }
      #expect(took < .seconds(20), "\(name): \(took)")
    }
  }
}
