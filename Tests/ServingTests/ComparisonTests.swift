import IngotServing
import IngotSystem
import IngotToolCalls
import Testing

/// Answers of two models to prompts with tools, held against each other.
@Suite struct ComparisonTests {
  static let schema =
    ##"{"type": "object", "required": ["city"], "additionalProperties": false, "properties": {"city": {"type": "string", "minLength": 2}, "days": {"type": "integer", "minimum": 1, "maximum": 7}, "unit": {"enum": ["c", "f"]}, "tags": {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": 2}, "more": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/level"}]}}, "$defs": {"level": {"const": "high"}}}"##

  @Test(arguments: [
    (#"{"city": "Rome"}"#, true), (#"{"city": "Rome", "days": 2.0}"#, true), (#"{"days": 2}"#, false),
    (#"{"city": "R"}"#, false), (#"{"city": 5}"#, false), (#"{"city": "Rome", "days": 2.5}"#, false),
    (#"{"city": "Rome", "days": 8}"#, false), (#"{"city": "Rome", "unit": "c"}"#, true),
    (#"{"city": "Rome", "unit": "k"}"#, false), (#"{"city": "Rome", "other": 1}"#, false),
    (#"{"city": "Rome", "tags": ["a", null]}"#, true), (#"{"city": "Rome", "tags": [1]}"#, false),
    (#"{"city": "Rome", "tags": ["a", "b", "c"]}"#, false), (#"{"city": "Rome", "more": true}"#, true),
    (#"{"city": "Rome", "more": "high"}"#, true), (#"{"city": "Rome", "more": "low"}"#, false),
    (#"["Rome"]"#, false),
  ])
  func schemasAreChecked(_ value: String, _ holds: Bool) {
    #expect(SchemaCheck(Self.schema.json).accepts(value.json) == holds)
  }

  @Test func valuesAreComparedAsJSON() {
    #expect(#"{"a": 1, "b": [1.0, "x"]}"#.json.equals(#"{"b": [1, "x"], "a": 1.0}"#.json))
    #expect(!#"{"a": 1}"#.json.equals(#"{"a": "1"}"#.json) && !#"[1]"#.json.equals(#"[1, 2]"#.json))
    #expect(!#"{"a": 1}"#.json.equals(#"{"b": 1}"#.json) && #"null"#.json.equals(.null))
  }

  private func answer(_ pieces: AnswerPiece..., cutOff: Bool = false) -> ToolAnswer {
    var answer = ToolAnswer()
    for piece in pieces { answer.add(piece) }
    answer.isCutOff = cutOff
    return answer
  }

  private func call(_ name: String, _ arguments: String) -> ToolCall {
    ToolCall(name: name, arguments: arguments.json.object!)
  }

  @Test func sharesAreOfPrompts() {
    var request = AnswerRequest(.text("?"))
    request.tools = [ToolDefinition(name: "weather", parameters: Self.schema.json)]
    let rome = call("weather", #"{"city": "Rome", "days": 2}"#)
    let prompts = Array(repeating: ToolPrompt(request: request, expected: [rome]), count: 4)
    let original = [
      answer(.reasoning("I look."), .call(rome)), answer(.call(rome)), answer(.call(rome)),
      answer(.content("Привет")),
    ]
    let candidate = [
      // The same call, a number written otherwise.
      answer(.reasoning("I look."), .call(call("weather", #"{"days": 2.0, "city": "Rome"}"#))),
      answer(.call(call("weather", #"{"city": "R"}"#))), answer(.call(call("other", "{}"))),
      answer(.reasoning("Hm"), cutOff: true),
    ]
    let found = AnswerComparison(original: original, candidate: candidate, prompts, maximum: 9)
    #expect(
      found.original.called.count == 3 && found.original.valid.count == 3
        && found.original.expectedCall.count == 3)
    #expect(found.candidate.called.count == 3 && found.candidate.valid.count == 1)
    #expect(found.candidate.expectedTool.count == 2 && found.candidate.expectedCall.count == 1)
    #expect(found.candidate.thinkingClosed == .init(count: 1, total: 2) && found.candidate.cutOff.count == 1)
    #expect(found.sameTool == .init(count: 2, total: 3) && found.sameCall == .init(count: 1, total: 3))
    // One thinks in Latin both times, one answers in Cyrillic and then in Latin.
    #expect(found.sameScript == .init(count: 1, total: 2) && found.sameAnswer.count == 0)
    #expect(abs(found.sameCall.standardError! - (2.0 / 27).squareRoot()) < 1e-12)
  }

  @Test func aModelIsLikeItself() async throws {
    let text =
      #"{"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]}], "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]}"#
    let path = try Nano.temporary(text + "\n" + text.replacing("Weather", with: "Snow") + "\n", ".jsonl")
    var request = CompareAnswersRequest(Nano.folder, against: Nano.folder, conversations: [path], prompts: 5)
    request.maximum = 24
    request.chatTemplate = Nano.template
    let found = try await request.run()
    #expect(found.prompts == 2 && found.sameAnswer == .init(count: 2, total: 2))
    #expect(found.original == found.candidate)
    // A text without calls has nothing to answer.
    request.conversations = [
      try Nano.temporary(#"{"messages": [{"role": "user", "content": "?"}]}"# + "\n", ".jsonl")
    ]
    await #expect(throws: (any Error).self) { try await request.run() }
  }
}
