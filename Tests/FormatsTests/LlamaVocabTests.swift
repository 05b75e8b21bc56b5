#if LLAMA_VOCABS
  import IngotFormats
  import Foundation
  import IngotTokenizer
  import IngotModels
  import IngotSystem
  import IngotTensors
  import Testing

  /// Tokenizers out of GGUF files against llama.cpp's tokens. Only built by `scripts/tools check-llama-vocabs`, which names
  /// the folder of files in INGOT_LLAMA_VOCABS.
  @Suite struct LlamaVocabTests {
    static let folder = ProcessInfo.processInfo.environment["INGOT_LLAMA_VOCABS"]

    /// Files with texts beside them, of tokenizers that are BPE with a known cut or SentencePiece's.
    static let paths: [String] = {
      guard let folder else { return [] }
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return names.filter { $0.hasSuffix(".gguf") }.sorted().map { "\(folder)/\($0)" }
    }()

    private func text(_ path: String) -> String? {
      (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) }
    }

    /// `.inp` holds texts between lines of a mark, `.out` a line of tokens for each; special tokens are text.
    @Test(arguments: paths) func publishedTokens(_ path: String) throws {
      guard let texts = text(path + ".inp")?.components(separatedBy: "\n__ggml_vocab_test__\n"),
        let lines = text(path + ".out")?.split(separator: "\n", omittingEmptySubsequences: false),
        let tokenizer = try Tokenizer(gguf: path)
      else { return }
      var different = 0
      for (text, line) in zip(texts, lines) {
        let wanted = line.split(separator: " ").compactMap { Int($0) }
        let found = tokenizer.encode(text, addingSpecialTokens: false, parsingSpecialTokens: false)
        if found != wanted {
          different += 1
          Issue.record("\(path): \(text.debugDescription): \(found), llama.cpp \(wanted)")
        }
      }
      print(
        "\(URL(filePath: path).lastPathComponent): \(texts.count) published texts, \(different) different")
    }

    /// `.json`, by scripts/tools engines-llama-tokens: texts with llama.cpp's tokens, special ones as text and parsed.
    /// The rest are places where llama.cpp differs from the tokenizer.json that its cut stands for.
    @Test(arguments: paths) func engineTokens(_ path: String) throws {
      guard let json = text(path + ".json"), let tokenizer = try Tokenizer(gguf: path) else { return }
      let rows = try #require(JSON.parse(Array(json.utf8), path: path).array)
      var different = [0, 0, 0]
      for row in rows {
        let text = try #require(row["text"]?.string)
        for (number, key) in ["plain", "special", "around"].enumerated() {
          let wanted = row[key]?.array?.compactMap(\.int)
          let found = tokenizer.encode(
            text, addingSpecialTokens: number == 2, parsingSpecialTokens: number > 0)
          if found != wanted {
            different[number] += 1
            if different[number] == 1 {
              print("\(key): \(text.debugDescription.prefix(200))\n \(found)\n \(wanted ?? [])")
            }
          }
        }
      }
      print(
        "\(URL(filePath: path).lastPathComponent): \(rows.count) texts, different \(different) (plain, special, around)"
      )
      #expect(different.max()! * 100 <= rows.count, "\(path)")
    }
  }
#endif
