import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// Cuts into words that llama.cpp knows by name, and tokenizers out of a GGUF file's keys.
@Suite struct GGUFPreTokenizerTests {
  @Test func namesOccurOnce() {
    let names = GGUFPreTokenizer.all.flatMap(\.names)
    #expect(Set(names).count == names.count)
    for name in [
      "minimax-m2", "gpt-2", "default", "llama-bpe", "qwen2", "qwen35", "smollm", "gpt-4o", "tekken",
      "deepseek-v3",
      "deepseek-llm", "deepseek-coder", "starcoder", "refact", "glm4", "chatglm-bpe", "falcon", "command-r",
      "olmo",
      "dbrx", "phi-2", "mpt",
    ] { #expect(names.contains(name)) }
  }

  /// Otherwise a cut could be taken for another one.
  @Test func theSampleTellsCutsApart() {
    let all = GGUFPreTokenizer.all.map { ($0, $0.cut.words(of: GGUFPreTokenizer.sample)) }
    for (one, words) in all {
      #expect(words.joined() == GGUFPreTokenizer.sample, "\(one.names[0])")
      for (other, otherWords) in all where one.cut != other.cut {
        #expect(words != otherWords, "\(one.names[0]) and \(other.names[0])")
      }
    }
  }

  @Test(arguments: [
    ("smollm", "It's 123 a's", ["It", "'s", " ", "1", "2", "3", " a", "'s"]),
    ("llama-bpe", "IT'S 12345\n\n x", ["IT", "'S", " ", "123", "45", "\n\n", " x"]),
    ("qwen2", "a.b 12\u{301}", ["a", ".b", " ", "1", "2", "\u{301}"]),
    ("qwen35", "a.b x\u{301}y", ["a", ".b", " x\u{301}y"]),
    ("gpt-4o", "fooBar'll a/\n", ["foo", "Bar'll", " a", "/\n"]),
    ("tekken", "fooBar'll 12", ["foo", "Bar", "'ll", " ", "1", "2"]),
    ("deepseek-v3", "1234漢字かな.abc x", ["123", "4", "漢字かな", ".abc", " x"]),
    ("deepseek-llm", "ab 12!\n  ", ["ab", " ", "1", "2", "!", "\n", "  "]),
    ("deepseek-coder", "a, b漢字 7", ["a", ",", " b", "漢字", " ", "7"]),
    ("falcon", "a$` 12345", ["a", "$`", " ", "123", "45"]),
    ("default", "a$` 12345", ["a", "$", "`", " ", "123", "45"]),
    ("kimi-k2", "漢字Ab 1234", ["漢字", "Ab", " ", "123", "4"]),
  ])
  func cuts(_ name: String, _ text: String, _ words: [String]) throws {
    let known = try #require(GGUFPreTokenizer.all.first { $0.names.contains(name) })
    #expect(known.cut.words(of: text).map { Array($0.utf8) } == words.map { Array($0.utf8) })
  }

  /// A model whose tokenizer.json has the cut gets the name, and its file gives the cut back.
  @Test func everyCutComesBack() async throws {
    let scratch = try Scratch()
    let source = try Model.read(Fixture.nano).decoded(to: .bf16)
    let index = try #require(source.sideFiles.firstIndex { $0.name == "tokenizer.json" })
    let text = String(decoding: source.sideFiles[index].bytes.array, as: UTF8.self)
    let original = try #require(JSON.parse(Array(text.utf8), path: "t").object)
    for known in GGUFPreTokenizer.all {
      var changed = original
      changed["pre_tokenizer"] = known.json
      var bpe = try #require(changed["model"]?.object)
      bpe["ignore_merges"] = .bool(known.ignoresMerges)
      changed["model"] = .object(bpe)
      var model = source
      model.sideFiles[index].bytes = Bytes(Array(JSON.object(changed).text().utf8))
      let path = scratch.path + "/\(known.names[0]).gguf"
      _ = try await model.write(path, as: .gguf, WriteOptions())
      let back = try #require(try Tokenizer(gguf: path))
      #expect(back.cut == known.cut && back.ignoresMerges == known.ignoresMerges, "\(known.names[0])")
      let name = GGUFContent(try contents(path))["tokenizer.ggml.pre"]
      let first = GGUFPreTokenizer.all.first {
        $0.cut == known.cut && $0.ignoresMerges == known.ignoresMerges
      }
      #expect(name == first?.names[0])
    }
  }

  /// Nine tokens: two special ones first, as SmolLM2 has them, and a plain added one in between.
  private func keys(_ pre: String?, _ change: (inout GGUFBytes) -> Void = { _ in }) -> [UInt8] {
    func strings(_ texts: [String]) -> [UInt8] {
      GGUFBytes.little(UInt32(8)) + GGUFBytes.little(UInt64(texts.count))
        + texts.flatMap { GGUFBytes.text($0) }
    }
    var file = GGUFBytes()
    file.add("general.architecture", "llama")
    file.add("tokenizer.ggml.model", "gpt2")
    if let pre { file.add("tokenizer.ggml.pre", pre) }
    file.add("tokenizer.ggml.tokens", 9, strings(["<s>", "</s>", "a", "b", "ab", "<x>", "abb", "Ġ", "1"]))
    let kinds: [Int32] = [3, 3, 1, 1, 1, 4, 1, 1, 1]
    file.add(
      "tokenizer.ggml.token_type", 9,
      GGUFBytes.little(UInt32(5)) + GGUFBytes.little(UInt64(9)) + kinds.flatMap { GGUFBytes.little($0) })
    file.add("tokenizer.ggml.merges", 9, strings(["a b"]))
    file.add("tokenizer.ggml.bos_token_id", uint32: 0)
    file.add("tokenizer.ggml.eos_token_id", uint32: 1)
    change(&file)
    return file.bytes
  }

  private func tokenizer(_ pre: String?, _ change: (inout GGUFBytes) -> Void = { _ in }) throws -> Tokenizer?
  {
    let scratch = try Scratch()
    let path = scratch.path + "/x.gguf"
    try Data(keys(pre, change)).write(to: URL(filePath: path))
    return try Tokenizer(gguf: path)
  }

  @Test func addedTokensMayStandAnywhere() throws {
    let tokenizer = try #require(try tokenizer("smollm"))
    #expect(tokenizer.tokens == ["<s>", "</s>", "a", "b", "ab", "<x>", "abb", "Ġ", "1"])
    #expect(
      tokenizer.addedTokens.map(\.id) == [0, 1, 5]
        && tokenizer.addedTokens.map(\.isSpecial) == [true, true, false])
    #expect(tokenizer.beginToken == 0 && tokenizer.endToken == 1 && tokenizer.prefix.isEmpty)
    #expect(tokenizer.encode("<s>ab<x> b11") == [0, 4, 5, 7, 3, 8, 8])
    // Special tokens as text: only the bytes that have tokens are left of them.
    #expect(tokenizer.encode("<s>ab<x>", parsingSpecialTokens: false) == [4, 5])
  }

  @Test func namesDecideWhatKeysDoNot() throws {
    let llama = try #require(try tokenizer("llama-bpe"))
    #expect(llama.ignoresMerges && llama.prefix == [0] && llama.encode("abb") == [0, 6])
    let plain = try #require(try tokenizer("dbrx"))
    #expect(!plain.ignoresMerges && plain.prefix.isEmpty && plain.encode("abb") == [4, 3])
    let both = try #require(
      try tokenizer("llama3") {
        $0.add("tokenizer.ggml.add_bos_token", 7, [0])
        $0.add("tokenizer.ggml.add_eos_token", 7, [1])
      })
    #expect(both.prefix.isEmpty && both.suffix == [1] && both.encode("a") == [2, 1])
    let unnamed = try #require(try tokenizer(nil))
    #expect(unnamed.cut == GGUFPreTokenizer.all.first { $0.names == ["default"] }?.cut)
    #expect(try tokenizer("no such cut") == nil)
  }
}
