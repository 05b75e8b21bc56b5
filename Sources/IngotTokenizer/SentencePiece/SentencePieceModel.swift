/// What SentencePiece's tokenizer.model says: pieces with scores, and how texts are prepared.
package struct SentencePieceModel: Equatable, Sendable {
  /// How a text is cut into pieces.
  package enum Algorithm: Int, Sendable {
    /// The cut of the greatest sum of scores.
    case unigram = 1
    /// Neighbours are joined, those of the highest score first.
    case bytePairs = 2
  }

  /// Kinds of pieces by their number in the file.
  package enum Kind: Int, Sendable {
    case normal = 1
    case unknown = 2
    /// Never found in a text, such as a begin token.
    case control = 3
    /// Found before everything else and never part of a larger piece.
    case userDefined = 4
    /// Not given out, but larger pieces may come about by way of it.
    case unused = 5
    /// `<0x41>`: a byte of a character that has no piece.
    case byte = 6
  }

  package struct Piece: Equatable, Sendable {
    package var text: [UInt8]
    package var score: Float
    package var kind: Kind

    package init(_ text: [UInt8], score: Float, kind: Kind) {
      self.text = text
      self.score = score
      self.kind = kind
    }
  }

  package var algorithm = Algorithm.unigram
  package var pieces: [Piece] = []
  /// Whether a character without a piece becomes pieces of its bytes.
  package var fallsBackToBytes = false
  /// Numbers of pieces; -1 for none.
  package var unknown = 0
  package var begin = 1
  package var end = 2
  package var padding = -1
  /// Whether the space that is put to a text goes behind it.
  package var spaceIsSuffix = false

  /// SentencePiece's name of the rules in `characterMap`.
  package var normalization = "identity"
  /// SentencePiece's compiled rules of what characters are replaced by; empty for none.
  package var characterMap: [UInt8] = []
  /// Whether a space is put before a text.
  package var addsSpace = true
  /// Whether spaces at the ends go, and of several together all but one.
  package var removesSpaces = true
  /// Whether spaces are written as U+2581.
  package var escapesSpaces = true

  package init() {}

  /// The character that stands for a space in pieces.
  package static let space: [UInt8] = [0xE2, 0x96, 0x81]

  /// The piece of a byte.
  package static func byte(_ byte: Int) -> [UInt8] {
    Array("<0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))>".utf8)
  }
}
