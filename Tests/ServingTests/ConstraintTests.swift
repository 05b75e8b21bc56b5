import IngotServing
import IngotSystem
import IngotToolCalls
import Testing

/// Grammars: what may follow, byte by byte.
@Suite struct ConstraintTests {
  private func accepts(_ grammar: Grammar, _ text: String) -> Bool {
    GrammarState(grammar).after(text.utf8, grammar)?.canEnd ?? false
  }

  /// Whether a text can be continued to one of the grammar.
  private func begins(_ grammar: Grammar, _ text: String) -> Bool {
    GrammarState(grammar).after(text.utf8, grammar) != nil
  }

  private func schema(_ text: String) throws -> Grammar {
    try SchemaGrammar.grammar(of: text.json, place: "p")
  }

  @Test func schemas() throws {
    let cases: [(schema: String, yes: [String], no: [String])] = [
      (#"{"type": "boolean"}"#, ["true", "false", " true", "\ntrue"], ["tru", "1", "\"true\"", "true "]),
      (
        #"{"type": "integer"}"#, ["0", "-5", "1234567890123456"],
        ["01", "-0", "1.5", "-", "12345678901234567"]
      ),
      (#"{"type": "integer", "minimum": 3, "maximum": 12}"#, ["3", "12"], ["2", "13", "1"]),
      (#"{"type": "integer", "minimum": 1}"#, ["1", "40"], ["0", "-1"]),
      (#"{"type": "number"}"#, ["0", "-0.5", "1e10", "2.25E-3"], [".5", "1.", "1e", "00"]),
      (#"{"type": "null"}"#, ["null"], ["nul"]),
      (
        #"{"type": "string"}"#, [#""""#, #""a\n\u00e9\"""#, "\"ä€😀\"", #""\ud7ff""#],
        ["a", "\"", "\"\n\"", #""\x""#, #""\ud800""#, #""\u12""#]
      ),
      (#"{"type": "string", "minLength": 1, "maxLength": 3}"#, [#""a""#, "\"äöü\""], [#""""#, #""abcd""#]),
      (#"{"enum": ["a", 1, null]}"#, [#""a""#, "1", "null"], ["a", "2"]),
      (#"{"const": {"a": [1]}}"#, [#"{"a":[1]}"#], ["{}"]),
      (#"{"type": ["string", "null"]}"#, ["null", #""x""#], ["1"]),
      (#"{"anyOf": [{"type": "integer"}, {"type": "boolean"}]}"#, ["1", "true"], ["null"]),
      (
        #"{"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}"#,
        ["[1]", "[1, 2,3]", "[ 1 ]"], ["[]", "[1,2,3,4]", "[1,]", "[a]"]
      ),
      (#"{"type": "array"}"#, ["[]", #"[1, "a", {"b": [null]}]"#], ["[", "[1"]),
      (#"{"type": "array", "maxItems": 0}"#, ["[]"], ["[1]"]),
      (
        #"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}, "required": ["a", "b"]}"#,
        [#"{"a":1,"b":true}"#, "{\n  \"a\": 1,\n  \"b\": true\n}"],
        ["{}", #"{"a":1}"#, #"{"b":true,"a":1}"#, #"{"a":1,"b":true,"c":2}"#]
      ),
      (
        #"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}}, "required": ["b"]}"#,
        [#"{"b":1}"#, #"{"a":1,"b":2}"#, #"{"b":1,"c":2}"#, #"{"a":1,"b":2,"c":3}"#],
        ["{}", #"{"a":1}"#, #"{"a":1,"c":3}"#, #"{"b":1,}"#, #"{,"b":1}"#]
      ),
      (#"{"type": "object"}"#, ["{}", #"{"x": [1], "y": {"z": null}}"#], ["[]", "{1:2}"]),
      (#"{"type": "object", "additionalProperties": false}"#, ["{}"], [#"{"a":1}"#]),
      (
        #"{"type": "object", "additionalProperties": {"type": "integer"}}"#, ["{}", #"{"a": 1, "b": 2}"#],
        [#"{"a": "b"}"#]
      ),
      (
        ##"{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}, "required": ["left"]}}}"##,
        [#"{"left": null}"#, #"{"left": {"left": null}}"#], [#"{"left": {"left": 1}}"#, "{}"]
      ),
      ("{}", ["1", #"{"a":[]}"#], ["x"]), ("true", ["1"], ["x"]),
    ]
    for (text, yes, no) in cases {
      let grammar = try schema(text)
      for example in yes { #expect(accepts(grammar, example), "\(text): \(example)") }
      for example in no { #expect(!accepts(grammar, example), "\(text): \(example)") }
    }
  }

  @Test func whatCannotBeEnforcedIsRefused() {
    for text in [
      #"{"type": "string", "pattern": "a"}"#, #"{"not": {}}"#, #"{"type": "number", "minimum": 1}"#,
      #"{"type": "integer", "minimum": 7}"#, #"{"type": "integer", "minimum": 0, "maximum": 1000000}"#,
      #"{"type": "object", "patternProperties": {}}"#, #"{"type": "object", "required": ["a"]}"#,
      #"{"$ref": "http://elsewhere"}"#, ##"{"$ref": "#/nothing"}"##, #"{"type": "thing"}"#, "3", "false",
      #"{"if": {}}"#, #"{"type": "array", "uniqueItems": true}"#, #"{"enum": []}"#,
      ##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}"##,
      String(repeating: #"{"type": "array", "items": "#, count: 70) + "{}"
        + String(repeating: "}", count: 70),
    ] {
      let error = #expect(throws: ServingError.self) { try schema(text) }
      #expect(error?.message.contains("cannot be enforced") == true, "\(text)")
    }
    // What only describes is passed over.
    #expect(throws: Never.self) {
      try schema(#"{"type": "string", "title": "T", "format": "date", "default": "x"}"#)
    }
  }

  @Test func anEndThatHasToBe() throws {
    let grammar = try schema(#"{"enum": [true]}"#)
    let state = try #require(GrammarState(grammar).after("true".utf8, grammar))
    #expect(state.isComplete && state.canEnd)
    #expect(try !GrammarState(schema("{}")).isComplete)
  }

  /// Every format writes calls that its parser reads, and only such.
  @Test func callsThatAreEnforcedAreRead() throws {
    let tools = ToolDefinition.all(in: [
      [
        "name": "weather",
        "parameters": [
          "type": "object",
          "properties": [
            "city": ["type": "string", "maxLength": 4], "days": ["type": "integer"],
            "note": ["type": "string", "maxLength": 4],
          ], "required": ["city", "days"],
        ],
      ], ["name": "stop", "parameters": ["type": "object"]],
    ])
    var generator = SystemLikeGenerator(state: 3)
    for format in ToolCallFormat.allCases {
      let grammar = try format.grammar(of: tools, place: "tools")
      var names: Set<String> = []
      for _ in 0..<40 {
        // Any way through the grammar, with a letter where there are many.
        var state = GrammarState(grammar)
        var text: [UInt8] = []
        while !state.isComplete, text.count < 4000 {
          if state.canEnd, Bool.random(using: &generator) { break }
          let next = (UInt8(0)...255).filter { state.after($0, grammar) != nil }
          let byte = next.randomElement(using: &generator)!
          text.append(byte)
          state = state.after(byte, grammar)!
        }
        guard state.canEnd, let written = String(validating: text, as: UTF8.self) else {
          Issue.record("\(format): \(String(decoding: text, as: UTF8.self))")
          continue
        }
        var parser = AnswerParser(format, reasoning: nil, tools: tools)
        let pieces = parser.add(written) + parser.end()
        guard case .call(let call)? = pieces.first, pieces.count == 1 else {
          Issue.record("\(format): \(written) is \(pieces)")
          continue
        }
        names.insert(call.name)
        if call.name == "weather" {
          #expect(
            call.arguments["city"]?.string != nil && call.arguments["days"]?.int != nil,
            "\(format): \(written)")
        } else {
          #expect(call.arguments.count == 0)
        }
      }
      #expect(names == ["weather", "stop"], "\(format)")
    }
  }

  /// The tokens that may follow, found by all tokens at once and by each alone.
  @Test func allowedTokens() throws {
    let model = try Nano.model()
    let bytes = TokenBytes(model.tokenizer, hidden: [2041, 2042, 2043])
    #expect(bytes.bytes[2042].isEmpty && bytes.bytes[2044] == Array("<think>".utf8))
    let grammar = try schema(
      #"{"type": "object", "properties": {"a": {"enum": ["the", "then"]}, "b": {"type": "integer"}}, "required": ["a", "b"]}"#
    )
    for text in ["", "{", #"{"a": "the"#, #"{"a": "then", "b": 1"#, #"{"a": "then", "b": 1}"#] {
      let state = try #require(GrammarState(grammar).after(text.utf8, grammar))
      let each = bytes.bytes.indices.filter {
        !bytes.bytes[$0].isEmpty && state.after(bytes.bytes[$0], grammar) != nil
      }
      #expect(bytes.allowed(state, grammar).sorted() == each, "\(text)")
      #expect(each.isEmpty == state.isComplete, "\(text)")
    }
  }

  @Test func answersAreKeptToSchemasAndTools() async throws {
    let service = try Nano.service()
    let schema: JSON = [
      "type": "object",
      "properties": [
        "kind": ["enum": ["metal", "stone"]], "count": ["type": "integer"], "big": ["type": "boolean"],
      ],
      "required": ["kind", "count", "big"],
    ]
    for temperature in [0, 1, 2] {
      let answer = await service.post(
        "/v1/chat/completions",
        [
          "messages": [["role": "user", "content": "What is it?"]], "temperature": JSON(temperature),
          "seed": 1,
          "max_tokens": 200, "chat_template_kwargs": ["enable_thinking": false],
          "response_format": ["type": "json_schema", "json_schema": ["name": "x", "schema": schema]],
        ])
      let text = answer.text.json["choices"]?.array?.first?["message"]?["content"]?.string ?? ""
      #expect(
        answer.status == 200 && text.json["count"]?.int != nil && text.json["big"]?.bool != nil,
        "\(answer.text)")
      let call = await service.post(
        "/v1/messages",
        [
          "messages": [["role": "user", "content": "What is it?"]], "temperature": JSON(temperature),
          "max_tokens": 200, "thinking": ["type": "disabled"],
          "tool_choice": ["type": "tool", "name": "note"],
          "tools": [
            ["name": "note", "input_schema": schema], ["name": "other", "input_schema": ["type": "object"]],
          ],
        ])
      let block = call.text.json["content"]?.array?.last ?? .null
      #expect(block["name"] == "note" && block["input"]?["count"]?.int != nil, "\(call.text)")
      #expect(call.text.json["stop_reason"] == "tool_use")
    }
    let refused = await service.post(
      "/v1/chat/completions",
      [
        "messages": [["role": "user", "content": "?"]],
        "response_format": ["type": "json_schema", "json_schema": ["name": "x", "schema": ["not": [:]]]],
      ])
    #expect(refused.status == 400)
  }
}
