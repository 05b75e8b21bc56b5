import IngotSystem
import IngotToolCalls
import IngotWorkflows

extension AnswerRequest {
  /// A request of Anthropic's `/v1/messages`, or of `/v1/messages/count_tokens`.
  ///
  /// Blocks of thinking become the reasoning of their message, whatever their signature; results of tools become messages of their own.
  /// - Parameter counts: whether tokens are to be counted only.
  /// - Throws: `ServingError` that names the member.
  public init(messages json: JSON, counts: Bool = false) throws(ServingError) {
    let fields = try RequestFields(json)
    guard let list = try fields.array("messages"), !list.isEmpty else {
      throw fields.missing("messages", "a list of at least one message")
    }
    var messages: [JSON] = []
    if let system = fields["system"] {
      let text = try ConversationReading.text(system, "system")
      if !text.isEmpty { messages.append(["role": "system", "content": .string(text)]) }
    }
    for (index, entry) in list.enumerated() {
      messages += try Self.messages(RequestFields(entry, "messages[\(index)]"))
    }
    let tools = try Self.tools(try fields.array("tools") ?? [])
    let definitions = ToolDefinition.all(in: tools)
    let choice = try Self.toolChoice(fields, definitions)
    var variables: [(name: String, value: JSON)] = []
    if let thinking = try fields.fields("thinking") {
      switch try thinking.string("type") {
      case "enabled", "adaptive": variables += [("enable_thinking", true), ("thinking", true)]
      case "disabled": variables += [("enable_thinking", false), ("thinking", false)]
      default:
        throw .invalid(
          "thinking.type", expected: "enabled, adaptive or disabled", found: thinking["type"]?.kind ?? "none")
      }
    }
    self.init(
      .conversation(
        try ConversationReading.conversation(
          messages, tools: choice == .none ? [] : tools, variables: variables)))
    toolChoice = choice
    self.tools = choice == .none ? [] : definitions
    maximum = try fields.int("max_tokens", in: 1...Int.max)
    guard maximum != nil || counts else { throw fields.missing("max_tokens", "tokens of the answer at most") }
    temperature = try fields.double("temperature", in: 0...100)
    topP = try fields.double("top_p", in: 0...1)
    topK = try fields.int("top_k", in: 0...Int.max)
    stops = try fields.strings("stop_sequences", most: 64)
    streams = try fields.bool("stream") ?? false
    form = try Self.form(fields)
  }

  private static func form(_ fields: RequestFields) throws(ServingError) -> Form {
    var given = try fields.fields("output_format")
    if given == nil { given = try fields.fields("output_config")?.fields("format") }
    guard let format = given else { return .text }
    guard try format.string("type") == "json_schema", let schema = format["schema"], schema.object != nil
    else {
      throw .invalid(format.place, expected: "a json_schema with its schema", found: "another")
    }
    return .schema(schema)
  }

  /// Tools as OpenAI's API defines them, which is what templates take.
  private static func tools(_ list: [JSON]) throws(ServingError) -> [JSON] {
    var tools: [JSON] = []
    for (index, tool) in list.enumerated() {
      let fields = try RequestFields(tool, "tools[\(index)]")
      guard try fields.string("type") ?? "custom" == "custom" else {
        throw .invalid(
          fields.name("type"), expected: "custom: tools of the service itself are not here",
          found: fields["type"]!.kind)
      }
      guard let name = try fields.string("name") else { throw fields.missing("name", "the name of a tool") }
      guard let schema = fields["input_schema"] else { throw fields.missing("input_schema", "a JSON schema") }
      var function: JSONObject = ["name": .string(name)]
      function["description"] = try fields.string("description").map { .string($0) }
      function["parameters"] = schema
      tools.append(["type": "function", "function": .object(function)])
    }
    return try ConversationReading.tools(tools)
  }

  private static func toolChoice(_ fields: RequestFields, _ tools: [ToolDefinition]) throws(ServingError)
    -> ToolChoice
  {
    guard let given = try fields.fields("tool_choice") else { return tools.isEmpty ? .none : .auto }
    let choice: ToolChoice
    switch try given.string("type") {
    case "auto": choice = tools.isEmpty ? .none : .auto
    case "none": choice = .none
    case "any": choice = .required
    case "tool":
      guard let name = try given.string("name") else { throw given.missing("name", "a tool's name") }
      choice = .named(name)
    default:
      throw .invalid(
        "tool_choice.type", expected: "auto, any, tool or none", found: given["type"]?.kind ?? "none")
    }
    try choice.check(tools)
    return choice
  }

  /// What a message is to templates: results of tools first, each a message.
  private static func messages(_ fields: RequestFields) throws(ServingError) -> [JSON] {
    guard let role = try fields.string("role") else { throw fields.missing("role", "user or assistant") }
    guard ["user", "assistant", "system"].contains(role) else {
      throw .invalid(
        fields.name("role"), expected: "user or assistant", found: "'\(printable(role, limit: 40))'")
    }
    guard let content = fields["content"] else { throw fields.missing("content", "what the message says") }
    if let text = content.string { return [["role": .string(role), "content": .string(text)]] }
    guard let blocks = try fields.array("content") else { return [] }
    var texts: [String] = []
    var reasoning: [String] = []
    var calls: [JSON] = []
    var results: [JSON] = []
    for (index, json) in blocks.enumerated() {
      let block = try RequestFields(json, "\(fields.name("content"))[\(index)]")
      let type = try block.string("type")
      switch (type, role) {
      case ("text", _):
        guard let text = try block.string("text") else { throw block.missing("text", "a string") }
        texts.append(text)
      case ("thinking", "assistant"):
        guard let text = try block.string("thinking") else { throw block.missing("thinking", "a string") }
        reasoning.append(text)
      // What another service has thought and hidden cannot be read.
      case ("redacted_thinking", "assistant"): break
      case ("tool_use", "assistant"):
        guard let name = try block.string("name"), let input = try block.fields("input") else {
          throw .invalid(block.place, expected: "a call with name and input", found: "another")
        }
        calls.append([
          "id": JSON(try block.string("id")), "type": "function",
          "function": ["name": .string(name), "arguments": .object(input.object)],
        ])
      case ("tool_result", "user"):
        guard let id = try block.string("tool_use_id") else {
          throw block.missing("tool_use_id", "the id of the call that it answers")
        }
        let text = try block["content"].map { json throws(ServingError) in
          try ConversationReading.text(json, block.name("content"))
        }
        results.append(["role": "tool", "tool_call_id": .string(id), "content": .string(text ?? "")])
      default:
        throw .invalid(
          block.name("type"),
          expected: role == "user" ? "text or tool_result" : "text, thinking or tool_use",
          found: type.map { "'\(printable($0, limit: 40))'" } ?? "none")
      }
    }
    var message: JSONObject = ["role": .string(role), "content": .string(texts.joined(separator: "\n"))]
    if role == "assistant" {
      if !reasoning.isEmpty { message["reasoning_content"] = .string(reasoning.joined(separator: "\n\n")) }
      if !calls.isEmpty { message["tool_calls"] = .array(calls) }
    }
    return results + (results.isEmpty || !texts.isEmpty ? [.object(message)] : [])
  }
}
