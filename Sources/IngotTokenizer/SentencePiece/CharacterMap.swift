import IngotSystem

/// SentencePiece's compiled normalization rules: a trie of what is replaced, and the replacements.
///
/// Four bytes of the trie's size, the trie as a double array of 32-bit units, then texts that end in a zero byte. A
/// unit has its label in bits 0 to 7, whether a value follows in bit 8, and the offset of its children in bits 10 and
/// up, times 256 where bit 9 is set; a value has bit 31 set and is where the replacement begins.
struct CharacterMap: Sendable {
  private var units: [UInt32] = []
  private var texts: [UInt8] = []

  /// - Throws: FormatError for sizes that do not fit, or texts without an end.
  init(_ bytes: [UInt8], path: String) throws(FormatError) {
    if bytes.isEmpty { return }
    func unit(_ at: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }
    let size = bytes.count < 4 ? 0 : Int(unit(0))
    guard size > 0, size.isMultiple(of: 4), size <= bytes.count - 4, bytes.last == 0 else {
      throw FormatError(
        path: path,
        expected: "normalizer_spec.precompiled_charsmap: a trie and texts that end in a zero byte",
        found: "\(bytes.count) bytes that are none")
    }
    units = stride(from: 4, to: 4 + size, by: 4).map(unit)
    texts = Array(bytes[(4 + size)...])
  }

  var isEmpty: Bool { units.isEmpty }

  private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << (unit & 1 << 9 == 0 ? 0 : 8) }

  /// What the longest rule at `start` puts for which bytes; nil if no rule applies.
  func replacement(in text: [UInt8], at start: Int) -> (text: ArraySlice<UInt8>, end: Int)? {
    guard let root = units.first else { return nil }
    var found: (value: Int, end: Int)?
    var node = Self.offset(root)
    var at = start
    while at < text.count {
      node ^= Int(text[at])
      guard units.indices.contains(node), units[node] & 0x8000_00FF == UInt32(text[at]) else { break }
      at += 1
      let unit = units[node]
      node ^= Self.offset(unit)
      if unit & 1 << 8 != 0, units.indices.contains(node) { found = (Int(units[node] & 0x7FFF_FFFF), at) }
    }
    guard let (value, end) = found, texts.indices.contains(value) else { return nil }
    // The last text ends in a zero byte.
    let close = texts[value...].firstIndex(of: 0) ?? value
    return (texts[value..<close], end)
  }
}
