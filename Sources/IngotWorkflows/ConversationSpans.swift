import IngotInference
import IngotSystem

/// Where the parts of a conversation are in the text that a chat template makes of it.
///
/// Templates are programs, so the places are found by what they do: a part is replaced by a mark that no text has, the conversation is
/// rendered again, and the part is what stands between the texts around the mark.
struct ConversationSpans {
  struct Span {
    var kind: SpanKind
    /// Of the text in UTF-8.
    var bytes: Range<Int>
    /// Number of the call, of its name and arguments.
    var call: Int?
  }

  /// In the order of the text; none overlaps another.
  private(set) var spans: [Span] = []
  /// The text.
  let text: [UInt8]

  /// Characters of a private use area.
  private static let mark = "\u{F8F5}\u{E5A1}\u{F8F5}"

  private var conversation: Conversation

  /// - Parameter renderer: that made `text` of the conversation.
  init(of conversation: Conversation, _ text: String, by renderer: inout ConversationRenderer) {
    self.conversation = conversation
    self.text = Array(text.utf8)
    var call = 0
    for index in conversation.messages.indices {
      let message = conversation.messages[index]
      let role = message["role"]?.string ?? ""
      for key in ["reasoning_content", "reasoning", "thinking"] where message[key]?.string?.isEmpty == false {
        add(.thinking, index, &renderer) { $0[key] = .string(Self.mark) }
      }
      addContent(index, role, &renderer)
      guard let calls = message["tool_calls"]?.array else { continue }
      for number in calls.indices {
        add(.toolName, index, call: call, &renderer) {
          Self.change(&$0, call: number) { $0["name"] = .string(Self.mark) }
        }
        add(.toolArguments, index, call: call, isText: false, &renderer) {
          Self.change(&$0, call: number) { $0["arguments"] = .object([Self.mark: .string(Self.mark)]) }
        }
        call += 1
      }
    }
    spans.sort { $0.bytes.lowerBound < $1.bytes.lowerBound }
    var kept: [Span] = []
    for span in spans where kept.last.map({ $0.bytes.upperBound <= span.bytes.lowerBound }) ?? true {
      kept.append(span)
    }
    spans = kept
  }

  private static func kind(of role: String) -> SpanKind? {
    switch role {
    case "system", "developer": .system
    case "user": .user
    case "assistant": .answer
    case "tool", "function", "observation", "ipython": .toolResult
    default: nil
    }
  }

  /// The content of a message, a text or a list of parts with texts.
  private mutating func addContent(_ index: Int, _ role: String, _ renderer: inout ConversationRenderer) {
    guard let kind = Self.kind(of: role), let content = conversation.messages[index]["content"] else {
      return
    }
    if let text = content.string {
      guard !text.isEmpty else { return }
      let first = spans.count
      add(kind, index, &renderer) { $0["content"] = .string(Self.mark) }
      if kind == .answer { for place in first..<spans.count { separateThinking(place) } }
      return
    }
    for (place, part) in (content.array ?? []).enumerated() where part["text"]?.string?.isEmpty == false {
      add(kind, index, &renderer) { message in
        guard var parts = message["content"]?.array, var part = parts[place].object else { return }
        part["text"] = .string(Self.mark)
        parts[place] = .object(part)
        message["content"] = .array(parts)
      }
    }
  }

  /// Takes what an answer thinks aloud, up to `</think>`, apart from the rest.
  private mutating func separateThinking(_ place: Int) {
    let end = Array("</think>".utf8)
    let bytes = spans[place].bytes
    guard
      let start = bytes.lastIndex(where: {
        text[$0...].starts(with: end) && $0 + end.count <= bytes.upperBound
      })
    else { return }
    spans[place].kind = .thinking
    spans[place].bytes = bytes.lowerBound..<start
    if start + end.count < bytes.upperBound {
      spans.append(Span(kind: .answer, bytes: start + end.count..<bytes.upperBound))
    }
  }

  private static func change(_ message: inout JSONObject, call: Int, _ body: (inout JSONObject) -> Void) {
    guard var calls = message["tool_calls"]?.array, var object = calls[call].object else { return }
    if var function = object["function"]?.object {
      body(&function)
      object["function"] = .object(function)
    } else {
      body(&object)
    }
    calls[call] = .object(object)
    message["tool_calls"] = .array(calls)
  }

  /// Renders the conversation with a changed message, and adds what is between the texts around the change.
  ///
  /// - Parameter isText: whether the part became the mark alone; else something with marks in it, and as much as both texts have
  ///   in common is taken for what is around it.
  private mutating func add(
    _ kind: SpanKind, _ index: Int, call: Int? = nil, isText: Bool = true,
    _ renderer: inout ConversationRenderer, _ change: (inout JSONObject) -> Void
  ) {
    var changed = conversation
    guard var message = changed.messages[index].object else { return }
    change(&message)
    changed.messages[index] = .object(message)
    // A template that minds what a part says has no place for another.
    guard let other = try? Array(renderer.text(of: changed).utf8), other != text else { return }
    let mark = Array(Self.mark.utf8)
    var (before, after) = (0, 0)
    if isText {
      guard let start = other.indices.first(where: { other[$0...].starts(with: mark) }) else { return }
      (before, after) = (start, other.count - start - mark.count)
      guard before + after <= text.count, text.prefix(before) == other.prefix(before),
        text.suffix(after) == other.suffix(after)
      else { return }
    } else {
      while before < min(text.count, other.count), text[before] == other[before] { before += 1 }
      let most = min(text.count, other.count) - before
      while after < most, text[text.count - 1 - after] == other[other.count - 1 - after] { after += 1 }
    }
    guard before < text.count - after else { return }
    spans.append(Span(kind: kind, bytes: before..<text.count - after, call: call))
  }
}
