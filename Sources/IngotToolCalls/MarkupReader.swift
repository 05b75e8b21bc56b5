import IngotSystem

/// White space of JSON and XML.
func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

/// Reads a text with marks in it from the front.
struct MarkupReader {
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func skipSpace() { rest = rest.drop(while: isSpace) }

  mutating func take(_ mark: String) -> Bool {
    guard rest.starts(with: mark.utf8) else { return false }
    rest = rest.dropFirst(mark.utf8.count)
    return true
  }

  /// The text before a mark, which is passed; nil without the mark.
  mutating func text(upTo mark: String) -> String? {
    let mark = Array(mark.utf8)
    guard let place = find(mark, in: rest) else { return nil }
    let text = String(decoding: rest[..<place], as: UTF8.self)
    rest = rest[(place + mark.count)...]
    return text
  }

  /// All that is left.
  mutating func remainder() -> String {
    defer { rest = [] }
    return String(decoding: rest, as: UTF8.self)
  }
}

/// Where `mark` begins first in `bytes`, from `start` on.
func find(_ mark: [UInt8], in bytes: ArraySlice<UInt8>, from start: Int? = nil) -> Int? {
  guard let first = mark.first else { return nil }
  var place = start ?? bytes.startIndex
  while place + mark.count <= bytes.endIndex {
    guard let next = bytes[place...].firstIndex(of: first), next + mark.count <= bytes.endIndex else {
      return nil
    }
    if bytes[next..<next + mark.count].elementsEqual(mark) { return next }
    place = next + 1
  }
  return nil
}

extension String {
  /// Without white space around it.
  func trimmed() -> String {
    let bytes = Array(utf8).drop(while: isSpace)
    guard let last = bytes.lastIndex(where: { !isSpace($0) }) else { return "" }
    return String(decoding: bytes[...last], as: UTF8.self)
  }

  /// Without a line feed at its beginning and one at its end.
  func withoutLineEnds() -> String {
    var bytes = Array(utf8)[...]
    if bytes.first == 0x0A { bytes.removeFirst() }
    if bytes.last == 0x0A { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The value that the text is as JSON; nil for none.
  var parsed: JSON? { try? JSON.parse(Array(utf8), path: "") }
}
