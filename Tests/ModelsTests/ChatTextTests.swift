import Foundation
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

@Suite struct ChatTextTests {
  static func render(_ messages: String, tools: String = "[]") throws -> String {
    try ChatText.render(
      JSON.parse(Array(messages.utf8), path: "messages").array!,
      tools: JSON.parse(Array(tools.utf8), path: "tools").array!, path: "x.jsonl, line 7")
  }

  @Test func aConversationWithToolsIsAsTheModelReadsIt() throws {
    let text = try Self.render(
      """
      [{"role": "system", "content": "Be brief."},
       {"role": "user", "content": [{"type": "text", "text": "Is it "}, {"type": "text", "text": "raining?"}]},
       {"role": "assistant", "content": "", "reasoning_content": "I look outside.", "tool_calls": [
         {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{\\"at\\": \\"window\\", \\"n\\": 2}"}},
         {"id": "b", "type": "function", "function": {"name": "listen", "arguments": {"for": ["rain", 1.50]}}}]},
       {"role": "tool", "tool_call_id": "a", "content": "grey"},
       {"role": "tool", "tool_call_id": "b", "content": "drops"},
       {"role": "assistant", "content": "Yes.", "tool_calls": []}]
      """,
      tools:
        #"[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}, {"name": "listen"}]"#
    )
    let turns = text.components(separatedBy: "[e~[\n")
    #expect(turns.count == 6 && turns[5].isEmpty)
    #expect(turns[0].hasPrefix("]~!b[]~b]system\nBe brief.\n\n# Tools\n"))
    #expect(
      turns[0].contains(
        "<tools>\n<tool>{\"name\":\"look\",\"parameters\":{\"type\":\"object\"}}</tool>\n<tool>{\"name\":\"listen\"}</tool>\n</tools>"
      ))
    #expect(turns[1] == "]~b]user\nIs it raining?")
    #expect(
      turns[2] == """
        ]~b]ai
        <think>
        I look outside.
        </think>

        <minimax:tool_call>
        <invoke name="look">
        <parameter name="at">window</parameter>
        <parameter name="n">2</parameter>
        </invoke>
        <invoke name="listen">
        <parameter name="for">["rain",1.50]</parameter>
        </invoke>
        </minimax:tool_call>
        """)
    #expect(turns[3] == "]~b]tool\n<response>grey</response>\n<response>drops</response>")
    #expect(turns[4] == "]~b]ai\nYes.")
  }

  @Test func withoutToolsNothingIsAdded() throws {
    #expect(
      try Self.render(#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]"#)
        == "]~!b[]~b]user\na[e~[\n]~b]ai\nb[e~[\n")
    // Text between a call and what stands before it.
    #expect(
      try Self.render(
        #"[{"role": "assistant", "content": "b", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]}]"#
      )
        == "]~!b[]~b]ai\nb\n<minimax:tool_call>\n<invoke name=\"f\">\n</invoke>\n</minimax:tool_call>[e~[\n")
  }

  @Test(arguments: [
    (#"[{"content": "a"}]"#, "\"role\""), (#"[{"role": "critic", "content": "a"}]"#, "critic"),
    (#"[{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]"#, "image_url"),
    (#"[{"role": "user", "content": 3}]"#, "the number 3"),
    (#"[{"role": "assistant", "tool_calls": {"name": "f"}}]"#, "as a list"),
    (#"[{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]"#, "\"name\""),
    (
      #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{x"}}]}]"#,
      "arguments of 'f'"
    ),
    (
      #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]"#,
      "an object"
    ),
  ])
  func faultsNameTheirLine(_ messages: String, _ word: String) {
    let error = #expect(throws: FormatError.self) { try Self.render(messages) }
    #expect("\(error!)".contains("x.jsonl, line 7") && "\(error!)".contains(word), "\(error!)")
  }
}
