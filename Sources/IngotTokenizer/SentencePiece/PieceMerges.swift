/// Pairs of pieces for byte-pair encoding by pieces alone: any two that make a third may be joined, in the order of
/// what they make.
///
/// SentencePiece and tiktoken join so; a list of merges holds for each piece the pairs it was trained with.
enum PieceMerges {
  /// - Parameters:
  ///   - pieces: their bytes by number; empty ones take no part.
  ///   - ranks: for each the place in the order of merges. Equal ones go from left to right.
  ///   - isCut: whether a piece may be cut before this byte.
  static func all(
    of pieces: [[UInt8]], ranks: [UInt32], isCut: (UInt8) -> Bool
  ) -> [BytePairs.Pair] {
    var trie = PieceTrie()
    for (id, piece) in pieces.enumerated() where !piece.isEmpty { trie.insert(piece, Int32(id)) }
    var pairs: [BytePairs.Pair] = []
    pairs.reserveCapacity(pieces.count * 3)
    for (id, piece) in pieces.enumerated() where piece.count > 1 {
      trie.each(in: piece, at: 0) { left, end in
        guard end < piece.count, isCut(piece[end]), let right = trie.id(of: piece[end...]) else { return }
        pairs.append(BytePairs.Pair(left: left, right: right, rank: ranks[id], result: Int32(id)))
      }
    }
    return pairs
  }
}
