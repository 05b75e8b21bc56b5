import IngotTokenizer

/// The text of tokens as they come, in pieces that later tokens do not change, up to the first text that ends it.
package struct StreamedText: Sendable {
  private let tokenizer: Tokenizer
  private let stops: [[UInt8]]
  private let showsSpecialTokens: Bool
  private var ids: [Int] = []
  /// Tokens from here on are decoded again with the next ones: what a piece becomes may depend on the one before it.
  private var first = 0
  /// Tokens before this one have been given out.
  private var next = 0
  /// Text that may be the beginning of a stop.
  private var held: [UInt8] = []
  /// All that has been given out.
  package private(set) var text = ""
  /// The stop that has come; its text is not given out.
  package private(set) var stop: String?

  package var isStopped: Bool { stop != nil }

  package init(_ tokenizer: Tokenizer, stops: [String], showsSpecialTokens: Bool) {
    self.tokenizer = tokenizer
    self.stops = stops.filter { !$0.isEmpty }.map { Array($0.utf8) }
    self.showsSpecialTokens = showsSpecialTokens
  }

  /// - Returns: text that is certain now; empty for none.
  package mutating func add(_ token: Int) -> String {
    ids.append(token)
    let before = decoded(first..<next)
    let all = decoded(first..<ids.count)
    // A character of several tokens ends with the last of them.
    guard all.count > before.count, all.suffix(3) != [0xEF, 0xBF, 0xBD] else { return "" }
    (first, next) = (next, ids.count)
    return give(all.dropFirst(before.count))
  }

  /// - Returns: what was held back, now that no token follows.
  package mutating func end() -> String {
    if isStopped { return "" }
    let rest = decoded(first..<ids.count).dropFirst(decoded(first..<next).count)
    next = ids.count
    var piece = give(rest)
    if !isStopped {
      let last = String(decoding: held, as: UTF8.self)
      held = []
      text += last
      piece += last
    }
    return piece
  }

  private func decoded(_ range: Range<Int>) -> [UInt8] {
    Array(tokenizer.decode(Array(ids[range]), skippingSpecialTokens: !showsSpecialTokens).utf8)
  }

  /// Gives out what cannot be the beginning of a stop.
  private mutating func give(_ bytes: ArraySlice<UInt8>) -> String {
    held += bytes
    var keeps = 0
    for start in held.indices {
      let rest = held[start...]
      if let stop = stops.first(where: { rest.starts(with: $0) }) {
        self.stop = String(decoding: stop, as: UTF8.self)
        held = Array(held[..<start])
        break
      }
      if stops.contains(where: { $0.starts(with: rest) }) {
        keeps = held.count - start
        break
      }
    }
    let given = String(decoding: held.dropLast(keeps), as: UTF8.self)
    held = Array(held.suffix(keeps))
    text += given
    return given
  }
}
