import IngotSystem
import IngotToolCalls

/// A prompt with tools, and the calls that its text has there.
package struct ToolPrompt: Sendable {
  package var request: AnswerRequest
  package var expected: [ToolCall]

  package init(request: AnswerRequest, expected: [ToolCall]) {
    (self.request, self.expected) = (request, expected)
  }
}

/// What a model answered to one, taken apart.
package struct ToolAnswer: Hashable, Sendable {
  package var calls: [ToolCall] = []
  package var content = ""
  package var reasoning = ""
  /// Whether it stopped thinking, where it thought.
  package var isThinkingClosed = true
  package var isCutOff = false

  package init() {}

  package mutating func add(_ piece: AnswerPiece) {
    switch piece {
    case .reasoning(let text):
      reasoning += text
      isThinkingClosed = false
    case .content(let text):
      content += text
      isThinkingClosed = isThinkingClosed || text.contains { !$0.isWhitespace }
    case .call(let call):
      calls.append(call)
      isThinkingClosed = true
    }
  }

  /// Whether it calls tools that there are, with what their schemas ask for.
  package func isValid(_ tools: [ToolDefinition]) -> Bool {
    !calls.isEmpty
      && calls.allSatisfy { call in
        tools.contains { $0.name == call.name && SchemaCheck($0.parameters).accepts(.object(call.arguments)) }
      }
  }

  package func callsTools(of others: [ToolCall]) -> Bool { calls.map(\.name) == others.map(\.name) }

  /// Whether names and arguments are the same, numbers by their values.
  package func makesCalls(_ others: [ToolCall]) -> Bool {
    callsTools(of: others)
      && zip(calls, others).allSatisfy { JSON.object($0.arguments).equals(.object($1.arguments)) }
  }

  /// The script that most letters of what it thinks and says are of; nil without letters.
  package var script: Script? { Script.most(of: reasoning + content) }
}

extension JSON {
  /// Whether both are the same value: numbers by what they are, members in any order.
  package func equals(_ other: JSON) -> Bool {
    if let some = object {
      guard let others = other.object, some.count == others.count else { return false }
      return some.allSatisfy { name, value in others[name].map { value.equals($0) } ?? false }
    }
    if let some = array {
      guard let others = other.array, some.count == others.count else { return false }
      return zip(some, others).allSatisfy { $0.equals($1) }
    }
    if let some = double, let others = other.double { return some == others }
    return self == other
  }
}

/// Scripts that tell apart most languages that models fall into.
package enum Script: String, Sendable {
  case latin, cyrillic, greek, arabic, hebrew, devanagari, thai, han, kana, hangul

  init?(_ scalar: Unicode.Scalar) {
    switch scalar.value {
    case 0x41...0x5A, 0x61...0x7A, 0xC0...0x24F, 0x1E00...0x1EFF: self = .latin
    case 0x370...0x3FF: self = .greek
    case 0x400...0x52F: self = .cyrillic
    case 0x590...0x5FF: self = .hebrew
    case 0x600...0x6FF, 0x750...0x77F: self = .arabic
    case 0x900...0x97F: self = .devanagari
    case 0xE00...0xE7F: self = .thai
    case 0x3040...0x30FF: self = .kana
    case 0x3400...0x4DBF, 0x4E00...0x9FFF: self = .han
    case 0x1100...0x11FF, 0xAC00...0xD7AF: self = .hangul
    default: return nil
    }
  }

  static func most(of text: String) -> Script? {
    var counts: [Script: Int] = [:]
    for script in text.unicodeScalars.compactMap(Script.init) { counts[script, default: 0] += 1 }
    // Japanese has both, and few kana tell it from Chinese.
    if let kana = counts[.kana], kana * 10 > counts[.han] ?? 0 { counts[.kana]! += counts[.han] ?? 0 }
    return counts.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key
  }
}
