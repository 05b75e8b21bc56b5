import IngotTokenizer

/// Where the tokens of a text are in it.
enum TokenPlaces {
  /// Bytes of the text that are passed over to find a token's text again, where the tokenizer normalizes.
  private static let reach = 64

  /// For each token the end of its bytes in `text`; a character of several tokens belongs to the last of them.
  ///
  /// - Returns: nil where the tokens' texts are not found in the text.
  static func ends(of ids: [Int], in text: [UInt8], _ tokenizer: Tokenizer) -> [Int]? {
    func decoded(_ range: Range<Int>) -> [UInt8] { Array(tokenizer.decode(Array(ids[range])).utf8) }
    var ends: [Int] = []
    ends.reserveCapacity(ids.count)
    var end = 0
    // What a piece becomes may depend on the one before it: these are decoded again, as streamed text is.
    var (first, next) = (0, 0)
    for index in ids.indices {
      let before = decoded(first..<next).count
      let all = decoded(first..<index + 1)
      let piece = all.dropFirst(before)
      if !piece.isEmpty, piece.suffix(3) != [0xEF, 0xBF, 0xBD] || text[end...].starts(with: piece) {
        guard let start = place(of: piece, in: text, from: end) else { return nil }
        end = start + piece.count
        (first, next) = (next, index + 1)
      }
      ends.append(end)
    }
    return ends
  }

  private static func place(of piece: ArraySlice<UInt8>, in text: [UInt8], from start: Int) -> Int? {
    for skipped in 0...reach where start + skipped + piece.count <= text.count {
      if text[(start + skipped)...].starts(with: piece) { return start + skipped }
    }
    // A first word's space that only the tokens have.
    if piece.first == UInt8(ascii: " "), piece.count > 1, start == 0 {
      return place(of: piece.dropFirst(), in: text, from: start).map { $0 - 1 }
    }
    return nil
  }
}
