import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// The keys of a tokenizer of characters: SentencePiece's pieces, scores and kinds.
///
/// What tokenizer.model says is written as llama.cpp's converter does, user-defined pieces as such besides. Of a
/// tokenizer.json the converter knows no scores and writes -1000 for all; here they are the places of its merges, by
/// which llama.cpp joins in the right order.
///
/// Source: llama.cpp, conversion/base.py, September 2026.
struct GGUFPieceKeys {
  let model: Model
  let tokenizer: Tokenizer
  let config: JSONObject?

  /// A score below those of all pieces that texts are made of.
  private static let unusedScore: Float = -10_000
  private static let addedScore: Float = -1000

  private func wrong(_ name: String, _ expected: String, _ found: String) -> FormatError {
    FormatError(path: "\(model.path) (\(name))", expected: expected, found: found)
  }

  func add(to metadata: inout GGUFMetadata) throws(FormatError) {
    let size = model.blueprint.vocabulary
    let (name, pieces) = try source()
    guard tokenizer.vocabularySize <= size else {
      throw wrong(name, "at most \(size) tokens, the rows of the embedding", "\(tokenizer.vocabularySize)")
    }
    guard pieces.algorithm == .bytePairs, pieces.fallsBackToBytes, pieces.escapesSpaces,
      !pieces.spaceIsSuffix,
      !pieces.removesSpaces, pieces.characterMap.isEmpty || pieces.normalization == "identity"
    else {
      throw wrong(
        name,
        "a SentencePiece model of BPE with byte_fallback and without normalization, as llama.cpp has none",
        "another (\(pieces.algorithm), \(pieces.normalization))")
    }
    var tokens = (0..<size).map { "[PAD\($0)]" }
    var scores = [Float](repeating: Self.unusedScore, count: size)
    var kinds = [SentencePieceModel.Kind](repeating: .unused, count: size)
    for (id, piece) in pieces.pieces.enumerated() {
      tokens[id] = String(decoding: piece.text, as: UTF8.self)
      scores[id] = piece.score
      kinds[id] = piece.kind
      // Found before spaces are escaped.
      if piece.kind == .userDefined { tokens[id] = tokens[id].replacing("\u{2581}", with: " ") }
    }
    for token in tokenizer.addedTokens where !isPiece(token, pieces) {
      let isControl = token.isSpecial || Self.looksSpecial(token.content)
      tokens[token.id] = isControl ? token.content : token.content.replacing("\u{2581}", with: " ")
      scores[token.id] = Self.addedScore
      kinds[token.id] = isControl ? .control : .userDefined
    }
    if !pieces.addsSpace {
      metadata[GGUFTokenizer.addSpaceKey] = .bool(false)
    } else if let adds = config?["add_prefix_space"]?.bool {
      metadata[GGUFTokenizer.addSpaceKey] = .bool(adds)
    }
    metadata[GGUFTokenizer.modelKey] = .string(GGUFTokenizer.bytePairPieces)
    metadata[GGUFTokenizer.preKey] = .string("default")
    metadata[GGUFTokenizer.tokensKey] = .strings(tokens)
    metadata[GGUFTokenizer.scoresKey] = .floats(scores)
    metadata[GGUFTokenizer.typesKey] = .int32s(kinds.map { Int32($0.rawValue) })
    // tokenizer.model has numbers for these itself.
    let own = [pieces.begin, pieces.end, pieces.unknown, pieces.padding]
    try GGUFNamedTokens(model, tokenizer, config, fileIDs: own).add(to: &metadata)
    metadata[GGUFTokenizer.addBeginKey] = .bool(tokenizer.addBeginTokenFlag ?? !tokenizer.prefix.isEmpty)
    if !tokenizer.suffix.isEmpty || config?["add_eos_token"]?.bool != nil {
      metadata[GGUFTokenizer.addEndKey] = .bool(!tokenizer.suffix.isEmpty)
    }
  }

  /// Whether a special token is a piece that no file says more of.
  private func isPiece(_ token: AddedToken, _ pieces: SentencePieceModel) -> Bool {
    let named = config?["added_tokens_decoder"]?.object?["\(token.id)"] != nil
    return !named && pieces.pieces.indices.contains(token.id)
      && [.control, .unknown].contains(pieces.pieces[token.id].kind)
  }

  /// Some models mark tokens that are for control as plain ones.
  private static func looksSpecial(_ text: String) -> Bool {
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(text)
      || text.hasPrefix("<|") && text.hasSuffix("|>") || text.hasPrefix("<｜") && text.hasSuffix("｜>")
      || text.hasPrefix("<unused") && text.hasSuffix(">")
  }

  // MARK: Pieces

  /// tokenizer.model, or what gives the same tokens as tokenizer.json.
  private func source() throws(FormatError) -> (name: String, SentencePieceModel) {
    if let file = model.sideFile("tokenizer.model") {
      let path = "\(model.path) (tokenizer.model)"
      return ("tokenizer.model", try SentencePieceModel(file.bytes.array, path: path))
    }
    // Not those that begin with a space: Metaspace adds none before them, SentencePiece and llama.cpp a second one.
    let sample = GGUFTokenizer.sample.split(separator: "\n").map(String.init).filter {
      $0.unicodeScalars.first != " "
    }
    func tokens(_ tokenizer: Tokenizer) -> [[Int]] {
      (sample + [GGUFTokenizer.sample]).map {
        tokenizer.encode($0, addingSpecialTokens: false, parsingSpecialTokens: false)
      }
    }
    let wanted = tokens(tokenizer)
    for addsSpace in [true, false] {
      let pieces = pieces(addsSpace: addsSpace)
      guard let made = try? Tokenizer(sentencePieces: pieces.encoded(), path: model.path, config: nil) else {
        continue
      }
      if tokens(made) == wanted { return ("tokenizer.json", pieces) }
    }
    throw wrong(
      "tokenizer.json",
      "a tokenizer of bytes (ByteLevel), or one of characters with U+2581 for spaces and byte_fallback",
      "another")
  }

  /// The vocabulary as pieces: the earlier a piece is made by merges, the higher its score.
  private func pieces(addsSpace: Bool) -> SentencePieceModel {
    var made = SentencePieceModel()
    made.algorithm = .bytePairs
    made.fallsBackToBytes = true
    made.addsSpace = addsSpace
    made.removesSpaces = false
    let bytes = Set((0..<256).map { SentencePieceModel.byte($0) })
    let added = Dictionary(uniqueKeysWithValues: tokenizer.addedTokens.map { ($0.id, $0) })
    var places: [Int: Int] = [:]
    for merge in tokenizer.merges where places[Int(merge.result)] == nil {
      places[Int(merge.result)] = places.count
    }
    made.unknown = -1
    for (id, token) in tokenizer.tokens.enumerated() {
      let text = Array((token ?? "[PAD\(id)]").utf8)
      let score = -Float(places[id] ?? places.count)
      var kind = token == nil ? SentencePieceModel.Kind.unused : bytes.contains(text) ? .byte : .normal
      if let token = added[id] { kind = token.isSpecial ? .control : .userDefined }
      if token == "<unk>" {
        kind = .unknown
        made.unknown = id
      }
      made.pieces.append(.init(text, score: score, kind: kind))
    }
    made.begin = tokenizer.beginToken ?? -1
    made.end = tokenizer.endToken ?? -1
    return made
  }
}
