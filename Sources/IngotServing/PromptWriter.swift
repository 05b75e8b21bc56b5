import IngotSystem
import IngotWorkflows

/// Writes conversations one after the other, so that templates are read once.
actor PromptWriter {
  private var renderer: ConversationRenderer
  /// What the template calls thinking in messages.
  private let reasoningMember: String

  init(_ renderer: ConversationRenderer) {
    self.renderer = renderer
    reasoningMember = Self.reasoningMember(renderer.source(withTools: true) ?? "")
  }

  private static func reasoningMember(_ template: String) -> String {
    if template.contains("reasoning_content") { return "reasoning_content" }
    for name in ["thinking", "reasoning"] {
      for place in [".\(name)", "'\(name)'", "\"\(name)\""] where template.contains(place) { return name }
    }
    return "reasoning_content"
  }

  func text(of conversation: Conversation) throws(FormatError) -> String {
    let conversation = conversation.callingReasoning(reasoningMember)
    do throws(FormatError) {
      return try renderer.text(of: conversation)
    } catch {
      // Some templates want the arguments of calls as text.
      guard let other = conversation.withArgumentsAsText, let text = try? renderer.text(of: other) else {
        throw error
      }
      return text
    }
  }
}

extension Conversation {
  /// The same with another name for what messages' authors thought.
  fileprivate func callingReasoning(_ name: String) -> Conversation {
    guard name != "reasoning_content" else { return self }
    var changed = self
    for index in messages.indices {
      guard var message = messages[index].object, let text = message["reasoning_content"] else { continue }
      message["reasoning_content"] = nil
      message[name] = text
      changed.messages[index] = .object(message)
    }
    return changed
  }

  /// The same with arguments of calls as JSON within texts; nil without calls.
  fileprivate var withArgumentsAsText: Conversation? {
    var changed = self
    var hasCalls = false
    for index in messages.indices {
      guard var message = messages[index].object, let calls = message["tool_calls"]?.array else { continue }
      hasCalls = true
      message["tool_calls"] = .array(
        calls.map { call in
          guard var object = call.object, var function = object["function"]?.object,
            let arguments = function["arguments"], arguments.object != nil
          else { return call }
          function["arguments"] = .string(arguments.text())
          object["function"] = .object(function)
          return .object(object)
        })
      changed.messages[index] = .object(message)
    }
    return hasCalls ? changed : nil
  }
}
