/// Cutting texts as Python's `str` methods do.
extension Text {
  struct Ends: OptionSet {
    let rawValue: Int
    static let leading = Ends(rawValue: 1)
    static let trailing = Ends(rawValue: 2)
    static let both: Ends = [.leading, .trailing]
  }

  /// Without the characters at the ends that are among `chars`, or are white space.
  func stripped(_ chars: Text? = nil, _ ends: Ends = .both) -> Text {
    let set = chars.map { Set($0.scalars) }
    func isStripped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
    var start = 0
    var end = bytes.count
    if ends.contains(.leading) {
      while start < end {
        var next = start
        guard isStripped(self.next(&next)) else { break }
        start = next
      }
    }
    if ends.contains(.trailing) {
      while end > start {
        var before = end
        guard isStripped(previous(&before)) else { break }
        end = before
      }
    }
    return start == 0 && end == bytes.count ? self : Text(bytes[start..<end]).marked(isMarkup)
  }

  /// `split()`: words between white space, at most `limit` cuts from the left.
  func words(limit: Int = .max) -> [Text] {
    var words: [Text] = []
    var at = 0
    while true {
      while at < bytes.count {
        var next = at
        guard self.next(&next).isPythonSpace else { break }
        at = next
      }
      if at == bytes.count { return words }
      if words.count >= limit {
        words.append(Text(bytes[at...]))
        return words
      }
      let start = at
      while at < bytes.count {
        var next = at
        if self.next(&next).isPythonSpace { break }
        at = next
      }
      words.append(Text(bytes[start..<at]))
    }
  }

  /// `rsplit()`: words between white space, at most `limit` cuts from the right.
  func wordsFromRight(limit: Int = .max) -> [Text] {
    var words: [Text] = []
    var at = bytes.count
    while true {
      while at > 0 {
        var before = at
        guard previous(&before).isPythonSpace else { break }
        at = before
      }
      if at == 0 { break }
      if words.count >= limit {
        words.append(Text(bytes[..<at]))
        break
      }
      let end = at
      while at > 0 {
        var before = at
        if previous(&before).isPythonSpace { break }
        at = before
      }
      words.append(Text(bytes[at..<end]))
    }
    return words.reversed()
  }

  /// The parts between occurrences of `separator`, not empty, at most `limit` cuts from the left.
  func split(_ separator: Text, limit: Int = .max) -> [Text] {
    var parts: [Text] = []
    var start = 0
    while parts.count < limit, let at = find(separator, from: start) {
      parts.append(Text(bytes[start..<at]))
      start = at + separator.bytes.count
    }
    parts.append(start == 0 ? Text(bytes) : Text(bytes[start...]))
    return parts
  }

  /// The same from the right.
  func splitFromRight(_ separator: Text, limit: Int = .max) -> [Text] {
    let backward = Text(Array(bytes.reversed()))
    let parts = backward.split(Text(Array(separator.bytes.reversed())), limit: limit)
    return parts.reversed().map { Text(Array($0.bytes.reversed())) }
  }

  /// `splitlines()`: the lines, with or without what ends them.
  func lines(keepingEnds: Bool = false) -> [Text] {
    var lines: [Text] = []
    var start = 0
    var at = 0
    while at < bytes.count {
      let before = at
      guard next(&at).isLineEnd else { continue }
      if bytes[before] == 0x0D && at < bytes.count && bytes[at] == 0x0A { at += 1 }
      lines.append(Text(bytes[start..<(keepingEnds ? at : before)]))
      start = at
    }
    if start < bytes.count { lines.append(Text(bytes[start...])) }
    return lines
  }

  /// With at most `limit` occurrences of `old` replaced. An empty one stands before each code point and at
  /// the end.
  func replacing(_ old: Text, with new: Text, limit: Int = .max) -> Text {
    var result = Text()
    if old.isEmpty {
      var left = limit
      var at = 0
      while left > 0 {
        result.append(new)
        left -= 1
        if at == bytes.count { break }
        result.append(next(&at))
      }
      result.bytes.append(contentsOf: bytes[at...])
      return result
    }
    guard limit > 0, var found = find(old) else { return Text(bytes) }
    var start = 0
    var left = limit
    while true {
      result.bytes.append(contentsOf: bytes[start..<found])
      result.append(new)
      start = found + old.bytes.count
      left -= 1
      guard left > 0, let next = find(old, from: start) else { break }
      found = next
    }
    result.bytes.append(contentsOf: bytes[start...])
    return result
  }
}
