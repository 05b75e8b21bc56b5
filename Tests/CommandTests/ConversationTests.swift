import Foundation
import IngotSystem
import IngotTensors
import Testing

/// What a model reads of conversations.
@Suite struct ConversationTests {
  private struct Run {
    let folder: String
    /// A copy of the nano model, whose template files may be changed.
    let model: String

    init() throws {
      folder = try Folder.temporary()
      model = folder + "/model"
      try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    }

    func write(_ text: String, _ name: String) throws -> String {
      let path = folder + "/" + name
      try FileManager.default.createDirectory(
        at: URL(fileURLWithPath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
      return path
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: "\(model)/\(name)") }

    func rendered(_ path: String, _ more: [String] = []) throws -> [JSON] {
      let outcome = try Command.run(["inspect", model, "--render", path, "--json"] + more)
      #expect(outcome.status == 0, "\(outcome.error)")
      return try outcome.json()["conversations"]?.array ?? []
    }

    func texts(_ path: String, _ more: String...) throws -> [String?] {
      try rendered(path, more).map { $0["text"]?.string }
    }
  }

  @Test func everySpellingOfAConversationIsRead() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    let wanted = "]~!b[]~b]user\nHi[e~[\n]~b]ai\nYes.[e~[\n"
    let messages = #"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]"#
    let shared = #"[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes."}]"#
    let objects = [
      "{\"messages\": \(messages)}", "{\"conversations\": \(messages), \"id\": 7}",
      "{\"conversations\": \(shared)}",
      messages, "{\"messages\": \(messages), \"tools\": null}",
      "{\"messages\": \(messages), \"tools\": \"[]\"}",
    ]
    let lines = try run.write(objects.joined(separator: "\n") + "\n", "a.jsonl")
    #expect(try run.texts(lines) == objects.map { _ in wanted })
    let list = try run.write("[\(objects.joined(separator: ","))]", "a.json")
    #expect(try run.texts(list) == objects.map { _ in wanted })
    for (index, single) in [objects[0], messages, shared].enumerated() {
      #expect(try run.texts(run.write(single, "b\(index).json")) == [wanted])
    }
    // Special tokens of the template are tokens, and none is put before them.
    let first = try #require(try run.rendered(lines).first)
    let tokens = try #require(first["tokens"]?.array).compactMap(\.int)
    let tokenizer = try JSON.parse(
      Array(Data(contentsOf: URL(fileURLWithPath: run.model + "/tokenizer.json"))), path: "tokenizer.json")
    func id(_ content: String) -> Int? {
      tokenizer["added_tokens"]?.array?.first { $0["content"]?.string == content }?["id"]?.int
    }
    #expect(tokens.first == id("]~!b[") && tokens.count { $0 == id("]~!b[") } == 1)
    #expect(tokens.count { $0 == id("[e~[") } == 2)
  }

  @Test func variablesGoToTheTemplate() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    let template = try run.write(
      "{{ bos_token }}|{{ enable_thinking }}|{{ x }}|{{ add_generation_prompt }}|{{ tools|tojson }}|"
        + "{{ messages[0].tool_calls[0].function.arguments.n + 1 }}|{{ strftime_now('%Y-%m-%d') }}", "t.jinja"
    )
    let call =
      #"{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"n\": 2}"}}]}"#
    let path = try run.write(
      "{\"messages\": [\(call)], \"enable_thinking\": false, \"tools\": \"[{\\\"name\\\": \\\"f\\\"}]\", "
        + "\"chat_template_kwargs\": {\"x\": \"X\", \"add_generation_prompt\": true}}", "a.json")
    #expect(
      try run.texts(path, "--chat-template", template)
        == ["]~!b[|False|X|True|[{\"name\": \"f\"}]|3|2026-01-01"])
  }

  @Test func theModelsOwnTemplateIsFound() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    let plain = #"{"messages": [{"role": "user", "content": "Hi"}]}"#
    let tools = #"{"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "f"}]}"#
    let path = try run.write(plain + "\n" + tools, "a.jsonl")
    _ = try run.write("tools", "model/additional_chat_templates/tool_use.jinja")
    #expect(try run.texts(path) == ["]~!b[]~b]user\nHi[e~[\n", "tools"])
    // A link to elsewhere is no file of the model.
    let secret = try run.write("secret", "secret.jinja")
    try run.remove("additional_chat_templates/tool_use.jinja")
    try FileManager.default.createSymbolicLink(
      atPath: run.model + "/additional_chat_templates/tool_use.jinja", withDestinationPath: secret)
    let link = try Command.run("inspect", run.model, "--render", path)
    #expect(link.status == 1 && link.error.contains("a symbolic link to"), "\(link.error)")
    try run.remove("additional_chat_templates")
    try run.remove("chat_template.jinja")
    let none = try Command.run(
      "calibrate", run.model, "--text", path, "-o", run.folder + "/x.calib", "--context", "8")
    #expect(none.status == 1 && none.error.contains("--chat-template FILE"), "\(none.error)")
    for place in ["chat_template.jinja", "tokenizer_config.json", "chat_template.json"] {
      #expect(none.error.contains(place), "\(none.error)")
    }
    _ = try run.write(#"{"chat_template": "{{ messages[0].content }}!"}"#, "model/chat_template.json")
    #expect(try run.texts(path) == ["Hi!", "Hi!"])
  }

  @Test func aFileOfJSONIsNeverPlainText() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    for (index, (text, found)) in [
      ("{\"a\": 1}", "an object with \"a\""), ("[1, 2]", "entry 1"), ("not JSON", "expected"),
      ("3", "the number 3"),
      ("{\"messages\": []}", "an empty list"), ("[[]]", "an empty list"),
      ("{\"messages\": [{\"content\": \"x\"}]}", "\"role\""),
      ("{\"conversations\": [{\"from\": \"wizard\", \"value\": \"x\"}]}", "'wizard'"),
      ("{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"tools\": 1}", "\"tools\" as a list"),
      (
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"chat_template_kwargs\": 1}",
        "as an object"
      ),
    ].enumerated() {
      let path = try run.write(text, "\(index).json")
      let outcome = try Command.run(
        "calibrate", run.model, "--text", path, "-o", run.folder + "/x.calib", "--context", "4")
      #expect(outcome.status == 1 && outcome.error.contains(found), "\(text): \(outcome.error)")
    }
  }
}
