import IngotSystem

/// tiktoken's files of ranks: each token's bytes and its number, which is its place in the order of merges too.
///
/// Source: tiktoken, load.py and _educational.py; moonshotai's tokenization_kimi.py for the pattern and special tokens.
enum Ranks {
  /// Runs of Han; words that end where lower case turns to upper; numbers of at most three digits; signs; spaces.
  static let kimi: String = {
    let (upper, lower) = (
      #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"#
    )
    let sign = #"[^\r\n\p{L}\p{N}]?"#
    let end = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    return #"[\p{Han}]+|"# + "\(sign)\(upper)*\(lower)+\(end)|\(sign)\(upper)+\(lower)*\(end)"
      + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }()

  /// What transformers calls the tokenizers that cut so.
  static let classes: Set<String> = ["TikTokenTokenizer", "TikTokenV3", "KimiTokenizer"]
  /// How many numbers behind the ranks are special tokens.
  static let reserved = 256

  /// The tokens of a file, by number.
  static func read(_ bytes: [UInt8], path: String) throws(FormatError) -> [[UInt8]?] {
    var tokens: [[UInt8]?] = []
    var line = 0
    for text in bytes.split(separator: 0x0A) {
      line += 1
      let parts = text.split(separator: 0x20)
      guard parts.count == 2, let token = base64(parts[0]), !token.isEmpty,
        token.count <= AddedTokenFinder.longest,
        let rank = Int(String(decoding: parts[1].filter { $0 != 0x0D }, as: UTF8.self)), rank >= 0,
        rank < TokenizerFile.mostTokens
      else {
        throw FormatError(
          path: path,
          expected:
            "line \(line): a token of 1 to \(AddedTokenFinder.longest) bytes in base64, a space and its rank",
          found: "'\(printable(String(decoding: text, as: UTF8.self), limit: 60))'")
      }
      if rank >= tokens.count { tokens += [[UInt8]?](repeating: nil, count: rank + 1 - tokens.count) }
      guard tokens[rank] == nil else {
        throw FormatError(
          path: path, expected: "line \(line): a rank of its own", found: "\(rank) a second time")
      }
      tokens[rank] = token
    }
    guard line > 0, tokens.count <= 2 * line + TokenizerFile.freeNumbers else {
      throw FormatError(
        path: path, expected: "ranks that leave few numbers free", found: "\(tokens.count) for \(line) tokens"
      )
    }
    return tokens
  }

  private static func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    guard text.count.isMultiple(of: 4) else { return nil }
    var result: [UInt8] = []
    var (value, bits, isEnd) = (UInt32(0), 0, false)
    for byte in text {
      let digit: UInt8
      switch byte {
      case 0x41...0x5A: digit = byte - 0x41
      case 0x61...0x7A: digit = byte - 0x61 + 26
      case 0x30...0x39: digit = byte - 0x30 + 52
      case 0x2B: digit = 62
      case 0x2F: digit = 63
      case 0x3D:
        isEnd = true
        continue
      default: return nil
      }
      if isEnd { return nil }
      value = value << 6 | UInt32(digit)
      bits += 6
      if bits >= 8 {
        bits -= 8
        result.append(UInt8(truncatingIfNeeded: value >> UInt32(bits)))
      }
    }
    return result
  }
}

extension TokenizerFile {
  /// Reads tiktoken.model.
  init(ranks bytes: [UInt8], path: String, _ settings: TokenizerSettings) throws(FormatError) {
    if let name = settings.tokenizerClass, !Ranks.classes.contains(name) {
      throw FormatError(
        path: path,
        expected:
          "a tokenizer_class whose pattern is known (\(Ranks.classes.sorted().joined(separator: ", ")))",
        found: name)
    }
    let split: JSON = [
      "type": "Split", "pattern": ["Regex": .string(Ranks.kimi)], "behavior": "Isolated", "invert": false,
    ]
    let byteLevel: JSON = [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    ]
    try self.init(
      path: path, preTokenizer: ["type": "Sequence", "pretokenizers": [split, byteLevel]], decoder: byteLevel)
    let pieces = try Ranks.read(bytes, path: path)
    var singles = [Int32](repeating: -1, count: 256)
    for (id, piece) in pieces.enumerated() {
      guard let piece else { continue }
      try set(ByteAlphabet.piece(piece[...]), id, "the token of rank \(id)", path)
      if piece.count == 1 { singles[Int(piece[0])] = Int32(id) }
    }
    guard let missing = singles.firstIndex(of: -1) else {
      take(pieces.map { $0 ?? [] }, singles)
      try take(added: Self.special(from: pieces.count, try settings.addedTokens()), path)
      return
    }
    throw FormatError(path: path, expected: "a token for each byte", found: "none for \(missing)")
  }

  /// A word that is a token is taken whole; in others, any two tokens that make a third are joined.
  private mutating func take(_ pieces: [[UInt8]], _ singles: [Int32]) {
    let pairs = PieceMerges.all(of: pieces, ranks: Array(0..<UInt32(pieces.count))) { _ in true }
    bytePairs = BytePairs(pairs, symbols: .bytes(singles))
    ignoresMerges = true
    wholeWords = byteWords()
    // For each token the two that it is made of, for formats that list merges.
    var space = BytePairs.Workspace()
    for (id, piece) in pieces.enumerated() where piece.count > 1 {
      let parts = bytePairs.merged(piece.map { singles[Int($0)] }, below: UInt32(id), with: &space)
      if parts.count == 2 {
        merges.append(Tokenizer.Merge(left: parts[0], right: parts[1], result: Int32(id)))
      }
    }
  }

  /// The special tokens behind the ranks, and others that are named.
  private static func special(from first: Int, _ named: [AddedToken]) -> [AddedToken] {
    var tokens: [Int: AddedToken] = [:]
    for id in first..<first + Ranks.reserved {
      tokens[id] = AddedToken(special: "<|reserved_token_\(id)|>", id)
    }
    for token in named {
      tokens[token.id] = AddedToken(id: token.id, content: token.content, isSpecial: token.isSpecial)
    }
    return tokens.values.sorted { $0.id < $1.id }
  }
}
