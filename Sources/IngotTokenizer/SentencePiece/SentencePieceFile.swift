import IngotSystem

/// tokenizer.model as SentencePiece writes it: a protobuf message `ModelProto`.
///
/// Source: sentencepiece, src/sentencepiece_model.proto.
extension SentencePieceModel {
  /// Reads the file.
  /// - Throws: FormatError for bytes that are no such message, for word and character models, and for pieces that occur
  ///   twice, are empty or longer than any.
  package init(_ bytes: [UInt8], path: String) throws(FormatError) {
    self.init()
    var reader = ProtobufReader(bytes, path: path)
    while let (field, value) = try reader.next() {
      guard case .bytes(let range) = value else { continue }
      switch field {
      case 1:
        guard pieces.count < TokenizerFile.mostTokens else {
          throw reader.error("at most \(TokenizerFile.mostTokens) pieces", "more")
        }
        pieces.append(try Self.piece(ProtobufReader(bytes, in: range, path: path), bytes, pieces.count))
      case 2: try readTrainer(ProtobufReader(bytes, in: range, path: path), bytes)
      case 3: try readNormalizer(ProtobufReader(bytes, in: range, path: path), bytes)
      default: break
      }
    }
    try check(path)
  }

  /// What SentencePiece takes for granted.
  private func check(_ path: String) throws(FormatError) {
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(path: path, expected: expected, found: found)
    }
    guard !pieces.isEmpty else { throw wrong("a SentencePiece model with pieces", "none") }
    var seen: Set<[UInt8]> = []
    for (id, piece) in pieces.enumerated() {
      guard !piece.text.isEmpty, piece.text.count <= AddedTokenFinder.longest else {
        throw wrong("piece \(id) of 1 to \(AddedTokenFinder.longest) bytes", "\(piece.text.count)")
      }
      let text = String(validating: piece.text, as: UTF8.self)
      guard text != nil else { throw wrong("piece \(id) in UTF-8", "other bytes") }
      guard !piece.score.isNaN else { throw wrong("a score for piece \(id)", "nan") }
      guard seen.insert(piece.text).inserted else {
        throw wrong("piece \(id) that occurs once", "'\(printable(text ?? "", limit: 40))' a second time")
      }
    }
    let unknowns = pieces.indices.filter { pieces[$0].kind == .unknown }
    guard unknowns.count == 1 else { throw wrong("one unknown piece", "\(unknowns.count)") }
    if fallsBackToBytes {
      for byte in 0..<256 where !seen.contains(Self.byte(byte)) {
        throw wrong(
          "a piece for each byte, for byte_fallback", "no \(String(decoding: Self.byte(byte), as: UTF8.self))"
        )
      }
    }
  }

  private static func piece(_ message: ProtobufReader, _ bytes: [UInt8], _ id: Int) throws(FormatError)
    -> Piece
  {
    var message = message
    var piece = Piece([], score: 0, kind: .normal)
    while let (field, value) = try message.next() {
      switch (field, value) {
      case (1, .bytes(let range)): piece.text = Array(bytes[range])
      case (2, .word(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .integer(let number)):
        guard let kind = Int(exactly: number).flatMap(Kind.init) else {
          throw message.error("piece \(id) of a kind from 1 to 6", "\(number)")
        }
        piece.kind = kind
      default: break
      }
    }
    return piece
  }

  private mutating func readTrainer(_ message: ProtobufReader, _ bytes: [UInt8]) throws(FormatError) {
    var message = message
    while let (field, value) = try message.next() {
      guard case .integer(let number) = value else { continue }
      /// A negative number is stored as one of 64 bits.
      func id() -> Int { Int(Int32(truncatingIfNeeded: number)) }
      switch field {
      case 3:
        guard let known = Int(exactly: number).flatMap(Algorithm.init) else {
          throw message.error("a model of type unigram (1) or BPE (2)", "type \(number)")
        }
        algorithm = known
      case 24: spaceIsSuffix = number != 0
      case 35: fallsBackToBytes = number != 0
      case 40: unknown = id()
      case 41: begin = id()
      case 42: end = id()
      case 43: padding = id()
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ message: ProtobufReader, _ bytes: [UInt8]) throws(FormatError) {
    var message = message
    while let (field, value) = try message.next() {
      switch (field, value) {
      case (1, .bytes(let range)): normalization = String(decoding: bytes[range], as: UTF8.self)
      case (2, .bytes(let range)): characterMap = Array(bytes[range])
      case (3, .integer(let number)): addsSpace = number != 0
      case (4, .integer(let number)): removesSpaces = number != 0
      case (5, .integer(let number)): escapesSpaces = number != 0
      default: break
      }
    }
  }

  /// The file's bytes, with what SentencePiece needs to load it and no more.
  package func encoded() -> [UInt8] {
    var file = ProtobufWriter()
    for piece in pieces {
      var message = ProtobufWriter()
      message.add(1, bytes: piece.text)
      message.add(2, float: piece.score)
      if piece.kind != .normal { message.add(3, int: piece.kind.rawValue) }
      file.add(1, bytes: message.bytes)
    }
    var trainer = ProtobufWriter()
    trainer.add(3, int: algorithm.rawValue)
    trainer.add(4, int: pieces.count)
    if spaceIsSuffix { trainer.add(24, bool: true) }
    if fallsBackToBytes { trainer.add(35, bool: true) }
    trainer.add(40, int: unknown)
    trainer.add(41, int: begin)
    trainer.add(42, int: end)
    trainer.add(43, int: padding)
    file.add(2, bytes: trainer.bytes)
    var normalizer = ProtobufWriter()
    normalizer.add(1, bytes: Array(normalization.utf8))
    normalizer.add(2, bytes: characterMap)
    normalizer.add(3, bool: addsSpace)
    normalizer.add(4, bool: removesSpaces)
    normalizer.add(5, bool: escapesSpaces)
    file.add(3, bytes: normalizer.bytes)
    return file.bytes
  }
}
