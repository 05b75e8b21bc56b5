import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// Tokenizers of characters in GGUF: SentencePiece's pieces with scores, and ranks of tiktoken.
@Suite struct GGUFPieceTests {
  private static let texts = [
    "The kiln cools", " leading  spaces ", "über\u{3000}漢字\n\n\tcode(x)", "<0x41>▁▁a", "", "12345 don't",
    "e\u{301}\u{10FFFF}", "<s>text</s> <x> y",
  ]

  private func file(_ name: String) throws -> [UInt8] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return Array(try Data(contentsOf: tests.appending(path: "Fixtures/tokenizer/\(name)")))
  }

  /// The nano model with another tokenizer.
  private func model(_ files: [String: [UInt8]]) throws -> Model {
    var model = try Model.read(Fixture.nano).decoded(to: .bf16)
    model.sideFiles.removeAll { $0.name.hasPrefix("tokenizer") || $0.name == "special_tokens_map.json" }
    for (name, bytes) in files { model.sideFiles.append(SideFile(name: name, bytes: Bytes(bytes))) }
    return model
  }

  private func written(_ model: Model, _ scratch: Scratch) async throws -> (GGUFContent, Tokenizer) {
    let path = scratch.path + "/x.gguf"
    try? FileManager.default.removeItem(atPath: path)
    _ = try await model.write(path, as: .gguf, WriteOptions())
    return (GGUFContent(try contents(path)), try #require(try Tokenizer(gguf: path)))
  }

  private func refusal(_ files: [String: [UInt8]]) async throws -> String {
    let scratch = try Scratch()
    do {
      _ = try await model(files).write(scratch.path + "/x.gguf", as: .gguf, WriteOptions())
      return "written"
    } catch {
      return "\(error)"
    }
  }

  private let config = """
    {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>",
     "add_bos_token": true, "add_eos_token": false, "legacy": true, "added_tokens_decoder": {
     "0": {"content": "<unk>", "special": true}, "1": {"content": "<s>", "special": true},
     "2": {"content": "</s>", "special": true}, "700": {"content": "<x>", "special": false},
     "701": {"content": "<|end|>", "special": false}}}
    """

  @Test func piecesComeBack() async throws {
    let scratch = try Scratch()
    let source = try model([
      "tokenizer.model": file("pieces/llama.model"), "tokenizer_config.json": Array(config.utf8),
    ])
    let original = try Tokenizer(of: source)
    let (content, back) = try await written(source, scratch)
    #expect(content["tokenizer.ggml.model"] == "llama" && content["tokenizer.ggml.pre"] == "default")
    #expect(
      content["tokenizer.ggml.bos_token_id"] == "1" && content["tokenizer.ggml.unknown_token_id"] == "0")
    #expect(content["tokenizer.ggml.add_bos_token"] == "1" && content["tokenizer.ggml.add_eos_token"] == "0")
    #expect(content["tokenizer.ggml.add_space_prefix"] == nil && content["tokenizer.ggml.merges"] == nil)
    #expect(content["tokenizer.ggml.tokens"]?.hasSuffix("first <unk>, last [PAD2047]") == true)
    #expect(content["tokenizer.ggml.scores"]?.hasSuffix("last -10000.0") == true)
    #expect(back.prefix == [1] && back.suffix.isEmpty && back.piece(700) == "<x>")
    for text in Self.texts {
      #expect(back.encode(text) == original.encode(text), "\(text.debugDescription)")
      #expect(back.decode(original.encode(text)) == original.decode(original.encode(text)))
    }
    // A model read from the file has the same tokenizer, and writes the same keys.
    let again = try Model.read(scratch.path + "/x.gguf")
    #expect(try Tokenizer(of: again).encode("a<x>b") == original.encode("a<x>b"))
    let second = try Scratch()
    let (copy, _) = try await written(again, second)
    for key in ["tokens", "scores", "token_type", "model", "pre", "add_bos_token"] {
      #expect(copy["tokenizer.ggml.\(key)"] == content["tokenizer.ggml.\(key)"], "\(key)")
    }
  }

  @Test func userDefinedPiecesAndNoSpace() async throws {
    let scratch = try Scratch()
    let source = try model(["tokenizer.model": file("pieces/gemma.model")])
    let original = try Tokenizer(of: source)
    let (content, back) = try await written(source, scratch)
    #expect(content["tokenizer.ggml.add_space_prefix"] == "0" && back.prefix == [2])
    #expect(back.addedTokens.contains { $0.content == "  " && !$0.isSpecial })
    for text in Self.texts + ["the   kilns\n\n\n<left> the <lefty"] {
      #expect(back.encode(text) == original.encode(text), "\(text.debugDescription)")
    }
  }

  /// Scores by the places of merges give the tokens of tokenizer.json.
  @Test(arguments: ["llama2", "gemma", "mistral"]) func charactersOfTokenizerJSON(_ name: String) async throws
  {
    let scratch = try Scratch()
    let source = try model(["tokenizer.json": file("kinds/\(name).json")])
    let original = try Tokenizer(of: source)
    let (content, back) = try await written(source, scratch)
    #expect(content["tokenizer.ggml.model"] == "llama")
    #expect((content["tokenizer.ggml.add_space_prefix"] == "0") == (name == "gemma"))
    let kinds = try JSON.parse(file("kinds/kinds.json"), path: "kinds.json")
    let texts = try #require(kinds["texts"]?.array).compactMap(\.string)
    func tokens(_ tokenizer: Tokenizer, _ text: String) -> [Int] {
      tokenizer.encode(text, addingSpecialTokens: false, parsingSpecialTokens: false)
    }
    // Added tokens of these that strip spaces or are normalized have no such keys, and Metaspace adds no second space.
    let plain = texts.filter { text in
      !original.addedTokens.contains { text.contains($0.content) } && text.unicodeScalars.first != " "
        && text.unicodeScalars.first != "\u{2581}"
    }
    #expect(plain.count > 130)
    var different = 0
    for text in plain where tokens(back, text) != tokens(original, text) { different += 1 }
    // Hugging Face's joins a pair of one rank before the leftmost of the same piece.
    #expect(different * 50 < plain.count, "\(different) of \(plain.count)")
  }

  @Test func ranksAreByteLevelWithMerges() async throws {
    let scratch = try Scratch()
    let source = try model([
      "tiktoken.model": file("pieces/kimi/tiktoken.model"),
      "tokenizer_config.json": file("pieces/kimi/tokenizer_config.json"),
    ])
    let original = try Tokenizer(of: source)
    let (content, back) = try await written(source, scratch)
    #expect(content["tokenizer.ggml.model"] == "gpt2" && content["tokenizer.ggml.pre"] == "kimi-k2")
    #expect(content["tokenizer.ggml.merges"]?.hasPrefix("304 of type 8") == true)
    for text in Self.texts + ["漢字Ab 1234[EOS]<left>"] {
      #expect(back.encode(text) == original.encode(text), "\(text.debugDescription)")
    }
  }

  @Test func refusesWhatLlamaCppWouldCutOtherwise() async throws {
    let unigram = try await refusal(["tokenizer.model": file("pieces/t5.model")])
    #expect(unigram.contains("(tokenizer.model)") && unigram.contains("unigram"), "\(unigram)")
    let normalized = try await refusal(["tokenizer.model": file("pieces/bpe.model")])
    #expect(normalized.contains("without normalization"), "\(normalized)")
    let words = try await refusal(["tokenizer.json": file("kinds/whitespace.json")])
    #expect(words.contains("byte_fallback"), "\(words)")
  }

  // MARK: Keys made by hand

  private func keys(_ model: String, _ change: (inout GGUFBytes) -> Void = { _ in }) throws -> Tokenizer? {
    func array<T>(_ type: UInt32, _ values: [T], _ bytes: (T) -> [UInt8]) -> [UInt8] {
      GGUFBytes.little(type) + GGUFBytes.little(UInt64(values.count)) + values.flatMap(bytes)
    }
    let pieces: [(String, Float, Int32)] = [
      ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("a", -9, 1), ("b", -9, 1), ("ab", -2, 1),
      ("ba", -1, 1),
      ("\u{2581}", -9, 1), ("\u{2581}a", -3, 1), ("<x>", -1000, 4), ("", 0, 1), ("aba", -1, 1),
    ]
    var file = GGUFBytes()
    file.add("general.architecture", "llama")
    file.add("tokenizer.ggml.model", model)
    file.add("tokenizer.ggml.tokens", 9, array(8, pieces) { GGUFBytes.text($0.0) })
    file.add("tokenizer.ggml.scores", 9, array(6, pieces) { GGUFBytes.little($0.1.bitPattern) })
    file.add("tokenizer.ggml.token_type", 9, array(5, pieces) { GGUFBytes.little($0.2) })
    change(&file)
    let scratch = try Scratch()
    let path = scratch.path + "/x.gguf"
    try Data(file.bytes).write(to: URL(filePath: path))
    return try Tokenizer(gguf: path)
  }

  @Test func keysDecide() throws {
    let plain = try #require(try keys("llama"))
    // The highest score first, of equal ones the leftmost; an empty token has a name.
    #expect(plain.encode("abab") == [1, 7, 11, 4] && plain.piece(10) == "[EMPTY_10]")
    #expect(plain.encode("aba<x>a", addingSpecialTokens: false) == [7, 11, 9, 8])
    #expect(plain.encode("<s>a", addingSpecialTokens: false, parsingSpecialTokens: false) != [1, 8])
    let bare = try #require(
      try keys("llama") {
        $0.add("tokenizer.ggml.add_space_prefix", 7, [0])
        $0.add("tokenizer.ggml.add_bos_token", 7, [0])
        $0.add("tokenizer.ggml.add_eos_token", 7, [1])
      })
    #expect(bare.encode("ab") == [5, 2] && bare.encode(" a") == [8, 2])
    let unigram = try #require(
      try keys("t5") {
        $0.add("tokenizer.ggml.unknown_token_id", uint32: 0)
        $0.add("tokenizer.ggml.eos_token_id", uint32: 2)
      })
    #expect(unigram.encode("aba") == [11, 2] && unigram.encode("a c") == [3, 7, 0, 2])
    #expect(throws: FormatError.self) {
      try keys("llama") {
        $0.set("tokenizer.ggml.scores", 9, GGUFBytes.little(UInt32(6)) + GGUFBytes.little(UInt64(0)))
      }
    }
    #expect(try keys("bert") == nil)
  }
}
