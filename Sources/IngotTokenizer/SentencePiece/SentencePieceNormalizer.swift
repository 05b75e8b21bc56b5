import IngotSystem

/// Prepares a text as SentencePiece does: rules, spaces, and the space before it. User-defined pieces stay as they are.
struct SentencePieceNormalizer: Sendable {
  private let map: CharacterMap
  private let kept: PieceTrie
  private let addsSpace: Bool
  private let spaceIsSuffix: Bool
  private let removesSpaces: Bool
  private let space: [UInt8]

  init(_ model: SentencePieceModel, kept: PieceTrie, path: String) throws(FormatError) {
    map = try CharacterMap(model.characterMap, path: path)
    self.kept = kept
    addsSpace = model.addsSpace
    spaceIsSuffix = model.spaceIsSuffix
    removesSpaces = model.removesSpaces
    space = model.escapesSpaces ? SentencePieceModel.space : [0x20]
  }

  /// `text` (well-formed UTF-8) as pieces are found in it.
  /// - Parameter begins: whether the space that the model asks for is added.
  func normalized(_ text: [UInt8], begins: Bool) -> [UInt8] {
    var at = 0
    if removesSpaces {
      while at < text.count {
        let (part, end) = prefix(of: text, at: at)
        guard part.elementsEqual([0x20]) else { break }
        at = end
      }
    }
    if at == text.count { return [] }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 2 + 3)
    if addsSpace, begins, !spaceIsSuffix { result += space }
    var followsSpace = removesSpaces
    while at < text.count {
      var (part, end) = prefix(of: text, at: at)
      if followsSpace { part = part.drop { $0 == 0x20 } }
      for byte in part {
        if byte == 0x20 { result += space } else { result.append(byte) }
      }
      if let last = part.last { followsSpace = removesSpaces && last == 0x20 }
      at = end
    }
    if removesSpaces {
      while result.count >= space.count, result[(result.count - space.count)...].elementsEqual(space) {
        result.removeLast(space.count)
      }
    }
    if addsSpace, begins, spaceIsSuffix { result += space }
    return result
  }

  /// What becomes of the next character or characters, and where they end.
  private func prefix(of text: [UInt8], at start: Int) -> (part: ArraySlice<UInt8>, end: Int) {
    if !kept.isEmpty, let (_, end) = kept.longest(in: text, at: start) { return (text[start..<end], end) }
    if !map.isEmpty, let (replacement, end) = map.replacement(in: text, at: start) {
      return (replacement, end)
    }
    let end = Self.end(ofCharacterAt: start, in: text)
    return (text[start..<end], end)
  }

  static func end(ofCharacterAt start: Int, in text: [UInt8]) -> Int {
    let lead = text[start]
    return min(text.count, start + (lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4))
  }
}
