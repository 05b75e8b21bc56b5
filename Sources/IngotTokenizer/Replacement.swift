import IngotSystem

/// `Replace` of tokenizer.json, among normalizers and decoders alike: every match gives way to one text.
struct Replacement: Sendable {
  private enum Search: Sendable {
    case literal([UInt8])
    case expression(Pattern)
  }

  private let search: Search
  private let content: [UInt8]

  init(_ place: JSONPlace) throws(FormatError) {
    content = Array(try place["content"].string().utf8)
    let pattern = place["pattern"]
    if let literal = pattern["String"].json.string {
      guard !literal.isEmpty else { throw pattern["String"].error("a text that is not empty", "\"\"") }
      search = .literal(Array(literal.utf8))
    } else {
      search = .expression(try PreTokenizer.pattern(try pattern["Regex"].string(), pattern))
    }
  }

  /// `text` (well-formed UTF-8) with every match replaced, leftmost first.
  func applied(to text: [UInt8]) -> [UInt8] {
    switch search {
    case .literal(let literal): return replacing(literal, in: text)
    case .expression(let pattern):
      if text.isEmpty { return text }
      var result: [UInt8] = []
      var done = 0
      for match in pattern.matches(in: text).ranges {
        result += text[done..<match.lowerBound]
        result += content
        done = match.upperBound
      }
      return result + text[done...]
    }
  }

  private func replacing(_ literal: [UInt8], in text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 4)
    var at = 0
    while at < text.count {
      // Of well-formed texts, a match of bytes is one of characters.
      if text[at] == literal[0], text[at...].starts(with: literal) {
        result += content
        at += literal.count
      } else {
        result.append(text[at])
        at += 1
      }
    }
    return result
  }
}
