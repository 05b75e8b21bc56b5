import IngotSystem
import IngotToolCalls
import IngotWorkflows

extension AnswerRequest {
  /// A request of OpenAI's `/v1/chat/completions`. Members that change no answer, such as `user`, are passed over; others that
  /// there is nothing for are refused.
  ///
  /// - Throws: `ServingError` that names the member.
  public init(chat json: JSON) throws(ServingError) {
    let fields = try RequestFields(json)
    guard let list = try fields.array("messages"), !list.isEmpty else {
      throw fields.missing("messages", "a list of at least one message")
    }
    var messages: [JSON] = []
    for (index, entry) in list.enumerated() {
      messages.append(try Self.message(RequestFields(entry, "messages[\(index)]")))
    }
    let tools = try ConversationReading.tools(try fields.array("tools") ?? [])
    var variables: [(name: String, value: JSON)] = []
    if let effort = try fields.string("reasoning_effort") {
      variables.append(("reasoning_effort", .string(effort)))
      if effort == "none" {
        variables += [("enable_thinking", false), ("thinking", false)]
      }
    }
    if let given = try fields.fields("chat_template_kwargs") {
      for (name, value) in given.object { variables.append((name, value)) }
    }
    let definitions = ToolDefinition.all(in: tools)
    let choice = try Self.toolChoice(fields, definitions)
    self.init(
      .conversation(
        try ConversationReading.conversation(
          messages, tools: choice == .none ? [] : tools, variables: variables)))
    toolChoice = choice
    self.tools = choice == .none ? [] : definitions
    try readSampling(fields)
    maximum = try fields.int("max_completion_tokens", in: 1...Int.max)
    if maximum == nil { maximum = try fields.int("max_tokens", in: 1...Int.max) }
    if try fields.bool("logprobs") ?? false {
      logprobs = try fields.int("top_logprobs", in: 0...20) ?? 0
    }
    form = try Self.form(fields)
    try fields.refuse("modalities", unless: { $0.array?.map(\.string) == ["text"] }, "answers are text")
    try fields.refuse("audio", "answers are text")
  }

  private static func message(_ fields: RequestFields) throws(ServingError) -> JSON {
    guard let role = try fields.string("role") else { throw fields.missing("role", "who says it") }
    guard ConversationReading.roles.contains(role) else {
      throw .invalid(
        fields.name("role"), expected: "one of \(ConversationReading.roles.joined(separator: ", "))",
        found: "'\(printable(role, limit: 40))'")
    }
    var message = fields.object
    if role == "developer" { message["role"] = "system" }
    let calls = try fields.array("tool_calls") ?? []
    if let content = fields["content"] {
      message["content"] = .string(
        try ConversationReading.text(
          content, fields.name("content"), types: role == "assistant" ? ["text", "refusal"] : ["text"]))
    } else if role != "assistant" {
      throw fields.missing("content", "what the message says")
    } else {
      // Templates ask for it as they come to it.
      message["content"] = ""
    }
    if role == "assistant" {
      // What reasoning is called differs between servers.
      var reasoning = try fields.string("reasoning_content")
      if reasoning == nil { reasoning = try fields.string("reasoning") }
      message["reasoning_content"] = reasoning.map { .string($0) }
      message["reasoning"] = nil
      for (index, call) in calls.enumerated() {
        let place = "\(fields.name("tool_calls"))[\(index)]"
        guard let function = try RequestFields(call, place).fields("function") else {
          throw .invalid(place, expected: "a call of a function", found: call.kind)
        }
        guard try function.string("name") != nil else { throw function.missing("name", "the tool's name") }
        _ = try function.string("arguments")
      }
      if calls.isEmpty { message["tool_calls"] = nil }
    }
    if role == "tool", try fields.string("tool_call_id") == nil {
      throw fields.missing("tool_call_id", "the id of the call that it answers")
    }
    return .object(message)
  }

  private static func toolChoice(_ fields: RequestFields, _ tools: [ToolDefinition]) throws(ServingError)
    -> ToolChoice
  {
    guard let json = fields["tool_choice"] else { return tools.isEmpty ? .none : .auto }
    let choice: ToolChoice
    switch json.string {
    case "none": choice = .none
    case "auto": choice = tools.isEmpty ? .none : .auto
    case "required": choice = .required
    case .some(let other):
      throw .invalid("tool_choice", expected: "none, auto, required or a function", found: "'\(other)'")
    case nil:
      guard let name = json["function"]?["name"]?.string ?? json["name"]?.string else {
        throw .invalid("tool_choice", expected: "none, auto, required or a function", found: json.kind)
      }
      choice = .named(name)
    }
    try choice.check(tools)
    return choice
  }

  private static func form(_ fields: RequestFields) throws(ServingError) -> Form {
    guard let format = try fields.fields("response_format") else { return .text }
    switch try format.string("type") {
    case "text": return .text
    case "json_object": return .json
    case "json_schema":
      guard let schema = try format.fields("json_schema")?["schema"], schema.object != nil else {
        throw .invalid("response_format.json_schema.schema", expected: "a JSON schema", found: "none")
      }
      return .schema(schema)
    default:
      throw .invalid(
        "response_format.type", expected: "text, json_object or json_schema",
        found: format["type"]?.kind ?? "none")
    }
  }

  /// What chat and completions have in common.
  mutating func readSampling(_ fields: RequestFields) throws(ServingError) {
    temperature = try fields.double("temperature", in: 0...100)
    topP = try fields.double("top_p", in: 0...1)
    topK = try fields.int("top_k", in: -1...Int.max).map { max($0, 0) }
    minP = try fields.double("min_p", in: 0...1)
    repetitionPenalty = try fields.double("repetition_penalty", in: 0.01...100)
    presencePenalty = try fields.double("presence_penalty", in: -2...2) ?? 0
    frequencyPenalty = try fields.double("frequency_penalty", in: -2...2) ?? 0
    seed = try fields.int("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
    stops = try fields.strings("stop", most: 16)
    streams = try fields.bool("stream") ?? false
    streamsUsage = try fields.fields("stream_options")?.bool("include_usage") ?? false
    if let bias = try fields.fields("logit_bias") {
      for (key, value) in bias.object {
        guard let token = Int(key), let amount = value.double, (-100...100).contains(amount) else {
          throw .invalid(
            "logit_bias", expected: "numbers from -100 to 100 by token", found: "'\(key)': \(value.kind)")
        }
        logitBias[token] = Float(amount)
      }
    }
    try fields.refuse("n", unless: { $0.int == 1 }, "one answer is given to a request")
  }
}

extension AnswerRequest.ToolChoice {
  /// Refuses a choice of what there is not.
  func check(_ tools: [ToolDefinition]) throws(ServingError) {
    switch self {
    case .none, .auto: return
    case .required:
      guard !tools.isEmpty else {
        throw .invalid("tool_choice", expected: "tools to choose from", found: "none")
      }
    case .named(let name):
      guard tools.contains(where: { $0.name == name }) else {
        throw .invalid(
          "tool_choice", expected: "one of the request's tools", found: "'\(printable(name, limit: 80))'")
      }
    }
  }
}
