import Foundation
import IngotSystem
import IngotTensors
import Testing

/// What 'verify' says of conversations: part by part, and of calls of tools.
@Suite struct FidelityTests {
  static let template = Command.repository.appending(path: "scripts/ingot_tools/reference/agentic.jinja").path
  static let conversations =
    Command.repository.appending(path: "calibration/conversations/held-out.jsonl").path

  private static let conversation = #"""
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " How hot is it? "},
    {"role": "assistant", "reasoning_content": "I look it up.", "content": "", "tool_calls": [
    {"function": {"name": "look", "arguments": {"place": "Rome", "days": 2}}},
    {"function": {"name": "look", "arguments": {}}}]},
    {"role": "tool", "content": "{\"place\": \"Rome\"}"},
    {"role": "assistant", "reasoning_content": "Done.", "content": "Rome: 21 °C."}]}
    """#.replacingOccurrences(of: "\n", with: " ")

  private func parts(_ template: String, _ conversation: String = Self.conversation) throws -> [String] {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try conversation.write(toFile: folder + "/c.jsonl", atomically: true, encoding: .utf8)
    try template.write(toFile: folder + "/t.jinja", atomically: true, encoding: .utf8)
    let outcome = try Command.run(
      "inspect", Command.nano, "--render", folder + "/c.jsonl", "--chat-template", folder + "/t.jinja",
      "--json")
    let first = try #require(try outcome.json()["conversations"]?.array?.first, "\(outcome.error)")
    return (first["parts"]?.array ?? []).map { "\($0["kind"]?.string ?? ""): \($0["text"]?.string ?? "")" }
  }

  @Test func partsAreFoundInWhatATemplateWrites() throws {
    let xml = try parts(try String(contentsOfFile: Self.template, encoding: .utf8))
    #expect(
      xml == [
        "system: Be brief.", "user:  How hot is it? ", "thinking: I look it up.", "toolName: look",
        "toolArguments: place\">Rome</parameter>\n<parameter name=\"days\">2", "toolName: look",
        "toolResult: {\"place\": \"Rome\"}", "thinking: Done.", "answer: Rome: 21 °C.",
      ])
    // Trimmed contents, calls as JSON behind the name, thinking that is left out of earlier turns.
    let json = try parts(
      """
      {%- for m in messages -%}<{{ m.role }}>{{ m.content | trim }}
      {%- if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif -%}
      {%- for c in m.tool_calls or [] %}{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}
      {%- endfor -%}{%- endfor -%}
      """)
    #expect(
      json == [
        "system: Be brief.", "user: How hot is it?", "toolName: look",
        "toolArguments: place\": \"Rome\", \"days\": 2", "toolName: look",
        "toolResult: {\"place\": \"Rome\"}",
        "answer: Rome: 21 °C.", "thinking: Done.",
      ])
    // Thinking within the answer.
    let inner = try parts(
      "{%- for m in messages -%}<{{ m.role }}>{{ m.content }}{%- endfor -%}",
      #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>Hm.</think>Yes."}]}"#
    )
    #expect(inner == ["user: Hi", "thinking: <think>Hm.", "answer: Yes."])
  }

  private func verify(_ candidate: String, _ more: String...) throws -> Command.Outcome {
    try Command.run(
      [
        "verify", candidate, "--against", Command.nano, "--text", Self.conversations, "--chat-template",
        Self.template, "--conversations", "--context", "2048", "--chunks", "6", "--json",
      ] + more)
  }

  @Test func callsAreReproducedOrNot() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let same = try verify(Command.nano)
    #expect(same.status == 0, "\(same.error)")
    let calls = try #require(try same.json()["toolCalls"])
    #expect(try #require(calls["count"]?.int) >= 6, "every call of six conversations")
    #expect(calls["name"]?["original"] == calls["name"]?["candidate"])
    #expect(calls["whole"]?["kept"]?.double == 1 && calls["arguments"]?["kept"]?.double == 1)
    let spans = try #require(try same.json()["spans"]?.array)
    #expect(
      spans.map { $0["kind"]?.string } == [
        "system", "user", "thinking", "toolName", "toolArguments", "answer", "toolResult", "markup",
      ])
    #expect(spans.allSatisfy { $0["klDivergence"]?["mean"]?.double == 0 && $0["sameTop"]?.double == 1 })
    // Every token but each conversation's first.
    let tokens = spans.reduce(0) { $0 + ($1["tokens"]?.int ?? 0) }
    #expect(try same.json()["tokens"]?.int == tokens)
    let coarse = folder + "/int2.ingot"
    let recipe = folder + "/int2.yaml"
    try "name: int2\nrules:\n  - {encoding: int2 g32 zero f16}\n".write(
      toFile: recipe, atomically: true, encoding: .utf8)
    #expect(try Command.run("quantize", Command.nano, "--recipe", recipe, "-o", coarse).status == 0)
    let poor = try verify(coarse, "--min-tool-arguments", "99")
    #expect(poor.status == 2 && poor.error.contains("tool arguments kept"), "\(poor.error)")
    let kept = try #require(try poor.json()["toolCalls"]?["arguments"])
    #expect(
      try #require(kept["kept"]?.double) < 0.9
        && kept["candidate"]?.double ?? 1 < kept["original"]?.double ?? 0)
    // Cut like any text, calls that a context cuts are in none.
    let cut = try Command.run(
      "verify", Command.nano, "--against", Command.nano, "--text", Self.conversations, "--chat-template",
      Self.template, "--context", "256", "--chunks", "4", "--json")
    #expect(try cut.json()["tokens"]?.int == 4 * 127, "\(cut.error)")
    #expect(try cut.json()["spans"]?.array?.reduce(0) { $0 + ($1["tokens"]?.int ?? 0) } == 4 * 127)
    let plain = try Command.run(
      "verify", Command.nano, "--against", Command.nano, "--text", CalibrateTests.text, "--context", "32",
      "--chunks", "1", "--min-tool-names", "50", "--json")
    #expect(plain.status == 2 && plain.error.contains("cannot be judged"), "\(plain.error)")
    #expect(try plain.json()["spans"] == .array([]) && plain.json()["toolCalls"] == .null)
    let text = try Command.run(
      "verify", Command.nano, "--against", Command.nano, "--text", CalibrateTests.text, "--conversations")
    #expect(text.status == 1 && text.error.contains("leave out --conversations"), "\(text.error)")
  }

  @Test func bothModelsAnswerPromptsWithTools() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let lines = try String(contentsOfFile: Self.conversations, encoding: .utf8).split(separator: "\n").prefix(
      4)
    try lines.joined(separator: "\n").write(toFile: folder + "/c.jsonl", atomically: true, encoding: .utf8)
    let artifact = folder + "/x.ingot"
    let recipe = folder + "/int2.yaml"
    try "name: int2\nrules:\n  - {encoding: int2 g32 zero f16}\n".write(
      toFile: recipe, atomically: true, encoding: .utf8)
    #expect(try Command.run("quantize", Command.nano, "--recipe", recipe, "-o", artifact).status == 0)
    func verify(_ candidate: String, _ more: String...) throws -> Command.Outcome {
      try Command.run(
        ["verify", candidate, "--against", Command.nano, "--text", folder + "/c.jsonl", "--conversations"]
          + ["--chat-template", Self.template, "--generate", "4", "--max-tokens", "80"] + more)
    }
    let itself = try verify(Command.nano, "--json")
    let same = try #require(try itself.json()["answers"], "\(itself.error)")
    #expect(same["prompts"]?.int == 4 && same["sameAnswer"]?["share"]?.double == 1)
    #expect(same["original"]?["called"]?["count"]?.int ?? 0 >= 3, "\(same.text())")
    #expect(same["original"]?["valid"] == same["candidate"]?["valid"])
    let other = try verify(artifact, "--min-same-calls", "100")
    #expect(other.output.contains("4 prompts with tools"), "\(other.error)")
    let isBelow = !other.output.contains("same arguments too                       100.0 %")
    #expect(
      other.status == (isBelow ? 2 : 0) && other.error.contains("calls made by the candidate") == isBelow)
  }
}
