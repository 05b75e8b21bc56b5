import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// What GGUF carries of tokenizers, wherever a checkpoint has it.
@Suite struct GGUFTokenTests {
  private typealias Files = [String: String?]

  /// The embedded model with other side files; nil takes one away.
  private func model(_ files: Files) throws -> Model {
    var model = try Model.read(Fixture.nano).decoded(to: .bf16)
    for (name, text) in files {
      model.sideFiles.removeAll { $0.name == name }
      if let text { model.sideFiles.append(SideFile(name: name, bytes: Bytes(Array(text.utf8)))) }
    }
    return model
  }

  private func text(_ name: String) throws -> String {
    String(decoding: try contents(Fixture.nano + "/" + name), as: UTF8.self)
  }

  private func written(_ files: Files) async throws -> (values: [String: String], model: Model) {
    let scratch = try Scratch()
    _ = try await model(files).write(scratch("x.gguf"), as: .gguf, .init())
    let content = GGUFContent(try contents(scratch("x.gguf")))
    return (
      Dictionary(uniqueKeysWithValues: content.values.map { ($0.key, $0.text) }),
      try Model.read(scratch("x.gguf"))
    )
  }

  private let end = "tokenizer.ggml.eos_token_id"
  private let begin = "tokenizer.ggml.bos_token_id"

  @Test(arguments: [
    "config.json", "generation_config.json", "special_tokens_map.json", "tokenizer_config.json",
  ])
  func namedTokensFromAnywhere(_ file: String) async throws {
    let bare = try text("config.json").replacing("\"eos_token_id\": 2042,", with: "").replacing(
      "\"bos_token_id\": 2043,", with: "")
    var files: Files = [
      "config.json": bare, "generation_config.json": nil, "special_tokens_map.json": nil,
      "tokenizer_config.json": "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}",
    ]
    switch file {
    case "config.json": files[file] = try text(file)
    case "generation_config.json": files[file] = "{\"eos_token_id\": [2042, 2041], \"bos_token_id\": 2043}"
    default: files[file] = "{\"eos_token\": {\"content\": \"[e~[\"}, \"bos_token\": \"]~!b[\"}"
    }
    let (values, back) = try await written(files)
    #expect(values[end] == "2042" && values[begin] == "2043")
    #expect(values["tokenizer.ggml.eot_token_id"] == (file == "generation_config.json" ? "2041" : nil))
    // And read again: all ends are in generation_config.json.
    if file == "generation_config.json" {
      let bytes = try #require(back.sideFile(file)).bytes.array
      #expect(try JSON.parse(bytes, path: file)["eos_token_id"] == [2042, 2041])
    }
  }

  @Test func numbersThatAreNoTokensAreRefused() async throws {
    let error = await #expect(throws: FormatError.self) {
      try await written(["generation_config.json": "{\"eos_token_id\": [2042, 99999]}"])
    }
    #expect(error?.path.contains("generation_config.json") == true)
  }

  /// tokenizer.json without its last tokens, which stand beside it.
  private func shortened(_ count: Int) throws -> (json: String, tokens: [JSON]) {
    let json = try JSON.parse(contents(Fixture.nano + "/tokenizer.json"), path: "tokenizer.json")
    var object = try #require(json.object)
    var added = try #require(object["added_tokens"]?.array).sorted { $0["id"]!.int! < $1["id"]!.int! }
    let tokens = Array(added.suffix(count))
    added.removeLast(count)
    object["added_tokens"] = .array(added)
    return (JSON.object(object).text(), tokens)
  }

  @Test(arguments: ["added_tokens_decoder", "added_tokens.json"]) func tokensBeside(_ place: String)
    async throws
  {
    let (json, tokens) = try shortened(3)
    var files: Files = ["tokenizer.json": json]
    func number(_ token: JSON, _ shift: Int) -> Int { token["id"]!.int! + shift }
    func list(_ shift: Int) -> String {
      tokens.map { token in
        let text = JSON.string(token["content"]!.string!).text()
        return place == "added_tokens.json"
          ? "\(text): \(number(token, shift))"
          : "\"\(number(token, shift))\": {\"content\": \(text), \"special\": \(token["special"]!.text())}"
      }.joined(separator: ", ")
    }
    func set(_ shift: Int) {
      if place == "added_tokens.json" {
        files[place] = "{\(list(shift))}"
      } else {
        files["tokenizer_config.json"] = "{\"eos_token\": \"[e~[\", \"\(place)\": {\(list(shift))}}"
      }
    }
    set(0)
    let tokenizer = try Tokenizer(of: try model(files))
    for token in tokens {
      #expect(tokenizer.piece(number(token, 0)) == token["content"]!.string)
      #expect(tokenizer.encode(token["content"]!.string!, addingSpecialTokens: false) == [number(token, 0)])
    }
    _ = try await written(files)
    // Numbers that the tokens would not get are refused, not passed on.
    set(1)
    let error = #expect(throws: FormatError.self) { try Tokenizer(of: try model(files)) }
    #expect(error?.path.contains(place == "added_tokens.json" ? place : "tokenizer_config.json") == true)
  }

  @Test func truncationAndPaddingOfTrainingAreLeftOut() throws {
    let json = try text("tokenizer.json")
    let brace = try #require(json.firstIndex(of: "{"))
    let rest = json[json.index(after: brace)...].replacing("\"truncation\": null,", with: "").replacing(
      "\"padding\": null,", with: "")
    let changed = "{\"truncation\": {\"max_length\": 3}, \"padding\": {\"pad_id\": 0}," + rest
    let plain = try Tokenizer(of: try model([:]))
    let other = try Tokenizer(of: try model(["tokenizer.json": changed]))
    #expect(other.encode("one two three four five") == plain.encode("one two three four five"))
  }

  @Test func partsOfATokenizerAreNoTokenizer() async throws {
    let error = await #expect(throws: FormatError.self) {
      try await written(["tokenizer.json": nil, "vocab.json": "{}", "merges.txt": "#version: 0.2\n"])
    }
    #expect(error?.expected.contains("tokenizer.json") == true && error?.found.contains("merges.txt") == true)
  }

  @Test(arguments: [
    ("tokenizer_config.json", #"{"chat_template": "A"}"#),
    ("tokenizer_config.json", #"{"chat_template": {"default": "A"}}"#),
    ("chat_template.json", #"{"chat_template": "A"}"#), ("processor_config.json", #"{"chat_template": "A"}"#),
    ("chat_template.jinja", "A"),
  ])
  func templatesFromAnywhere(_ file: String, _ content: String) async throws {
    var files: Files = ["tokenizer_config.json": "{}"]
    files.updateValue(nil, forKey: "chat_template.jinja")
    files.updateValue(content, forKey: file)
    let (values, back) = try await written(files)
    #expect(values["tokenizer.chat_template"] == "A")
    #expect(back.sideFile("chat_template.jinja")?.bytes.array == [0x41])
  }

  @Test func namedTemplates() async throws {
    let config =
      #"{"chat_template": [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]}"#
    let (values, back) = try await written(["chat_template.jinja": nil, "tokenizer_config.json": config])
    #expect(values["tokenizer.chat_template"] == "A" && values["tokenizer.chat_template.tool_use"] == "B")
    let bytes = try #require(back.sideFile("tokenizer_config.json")).bytes.array
    #expect(try JSON.parse(bytes, path: "x")["chat_template"]?.array?.count == 2)
  }
}
