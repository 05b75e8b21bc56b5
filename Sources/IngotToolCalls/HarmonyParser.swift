import IngotSystem

/// Answers of gpt-oss: messages with channels. `analysis` is what the model thinks, `final` and what it says beside calls are the answer,
/// and a message with a recipient is a call.
///
/// The prompt ends with `<|start|>assistant`, so an answer begins within the head of its first message.
struct HarmonyParser: Sendable {
  private enum Place {
    case head, reasoning, content
    case call(name: String, head: [UInt8])
    /// Behind a message.
    case between
  }

  private static let message = Array("<|message|>".utf8)
  private static let start = Array("<|start|>".utf8)
  private static let ends = ["<|end|>", "<|call|>", "<|return|>", "<|start|>"].map { Array($0.utf8) }
  /// Bytes of a head, which has a role, a channel and a recipient, at most.
  private static let longestHead = 512

  private var place = Place.head
  private var held: [UInt8] = []

  mutating func add(_ text: String) -> [AnswerPiece] {
    held += text.utf8
    var pieces: [AnswerPiece] = []
    while step(&pieces) {}
    return pieces
  }

  mutating func end() -> [AnswerPiece] {
    var pieces: [AnswerPiece] = []
    finish(held.count, &pieces)
    held = []
    return pieces
  }

  private mutating func step(_ pieces: inout [AnswerPiece]) -> Bool {
    switch place {
    case .head:
      // However the text comes in pieces, what decides is where the mark begins.
      let window = Self.longestHead + Self.message.count
      guard let end = find(Self.message, in: held.prefix(window)) else {
        guard held.count >= window else { return false }
        // A model that does not write heads.
        place = .content
        return true
      }
      enter(Array(held[..<end]))
      held.removeFirst(end + Self.message.count)
      return true
    case .between:
      guard let start = find(Self.start, in: held[...]) else { return false }
      held.removeFirst(start + Self.start.count)
      place = .head
      return true
    case .reasoning, .content, .call:
      let found = Self.ends.compactMap { mark in
        find(mark, in: held[...]).map { (start: $0, mark: mark) }
      }.min { $0.start < $1.start }
      guard let found else {
        give(certainCount, &pieces)
        return false
      }
      finish(found.start, &pieces)
      let isNext = found.mark == Self.start
      held.removeFirst(found.mark.count)
      place = isNext ? .head : .between
      return true
    }
  }

  /// Chooses the place by a message's head: `assistant<|channel|>commentary to=functions.f <|constrain|>json`.
  private mutating func enter(_ head: [UInt8]) {
    let text = String(decoding: head, as: UTF8.self)
    for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "<" }) where word.hasPrefix("to=") {
      var name = word.dropFirst(3)
      if name.hasPrefix("functions.") { name = name.dropFirst(10) }
      place = .call(name: String(name), head: head)
      return
    }
    place = text.contains("<|channel|>analysis") ? .reasoning : .content
  }

  /// Bytes that can be no part of a mark.
  private var certainCount: Int {
    for start in max(0, held.count - 11)..<max(held.count, 0) {
      let rest = held[start...]
      if Self.ends.contains(where: { $0.starts(with: rest) }) { return start }
    }
    return held.count
  }

  /// Gives out text of a message that is no call.
  private mutating func give(_ count: Int, _ pieces: inout [AnswerPiece]) {
    guard count > 0 else { return }
    let text = String(decoding: held[..<count], as: UTF8.self)
    switch place {
    case .reasoning: pieces.append(.reasoning(text))
    case .content: pieces.append(.content(text))
    case .head, .call, .between: return
    }
    held.removeFirst(count)
  }

  /// Ends the message at hand after so many bytes.
  private mutating func finish(_ count: Int, _ pieces: inout [AnswerPiece]) {
    switch place {
    case .reasoning, .content: give(count, &pieces)
    case .call(let name, let head):
      let text = String(decoding: held[..<count], as: UTF8.self)
      let trimmed = text.trimmed()
      if let call = ToolCall(name: name, trimmed.isEmpty ? [:] : trimmed.parsed?.object) {
        pieces.append(.call(call))
      } else {
        pieces.append(.content(String(decoding: head, as: UTF8.self) + "<|message|>" + text))
      }
      held.removeFirst(count)
    case .head, .between:
      if case .head = place, held[..<count].contains(where: { !isSpace($0) }) {
        pieces.append(.content(String(decoding: held[..<count], as: UTF8.self)))
      }
      held.removeFirst(count)
    }
  }
}
