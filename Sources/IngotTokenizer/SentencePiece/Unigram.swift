/// The cut of a text into pieces with the greatest sum of scores.
///
/// Sums are kept in single precision and compared as SentencePiece does, where ties and the last bit decide.
struct Unigram: Sendable {
  private var trie = PieceTrie()
  private var scores: [Float] = []
  private var isUserDefined: [Bool] = []
  private let unknown: Int32
  private var unknownScore: Float = 0
  private var highest: Float = 0

  /// What a character without a piece costs beyond the worst piece.
  private static let penalty: Float = 10

  init(_ model: SentencePieceModel, unknown: Int32) {
    self.unknown = unknown
    scores = model.pieces.map(\.score)
    isUserDefined = model.pieces.map { $0.kind == .userDefined }
    for (id, piece) in model.pieces.enumerated() where [.normal, .userDefined].contains(piece.kind) {
      trie.insert(piece.text, Int32(id))
    }
    let normal = model.pieces.filter { $0.kind == .normal }.map(\.score)
    unknownScore = (normal.min() ?? 0) - Self.penalty
    // SentencePiece looks for the highest from here on, so scores below zero do not count.
    highest = max(.leastNormalMagnitude, normal.max() ?? 0)
  }

  /// Calls `body` with each piece of `text` and where it lies, in order.
  func encode(_ text: [UInt8], _ body: (_ id: Int32, _ range: Range<Int>) -> Void) {
    var best = [(id: Int32, start: Int, score: Float)](repeating: (unknown, -1, 0), count: text.count + 1)
    var at = 0
    while at < text.count {
      let here = best[at].score
      let end = SentencePieceNormalizer.end(ofCharacterAt: at, in: text)
      var isPiece = false
      func offer(_ id: Int32, _ place: Int, _ score: Float) {
        let sum = score + here
        if best[place].start < 0 || sum > best[place].score { best[place] = (id, at, sum) }
      }
      trie.each(in: text, at: at) { id, place in
        if place == end { isPiece = true }
        if isUserDefined[Int(id)] {
          offer(id, place, Float(Double(Float(place - at) * highest) - 0.1))
        } else {
          offer(id, place, scores[Int(id)])
        }
      }
      if !isPiece { offer(unknown, end, unknownScore) }
      at = end
    }
    var pieces: [(Int32, Range<Int>)] = []
    var end = text.count
    while end > 0 {
      pieces.append((best[end].id, best[end].start..<end))
      end = best[end].start
    }
    for (id, range) in pieces.reversed() { body(id, range) }
  }
}
