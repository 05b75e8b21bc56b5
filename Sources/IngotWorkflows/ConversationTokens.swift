import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Tokens, and what parts of conversations they are.
struct ConversationTokens {
  private(set) var ids: [Int]
  /// Of each token; empty where none is of a conversation whose parts are known.
  private var kinds: [SpanKind] = []
  private var calls: [CallSpan] = []

  /// The tokens of a text.
  init(_ ids: [Int]) { self.ids = ids }

  /// - Throws: what the renderer throws.
  init(
    _ conversation: Conversation, _ renderer: inout ConversationRenderer, _ tokenizer: Tokenizer,
    withSpans: Bool
  ) throws(FormatError) {
    let text = try renderer.text(of: conversation)
    ids = tokenizer.encode(text, addingSpecialTokens: false)
    guard withSpans else { return }
    let spans = ConversationSpans(of: conversation, text, by: &renderer)
    guard let ends = TokenPlaces.ends(of: ids, in: spans.text, tokenizer) else { return }
    kinds = [SpanKind](repeating: .markup, count: ids.count)
    var token = 0
    for span in spans.spans {
      // A token belongs to the part in which it begins, or that begins in it.
      while token < ends.count, ends[token] <= span.bytes.lowerBound { token += 1 }
      let first = token
      while token < ends.count, (token == 0 ? 0 : ends[token - 1]) < span.bytes.upperBound { token += 1 }
      for index in first..<token { kinds[index] = span.kind }
      if let call = span.call, first < token {
        calls.append(CallSpan(kind: span.kind, tokens: first..<token, call: call))
      }
    }
  }

  mutating func append(_ other: ConversationTokens) {
    if kinds.isEmpty && !other.kinds.isEmpty { kinds = [SpanKind](repeating: .markup, count: ids.count) }
    if !kinds.isEmpty {
      kinds +=
        other.kinds.isEmpty ? [SpanKind](repeating: .markup, count: other.ids.count) : other.kinds
    }
    let (start, number) = (ids.count, (calls.last?.call ?? -1) + 1)
    calls += other.calls.map {
      CallSpan(
        kind: $0.kind, tokens: start + $0.tokens.lowerBound..<start + $0.tokens.upperBound,
        call: number + $0.call)
    }
    ids += other.ids
  }

  /// Keeps so many tokens at most.
  mutating func cut(to count: Int) {
    guard ids.count > count else { return }
    ids.removeLast(ids.count - count)
    if !kinds.isEmpty { kinds.removeLast(kinds.count - count) }
  }

  /// Contexts as `Context.cut` makes them, which know the parts and calls within them. A call that is cut is in none.
  func cut(length: Int, text: String?) -> [Context] {
    var contexts = Context.cut(ids, length: length, text: text)
    if kinds.isEmpty { return contexts }
    for index in contexts.indices {
      let range = index * length..<(index + 1) * length
      contexts[index].kinds = Array(kinds[range])
      let own = calls.filter {
        range.contains($0.tokens.lowerBound) && $0.tokens.upperBound <= range.upperBound
      }
      let whole = Set(calls.map(\.call)).subtracting(
        calls.filter { !(range.contains($0.tokens.lowerBound) && $0.tokens.upperBound <= range.upperBound) }
          .map(\.call))
      contexts[index].calls = own.filter { whole.contains($0.call) }.map {
        CallSpan(
          kind: $0.kind,
          tokens: $0.tokens.lowerBound - range.lowerBound..<$0.tokens.upperBound - range.lowerBound,
          call: $0.call)
      }
    }
    return contexts
  }
}
