import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// What a model reads of a conversation.
public struct RenderedConversation: Sendable {
  /// The file, and the line or number in it.
  public let place: String
  public let text: String
  /// Indices into the vocabulary; nil for a model whose tokenizer is not supported.
  public let tokens: [Int]?
  /// What 'verify' takes for the messages' parts, in the order of the text; the rest is the template's.
  let parts: [(kind: SpanKind, text: String)]

  public var json: JSON {
    [
      "place": .string(place), "text": .string(text),
      "tokens": tokens.map { .array($0.map { JSON($0) }) } ?? .null,
      "parts": .array(parts.map { ["kind": .string($0.kind.rawValue), "text": .string($0.text)] }),
    ]
  }

  /// The conversations of a file, by a model's chat template.
  ///
  /// - Parameters:
  ///   - path: a `.jsonl` or `.json` file.
  ///   - template: a file to take instead of the model's own template.
  /// - Throws: `FormatError` for other files, and for what `ConversationRenderer` refuses.
  public static func all(in path: String, for model: Model, template: String? = nil) throws(FormatError)
    -> [RenderedConversation]
  {
    guard ConversationFile.isNamed(path) else {
      throw FormatError(
        path: path, expected: "conversations in a .json or .jsonl file",
        found: "'\(printable(Folder.name(of: path)))'; give it the suffix of what it holds")
    }
    let tokenizer = try? Tokenizer(of: model)
    var renderer = try ConversationRenderer(model, tokenizer, template: template)
    var rendered: [RenderedConversation] = []
    try ConversationFile.read(try Bytes.mapping(path), path: path) { entry throws(FormatError) in
      if case .conversation(let conversation) = entry {
        let text = try renderer.text(of: conversation)
        let tokens = tokenizer?.encode(text, addingSpecialTokens: false)
        let spans = ConversationSpans(of: conversation, text, by: &renderer)
        rendered.append(
          RenderedConversation(
            place: conversation.place, text: text, tokens: tokens,
            parts: spans.spans.map { ($0.kind, String(decoding: spans.text[$0.bytes], as: UTF8.self)) }))
      }
      return true
    }
    return rendered
  }
}
