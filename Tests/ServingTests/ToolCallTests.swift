import IngotSystem
import IngotToolCalls
import Testing

/// What models say, divided: the same whatever pieces it comes in, and nothing is an error.
@Suite struct ToolCallTests {
  private static let think = ReasoningMarks(open: "<think>", close: "</think>")
  private static let tools = ToolDefinition.all(in: [
    [
      "type": "function",
      "function": [
        "name": "weather",
        "parameters": [
          "type": "object",
          "properties": [
            "city": ["type": "string"], "days": ["type": "integer"], "exact": ["type": "boolean"],
            "tags": ["type": "array"], "note": ["type": ["string", "null"]],
          ],
        ],
      ],
    ]
  ])

  /// Adjacent texts of a kind joined.
  private static func joined(_ pieces: [AnswerPiece]) -> [AnswerPiece] {
    var all: [AnswerPiece] = []
    for piece in pieces {
      switch (all.last, piece) {
      case (.content(let before), .content(let text)): all[all.count - 1] = .content(before + text)
      case (.reasoning(let before), .reasoning(let text)): all[all.count - 1] = .reasoning(before + text)
      default: all.append(piece)
      }
    }
    return all
  }

  /// What the parser makes of a text, which has to be the same for pieces of every size.
  private static func parse(
    _ text: String, _ format: ToolCallFormat?, startsReasoning: Bool = false,
    reasoning: ReasoningMarks? = think
  ) -> [AnswerPiece] {
    var first: [AnswerPiece]?
    for size in [Int.max, 1, 2, 3, 5, 8, 13] {
      var parser = AnswerParser(
        format, reasoning: reasoning, startsReasoning: startsReasoning, tools: tools)
      var pieces: [AnswerPiece] = []
      var rest = text[...]
      while !rest.isEmpty {
        pieces += parser.add(String(rest.prefix(size)))
        rest = rest.dropFirst(size)
      }
      let all = joined(pieces + parser.end())
      if let first {
        #expect(all == first, "pieces of \(size) characters: \(all)")
      } else {
        first = all
      }
    }
    return first!
  }

  private static func call(_ arguments: JSONObject, id: String? = nil) -> AnswerPiece {
    .call(ToolCall(name: "weather", arguments: arguments, id: id))
  }

  private static let arguments: JSONObject = ["city": "Oslo", "days": 3]

  private static let calls: [(ToolCallFormat, String, AnswerPiece)] = [
    (
      .minimax,
      """
      <minimax:tool_call>
      <invoke name="weather">
      <parameter name="city">Oslo</parameter>
      <parameter name="days">3</parameter>
      </invoke>
      </minimax:tool_call>
      """, call(arguments)
    ),
    (
      .hermes,
      "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 3}}\n</tool_call>",
      call(arguments)
    ),
    (
      .qwenCoder,
      """
      <tool_call>
      <function=weather>
      <parameter=city>
      Oslo
      </parameter>
      <parameter=days>
      3
      </parameter>
      </function>
      </tool_call>
      """, call(arguments)
    ),
    (
      .glm,
      """
      <tool_call>weather
      <arg_key>city</arg_key>
      <arg_value>Oslo</arg_value>
      <arg_key>days</arg_key>
      <arg_value>3</arg_value>
      </tool_call>
      """, call(arguments)
    ),
    (
      .deepSeek,
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Oslo\", \"days\": 3}\n```"
        + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", call(arguments)
    ),
    (
      .deepSeek,
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Oslo\", \"days\": 3}<｜tool▁call▁end｜>"
        + "<｜tool▁calls▁end｜>", call(arguments)
    ),
    (
      .deepSeekMarkup,
      """
      <｜DSML｜function_calls>
      <｜DSML｜invoke name="weather">
      <｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>
      <｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>
      </｜DSML｜invoke>
      </｜DSML｜function_calls>
      """, call(arguments)
    ),
    (
      .kimi,
      "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>"
        + "{\"city\": \"Oslo\", \"days\": 3}<|tool_call_end|><|tool_calls_section_end|>",
      call(arguments, id: "functions.weather:0")
    ),
    (
      .mistral,
      "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 3}, \"id\": \"abc123def\"}]",
      call(arguments, id: "abc123def")
    ),
    (.mistral, "[TOOL_CALLS]weather[ARGS]{\"city\": \"Oslo\", \"days\": 3}", call(arguments)),
  ]

  @Test func callsOfEveryFormat() {
    for (format, text, expected) in Self.calls {
      #expect(Self.parse(text, format) == [expected], "\(format)")
      // Beside thoughts and content.
      let all = Self.parse("<think>\nTo look.\n</think>\n\nI look.\n\n" + text, format)
      #expect(all == [.reasoning("To look."), .content("I look."), expected], "\(format): \(all)")
    }
  }

  @Test func severalCalls() {
    for (format, text, expected) in Self.calls where format != .mistral {
      let all = Self.parse(text + "\n" + text, format)
      #expect(all == [expected, expected], "\(format): \(all)")
    }
    let both = Self.parse(
      "<minimax:tool_call><invoke name=\"a\"></invoke>\n<invoke name=\"b\"></invoke></minimax:tool_call> done",
      .minimax)
    #expect(
      both == [
        .call(ToolCall(name: "a", arguments: [:])), .call(ToolCall(name: "b", arguments: [:])),
        .content("done"),
      ])
  }

  /// The token that ends an answer may stand where the mark would.
  @Test func aCallWithoutItsLastMark() {
    for (format, text, expected) in Self.calls where format != .mistral {
      let section = format.marks.last { text.hasSuffix($0) }
      guard let section else { continue }
      let all = Self.parse(String(text.dropLast(section.count)), format)
      #expect(all == [expected], "\(format): \(all)")
    }
  }

  /// Whatever is cut out of a call, it is text or another call, and no letter of a text is lost.
  @Test func malformedCallsAreText() {
    let broken: [(ToolCallFormat, String)] = [
      (.hermes, "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": }}</tool_call>"),
      (.hermes, "<tool_call>{\"name\": 3}</tool_call>"),
      (.hermes, "<tool_call>{\"name\": \"a\", \"arguments\": 5}</tool_call>"),
      (.hermes, "<tool_call>\n{\"name\": \"a\", \"name\": \"b\"}\n</tool_call>"),
      (.hermes, "<tool_call>no call at all</tool_call>"),
      (.hermes, "<tool_call></tool_call>"),
      (
        .minimax,
        "<minimax:tool_call>\n<invoke name=\"a\">\n<parameter name=\"b\">c\n</invoke>\n</minimax:tool_call>"
      ),
      (.minimax, "<minimax:tool_call></minimax:tool_call>"),
      (.minimax, "<minimax:tool_call>\nwords\n</minimax:tool_call>"),
      (.glm, "<tool_call>f<arg_key>a</arg_key>b</tool_call>"),
      (.qwenCoder, "<tool_call><function=f><parameter=a>b</function></tool_call>"),
      (
        .deepSeek,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\"<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
      ),
      (
        .kimi, "<|tool_calls_section_begin|><|tool_call_begin|>f:0<|tool_call_end|><|tool_calls_section_end|>"
      ),
      (.mistral, "[TOOL_CALLS]{\"a\""),
    ]
    for (format, text) in broken {
      #expect(Self.parse(text, format) == [.content(text)], "\(format)")
    }
    for (format, text, _) in Self.calls {
      for cut in 1..<text.count {
        let start = text.prefix(cut)
        let pieces = Self.parse(String(start), format)
        for case .content(let content) in pieces {
          #expect(String(start).contains(content), "\(format): \(content)")
        }
        #expect(!pieces.isEmpty, "\(format): \(start)")
      }
    }
  }

  @Test func argumentsHaveTheTypesOfTheSchema() {
    func value(_ name: String, _ text: String) -> JSON? {
      let all = Self.parse(
        "<minimax:tool_call><invoke name=\"weather\"><parameter name=\"\(name)\">\(text)</parameter></invoke>"
          + "</minimax:tool_call>", .minimax)
      guard case .call(let call) = all.first else { return nil }
      return call.arguments[name]
    }
    #expect(
      value("city", "3") == "3" && value("city", "null") == "null"
        && value("city", "{\"a\": 1}") == "{\"a\": 1}")
    #expect(value("days", "3") == 3 && value("days", "three") == "three" && value("days", "3.5") == "3.5")
    #expect(value("exact", "true") == true && value("exact", "True") == "True")
    #expect(value("tags", "[\"a\", 2]") == ["a", 2])
    #expect(value("note", "null") == .null && value("note", "x") == "x" && value("note", "7") == "7")
    // Of which the schema says nothing.
    #expect(
      value("other", "7") == 7 && value("other", "seven") == "seven" && value("other", "\"q\"") == "\"q\"")
    // Line feeds that set a text off, and no others.
    #expect(value("city", "\nOslo\n") == "Oslo" && value("city", "\n\n a\n\n") == "\n a\n")
  }

  @Test func thoughts() {
    #expect(Self.parse("plain", nil) == [.content("plain")])
    #expect(
      Self.parse("why\n</think>\n\nso", nil, startsReasoning: true) == [.reasoning("why"), .content("so")])
    #expect(Self.parse("never closed", nil, startsReasoning: true) == [.reasoning("never closed")])
    #expect(
      Self.parse("<think>a</think>b<think>c</think>d", nil) == [
        .reasoning("a"), .content("b"), .reasoning("c"), .content("d"),
      ])
    #expect(Self.parse("<think></think>b", nil) == [.content("b")])
    #expect(Self.parse("a < b and <thin", nil) == [.content("a < b and <thin")])
    #expect(Self.parse("a\n\n", nil) == [.content("a\n\n")])
    // Without marks nothing is divided.
    #expect(Self.parse("<think>a</think>", nil, reasoning: nil) == [.content("<think>a</think>")])
  }

  /// A head is what ends within so many bytes, in whatever pieces it comes.
  @Test(arguments: [(490, true), (491, false), (2000, false)]) func longHarmonyHeads(
    _ letters: Int, _ isHead: Bool
  ) {
    let head = "<|channel|>analysis " + String(repeating: "x", count: letters)
    let text = head + "  <|message|>Hm.<|end|>"
    #expect(
      Self.parse(text, .harmony, reasoning: nil)
        == [isHead ? .reasoning("Hm.") : .content(head + "  <|message|>Hm.")])
  }

  @Test func harmony() {
    func parse(_ text: String) -> [AnswerPiece] { Self.parse(text, .harmony, reasoning: nil) }
    let analysis = "<|channel|>analysis<|message|>To look.<|end|>"
    #expect(
      parse(analysis + "<|start|>assistant<|channel|>final<|message|>It rains.<|return|>") == [
        .reasoning("To look."), .content("It rains."),
      ])
    let call =
      "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\": \"Oslo\", \"days\": 3}"
    #expect(
      parse(analysis + "<|start|>assistant" + call + "<|call|>") == [
        .reasoning("To look."), Self.call(Self.arguments),
      ])
    #expect(parse(call) == [Self.call(Self.arguments)])
    #expect(
      parse(
        " to=functions.weather<|channel|>commentary json<|message|>{\"city\": \"Oslo\", \"days\": 3}<|call|>")
        == [
          Self.call(Self.arguments)
        ])
    #expect(
      parse("<|channel|>commentary<|message|>First, a plan.<|end|>") == [.content("First, a plan.")])
    let broken = "<|channel|>commentary to=functions.weather<|message|>{\"city\""
    #expect(parse(broken) == [.content(broken)])
    #expect(parse("no marks at all") == [.content("no marks at all")])
    #expect(
      parse("<|channel|>final<|message|>a<|start|>assistant<|channel|>final<|message|>b") == [.content("ab")])
  }

  @Test func templatesSayTheirFormat() {
    let templates: [(String, ToolCallFormat?)] = [
      ("{{ '<minimax:tool_call>' }}", .minimax), ("<tool_call>\\n{\"name\"", .hermes),
      ("<tool_call>\\n<function=", .qwenCoder), ("<tool_call>{name}\\n<arg_key>", .glm),
      ("'<｜tool▁calls▁begin｜>'", .deepSeek), ("<|tool_calls_section_begin|>", .kimi),
      ("<|channel|>analysis", .harmony), ("[TOOL_CALLS]", .mistral), ("{{ messages }}", nil),
    ]
    for (template, format) in templates {
      #expect(ToolCallFormat(template: template) == format, "\(template)")
    }
    #expect(ReasoningMarks(template: "x</think>") == Self.think && ReasoningMarks(template: "x") == nil)
    #expect(Self.think.areOpen(in: "ai\n<think>\n") && !Self.think.areOpen(in: "<think>\n\n</think>\n"))
  }

  /// Texts of marks, letters and JSON in any order: nothing stops the parser, and what comes out does not depend on the pieces.
  @Test func anything() {
    var generator = SystemLikeGenerator(state: 7)
    for format in ToolCallFormat.allCases {
      let words =
        format.marks + [
          "<think>", "</think>", "{\"name\": \"f\", \"arguments\": {}}", " ", "\n", "f", "{", "}", "ä", "<",
          "</",
        ]
        + [
          "<invoke name=\"f\">", "</invoke>", "<parameter name=\"a\">", "</parameter>", "<function=f>", ":0",
          "to=functions.f",
        ]
      for _ in 0..<60 {
        let text = (0..<Int.random(in: 1...14, using: &generator)).map { _ in
          words.randomElement(using: &generator)!
        }
        .joined()
        _ = Self.parse(text, format)
      }
    }
  }
}

/// The same numbers in every run.
struct SystemLikeGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ state >> 29
  }
}
