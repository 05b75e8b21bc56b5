import IngotSystem

/// Conversations as MiniMax-M2 reads them, written out here rather than by the template that a checkpoint brings: no code
/// that came with a model is ever run.
///
///     ]~!b[]~b]system\n…[e~[\n]~b]user\n…[e~[\n]~b]ai\n<think>\n…\n</think>\n\n…[e~[\n]~b]tool\n<response>…</response>[e~[\n
///
/// Thinking stays in the history. A call is `<invoke name="…">` with a `<parameter name="…">` for each argument, all calls of a
/// turn within one `<minimax:tool_call>`; answers of tools that follow each other are one turn.
public enum ChatText {
  /// The text of one conversation.
  ///
  /// - Parameters:
  ///   - messages: objects with `role` (system, developer, user, assistant, tool or function), `content` (text, null, or a list
  ///     of parts of type text), and of an assistant also `reasoning_content` or `reasoning` and `tool_calls`.
  ///   - tools: definitions as APIs take them: `{"type": "function", "function": {"name": …}}`, or the inner object.
  ///   - path: names the place in errors.
  /// - Throws: FormatError for anything else.
  public static func render(_ messages: [JSON], tools: [JSON] = [], path: String) throws(FormatError)
    -> String
  {
    var out = "]~!b["
    var rest = messages[...]
    let leads =
      messages.first.flatMap { $0["role"]?.string }.map { ["system", "developer"].contains($0) } ?? false
    if !tools.isEmpty || leads {
      var system = "You are a helpful assistant."
      if leads { system = try content(rest.removeFirst(), path) }
      out += turn("system", try system + definitions(tools, path))
    }
    while let message = rest.popFirst() {
      guard let role = message["role"]?.string else {
        throw FormatError(path: path, expected: "messages with a \"role\"", found: message.kind)
      }
      switch role {
      case "system", "developer": out += turn("system", try content(message, path))
      case "user": out += turn("user", try content(message, path))
      case "assistant": out += turn("ai", try assistant(message, path))
      case "tool", "function":
        var answers = [try content(message, path)]
        while let next = rest.first, ["tool", "function"].contains(next["role"]?.string) {
          answers.append(try content(rest.removeFirst(), path))
        }
        out += turn("tool", answers.map { "<response>\($0)</response>" }.joined(separator: "\n"))
      default:
        throw FormatError(
          path: path, expected: "a role of system, developer, user, assistant, tool or function",
          found: "'\(printable(role, limit: 40))'")
      }
    }
    return out
  }

  private static func turn(_ role: String, _ text: String) -> String { "]~b]\(role)\n\(text)[e~[\n" }

  private static func content(_ message: JSON, _ path: String) throws(FormatError) -> String {
    let wrong = "\"content\" that is text, null, or a list of {\"type\": \"text\", \"text\": …}"
    switch message["content"] {
    case .none, .null: return ""
    case .string(let text): return text
    case .array(let parts):
      var text = ""
      for part in parts {
        guard let piece = part.string ?? part["text"]?.string else {
          throw FormatError(
            path: path, expected: wrong,
            found: "a part of type '\(printable(part["type"]?.string ?? "none", limit: 40))'")
        }
        text += piece
      }
      return text
    case .some(let other): throw FormatError(path: path, expected: wrong, found: other.kind)
    }
  }

  private static func assistant(_ message: JSON, _ path: String) throws(FormatError) -> String {
    var text = ""
    let thinking = message["reasoning_content"]?.string ?? message["reasoning"]?.string ?? ""
    if !thinking.isEmpty { text += "<think>\n\(thinking)\n</think>\n\n" }
    text += try content(message, path)
    switch message["tool_calls"] {
    case .none, .null: return text
    case .array(let calls) where calls.isEmpty: return text
    case .array(let calls):
      if !text.isEmpty && !text.hasSuffix("\n") { text += "\n" }
      text += "<minimax:tool_call>\n"
      for call in calls { text += try invocation(call, path) }
      return text + "</minimax:tool_call>"
    case .some(let other):
      throw FormatError(path: path, expected: "\"tool_calls\" as a list", found: other.kind)
    }
  }

  private static func invocation(_ call: JSON, _ path: String) throws(FormatError) -> String {
    let function = call["function"] ?? call
    guard let name = function["name"]?.string else {
      throw FormatError(path: path, expected: "a call of a tool with a \"name\"", found: function.kind)
    }
    var arguments = function["arguments"] ?? [:]
    // APIs give JSON within a string.
    if let text = arguments.string {
      arguments =
        text.isEmpty
        ? [:]
        : try JSON.parse(Array(text.utf8), path: "\(path), arguments of '\(printable(name, limit: 60))'")
    }
    guard let members = arguments.object else {
      throw FormatError(path: path, expected: "arguments that are an object", found: arguments.kind)
    }
    var text = "<invoke name=\"\(name)\">\n"
    for (key, value) in members {
      text += "<parameter name=\"\(key)\">\(value.string ?? value.text())</parameter>\n"
    }
    return text + "</invoke>\n"
  }

  /// What a system message ends with when there are tools.
  private static func definitions(_ tools: [JSON], _ path: String) throws(FormatError) -> String {
    if tools.isEmpty { return "" }
    var text = "\n\n# Tools\nThese may be called, each described by JSON:\n\n<tools>\n"
    for tool in tools {
      let function = tool["function"] ?? tool
      guard function["name"]?.string != nil else {
        throw FormatError(path: path, expected: "tools with a \"name\"", found: function.kind)
      }
      text += "<tool>\(function.text())</tool>\n"
    }
    return text
      + "</tools>\n\nA call has this form:\n\n<minimax:tool_call>\n<invoke name=\"tool\">\n"
      + "<parameter name=\"key\">value</parameter>\n</invoke>\n</minimax:tool_call>"
  }
}
