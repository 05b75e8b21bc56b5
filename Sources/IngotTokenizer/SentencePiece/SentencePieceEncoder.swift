import IngotSystem

/// Cuts texts into pieces as SentencePiece does.
struct SentencePieceEncoder: Sendable {
  let model: SentencePieceModel
  /// Whether the space before a text is added behind each special token too, rather than once.
  let addsSpaceAlways: Bool

  private let normalizer: SentencePieceNormalizer
  /// User-defined pieces.
  private let kept: PieceTrie
  /// Pieces of one character, and from the count of pieces on numbers for characters that only larger pieces have.
  private var characters: [UInt32: Int32] = [:]
  private var lone: [Unicode.Scalar] = []
  private let bytePairs: BytePairs
  private let unigram: Unigram?
  private let unknown: Int32
  /// The pieces of bytes; empty without byte fallback.
  private var bytes: [Int32] = []

  init(_ model: SentencePieceModel, addsSpaceAlways: Bool, path: String) throws(FormatError) {
    self.model = model
    self.addsSpaceAlways = addsSpaceAlways
    var kept = PieceTrie()
    var ids: [[UInt8]: Int32] = [:]
    for (id, piece) in model.pieces.enumerated() {
      ids[piece.text] = Int32(id)
      if piece.kind == .userDefined { kept.insert(piece.text, Int32(id)) }
    }
    self.kept = kept
    normalizer = try SentencePieceNormalizer(model, kept: kept, path: path)
    let unknown = Int32(model.pieces.firstIndex { $0.kind == .unknown } ?? 0)
    self.unknown = unknown
    if model.fallsBackToBytes { bytes = (0..<256).map { ids[SentencePieceModel.byte($0)] ?? unknown } }
    if model.algorithm == .unigram {
      unigram = Unigram(model, unknown: unknown)
      bytePairs = BytePairs(.bytes([]), unknown: nil, merges: [])
      return
    }
    unigram = nil
    // Nothing is joined to what these are, or by way of them.
    var pieces = model.pieces.map { [.normal, .unused].contains($0.kind) ? $0.text : [] }
    for (id, piece) in pieces.enumerated() {
      let scalars = String(decoding: piece, as: UTF8.self).unicodeScalars
      if scalars.count == 1, let first = scalars.first { characters[first.value] = Int32(id) }
    }
    for piece in pieces where !piece.isEmpty {
      for scalar in String(decoding: piece, as: UTF8.self).unicodeScalars
      where characters[scalar.value] == nil {
        characters[scalar.value] = Int32(model.pieces.count + lone.count)
        lone.append(scalar)
      }
    }
    pieces += lone.map { Array(String(Character($0)).utf8) }
    let order = Set(model.pieces.map(\.score)).sorted(by: >)
    let places = Dictionary(uniqueKeysWithValues: zip(order, UInt32(0)...))
    let ranks = model.pieces.map { places[$0.score] ?? 0 }
    let pairs = PieceMerges.all(of: pieces, ranks: ranks) { $0 & 0xC0 != 0x80 }
    let unused = model.pieces.indices.filter { model.pieces[$0].kind == .unused }
    bytePairs = BytePairs(pairs, unused: Set(unused.map(Int32.init)))
  }

  /// The pieces of `text`, added to `result`.
  /// - Parameter begins: whether it stands at the start of what is encoded.
  func encode(
    _ text: [UInt8], begins: Bool, with space: inout BytePairs.Workspace, into result: inout [Int32]
  ) {
    let text = normalizer.normalized(text, begins: begins || addsSpaceAlways)
    let start = result.count
    if let unigram {
      unigram.encode(text) { id, range in
        if id == unknown { add(unknown: text[range], to: &result, after: start) } else { result.append(id) }
      }
      return
    }
    for symbol in bytePairs.merged(symbols(of: text), with: &space) {
      if symbol == unknown {
        add(unknown: [], to: &result, after: start)
      } else if symbol >= model.pieces.count {
        let character = lone[Int(symbol) - model.pieces.count]
        add(unknown: Array(String(Character(character)).utf8)[...], to: &result, after: start)
      } else if model.pieces[Int(symbol)].kind == .unused {
        // A character that was not made of others.
        add(unknown: model.pieces[Int(symbol)].text[...], to: &result, after: start)
      } else {
        result.append(symbol)
      }
    }
  }

  private func symbols(of text: [UInt8]) -> [Int32] {
    var symbols: [Int32] = []
    symbols.reserveCapacity(text.count)
    var at = 0
    while at < text.count {
      if !kept.isEmpty, let (id, end) = kept.longest(in: text, at: at) {
        symbols.append(id)
        at = end
        continue
      }
      let end = SentencePieceNormalizer.end(ofCharacterAt: at, in: text)
      if let symbol = characters[Self.value(text[at..<end])] {
        symbols.append(symbol)
      } else if bytes.isEmpty {
        symbols.append(unknown)
      } else {
        for byte in text[at..<end] { symbols.append(bytes[Int(byte)]) }
      }
      at = end
    }
    return symbols
  }

  /// The code point of a character's UTF-8.
  private static func value(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    guard bytes.count > 1, let lead = bytes.first else { return UInt32(bytes.first ?? 0) }
    return bytes.dropFirst().reduce(UInt32(lead) & (0x7F >> UInt32(bytes.count))) {
      $0 << 6 | UInt32($1 & 0x3F)
    }
  }

  /// A character without a piece: its bytes, or the unknown piece, once for all that stand together.
  private func add(unknown text: ArraySlice<UInt8>, to result: inout [Int32], after start: Int) {
    if !bytes.isEmpty {
      for byte in text { result.append(bytes[Int(byte)]) }
    } else if result.count == start || result[result.count - 1] != unknown {
      result.append(unknown)
    }
  }
}

extension SentencePieceEncoder: Equatable {
  /// Whether both say the same.
  static func == (left: Self, right: Self) -> Bool {
    left.model == right.model && left.addsSpaceAlways == right.addsSpaceAlways
  }
}
