import IngotSystem

/// tokenizer.json, read and checked part by part.
struct TokenizerFile {
  /// Numbers from here on are refused, whatever the model: tables go by number.
  static let mostTokens = 1 << 22
  /// And from here on those that leave more than every second number unused, for the same reason.
  static let freeNumbers = 1 << 16

  var tokens: [String?] = []
  var merges: [Tokenizer.Merge] = []
  var addedTokens: [AddedToken] = []
  var ignoresMerges = false
  private(set) var normalizer: Normalizer
  private(set) var preTokenizer: PreTokenizer
  private(set) var decoder: Decoder
  var prefix: [Int] = []
  var suffix: [Int] = []
  /// Begin and end tokens that the file itself names.
  var beginToken: Int?
  var endToken: Int?
  var bytePairs = BytePairs(.bytes([]), unknown: nil, merges: [])
  /// For `ignoresMerges`: the token of each byte string; empty otherwise.
  var wholeWords: [ArraySlice<UInt8>: Int32] = [:]
  /// Takes the place of normalizer, pre-tokenizer and merges where the file is SentencePiece's.
  var sentencePieces: SentencePieceEncoder?

  /// By UTF-8, since equality of `String` is canonical equivalence and vocabularies go by bytes.
  var ids: [[UInt8]: Int32] = [:]

  func id(of piece: String) -> Int? { ids[Array(piece.utf8)].map(Int.init) }

  init(json: [UInt8], path: String) throws(FormatError) {
    var scanner = JSONScanner(json, path: path)
    var seen: Set<String> = []
    var parts: [String: JSON] = [:]
    var model: BPEModel?
    try scanner.beginObject()
    while let key = try scanner.nextKey() {
      guard seen.insert(key).inserted else {
        throw FormatError(path: path, expected: "one \(key)", found: "two")
      }
      if key == "model" {
        model = try BPEModel(&scanner, path: path)
      } else {
        parts[key] = try scanner.value()
      }
    }
    try scanner.end()
    guard let model else { throw FormatError(path: path, expected: "model: an object", found: "nothing") }

    func part(_ key: String) -> JSONPlace { JSONPlace(path: path, name: key, json: parts[key] ?? .null) }
    let version = part("version")
    if !version.json.isNull, try version.string() != "1.0" { throw version.error("\"1.0\"") }
    // `truncation` and `padding` are left over from training: transformers sets both anew for each call.
    normalizer = try Normalizer(part("normalizer"))
    preTokenizer = try PreTokenizer(part("pre_tokenizer"))
    decoder = try Decoder(part("decoder"))
    try take(model, path)
    try take(added: part("added_tokens"), modelCount: model.vocabulary.count)
    let template = part("post_processor")
    (prefix, suffix) = try PostProcessor.specialTokens(template)
    for id in prefix + suffix where !tokens.indices.contains(id) || tokens[id] == nil {
      throw template.error("ids of tokens", "\(id)")
    }
  }

  /// A file of another form, of which nothing is known yet but how texts are cut and put together.
  init(path: String, normalizer form: JSON = .null, preTokenizer cut: JSON, decoder: JSON) throws(FormatError)
  {
    func place(_ name: String, _ json: JSON) -> JSONPlace { JSONPlace(path: path, name: name, json: json) }
    normalizer = try Normalizer(place("normalizer", form))
    preTokenizer = try PreTokenizer(place("pre_tokenizer", cut))
    self.decoder = try Decoder(place("decoder", decoder))
  }

  // MARK: Model

  /// - Parameter mergesPath: the file of the merges, if it is another one.
  mutating func take(_ model: BPEModel, _ path: String, merges mergesPath: String? = nil) throws(FormatError)
  {
    ids.reserveCapacity(model.vocabulary.count)
    let limit = min(Self.mostTokens, Self.freeNumbers + 2 * model.vocabulary.count)
    for (piece, id) in model.vocabulary {
      let place = "model.vocab['\(piece)']"
      guard id < limit else {
        throw FormatError(path: path, expected: "\(place): an id below \(limit)", found: "\(id)")
      }
      try set(piece, Int(id), place, path)
    }
    ignoresMerges = model.ignoresMerges
    merges.reserveCapacity(model.merges.count)
    for (index, merge) in model.merges.enumerated() {
      let pieces = [merge.left, merge.right, merge.left + merge.right]
      var numbers: [Int32] = []
      for piece in pieces {
        guard let id = ids[piece] else {
          throw FormatError(
            path: mergesPath ?? path,
            expected:
              "\(mergesPath == nil ? "model.merges[\(index)]" : "merge \(index + 1)"): pieces of the vocabulary, "
              + "joined as well as apart",
            found: "'\(String(decoding: piece, as: UTF8.self))', which is not in it")
        }
        numbers.append(id)
      }
      merges.append(Tokenizer.Merge(left: numbers[0], right: numbers[1], result: numbers[2]))
    }

    let symbols = try symbols(model, path)
    var unknown: BytePairs.Unknown?
    if let piece = model.unknown {
      if let id = ids[Array(piece.utf8)] {
        unknown = BytePairs.Unknown(id: id, fused: model.fusesUnknown)
      } else if symbols.lackSome {
        throw FormatError(
          path: path, expected: "model.unk_token: a piece of the vocabulary, since some texts have no other",
          found: "'\(piece)'")
      }
    }
    bytePairs = BytePairs(symbols, unknown: unknown, merges: merges)
    if ignoresMerges { wholeWords = preTokenizer.isByteLevel ? byteWords() : characterWords() }
  }

  /// The tokens that a word begins as.
  private func symbols(_ model: BPEModel, _ path: String) throws(FormatError) -> BytePairs.Symbols {
    if preTokenizer.isByteLevel {
      let tokens = ByteAlphabet.scalars.map { ids[Array(String($0).utf8)] ?? -1 }
      guard !model.fallsBackToBytes || !tokens.contains(-1) else {
        throw FormatError(
          path: path, expected: "model.byte_fallback: false, as ByteLevel leaves bytes already", found: "true"
        )
      }
      return .bytes(tokens)
    }
    var characters: [UInt32: Int32] = [:]
    for (id, piece) in tokens.enumerated() {
      guard let piece, let first = piece.unicodeScalars.first, piece.unicodeScalars.count == 1 else {
        continue
      }
      characters[first.value] = Int32(id)
    }
    if !model.fallsBackToBytes { return .characters(characters, fallback: []) }
    var fallback: [Int32] = []
    for byte in 0..<256 {
      let piece = "<0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))>"
      guard let id = ids[Array(piece.utf8)] else {
        throw FormatError(
          path: path, expected: "model.vocab: a piece for each byte, for model.byte_fallback",
          found: "no '\(piece)'")
      }
      fallback.append(id)
    }
    return .characters(characters, fallback: fallback)
  }

  mutating func set(
    _ piece: String, _ id: Int, _ place: String, _ path: String
  ) throws(FormatError) {
    if id >= tokens.count { tokens += [String?](repeating: nil, count: id + 1 - tokens.count) }
    if let other = tokens[id] {
      throw FormatError(
        path: path, expected: "\(place): an id of its own", found: "\(id), that of '\(other)'")
    }
    guard ids.updateValue(Int32(id), forKey: Array(piece.utf8)) == nil else {
      throw FormatError(path: path, expected: "\(place): a piece that occurs once", found: "it a second time")
    }
    tokens[id] = piece
  }

  /// Every piece in the byte alphabet, by the bytes it stands for.
  func byteWords() -> [ArraySlice<UInt8>: Int32] {
    var words: [ArraySlice<UInt8>: Int32] = [:]
    for (id, piece) in tokens.enumerated() {
      guard let piece, piece.unicodeScalars.allSatisfy({ ByteAlphabet.byte(of: $0) != nil }) else { continue }
      var bytes: [UInt8] = []
      ByteAlphabet.append(bytesOf: piece, to: &bytes)
      words[bytes[...]] = Int32(id)
    }
    return words
  }

  private func characterWords() -> [ArraySlice<UInt8>: Int32] {
    var words: [ArraySlice<UInt8>: Int32] = [:]
    for (id, piece) in tokens.enumerated() {
      if let piece { words[Array(piece.utf8)[...]] = Int32(id) }
    }
    return words
  }

  // MARK: Added tokens

  /// Adds tokens that stand in files beside tokenizer.json, as transformers does: those that it lacks.
  /// - Throws: FormatError where a number is another one than the one that they would get.
  mutating func add(
    _ tokens: [(token: AddedToken, path: String)], to file: String = "tokenizer.json"
  ) throws(FormatError) {
    var known = Set(addedTokens.map { Array($0.content.utf8) })
    for (token, path) in tokens {
      let bytes = Array(token.content.utf8)
      let place = "token '\(printable(token.content, limit: 60))'"
      if let id = ids[bytes] {
        guard Int(id) == token.id else {
          throw FormatError(
            path: path, expected: "\(place) with the number \(id) that it has in \(file)",
            found: "\(token.id)")
        }
        if known.insert(bytes).inserted { addedTokens.append(token) }
        continue
      }
      guard token.id == ids.count else {
        throw FormatError(
          path: path,
          expected: "\(place), which \(file) lacks, with its next free number \(ids.count)",
          found: "\(token.id)")
      }
      known.insert(bytes)
      try set(token.content, token.id, place, path)
      addedTokens.append(token)
    }
  }

  /// Hugging Face's implementation numbers added tokens itself: that of the same piece in the vocabulary,
  /// otherwise on from the vocabulary's count. A file that says otherwise would be read in two ways.
  private mutating func take(added list: JSONPlace, modelCount: Int) throws(FormatError) {
    if list.json.isNull { return }
    var next = modelCount
    var contents: Set<[UInt8]> = []
    for place in try list.elements() {
      let content = try place["content"].string()
      let number = place["id"]
      let id = try number.integer(below: Self.mostTokens)
      guard !content.isEmpty, content.utf8.count <= AddedTokenFinder.longest else {
        throw place["content"].error("1 to \(AddedTokenFinder.longest) bytes", "\(content.utf8.count)")
      }
      if try place["normalized"].bool(), normalizer.normalized(Array(content.utf8)).isEmpty {
        throw place["content"].error("a text of which the normalizer leaves something", "'\(content)'")
      }
      guard contents.insert(Array(content.utf8)).inserted else {
        throw place["content"].error("a token that is added once", "'\(content)' a second time")
      }
      if let known = ids[Array(content.utf8)] {
        guard Int(known) == id else { throw number.error("\(known), as in the vocabulary", "\(id)") }
      } else {
        guard id == next else { throw number.error("\(next), the next free number", "\(id)") }
        next += 1
        try set(content, id, place.name, place.path)
      }
      addedTokens.append(
        AddedToken(
          id: id, content: content, isSingleWord: try place["single_word"].bool(),
          stripsLeft: try place["lstrip"].bool(), stripsRight: try place["rstrip"].bool(),
          isNormalized: try place["normalized"].bool(), isSpecial: try place["special"].bool()))
    }
  }
}
