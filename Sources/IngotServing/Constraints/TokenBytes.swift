import IngotTokenizer

/// What tokens are as bytes of a text.
package final class TokenBytes: Sendable {
  /// By token; empty for those that are no text of their own: control tokens, and parts of a letter.
  package let bytes: [[UInt8]]
  /// Tokens in the order of their bytes, for looking at all that begin alike at once.
  let sorted: [Int]

  /// - Parameter hidden: tokens that are no part of a text.
  package init(_ tokenizer: Tokenizer, hidden: Set<Int>) {
    // A token's text may depend on whether it is the first, so each is looked at behind another.
    let anchor = Array(tokenizer.encode("a", addingSpecialTokens: false).suffix(1))
    let before = Array(tokenizer.decode(anchor).utf8)
    bytes = tokenizer.tokens.indices.map { token in
      guard tokenizer.tokens[token] != nil, !hidden.contains(token) else { return [] }
      let text = Array(tokenizer.decode(anchor + [token]).utf8)
      guard text.starts(with: before) else { return [] }
      let own = Array(text.dropFirst(before.count))
      // U+FFFD stands for bytes that are no letter.
      let isWhole = !own.indices.contains { own[$0...].starts(with: [0xEF, 0xBF, 0xBD]) }
      return isWhole ? own : []
    }
    let all = bytes
    sorted = all.indices.filter { !all[$0].isEmpty }.sorted { all[$0].lexicographicallyPrecedes(all[$1]) }
  }

  /// The tokens that may follow.
  package func allowed(_ state: GrammarState, _ grammar: Grammar) -> [Int] {
    var allowed: [Int] = []
    // States behind the bytes that the token at hand shares with the one before it.
    var states = [state]
    var path: [UInt8] = []
    // Bytes with which nothing can follow.
    var dead: [UInt8]?
    for token in sorted {
      let bytes = bytes[token]
      if let dead, bytes.starts(with: dead) { continue }
      dead = nil
      var shared = 0
      while shared < path.count, shared < bytes.count, path[shared] == bytes[shared] { shared += 1 }
      states.removeLast(states.count - shared - 1)
      path.removeLast(path.count - shared)
      for byte in bytes[shared...] {
        guard let next = states[states.count - 1].after(byte, grammar) else {
          dead = path + [byte]
          break
        }
        states.append(next)
        path.append(byte)
      }
      if dead == nil { allowed.append(token) }
    }
    return allowed
  }
}

/// Keeps an answer to a grammar, from where the model has thought to its end.
struct AnswerConstraint: Sendable {
  private let grammar: Grammar
  private let tokens: TokenBytes
  private let ends: Set<Int>
  private var state: GrammarState

  init(_ grammar: Grammar, _ tokens: TokenBytes, ends: Set<Int>) {
    (self.grammar, self.tokens, self.ends) = (grammar, tokens, ends)
    state = GrammarState(grammar)
  }

  /// Whether nothing can follow but the end.
  var isComplete: Bool { state.isComplete }

  func allows(_ token: Int) -> Bool {
    if ends.contains(token) { return state.canEnd }
    let bytes = tokens.bytes[token]
    return !bytes.isEmpty && state.after(bytes, grammar) != nil
  }

  /// All tokens that may follow.
  var allowed: Set<Int> {
    Set(tokens.allowed(state, grammar)).subtracting(ends).union(state.canEnd ? ends : [])
  }

  mutating func accept(_ token: Int) {
    guard !ends.contains(token), let next = state.after(tokens.bytes[token], grammar) else { return }
    state = next
  }
}
