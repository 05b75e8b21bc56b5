import IngotSystem

extension TokenizerFile {
  /// Reads SentencePiece's tokenizer.model.
  /// - Parameter settings: tokenizer_config.json, which adds tokens and says what goes around a text.
  init(_ model: SentencePieceModel, path: String, _ settings: TokenizerSettings) throws(FormatError) {
    var steps: [JSON] = [
      ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "], ["type": "ByteFallback"],
      ["type": "Fuse"],
    ]
    if model.addsSpace {
      let (start, end) = model.spaceIsSuffix ? (0, 1) : (1, 0)
      steps.append(["type": "Strip", "content": " ", "start": JSON(start), "stop": JSON(end)])
    }
    try self.init(
      path: path, preTokenizer: .null, decoder: ["type": "Sequence", "decoders": .array(steps)])
    let isLegacy = try settings.flag("legacy") ?? true
    sentencePieces = try SentencePieceEncoder(model, addsSpaceAlways: isLegacy, path: path)
    for (id, piece) in model.pieces.enumerated() {
      try set(String(decoding: piece.text, as: UTF8.self), id, "piece \(id)", path)
    }
    var added: [Int: AddedToken] = [:]
    for (id, piece) in model.pieces.enumerated() where [.control, .unknown].contains(piece.kind) {
      added[id] = AddedToken(special: String(decoding: piece.text, as: UTF8.self), id)
    }
    for token in try settings.addedTokens() { added[token.id] = token }
    try take(added: added.values.sorted { $0.id < $1.id }, path)
    let isBytePairs = model.algorithm == .bytePairs
    beginToken = known(model.begin)
    endToken = known(model.end)
    let begin = settings.beginToken.flatMap { id(of: $0) } ?? beginToken
    if try settings.flag("add_bos_token") ?? isBytePairs, let begin { prefix = [begin] }
    let end = settings.endToken.flatMap { id(of: $0) } ?? endToken
    if try settings.flag("add_eos_token") ?? !isBytePairs, let end { suffix = [end] }
  }

  /// Sets tokens that stand beside the vocabulary, or in the place of some of it.
  mutating func take(added list: [AddedToken], _ path: String) throws(FormatError) {
    let limit = min(Self.mostTokens, Self.freeNumbers + 2 * tokens.count)
    for token in list {
      guard token.id < limit else {
        throw FormatError(
          path: path, expected: "added token '\(token.content)' with an id below \(limit)",
          found: "\(token.id)")
      }
      if tokens.indices.contains(token.id), let old = tokens[token.id] {
        if old.utf8.elementsEqual(token.content.utf8) {
          addedTokens.append(token)
          continue
        }
        tokens[token.id] = nil
        ids[Array(old.utf8)] = nil
      }
      try set(token.content, token.id, "added token \(token.id)", path)
      addedTokens.append(token)
    }
  }

  private func known(_ id: Int) -> Int? { tokens.indices.contains(id) ? id : nil }
}
