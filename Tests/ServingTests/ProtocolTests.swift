import IngotServing
import IngotSystem
import IngotToolCalls
import IngotWorkflows
import Testing

/// What requests are read as, and which are refused, by which word.
@Suite struct ProtocolTests {
  private static let message: JSON = ["role": "user", "content": "Hi"]
  private static let tool: JSON = [
    "type": "function",
    "function": ["name": "f", "parameters": ["type": "object", "properties": ["a": ["type": "integer"]]]],
  ]

  private static func chat(_ members: JSONObject) -> JSON {
    var request: JSONObject = ["model": "m", "messages": [message]]
    for (key, value) in members { request[key] = value }
    return .object(request)
  }

  private static func messages(_ request: AnswerRequest) -> [JSON] {
    guard case .conversation(let conversation) = request.prompt else { return [] }
    return conversation.messages
  }

  @Test func chatRequests() throws {
    let request = try AnswerRequest(
      chat: Self.chat([
        "temperature": JSON(0.5), "top_p": JSON(0.9), "max_tokens": 7, "stop": ["a", "b"], "seed": 3,
        "stream": true,
        "stream_options": ["include_usage": true], "logprobs": true, "top_logprobs": 2, "user": "u",
        "logit_bias": ["5": -100], "presence_penalty": 1, "n": 1, "tools": [Self.tool], "unknown": [1],
      ]))
    #expect(request.temperature == 0.5 && request.topP == 0.9 && request.maximum == 7 && request.seed == 3)
    #expect(request.stops == ["a", "b"] && request.streams && request.streamsUsage && request.logprobs == 2)
    #expect(request.logitBias == [5: -100] && request.presencePenalty == 1)
    #expect(request.tools.map(\.name) == ["f"] && request.toolChoice == .auto)
    #expect(try AnswerRequest(chat: Self.chat(["max_completion_tokens": 9, "max_tokens": 7])).maximum == 9)
    #expect(try AnswerRequest(chat: Self.chat([:])).toolChoice == .none)
    #expect(try AnswerRequest(chat: Self.chat(["tools": [Self.tool], "tool_choice": "none"])).tools.isEmpty)
  }

  @Test func historyIsKept() throws {
    let request = try AnswerRequest(
      chat: [
        "messages": [
          [
            "role": "developer", "content": [["type": "text", "text": "a"], ["type": "text", "text": "b"]],
          ],
          ["role": "user", "content": "Hi"],
          [
            "role": "assistant", "content": .null, "reasoning_content": "To call.",
            "tool_calls": [
              ["id": "1", "type": "function", "function": ["name": "f", "arguments": "{\"a\": 1}"]]
            ],
          ],
          ["role": "tool", "tool_call_id": "1", "content": "42"],
        ]
      ])
    let messages = Self.messages(request)
    #expect(messages[0] == ["role": "system", "content": "a\nb"])
    #expect(messages[2]["reasoning_content"] == "To call." && messages[2]["content"] == "")
    #expect(messages[2]["tool_calls"]?.array?.first?["function"]?["arguments"] == ["a": 1])
    #expect(messages[3]["tool_call_id"] == "1")
  }

  @Test func messagesRequests() throws {
    let request = try AnswerRequest(
      messages: [
        "model": "m", "max_tokens": 5, "system": [["type": "text", "text": "Be brief."]],
        "tools": [["name": "f", "description": "d", "input_schema": ["type": "object"]]],
        "tool_choice": ["type": "auto"], "stop_sequences": ["X"], "top_k": 3,
        "thinking": ["type": "enabled", "budget_tokens": 1024],
        "messages": [
          ["role": "user", "content": "Hi"],
          [
            "role": "assistant",
            "content": [
              ["type": "thinking", "thinking": "One.", "signature": "s"],
              ["type": "thinking", "thinking": "Two.", "signature": "s"],
              ["type": "redacted_thinking", "data": "x"], ["type": "text", "text": "I call."],
              ["type": "tool_use", "id": "t1", "name": "f", "input": ["a": 1]],
            ],
          ],
          [
            "role": "user",
            "content": [
              ["type": "tool_result", "tool_use_id": "t1", "content": [["type": "text", "text": "42"]]],
              ["type": "tool_result", "tool_use_id": "t2"], ["type": "text", "text": "And?"],
            ],
          ],
        ],
      ])
    let messages = Self.messages(request)
    #expect(messages.count == 6 && messages[0] == ["role": "system", "content": "Be brief."])
    #expect(messages[2]["reasoning_content"] == "One.\n\nTwo." && messages[2]["content"] == "I call.")
    #expect(messages[2]["tool_calls"]?.array?.first?["function"] == ["name": "f", "arguments": ["a": 1]])
    #expect(messages[3] == ["role": "tool", "tool_call_id": "t1", "content": "42"])
    #expect(messages[4] == ["role": "tool", "tool_call_id": "t2", "content": ""])
    #expect(messages[5] == ["role": "user", "content": "And?"])
    #expect(request.maximum == 5 && request.topK == 3 && request.stops == ["X"])
    guard case .conversation(let conversation) = request.prompt else { return }
    #expect(conversation.variables.contains { $0.name == "enable_thinking" && $0.value == true })
    #expect(conversation.tools?.first?["function"]?["parameters"] == ["type": "object"])
  }

  @Test func completionsRequests() throws {
    func prompt(_ json: JSON) throws -> AnswerRequest.Prompt {
      try AnswerRequest(completion: ["prompt": json]).prompt
    }
    if case .text(let text) = try prompt("a") { #expect(text == "a") } else { Issue.record("no text") }
    if case .text(let text) = try prompt(["a"]) { #expect(text == "a") } else { Issue.record("no text") }
    if case .tokens(let tokens) = try prompt([1, 2]) {
      #expect(tokens == [1, 2])
    } else {
      Issue.record("none")
    }
    if case .tokens(let tokens) = try prompt([[1, 2]]) {
      #expect(tokens == [1, 2])
    } else {
      Issue.record("none")
    }
    #expect(try AnswerRequest(completion: ["prompt": "a"]).maximum == 16)
  }

  /// Refusals name the member.
  @Test func refusedChats() {
    let cases: [(JSON, String)] = [
      ([1], "the body"), ([:], "messages"), (["messages": []], "messages"), (["messages": "Hi"], "messages"),
      (["messages": [3]], "messages[0]"), (["messages": [["content": "Hi"]]], "messages[0].role"),
      (["messages": [["role": "wizard", "content": "Hi"]]], "messages[0].role"),
      (["messages": [["role": "user"]]], "messages[0].content"),
      (["messages": [["role": "user", "content": 5]]], "messages[0].content"),
      (
        ["messages": [["role": "user", "content": [["type": "image_url", "image_url": ["url": "x"]]]]]],
        "messages[0].content[0].type"
      ),
      (["messages": [["role": "tool", "content": "x"]]], "messages[0].tool_call_id"),
      (
        ["messages": [["role": "assistant", "tool_calls": [["id": "1"]]]]], "messages[0].tool_calls[0]"
      ),
      (Self.chat(["temperature": -1]), "temperature"), (Self.chat(["temperature": "hot"]), "temperature"),
      (Self.chat(["temperature": "1e400".json]), "temperature"), (Self.chat(["top_p": JSON(1.5)]), "top_p"),
      (Self.chat(["max_tokens": 0]), "max_tokens"), (Self.chat(["max_tokens": JSON(1.5)]), "max_tokens"),
      (Self.chat(["n": 2]), "n"), (Self.chat(["stop": [1]]), "stop[0]"),
      (Self.chat(["stream": "yes"]), "stream"),
      (Self.chat(["logit_bias": ["x": 1]]), "logit_bias"), (Self.chat(["tools": "f"]), "tools"),
      (Self.chat(["tools": [["type": "web_search"]]]), "tools[0].type"),
      (Self.chat(["tools": [["type": "function", "function": [:]]]]), "tools[0].function.name"),
      (Self.chat(["tools": [Self.tool, Self.tool]]), "tools[1].function.name"),
      (Self.chat(["tools": [Self.tool], "tool_choice": "g"]), "tool_choice"),
      (
        Self.chat(["tools": [Self.tool], "tool_choice": ["type": "function", "function": ["name": "g"]]]),
        "tool_choice"
      ),
      (Self.chat(["tool_choice": "required"]), "tool_choice"),
      (Self.chat(["response_format": ["type": "xml"]]), "response_format.type"),
      (Self.chat(["response_format": ["type": "json_schema"]]), "response_format.json_schema.schema"),
    ]
    for (json, parameter) in cases {
      let error = #expect(throws: ServingError.self) { try AnswerRequest(chat: json) }
      #expect(
        error?.kind == .invalid && error?.parameter == parameter, "\(parameter): \(String(describing: error))"
      )
    }
  }

  @Test func refusedMessages() {
    func request(_ content: JSON, role: JSON = "user") -> JSON {
      ["max_tokens": 5, "messages": [["role": role, "content": content]]]
    }
    let cases: [(JSON, String)] = [
      (["messages": [Self.message]], "max_tokens"), (["max_tokens": 5], "messages"),
      (request("x", role: "wizard"), "messages[0].role"),
      (request([["type": "image"]]), "messages[0].content[0].type"),
      (request([["type": "tool_use", "name": "f", "input": [:]]]), "messages[0].content[0].type"),
      (request([["type": "tool_use", "name": "f"]], role: "assistant"), "messages[0].content[0]"),
      (request([["type": "tool_result"]]), "messages[0].content[0].tool_use_id"),
      (
        [
          "max_tokens": 5, "messages": [Self.message],
          "tools": [["type": "web_search_20250305", "name": "w"]],
        ],
        "tools[0].type"
      ),
      (["max_tokens": 5, "messages": [Self.message], "tools": [["name": "f"]]], "tools[0].input_schema"),
      (["max_tokens": 5, "messages": [Self.message], "tool_choice": ["type": "any"]], "tool_choice"),
      (["max_tokens": 5, "messages": [Self.message], "thinking": ["type": "loud"]], "thinking.type"),
    ]
    for (json, parameter) in cases {
      let error = #expect(throws: ServingError.self) { try AnswerRequest(messages: json) }
      #expect(
        error?.kind == .invalid && error?.parameter == parameter, "\(parameter): \(String(describing: error))"
      )
    }
    // Counting needs no limit.
    #expect((try? AnswerRequest(messages: ["messages": [Self.message]], counts: true)) != nil)
  }

  @Test func refusedCompletions() {
    let cases: [(JSON, String)] = [
      ([:], "prompt"), (["prompt": []], "prompt"), (["prompt": ["a", "b"]], "prompt"),
      (["prompt": [1, "b"]], "prompt[1]"), (["prompt": "a", "best_of": 2], "best_of"),
      (["prompt": "a", "suffix": "b"], "suffix"), (["prompt": "a", "logprobs": 100], "logprobs"),
    ]
    for (json, parameter) in cases {
      let error = #expect(throws: ServingError.self) { try AnswerRequest(completion: json) }
      #expect(
        error?.kind == .invalid && error?.parameter == parameter, "\(parameter): \(String(describing: error))"
      )
    }
  }

  @Test func errorsHaveTheShapeOfTheirAPI() {
    for kind in ServingError.Kind.allCases {
      let error = ServingError(kind, "why", parameter: "p")
      #expect(
        ServingAPI.openAI.body(error)["error"]?["message"] == "why"
          && ServingAPI.openAI.body(error)["error"]?["param"] == "p")
      #expect(
        ServingAPI.anthropic.body(error)["type"] == "error"
          && ServingAPI.anthropic.body(error)["error"]?["message"] == "why")
      #expect(
        (400..<600).contains(ServingAPI.openAI.status(kind))
          && (400..<600).contains(ServingAPI.anthropic.status(kind)))
    }
    #expect(
      ServingAPI.openAI.status(.contextLength) == 400 && ServingAPI.anthropic.status(.overloaded) == 529)
  }
}
