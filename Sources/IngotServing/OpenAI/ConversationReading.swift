import IngotSystem
import IngotToolCalls
import IngotWorkflows

/// Reads what chat requests have in common into what templates take.
enum ConversationReading {
  static let roles = ["system", "developer", "user", "assistant", "tool", "function"]

  /// - Parameters:
  ///   - messages: as templates take them.
  ///   - tools: as OpenAI's API defines them.
  ///   - variables: what the template may use besides.
  static func conversation(
    _ messages: [JSON], tools: [JSON], variables: [(name: String, value: JSON)] = []
  ) throws(ServingError) -> Conversation {
    do throws(FormatError) {
      var conversation = try Conversation(.array(messages), place: "messages")
      if !tools.isEmpty { conversation.tools = tools }
      conversation.variables += variables
      conversation.addGenerationPrompt = true
      return conversation
    } catch {
      throw ServingError(error, as: .invalid, parameter: "messages")
    }
  }

  /// The text of a message's content: a string, or a list of parts of which each is text.
  ///
  /// - Parameter types: what parts with texts are called.
  static func text(_ json: JSON, _ place: String, types: Set<String> = ["text"]) throws(ServingError)
    -> String
  {
    if let text = json.string { return text }
    guard let parts = json.array else {
      throw .invalid(place, expected: "a string or a list of parts", found: json.kind)
    }
    var texts: [String] = []
    for (index, part) in parts.enumerated() {
      let fields = try RequestFields(part, "\(place)[\(index)]")
      let type = try fields.string("type") ?? "none"
      guard types.contains(type) else {
        throw .invalid(fields.name("type"), expected: "text, which is all that this model reads", found: type)
      }
      guard let text = try fields.string("text") else { throw fields.missing("text", "a string") }
      texts.append(text)
    }
    return texts.joined(separator: "\n")
  }

  /// Definitions of tools, checked: each a function with a name that occurs once.
  static func tools(_ list: [JSON], _ place: String = "tools") throws(ServingError) -> [JSON] {
    var names: Set<String> = []
    for (index, tool) in list.enumerated() {
      let fields = try RequestFields(tool, "\(place)[\(index)]")
      guard try fields.string("type") ?? "function" == "function" else {
        throw .invalid(fields.name("type"), expected: "function", found: fields["type"]!.kind)
      }
      guard let function = try fields.fields("function") else {
        throw fields.missing("function", "an object with a name")
      }
      guard let name = try function.string("name"), !name.isEmpty, name.utf8.count <= 256 else {
        throw function.missing("name", "the name of a tool")
      }
      guard names.insert(name).inserted else {
        throw .invalid(function.name("name"), expected: "names that occur once", found: "'\(name)' again")
      }
      if let parameters = function["parameters"] {
        _ = try RequestFields(parameters, function.name("parameters"))
      }
    }
    return list
  }
}
