import IngotSystem

/// How pieces become a text, by `decoder` of tokenizer.json.
struct Decoder: Sendable {
  fileprivate enum Step: Sendable {
    /// Pieces in the alphabet for bytes become one.
    case bytes
    case replace(Replacement)
    /// Runs of `<0x41>` become the characters that they are in UTF-8, or U+FFFD each.
    case byteFallback
    case fuse
    /// At most so many of a character at the start and the end of each piece.
    case strip(Unicode.Scalar, start: Int, end: Int)
    /// A character stands for a space, but for none in the first piece if one was put before the text.
    case metaspace(Unicode.Scalar, wasPrepended: Bool)
  }

  private var steps: [Step] = []
  /// Without a decoder pieces are joined by spaces.
  private let separator: String

  /// Reads null, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, or a Sequence of these.
  init(_ place: JSONPlace) throws(FormatError) {
    separator = place.json.isNull ? " " : ""
    if !place.json.isNull { try add(place) }
  }

  private mutating func add(_ place: JSONPlace) throws(FormatError) {
    switch place["type"].json.string {
    case "Sequence": for part in try place["decoders"].elements() { try add(part) }
    case "ByteLevel": steps.append(.bytes)
    case "Replace": steps.append(.replace(try Replacement(place)))
    case "ByteFallback": steps.append(.byteFallback)
    case "Fuse": steps.append(.fuse)
    case "Strip":
      steps.append(
        .strip(
          try place["content"].scalar(), start: try place["start"].integer(below: 1 << 16),
          end: try place["stop"].integer(below: 1 << 16)))
    case "Metaspace":
      let space = try Metaspace(place)
      steps.append(.metaspace(space.scalar, wasPrepended: space.scheme != .never))
    default:
      throw place["type"].error(
        "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace or Sequence (no other is supported)")
    }
  }

  /// The text of `pieces`.
  func text(of pieces: [String]) -> String {
    // Most tokenizers take this step alone.
    if steps.count == 1, case .bytes = steps[0] { return Self.decoded(pieces) }
    return steps.reduce(pieces) { $1.applied(to: $0) }.joined(separator: separator)
  }

  fileprivate static func decoded(_ pieces: [String]) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(pieces.count * 4)
    for piece in pieces { ByteAlphabet.append(bytesOf: piece, to: &bytes) }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension Decoder.Step {
  fileprivate func applied(to pieces: [String]) -> [String] {
    switch self {
    case .bytes: [Decoder.decoded(pieces)]
    case .fuse: [pieces.joined()]
    case .replace(let replacement):
      pieces.map { String(decoding: replacement.applied(to: Array($0.utf8)), as: UTF8.self) }
    case .byteFallback: Self.fallenBack(pieces)
    case .strip(let scalar, let start, let end): pieces.map { Self.stripped($0, of: scalar, start, end) }
    case .metaspace(let space, let wasPrepended):
      pieces.enumerated().map { index, piece in
        var text = String.UnicodeScalarView()
        for scalar in piece.unicodeScalars {
          if scalar != space {
            text.append(scalar)
          } else if index > 0 || !wasPrepended {
            text.append(" ")
          }
        }
        return String(text)
      }
    }
  }

  private static func fallenBack(_ pieces: [String]) -> [String] {
    var result: [String] = []
    var bytes: [UInt8] = []
    func close() {
      if bytes.isEmpty { return }
      if let text = String(validating: bytes, as: UTF8.self) {
        result.append(text)
      } else {
        result += [String](repeating: "\u{FFFD}", count: bytes.count)
      }
      bytes.removeAll()
    }
    for piece in pieces {
      if let byte = byte(of: piece) {
        bytes.append(byte)
      } else {
        close()
        result.append(piece)
      }
    }
    close()
    return result
  }

  /// The byte that a piece such as `<0x0A>` stands for.
  private static func byte(of piece: String) -> UInt8? {
    let text = piece.utf8
    let digits = text.dropFirst(3).prefix(2)
    guard text.count == 6, piece.hasPrefix("<0x"), text.last == UInt8(ascii: ">"),
      digits.first != UInt8(ascii: "-")
    else { return nil }
    return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  private static func stripped(_ piece: String, of scalar: Unicode.Scalar, _ start: Int, _ end: Int) -> String
  {
    var rest = Array(piece.unicodeScalars)[...]
    for _ in 0..<min(start, rest.count) where rest.first == scalar { rest = rest.dropFirst() }
    for _ in 0..<min(end, rest.count) where rest.last == scalar { rest = rest.dropLast() }
    var text = String.UnicodeScalarView()
    text.append(contentsOf: rest)
    return String(text)
  }
}

extension JSONPlace {
  /// A text of one code point.
  func scalar() throws(FormatError) -> Unicode.Scalar {
    let text = try string().unicodeScalars
    guard let first = text.first, text.count == 1 else {
      throw error("one character", "\"\(printable(String(text), limit: 40))\"")
    }
    return first
  }
}
