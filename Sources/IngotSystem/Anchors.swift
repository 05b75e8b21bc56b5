/// Refuses YAML with anchors, before it is parsed. Without one there is no alias, and without aliases a document is as
/// large as its text: some hundred bytes of aliases of aliases take years to compare as keys.
///
/// Quotes and comments are not looked for: what stands in them is up to a parser, which this must not differ from.
public func requireNoAnchors(_ text: String, path: String) throws(FormatError) {
  guard let line = lineOfAnchor(text) else { return }
  throw FormatError(
    path: path, expected: "line \(line): no anchors ('&name') and no aliases ('*name')",
    found: "'&' before a letter or digit")
}

/// The first line with something that could be an anchor.
private func lineOfAnchor(_ text: String) -> Int? {
  func isNameLike(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }
  var line = 1
  var before: (UInt8, UInt8) = (0x0A, 0x0A)
  for byte in text.utf8 {
    // Within a word, as in Q&A, it is text.
    if before.1 == UInt8(ascii: "&"), isNameLike(byte), !isNameLike(before.0) { return line }
    if byte == 0x0A { line += 1 }
    before = (before.1, byte)
  }
  return nil
}
