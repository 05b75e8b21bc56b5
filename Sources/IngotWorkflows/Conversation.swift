import IngotSystem

/// A conversation as chat APIs and datasets write it, ready for a chat template.
public struct Conversation: Sendable {
  /// Objects with `role` and `content`; of an assistant also `reasoning_content` and `tool_calls`.
  public var messages: [JSON]
  /// Definitions of tools; nil for none.
  public var tools: [JSON]?
  /// Whether the text ends where the model is to answer.
  public var addGenerationPrompt = false
  /// What the template may use besides: `enable_thinking`, `documents`…
  public var variables: [(name: String, value: JSON)] = []
  /// Where it was read from, for errors.
  public let place: String

  /// Members that are handed to the template as variables, beside those in `chat_template_kwargs`.
  private static let variableNames = ["documents", "enable_thinking", "thinking", "reasoning_effort"]
  private static let lists = ["messages", "conversations"]

  /// Whether an object of JSON has a list of messages.
  static func isWritten(in json: JSON) -> Bool { lists.contains { json[$0]?.array != nil } }

  /// - Parameters:
  ///   - json: a list of messages, or an object with such a list as `messages` or `conversations`, and perhaps `tools`,
  ///     `chat_template_kwargs`, `add_generation_prompt`, `documents`, `enable_thinking`, `thinking`, `reasoning_effort`;
  ///     other members are passed over. A message has `role` and `content`, or `from` and `value`.
  ///   - place: for errors.
  /// - Throws: `FormatError` for anything else.
  public init(_ json: JSON, place: String) throws(FormatError) {
    self.place = place
    guard let list = json.array ?? Conversation.lists.lazy.compactMap({ json[$0]?.array }).first else {
      throw FormatError(
        path: place, expected: "a conversation: \"messages\" or \"conversations\" with a list",
        found: json.kind)
    }
    guard !list.isEmpty else {
      throw FormatError(path: place, expected: "at least one message", found: "an empty list")
    }
    messages = []
    for (index, message) in list.enumerated() {
      messages.append(try Conversation.message(message, place: "\(place), message \(index + 1)"))
    }
    tools = try Conversation.tools(json["tools"], place: place)
    for name in Conversation.variableNames {
      if let value = json[name] { variables.append((name, value)) }
    }
    var prompt = json["add_generation_prompt"]
    switch json["chat_template_kwargs"] {
    case .none, .null: break
    case .object(let object):
      for (name, value) in object {
        if name == "add_generation_prompt" { prompt = value } else { variables.append((name, value)) }
      }
    case .some(let other):
      throw FormatError(path: place, expected: "\"chat_template_kwargs\" as an object", found: other.kind)
    }
    if let prompt, !prompt.isNull {
      guard let flag = prompt.bool else {
        throw FormatError(
          path: place, expected: "\"add_generation_prompt\" as true or false", found: prompt.kind)
      }
      addGenerationPrompt = flag
    }
  }

  /// The only conversation of a file in JSON.
  ///
  /// - Throws: `FormatError` for a file that has no conversation, or more than one.
  public init(reading path: String) throws(FormatError) {
    var found: [Conversation] = []
    try ConversationFile.read(try Bytes.mapping(path), path: path) { entry throws(FormatError) in
      if case .conversation(let conversation) = entry { found.append(conversation) }
      return found.count < 2
    }
    guard found.count == 1 else {
      throw FormatError(
        path: path, expected: "one conversation, a list of messages or an object with \"messages\"",
        found: found.isEmpty ? "none" : "several")
    }
    self = found[0]
  }

  /// Some datasets hold the list as text.
  private static func tools(_ json: JSON?, place: String) throws(FormatError) -> [JSON]? {
    switch json {
    case .none, .null: return nil
    case .array(let tools): return tools
    case .string(let text):
      let inner = try JSON.parse(Array(text.utf8), path: "\(place), tools")
      if inner.isNull { return nil }
      if let tools = inner.array { return tools }
      throw FormatError(path: place, expected: "\"tools\" as a list", found: "\(inner.kind) within a text")
    case .some(let other): throw FormatError(path: place, expected: "\"tools\" as a list", found: other.kind)
    }
  }

  private static func message(_ json: JSON, place: String) throws(FormatError) -> JSON {
    guard var message = json.object else {
      throw FormatError(path: place, expected: "an object with \"role\" and \"content\"", found: json.kind)
    }
    if message["role"] == nil, let speaker = message["from"] {
      message["role"] = .string(try role(of: speaker, place: place))
      message["content"] = message["content"] ?? message["value"]
    }
    guard let role = message["role"], role.string != nil else {
      throw FormatError(
        path: place, expected: "a message with a \"role\"", found: message["role"]?.kind ?? "none")
    }
    if let calls = message["tool_calls"]?.array { message["tool_calls"] = .array(calls.map(withArguments)) }
    return .object(message)
  }

  /// The role that ShareGPT's names of speakers mean.
  private static func role(of speaker: JSON, place: String) throws(FormatError) -> String {
    switch speaker.string {
    case "human", "user": return "user"
    case "gpt", "assistant": return "assistant"
    case "system": return "system"
    case "tool", "observation", "function_response": return "tool"
    default:
      throw FormatError(
        path: place, expected: "\"from\": human, gpt, system or tool",
        found: speaker.string.map { "'\(printable($0, limit: 40))'" } ?? speaker.kind)
    }
  }

  /// Chat APIs give the arguments of a call as JSON within a text; templates are written for objects, and engines that serve
  /// models parse it before they render. A text that is no object stays as it is.
  private static func withArguments(_ call: JSON) -> JSON {
    guard var object = call.object else { return call }
    if let function = object["function"], function.object != nil {
      object["function"] = withArguments(function)
    } else if let text = object["arguments"]?.string,
      let parsed = try? JSON.parse(Array(text.utf8), path: ""), parsed.object != nil
    {
      object["arguments"] = parsed
    }
    return .object(object)
  }
}
