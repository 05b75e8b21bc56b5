import IngotSystem

/// A call of a tool that a model makes.
public struct ToolCall: Hashable, Sendable {
  public var name: String
  /// By name.
  public var arguments: JSONObject
  /// What the model itself names the call by; nil where its format has no such names.
  public var id: String?

  public init(name: String, arguments: JSONObject, id: String? = nil) {
    self.name = name
    self.arguments = arguments
    self.id = id
  }

  /// Calls as chat APIs write them, `{"function": {"name": …, "arguments": …}}` or without the outer object, arguments as an object
  /// or as text of one; those without a name are passed over.
  public static func all(in calls: [JSON]) -> [ToolCall] {
    calls.compactMap { call in
      let function = call["function"] ?? call
      guard let name = function["name"]?.string else { return nil }
      let arguments = function["arguments"]?.string.map { $0.parsed } ?? function["arguments"]
      return ToolCall(name: name, arguments: arguments?.object ?? [:])
    }
  }

  /// A call without a name is none.
  init?(name: some StringProtocol, _ arguments: JSONObject?, id: String? = nil) {
    guard let arguments, !name.isEmpty else { return nil }
    self.init(name: String(name), arguments: arguments, id: id)
  }
}

/// A part of what a model says, in the order in which it says it.
public enum AnswerPiece: Hashable, Sendable {
  /// Some of what the model thinks before it answers.
  case reasoning(String)
  case content(String)
  /// A whole call.
  case call(ToolCall)
}

/// A tool that a model may call.
public struct ToolDefinition: Hashable, Sendable {
  public var name: String
  /// JSON schema of the arguments: an object's.
  public var parameters: JSON

  public init(name: String, parameters: JSON) { (self.name, self.parameters) = (name, parameters) }

  /// Tools as chat APIs define them, `{"type": "function", "function": {"name": …, "parameters": …}}` or without the outer
  /// object; others are passed over.
  public static func all(in tools: [JSON]) -> [ToolDefinition] {
    tools.compactMap { tool in
      let function = tool["function"] ?? tool
      guard let name = function["name"]?.string else { return nil }
      return ToolDefinition(name: name, parameters: function["parameters"] ?? function["input_schema"] ?? [:])
    }
  }
}
