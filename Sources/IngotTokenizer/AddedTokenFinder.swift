/// Finds added tokens in a text: the leftmost, and of those that begin at one place the longest; then on
/// behind it. A found token that fails its `isSingleWord` is passed over, and the text in it with it, as in
/// Hugging Face's implementation.
struct AddedTokenFinder: Sendable {
  /// A stretch of the text: a token, or text between tokens.
  struct Part {
    var token: Int?
    var range: Range<Int>
  }

  /// A limit on contents keeps the time in proportion to the text.
  static let longest = 1024

  private let tokens: [AddedToken]
  /// Bytes of what each token is found by.
  private let lengths: [Int]
  /// A trie over bytes: `next[node << 8 | byte]`, and per node the index of the token that ends there.
  private var next: [Int: Int] = [:]
  private var ends: [Int?] = [nil]
  private var begins = [Bool](repeating: false, count: 256)

  /// - Parameter normalizer: what the text went through in which they are looked for, and they go through too.
  init(_ tokens: [AddedToken], _ normalizer: Normalizer? = nil) {
    self.tokens = tokens
    let contents = tokens.map { token in
      let content = Array(token.content.utf8)
      return normalizer?.normalized(content) ?? content
    }
    lengths = contents.map(\.count)
    for (index, content) in contents.enumerated() where !content.isEmpty {
      var node = 0
      for byte in content {
        if node == 0 { begins[Int(byte)] = true }
        let key = node << 8 | Int(byte)
        if next[key] == nil {
          next[key] = ends.count
          ends.append(nil)
        }
        node = next[key] ?? 0
      }
      // Of two that are the same now, the first counts.
      if ends[node] == nil { ends[node] = index }
    }
  }

  /// Cuts `text` (well-formed UTF-8) into tokens and what lies between them; nothing is empty.
  func parts(of text: [UInt8], in bounds: Range<Int>) -> [Part] {
    var parts: [Part] = []
    var done = bounds.lowerBound
    var at = bounds.lowerBound
    var space = at..<at
    while at < bounds.upperBound {
      guard begins[Int(text[at])], let (index, found) = longest(in: text, at, bounds.upperBound) else {
        at += 1
        continue
      }
      at = found
      let token = tokens[index]
      var start = found - lengths[index]
      var end = found
      if token.isSingleWord {
        let before = scalar(in: text, endingAt: start, bounds.lowerBound)
        let after = scalar(in: text, startingAt: end, bounds.upperBound)
        if [before, after].contains(where: { $0.map(CodePoints.rustWord.contains) ?? false }) { continue }
      }
      if token.stripsLeft {
        while let before = scalar(in: text, endingAt: start, done), CodePoints.whitespace.contains(before) {
          start -= width(before)
        }
        // A token before may have taken the white space, or all of this token if that is white space.
        start = max(start, done)
      }
      if token.stripsRight {
        // White space walked before is not walked again: tokens of white space may lie in it.
        if space.contains(end) { end = space.upperBound }
        let first = end
        while let after = scalar(in: text, startingAt: end, bounds.upperBound),
          CodePoints.whitespace.contains(after)
        {
          end += width(after)
        }
        if first < end { space = first..<end }
      }
      if done < start { parts.append(Part(token: nil, range: done..<start)) }
      if start > end { continue }
      if start < end { parts.append(Part(token: token.id, range: start..<end)) }
      done = end
    }
    if done < bounds.upperBound { parts.append(Part(token: nil, range: done..<bounds.upperBound)) }
    return parts
  }

  private func longest(in text: [UInt8], _ start: Int, _ upper: Int) -> (index: Int, end: Int)? {
    var node = 0
    var at = start
    var best: (Int, Int)?
    while at < upper, let child = next[node << 8 | Int(text[at])] {
      node = child
      at += 1
      if let index = ends[node] { best = (index, at) }
    }
    return best
  }

  private func width(_ scalar: UInt32) -> Int {
    scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4
  }

  private func scalar(in text: [UInt8], startingAt start: Int, _ upper: Int) -> UInt32? {
    guard start < upper else { return nil }
    let lead = text[start]
    if lead < 0x80 { return UInt32(lead) }
    let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
    var value = UInt32(lead) & (0x7F >> UInt32(length))
    for byte in text[start + 1..<min(start + length, upper)] { value = value << 6 | UInt32(byte & 0x3F) }
    return value
  }

  private func scalar(in text: [UInt8], endingAt end: Int, _ lower: Int) -> UInt32? {
    guard end > lower else { return nil }
    var start = end - 1
    while start > lower, text[start] & 0xC0 == 0x80 { start -= 1 }
    return scalar(in: text, startingAt: start, end)
  }
}
