import IngotToolCalls
import IngotWorkflows

/// Makes pieces of an answer of its tokens.
struct AnswerText: Sendable {
  private var streamed: StreamedText
  private var parser: AnswerParser?
  private let hidden: Set<Int>

  init(_ streamed: StreamedText, _ parser: AnswerParser?, hidden: Set<Int>) {
    (self.streamed, self.parser, self.hidden) = (streamed, parser, hidden)
  }

  /// The client's text that ended the answer.
  var stop: String? { streamed.stop }
  /// Whether the model is thinking.
  var isReasoning: Bool { parser?.isReasoning ?? false }

  mutating func add(_ token: Int) -> [AnswerPiece] {
    hidden.contains(token) ? [] : pieces(streamed.add(token))
  }

  /// What was held back, now that no token follows.
  mutating func end() -> [AnswerPiece] {
    let last = pieces(streamed.end())
    return last + (parser?.end() ?? [])
  }

  private mutating func pieces(_ text: String) -> [AnswerPiece] {
    guard !text.isEmpty else { return [] }
    guard parser != nil else { return [.content(text)] }
    return parser!.add(text)
  }
}
