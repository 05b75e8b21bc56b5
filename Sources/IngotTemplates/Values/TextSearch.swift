extension Text {
  /// Where `needle` first begins in bytes `range`; nil when it does not occur within.
  ///
  /// Takes time in proportion to the bytes searched, whatever the needle.
  func find(_ needle: [UInt8], in range: Range<Int>) -> Int? {
    guard let first = needle.first else { return range.lowerBound }
    guard needle.count <= range.count else { return nil }
    if needle.count > 32 { return findLong(needle, in: range) }
    let last = range.upperBound - needle.count
    var at = range.lowerBound
    search: while at <= last {
      if bytes[at] == first {
        var matched = 1
        while matched < needle.count {
          guard bytes[at + matched] == needle[matched] else {
            at += 1
            continue search
          }
          matched += 1
        }
        return at
      }
      at += 1
    }
    return nil
  }

  func find(_ needle: Text, from start: Int = 0) -> Int? {
    find(needle.bytes, in: min(start, bytes.count)..<bytes.count)
  }

  /// Where `needle` last begins in bytes `range`.
  func findLast(_ needle: [UInt8], in range: Range<Int>) -> Int? {
    let backward = Text(Array(bytes[range].reversed()))
    guard let at = backward.find(Array(needle.reversed()), in: 0..<range.count) else { return nil }
    return range.upperBound - at - needle.count
  }

  func contains(_ needle: Text) -> Bool { find(needle) != nil }

  /// Knuth, Morris and Pratt: no byte is looked at twice, so a needle of many repetitions takes no longer.
  private func findLong(_ needle: [UInt8], in range: Range<Int>) -> Int? {
    var fallback = [0]
    fallback.reserveCapacity(needle.count)
    var length = 0
    for index in 1..<needle.count {
      while length > 0 && needle[index] != needle[length] { length = fallback[length - 1] }
      if needle[index] == needle[length] { length += 1 }
      fallback.append(length)
    }
    var matched = 0
    for at in range {
      while matched > 0 && bytes[at] != needle[matched] { matched = fallback[matched - 1] }
      if bytes[at] == needle[matched] { matched += 1 }
      if matched == needle.count { return at + 1 - matched }
    }
    return nil
  }

  func hasPrefix(_ prefix: [UInt8]) -> Bool { bytes.starts(with: prefix) }

  func hasSuffix(_ suffix: [UInt8]) -> Bool {
    bytes.count >= suffix.count && bytes.suffix(suffix.count).elementsEqual(suffix)
  }

  /// How often `needle`, not empty, occurs without overlaps, counted up to `limit`.
  func occurrences(of needle: Text, limit: Int = .max) -> Int {
    var count = 0
    var at = 0
    while count < limit, let found = find(needle, from: at) {
      count += 1
      at = found + needle.bytes.count
    }
    return count
  }
}
