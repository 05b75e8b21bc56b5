import Foundation
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// vocab.json and merges.txt without a tokenizer.json, as transformers' AutoTokenizer reads them (scripts/tools make-tokenizer-classes).
@Suite struct TokenizerClassTests {
  private struct Vectors {
    let texts: [String]
    let cases: [JSON]
    let vocabulary: [UInt8]
    let merges: [UInt8]
    private let values: [UInt8: Int]

    init() throws {
      let json = try JSON.parse(fixture("tokenizer/classes.json"), path: "classes.json")
      texts = try #require(json["texts"]?.array).map { try #require($0.string) }
      cases = try #require(json["cases"]?.array)
      let alphabet = try #require(json["alphabet"]?.string)
      values = Dictionary(uniqueKeysWithValues: alphabet.utf8.enumerated().map { ($1, $0) })
      let model = try #require(try JSON.parse(fixture("tokenizer/gpt2.json"), path: "gpt2.json")["model"])
      vocabulary = Array(try #require(model["vocab"]).text().utf8)
      let pairs = try #require(model["merges"]?.array).map { merge in
        merge.string ?? merge.array!.map { $0.string! }.joined(separator: " ")
      }
      merges = Array((["#version: 0.2"] + pairs + [""]).joined(separator: "\n").utf8)
    }

    func ids(_ text: String) -> [Int] {
      let digits = text.utf8.map { values[$0]! }
      return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 6 | digits[$0 + 1] }
    }

    /// The tokenizer of a case's files, some of them others.
    func tokenizer(_ files: JSON?, _ others: [String: [UInt8]?] = [:]) throws(FormatError) -> Tokenizer {
      try Tokenizer(folder: "m") { name in
        if let other = others[name] { return other }
        if name == "vocab.json" { return vocabulary }
        if name == "merges.txt" { return merges }
        return files?[name].map { Array($0.text().utf8) }
      }
    }
  }

  @Test func asTransformersReadsThem() throws {
    let vectors = try Vectors()
    #expect(vectors.cases.count > 15)
    for entry in vectors.cases {
      let name = entry["name"]?.string ?? ""
      guard let expected = entry["added"]?.array else {
        let error = #expect(throws: FormatError.self, "\(name)") { try vectors.tokenizer(entry["files"]) }
        #expect(error?.found.contains("how texts are cut into words") == true, "\(name)")
        #expect(
          error?.expected.contains("Qwen2Tokenizer") == true
            && error?.expected.contains("tokenizer.json") == true)
        continue
      }
      let tokenizer = try vectors.tokenizer(entry["files"])
      let added = tokenizer.addedTokens.sorted { $0.id < $1.id }.map { token -> JSON in
        [
          JSON(token.id), .string(token.content), .bool(token.isSpecial), .bool(token.isNormalized),
          .bool(token.stripsLeft), .bool(token.stripsRight),
        ]
      }
      #expect(added == expected, "\(name)")
      #expect(tokenizer.prefix == entry["prefix"]?.array?.compactMap(\.int), "\(name)")
      #expect(tokenizer.suffix == entry["suffix"]?.array?.compactMap(\.int), "\(name)")
      #expect(
        tokenizer.beginToken == entry["begin"]?.int && tokenizer.endToken == entry["end"]?.int, "\(name)")
      for (text, ids) in zip(vectors.texts, entry["ids"]?.array ?? []) {
        let found = tokenizer.encode(text, addingSpecialTokens: false)
        #expect(found == vectors.ids(ids.string ?? ""), "\(name): \(text.debugDescription)")
      }
    }
  }

  @Test func whatIsMissingIsSaid() throws {
    let vectors = try Vectors()
    let files: JSON = [
      "tokenizer_config.json": ["tokenizer_class": "GPT2Tokenizer"], "config.json": ["model_type": "gpt2"],
    ]
    func error(_ others: [String: [UInt8]?]) -> FormatError? {
      #expect(throws: FormatError.self) { try vectors.tokenizer(files, others) }
    }
    let alone = error(["merges.txt": [UInt8]?.none])
    #expect(
      alone?.expected.contains("vocab.json with merges.txt") == true && alone?.found == "vocab.json alone")
    let line = error(["merges.txt": Array("#version: 0.2\na b c\n".utf8)])
    #expect(line?.path.contains("merges.txt") == true && line?.expected.contains("line 2") == true)
    let foreign = error(["merges.txt": Array("#version: 0.2\nnot there\n".utf8)])
    #expect(foreign?.path.contains("merges.txt") == true && foreign?.expected.contains("merge 1") == true)
    #expect(error(["vocab.json": Array("[]".utf8)])?.path.contains("vocab.json") == true)
    let beside = error([
      "tokenizer_config.json": Array(
        #"{"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"999": {"content": "<|new|>", "special": true}}}"#
          .utf8)
    ])
    #expect(
      beside?.path.contains("tokenizer_config.json") == true
        && beside?.expected.contains("vocab.json lacks") == true)
  }
}
