import IngotFormats
import IngotModels
import IngotSystem
import IngotTemplates
import IngotTensors
import IngotTokenizer

/// Conversations as texts, by the chat template that came with a model.
///
/// Gives what `apply_chat_template` of transformers gives with the model's tokenizer. Templates are limited in time and
/// memory (`TemplateLimits`).
public struct ConversationRenderer {
  private let sources: ChatTemplates
  private let specialTokens: [(name: String, value: JSON)]
  private var templates: [String: ChatTemplate] = [:]

  /// What templates that ask for today's date are told: always the same, so that the same conversations give the same tokens.
  static let now = TemplateTime(year: 2026, month: 1, day: 1)

  /// - Parameter template: a file to take instead of the model's own templates.
  /// - Throws: `FormatError` for templates that cannot be read. One that there is not is missed by the first conversation.
  public init(_ model: Model, _ tokenizer: Tokenizer?, template: String? = nil) throws(FormatError) {
    if let template {
      let bytes = try Bytes.mapping(template).array
      sources = try ChatTemplates(path: template, additional: []) { name throws(FormatError) in
        name == ChatTemplates.file ? bytes : nil
      }
    } else {
      sources = try ChatTemplates(of: model)
    }
    specialTokens = try SpecialTokens.named(in: model, tokenizer)
  }

  /// The template that conversations with tools, or without, are written by; nil for none.
  public func source(withTools: Bool) -> String? { try? sources.template(withTools: withTools).source }

  /// The text of a conversation.
  ///
  /// - Throws: `FormatError` naming the conversation and what the template says of it, or where templates were looked for.
  public mutating func text(of conversation: Conversation) throws(FormatError) -> String {
    let source = try sources.template(withTools: conversation.tools != nil)
    let template: ChatTemplate
    if let known = templates[source.name] {
      template = known
    } else {
      template = try ChatTemplate(source.source, path: source.path)
      templates[source.name] = template
    }
    do {
      return try template.render(
        messages: conversation.messages, tools: conversation.tools,
        addGenerationPrompt: conversation.addGenerationPrompt,
        variables: specialTokens + conversation.variables, now: Self.now)
    } catch {
      throw FormatError(
        path: conversation.place, expected: error.expected, found: "\(error.found) of \(source.path)")
    }
  }
}
