import IngotSystem

/// A BPE tokenizer, of bytes or of characters, as Hugging Face's `tokenizer.json` describes it.
///
/// Gives the same tokens as Hugging Face's `tokenizers` for what it reads, and refuses a file that asks for
/// anything else. The text of a token, its *piece*, is written in a printable alphabet for bytes if words are bytes
/// (`isByteLevel`); added tokens stand as they are.
public struct Tokenizer: Sendable {
  /// Two neighbouring tokens that become one; earlier in the list goes first.
  public struct Merge: Hashable, Sendable {
    public let left: Int32
    public let right: Int32
    /// The token that they become.
    public let result: Int32
  }

  /// The piece of each token by id, added tokens included; nil for numbers that are not used.
  public let tokens: [String?]
  /// The merges in order of their rank.
  public let merges: [Merge]
  /// Tokens that are looked for in the text itself, in the file's order.
  public let addedTokens: [AddedToken]
  /// The expressions that cut a text into words, in the order in which they are applied.
  public var patterns: [String] { preTokenizer.steps.map(\.pattern.source) }
  /// The expression that cuts a text into words, if there is exactly one.
  public var pattern: String? { patterns.count == 1 ? patterns[0] : nil }
  /// Whether a word that is a token is taken whole, without a look at the merges.
  public let ignoresMerges: Bool

  /// What the file's own post-processor puts before every text, usually nothing or the begin token.
  public let prefix: [Int]
  /// What the file's own post-processor puts behind every text.
  public let suffix: [Int]
  /// Whether the file's own post-processor puts the begin token before every text.
  public var addsBeginToken: Bool { beginToken.map(prefix.contains) ?? false }
  /// `add_bos_token` of tokenizer_config.json, for exporters; `encode` goes by the post-processor alone.
  public let addBeginTokenFlag: Bool?
  /// `bos_token` and `eos_token` of tokenizer_config.json, if they are tokens, or those of tokenizer.model.
  public let beginToken: Int?
  public let endToken: Int?

  /// Whether words are cut into bytes, or into characters as SentencePiece does.
  public var isByteLevel: Bool { preTokenizer.isByteLevel }

  /// Whether a text that is composed (NFC), as most are, is not changed before it is cut.
  public var keepsComposedText: Bool { normalizer.keepsComposed }

  let normalizer: Normalizer
  let preTokenizer: PreTokenizer
  let decoder: Decoder
  let bytePairs: BytePairs
  let sentencePieces: SentencePieceEncoder?
  /// Added tokens that are found in the text as it is, and those found after normalization.
  let plainFinder: AddedTokenFinder
  let normalizedFinder: AddedTokenFinder
  let specialIDs: Set<Int>
  /// Added tokens that are found after normalization decode to their normalized content.
  private let normalizedContents: [Int: String]
  /// By bytes, for `ignoresMerges`.
  private let wholeWords: [ArraySlice<UInt8>: Int32]

  /// The highest token's number, plus 1.
  public var vocabularySize: Int { tokens.count }

  /// GPT-2's expression, which ByteLevel applies unless told otherwise.
  package static var gpt2Pattern: String { PreTokenizer.gpt2 }

  /// Reads a tokenizer.
  /// - Parameters:
  ///   - json: the contents of tokenizer.json.
  ///   - path: its path, for errors.
  ///   - config: the contents of tokenizer_config.json, if there is one. Tokens of its `added_tokens_decoder` that
  ///     tokenizer.json lacks are added, as transformers does.
  ///   - others: contents of special_tokens_map.json and added_tokens.json, which count where the config lists no added
  ///     tokens; nil for none.
  /// - Throws: `FormatError` naming `path`, the place in the JSON, what was expected and what was found.
  public init(
    json: [UInt8], path: String, config: [UInt8]?, others: (String) -> [UInt8]? = { _ in nil }
  ) throws(FormatError) {
    let settings = try TokenizerSettings(config, besides: path, others: others)
    var file = try TokenizerFile(json: json, path: path)
    try file.add(settings.tokensBeside())
    self.init(file, settings)
  }

  /// Reads a SentencePiece model: tokenizer.model.
  /// - Parameters:
  ///   - sentencePieces: the file's contents.
  ///   - path: its path, for errors.
  ///   - config: the contents of tokenizer_config.json, if there is one. Its `added_tokens_decoder` adds tokens, its
  ///     `legacy` says whether a space goes before each stretch of text between special tokens (transformers' default)
  ///     or only before the first.
  /// - Throws: `FormatError` for what is no such model, or one of words or characters.
  public init(sentencePieces: [UInt8], path: String, config: [UInt8]?) throws(FormatError) {
    let settings = try TokenizerSettings(config, besides: path)
    let model = try SentencePieceModel(sentencePieces, path: path)
    self.init(try TokenizerFile(model, path: path, settings), settings)
  }

  /// Reads the ranks of tiktoken: tiktoken.model, a line for each token of its bytes in base64 and its number.
  ///
  /// The file says nothing of how a text is cut into words: it is Kimi's pattern, whose models are published with such
  /// files.
  /// - Parameters:
  ///   - ranks: the file's contents.
  ///   - path: its path, for errors.
  ///   - config: the contents of tokenizer_config.json, if there is one. Its `added_tokens_decoder` names special
  ///     tokens; of the 256 numbers behind the ranks, the others are `<|reserved_token_N|>`.
  /// - Throws: `FormatError` for lines that are no such thing, and for a `tokenizer_class` that cuts texts otherwise.
  public init(tiktoken ranks: [UInt8], path: String, config: [UInt8]?) throws(FormatError) {
    let settings = try TokenizerSettings(config, besides: path)
    self.init(try TokenizerFile(ranks: ranks, path: path, settings), settings)
  }

  /// Files of which one makes a tokenizer; the first that is there counts.
  private static let files = ["tokenizer.json", "tokenizer.model", "tiktoken.model"]
  /// Files of other tokenizers, or parts of one: not enough to make a tokenizer, but for vocab.json with merges.txt.
  public static let parts = [
    "vocab.json", "merges.txt", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tekken.json",
    "added_tokens.json",
  ]

  /// The file, or the two, that a folder's tokenizer is made of.
  /// - Parameter isThere: whether there is a file of a name.
  /// - Returns: their names; none if nothing makes one.
  public static func source(_ isThere: (String) -> Bool) -> [String] {
    if let file = files.first(where: isThere) { return [file] }
    return VocabularyFiles.names.allSatisfy(isThere) ? VocabularyFiles.names : []
  }

  /// The tokenizer of a folder: tokenizer.json, or else SentencePiece's tokenizer.model, tiktoken.model, or vocab.json and
  /// merges.txt where the class of the tokenizer says how texts are cut into words.
  ///
  /// - Parameters:
  ///   - folder: where the files are, for errors.
  ///   - contents: a file's bytes by name; nil if there is none.
  /// - Throws: `FormatError` if neither is there, and for what is not supported.
  public init(folder: String, contents: (String) -> [UInt8]?) throws(FormatError) {
    let config = contents("tokenizer_config.json")
    if let json = contents("tokenizer.json") {
      try self.init(json: json, path: "\(folder) (tokenizer.json)", config: config, others: contents)
    } else if let pieces = contents("tokenizer.model") {
      try self.init(sentencePieces: pieces, path: "\(folder) (tokenizer.model)", config: config)
    } else if let ranks = contents("tiktoken.model") {
      try self.init(tiktoken: ranks, path: "\(folder) (tiktoken.model)", config: config)
    } else if !Self.source({ contents($0) != nil }).isEmpty {
      let path = "\(folder) (\(VocabularyFiles.vocabulary))"
      let settings = try TokenizerSettings(config, besides: path, others: contents)
      let file = try TokenizerFile(vocabularyIn: folder, settings, contents: contents)
      self.init(file, settings)
    } else {
      let parts = Self.parts.filter { contents($0) != nil }
      throw FormatError(
        path: folder,
        expected: "tokenizer.json, tokenizer.model, tiktoken.model, or vocab.json with merges.txt"
          + (parts.isEmpty
            ? ""
            : " (transformers' AutoTokenizer reads the files and saves tokenizer.json: save_pretrained)"),
        found: parts.isEmpty
          ? "none" : parts.joined(separator: ", ") + (parts.count == 1 ? " alone" : ""))
    }
  }

  private init(_ file: TokenizerFile, _ settings: TokenizerSettings) {
    tokens = file.tokens
    merges = file.merges
    addedTokens = file.addedTokens
    ignoresMerges = file.ignoresMerges
    prefix = file.prefix
    suffix = file.suffix
    normalizer = file.normalizer
    preTokenizer = file.preTokenizer
    decoder = file.decoder
    bytePairs = file.bytePairs
    sentencePieces = file.sentencePieces
    plainFinder = AddedTokenFinder(file.addedTokens.filter { !$0.isNormalized })
    normalizedFinder = AddedTokenFinder(file.addedTokens.filter(\.isNormalized), file.normalizer)
    specialIDs = Set(file.addedTokens.lazy.filter(\.isSpecial).map(\.id))
    var contents: [Int: String] = [:]
    for token in file.addedTokens where token.isNormalized {
      contents[token.id] = String(
        decoding: file.normalizer.normalized(Array(token.content.utf8)), as: UTF8.self)
    }
    normalizedContents = contents
    wholeWords = file.wholeWords
    addBeginTokenFlag = settings.addsBeginToken
    beginToken = settings.beginToken.flatMap(file.id) ?? file.beginToken
    endToken = settings.endToken.flatMap(file.id) ?? file.endToken
  }

  /// The piece of a token: its string in the vocabulary, or an added token's content.
  public func piece(_ id: Int) -> String? { tokens.indices.contains(id) ? tokens[id] : nil }

  /// Whether both give the same tokens for every text: files may say the same in other words.
  public func isEquivalent(to other: Tokenizer) -> Bool {
    tokens == other.tokens && merges == other.merges && normalizer.json == other.normalizer.json
      && cut == other.cut && sentencePieces == other.sentencePieces
      && addedTokens == other.addedTokens && ignoresMerges == other.ignoresMerges && prefix == other.prefix
      && suffix == other.suffix
  }

  /// The tokens of `text`.
  /// - Parameters:
  ///   - addingSpecialTokens: whether `prefix` and `suffix` go around them.
  ///   - parsingSpecialTokens: whether special tokens written in the text become tokens. Otherwise they are
  ///     text like any other; added tokens that are not special are found either way.
  public func encode(
    _ text: String, addingSpecialTokens: Bool = true, parsingSpecialTokens: Bool = true
  ) -> [Int] {
    let bytes = Array(text.utf8)
    func finder(_ all: AddedTokenFinder, normalized: Bool) -> AddedTokenFinder {
      if parsingSpecialTokens { return all }
      return AddedTokenFinder(
        addedTokens.filter { !$0.isSpecial && $0.isNormalized == normalized }, normalized ? normalizer : nil)
    }
    let plainFinder = finder(plainFinder, normalized: false)
    let normalizedFinder = finder(normalizedFinder, normalized: true)
    var result: [Int32] = []
    result.reserveCapacity(bytes.count / 3 + 8)
    var cache = WordCache(textBytes: bytes.count)
    var workspace = BytePairs.Workspace()
    for part in plainFinder.parts(of: bytes, in: 0..<bytes.count) {
      if let token = part.token {
        result.append(Int32(token))
        continue
      }
      let text = normalizer.normalized(Array(bytes[part.range]))
      for inner in normalizedFinder.parts(of: text, in: 0..<text.count) {
        if let token = inner.token {
          result.append(Int32(token))
        } else {
          let begins = part.range.lowerBound == 0 && inner.range.lowerBound == 0
          encode(text[inner.range], begins: begins, with: &cache, &workspace, into: &result)
        }
      }
    }
    let ids = result.map(Int.init)
    return addingSpecialTokens ? prefix + ids + suffix : ids
  }

  private func encode(
    _ text: ArraySlice<UInt8>, begins: Bool, with cache: inout WordCache,
    _ workspace: inout BytePairs.Workspace,
    into result: inout [Int32]
  ) {
    if let sentencePieces {
      return sentencePieces.encode(Array(text), begins: begins, with: &workspace, into: &result)
    }
    let words = preTokenizer.words(of: Array(text), begins: begins)
    for range in words.ranges {
      let word = words.text[range]
      cache.append(word, to: &result) { result in
        if ignoresMerges, let whole = wholeWords[word] {
          result.append(whole)
        } else {
          bytePairs.encode(word, with: &workspace, into: &result)
        }
      }
    }
  }

  /// The text of `ids`. Numbers that are no token are left out; bytes that are not UTF-8 become U+FFFD.
  public func decode(_ ids: [Int], skippingSpecialTokens: Bool = false) -> String {
    decoder.text(
      of: ids.compactMap { id in
        skippingSpecialTokens && specialIDs.contains(id) ? nil : normalizedContents[id] ?? piece(id)
      })
  }
}
