/// Divides what a model says into what it thinks, what it answers and the calls that it makes, as the text comes.
///
/// Text is given out as soon as it cannot be part of a mark any more, a call when it is complete. A call that cannot be read, or that the
/// answer ends within, is content as it was written. Nothing that a model can say is an error.
public struct AnswerParser: Sendable {
  private enum Place {
    case content, reasoning
    /// In a section with calls; whether one of them was given out.
    case calls(hasCalls: Bool)
  }

  private let format: ToolCallFormat?
  private let section: ToolCallFormat.Section?
  private let reasoning: (open: [UInt8], close: [UInt8])?
  private let tools: [ToolDefinition]
  private var harmony: HarmonyParser?
  private var place = Place.content
  /// Text that has not been given out.
  private var held: [UInt8] = []
  /// Bytes of it in which no mark begins.
  private var searched = 0
  /// White space at the beginning of a part is left out.
  private var isAtStart = false

  /// - Parameters:
  ///   - format: how calls are written; nil to look for none.
  ///   - reasoning: marks around what the model thinks; nil for none.
  ///   - startsReasoning: whether the prompt ends within them.
  ///   - tools: whose schemas say what arguments are.
  public init(
    _ format: ToolCallFormat?, reasoning marks: ReasoningMarks?, startsReasoning: Bool = false,
    tools: [ToolDefinition] = []
  ) {
    self.format = format
    self.tools = tools
    section = format?.section
    reasoning = marks.map { (Array($0.open.utf8), Array($0.close.utf8)) }
    if format == .harmony { harmony = HarmonyParser() }
    if startsReasoning && marks != nil { (place, isAtStart) = (.reasoning, true) }
  }

  /// Whether the model is thinking, as far as its text is known.
  public var isReasoning: Bool {
    guard harmony == nil else { return false }
    if case .reasoning = place { return true }
    return false
  }

  /// - Returns: what is certain now.
  public mutating func add(_ text: String) -> [AnswerPiece] {
    if harmony != nil { return harmony!.add(text) }
    held += text.utf8
    var pieces: [AnswerPiece] = []
    while step(&pieces) {}
    return pieces
  }

  /// - Returns: what was held back, now that no more text follows.
  public mutating func end() -> [AnswerPiece] {
    if harmony != nil { return harmony!.end() }
    var pieces: [AnswerPiece] = []
    switch place {
    case .content: give(held.count, to: &pieces) { .content($0) }
    case .reasoning: give(trimmedCount(held.count), to: &pieces) { .reasoning($0) }
    case .calls(let hasCalls):
      // The token that ends an answer may stand for the mark.
      if let calls = format!.calls(held[...], tools) {
        pieces += calls.map { .call($0) }
      } else if !hasCalls || held.contains(where: { !isSpace($0) }) {
        giveBack(hasCalls: hasCalls, &pieces)
      }
    }
    held = []
    return pieces
  }

  /// - Returns: whether there may be more to give out.
  private mutating func step(_ pieces: inout [AnswerPiece]) -> Bool {
    switch place {
    case .content:
      var marks: [[UInt8]] = []
      if let reasoning { marks.append(reasoning.open) }
      if let section { marks.append(section.open) }
      guard let (start, mark) = first(of: marks) else {
        give(certainCount(before: marks), to: &pieces) { .content($0) }
        return false
      }
      give(trimmedCount(start), to: &pieces) { .content($0) }
      let isCall = mark == section?.open
      pass(held.count - remaining(after: mark))
      place = isCall ? .calls(hasCalls: false) : .reasoning
      isAtStart = !isCall
      return true
    case .reasoning:
      guard let (start, mark) = first(of: [reasoning!.close]) else {
        give(certainCount(before: [reasoning!.close]), to: &pieces) { .reasoning($0) }
        return false
      }
      give(trimmedCount(start), to: &pieces) { .reasoning($0) }
      pass(held.count - remaining(after: mark))
      (place, isAtStart) = (.content, true)
      return true
    case .calls(let hasCalls): return stepInCalls(hasCalls, &pieces)
    }
  }

  private mutating func stepInCalls(_ hasCalls: Bool, _ pieces: inout [AnswerPiece]) -> Bool {
    let section = section!
    guard let (start, mark) = first(of: [section.callEnd] + (section.close.map { [$0] } ?? [])) else {
      searched = max(0, held.count - max(section.callEnd.count, section.close?.count ?? 0))
      return false
    }
    let end = start + mark.count
    if mark == section.close {
      let isBlank = !held[..<start].contains { !isSpace($0) }
      if isBlank && hasCalls {
        pass(end)
      } else {
        // No call, or the last one has no end.
        giveBack(hasCalls: hasCalls, upTo: end, &pieces)
      }
      (place, isAtStart) = (.content, isBlank && hasCalls)
      return true
    }
    if let calls = format!.calls(held[..<start], tools) {
      pieces += calls.map { .call($0) }
      pass(end)
      if section.close == nil {
        (place, isAtStart) = (.content, true)
      } else {
        place = .calls(hasCalls: true)
      }
    } else {
      giveBack(hasCalls: hasCalls, upTo: end, &pieces)
      (place, isAtStart) = (.content, false)
    }
    return true
  }

  // ---- what is held ---------------------------------------------------------------------------------------------------

  /// The mark that begins first.
  private mutating func first(of marks: [[UInt8]]) -> (start: Int, mark: [UInt8])? {
    var best: (start: Int, mark: [UInt8])?
    for mark in marks {
      guard let start = find(mark, in: held[...], from: searched), best.map({ start < $0.start }) ?? true
      else { continue }
      best = (start, mark)
    }
    return best
  }

  /// Bytes behind the mark that begins first.
  private func remaining(after mark: [UInt8]) -> Int {
    held.count - (find(mark, in: held[...]) ?? 0) - mark.count
  }

  /// Bytes that can be no part of a mark, nor white space before one.
  private func certainCount(before marks: [[UInt8]]) -> Int {
    var count = held.count
    let longest = marks.map(\.count).max() ?? 0
    for start in max(0, held.count - longest)..<max(held.count, 0) {
      let rest = held[start...]
      if marks.contains(where: { $0.starts(with: rest) }) {
        count = start
        break
      }
    }
    return marks.isEmpty ? count : trimmedCount(count)
  }

  /// Bytes before the white space that ends so many.
  private func trimmedCount(_ count: Int) -> Int {
    var count = count
    while count > 0, isSpace(held[count - 1]) { count -= 1 }
    return count
  }

  /// Gives out bytes.
  private mutating func give(
    _ count: Int, to pieces: inout [AnswerPiece], _ piece: (String) -> AnswerPiece
  ) {
    var bytes = held[..<count]
    if isAtStart { bytes = bytes.drop(while: isSpace) }
    if !bytes.isEmpty {
      pieces.append(piece(String(decoding: bytes, as: UTF8.self)))
      isAtStart = false
    }
    pass(count)
  }

  private mutating func pass(_ count: Int) {
    held.removeFirst(count)
    searched = 0
  }

  /// Gives what should have been a call out as content.
  private mutating func giveBack(hasCalls: Bool, upTo end: Int? = nil, _ pieces: inout [AnswerPiece]) {
    let end = end ?? held.count
    let bytes = (hasCalls ? [] : section!.open) + held[..<end]
    if !bytes.isEmpty { pieces.append(.content(String(decoding: bytes, as: UTF8.self))) }
    pass(end)
  }
}
