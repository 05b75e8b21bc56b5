import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// SentencePiece models out of a GGUF file's keys, as tokenizer.model and tokenizer_config.json.
///
/// llama.cpp puts the space before each stretch of text between special tokens, and finds user-defined tokens before
/// everything else: tokenizer_config.json says both (`legacy`, `added_tokens_decoder`).
///
/// Source: llama.cpp, src/llama-vocab.cpp.
struct GGUFSentencePieces {
  let metadata: GGUFMetadata
  let tokens: [String]
  private let kinds: [Int]
  private let isUnigram: Bool

  /// - Returns: nil for another kind of tokenizer.
  init?(_ metadata: GGUFMetadata) throws(FormatError) {
    switch metadata[GGUFTokenizer.modelKey]?.string {
    case GGUFTokenizer.bytePairPieces: isUnigram = false
    case GGUFTokenizer.unigramPieces: isUnigram = true
    default: return nil
    }
    self.metadata = metadata
    // An empty token cannot be found; llama.cpp gives it a name.
    tokens = try metadata.strings(GGUFTokenizer.tokensKey).enumerated().map {
      $1.isEmpty ? "[EMPTY_\($0)]" : $1
    }
    guard let kinds = metadata[GGUFTokenizer.typesKey]?.integers, kinds.count == tokens.count else {
      throw metadata.error(GGUFTokenizer.typesKey, "\(tokens.count) integers, one a token")
    }
    self.kinds = kinds
  }

  /// The token that a key numbers, or else the one that llama.cpp takes; nil for none.
  func token(_ key: String, or fallback: Int?) throws(FormatError) -> Int? {
    guard metadata[key] != nil else { return fallback.flatMap { tokens.indices.contains($0) ? $0 : nil } }
    return try metadata.integer(key, 0...max(tokens.count - 1, 0))
  }

  /// tokenizer.model.
  func model() throws(FormatError) -> SentencePieceModel {
    guard let scores = metadata[GGUFTokenizer.scoresKey]?.numbers, scores.count == tokens.count else {
      throw metadata.error(GGUFTokenizer.scoresKey, "\(tokens.count) numbers, one a token")
    }
    var model = SentencePieceModel()
    model.algorithm = isUnigram ? .unigram : .bytePairs
    let unknown = try token(GGUFTokenizer.unknownKey, or: isUnigram ? 2 : 0)
    for (id, (token, number)) in zip(tokens, kinds).enumerated() {
      guard var kind = SentencePieceModel.Kind(rawValue: number) else {
        throw metadata.error(GGUFTokenizer.typesKey, "kinds from 1 to 6", found: "\(number) for token \(id)")
      }
      // There is one unknown piece; others are special tokens that nothing is left of.
      if id == unknown { kind = .unknown } else if kind == .unknown { kind = .control }
      var text = Array(token.utf8)
      if kind == .userDefined { text = text.flatMap { $0 == 0x20 ? SentencePieceModel.space : [$0] } }
      model.pieces.append(.init(text, score: scores[id], kind: kind))
    }
    model.unknown = unknown ?? -1
    model.begin = try token("tokenizer.ggml.bos_token_id", or: isUnigram ? nil : 1) ?? -1
    model.end = try token("tokenizer.ggml.eos_token_id", or: isUnigram ? 1 : 2) ?? -1
    model.padding = try token("tokenizer.ggml.padding_token_id", or: isUnigram ? 0 : nil) ?? -1
    model.fallsBackToBytes = kinds.count { $0 == SentencePieceModel.Kind.byte.rawValue } == 256
    model.addsSpace = metadata[GGUFTokenizer.addSpaceKey]?.bool ?? !isUnigram
    model.removesSpaces = isUnigram && metadata[GGUFTokenizer.removeSpacesKey]?.bool ?? false
    if isUnigram, let map = metadata[GGUFTokenizer.characterMapKey] {
      guard case .packed(let kind, let bytes) = map, kind == .uint8 || kind == .int8 else {
        throw metadata.error(GGUFTokenizer.characterMapKey, "an array of bytes")
      }
      model.characterMap = bytes.array
      model.normalization = "user_defined"
    }
    return model
  }

  /// What tokenizer_config.json has beside the named tokens.
  func config() throws(FormatError) -> JSONObject {
    var added: JSONObject = [:]
    for (id, (token, number)) in zip(tokens, kinds).enumerated() {
      guard number == SentencePieceModel.Kind.userDefined.rawValue else { continue }
      added["\(id)"] = [
        "content": .string(token), "lstrip": false, "normalized": false, "rstrip": false,
        "single_word": false, "special": false,
      ]
    }
    return [
      "tokenizer_class": isUnigram ? "T5Tokenizer" : "LlamaTokenizer", "legacy": true,
      "add_bos_token": .bool(metadata[GGUFTokenizer.addBeginKey]?.bool ?? !isUnigram),
      "add_eos_token": .bool(metadata[GGUFTokenizer.addEndKey]?.bool ?? isUnigram),
      "added_tokens_decoder": .object(added),
    ]
  }
}
