import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Tokenizer files out of a GGUF file's keys: tokenizer.json, tokenizer_config.json, chat_template.jinja and
/// generation_config.json.
///
/// tokenizer.json is written for BPE: of bytes with a cut into words that `GGUFPreTokenizer` knows, or of characters
/// with U+2581 for spaces. With another cut it is left out, because the expression that cuts is in no key. SentencePiece's
/// models become tokenizer.model (GGUFSentencePieces.swift).
struct GGUFTokenizerReader {
  private let metadata: GGUFMetadata

  init(_ metadata: GGUFMetadata) { self.metadata = metadata }

  func sideFiles() throws(FormatError) -> [SideFile] {
    var files: [SideFile] = []
    func add(_ name: String, _ text: String) {
      files.append(SideFile(name: name, bytes: Bytes(Array(text.utf8))))
    }
    // Named ones are in tokenizer_config.json, unless the source's own is carried and knows none: then they are files.
    let carried = metadata[GGUFSideFiles.prefix + "tokenizer_config.json"]?.string
    let isNamed =
      GGUFChatTemplates.read(metadata).array != nil && carried?.contains("\"chat_template\"") ?? true
    if !isNamed, let template = metadata[GGUFTokenizer.templateKey]?.string {
      add(ChatTemplates.file, template)
    }
    for entry in isNamed ? [] : GGUFChatTemplates.read(metadata).array ?? [] {
      guard let name = entry["name"]?.string, let text = entry["template"]?.string else { continue }
      let file = ChatTemplates.file(of: name)
      if ChatTemplates.isAdditional(file) { add(file, text) }
    }
    var advice: JSONObject = [:]
    for (name, key) in GGUFTokenizer.sampling {
      if let value = metadata[key] {
        advice[name] = value.integer.map { JSON($0) } ?? value.number.map { JSON($0) }
      }
    }
    for name in ["bos_token_id", "eos_token_id"] {
      if let id = metadata["tokenizer.ggml.\(name)"]?.integer { advice[name] = JSON(id) }
    }
    let others = GGUFTokenizer.otherEnds.compactMap { metadata[$0]?.integer }
    if let end = advice["eos_token_id"], !others.isEmpty {
      advice["eos_token_id"] = .array([end] + others.map { JSON($0) })
    }
    if advice.count > 0 { add("generation_config.json", JSON.object(advice).text(indented: true)) }
    guard let model = metadata[GGUFTokenizer.modelKey], model.string != GGUFTokenizer.none else {
      return files
    }
    if let pieces = try GGUFSentencePieces(metadata) {
      files.append(SideFile(name: "tokenizer.model", bytes: Bytes(try pieces.model().encoded())))
      add("tokenizer_config.json", try tokenizerConfig(pieces.tokens, pieces.config()).text(indented: true))
      return files
    }
    guard let preTokenizer else { return files }
    let tokens = try metadata.strings(GGUFTokenizer.tokensKey)
    add("tokenizer.json", try tokenizer(tokens, preTokenizer))
    let config: JSONObject = [
      "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": false,
      "clean_up_tokenization_spaces": false,
    ]
    add("tokenizer_config.json", try tokenizerConfig(tokens, config).text(indented: true))
    return files
  }

  /// The cut into words of a BPE tokenizer; nil for another kind of tokenizer and for unknown names.
  /// Without a name it is llama.cpp's `default`.
  private var preTokenizer: GGUFPreTokenizer? {
    let model = metadata[GGUFTokenizer.modelKey]?.string
    if model == GGUFTokenizer.spacedPairs { return .spaced }
    guard model == GGUFTokenizer.byteLevel else { return nil }
    guard let name = metadata[GGUFTokenizer.preKey] else { return .named("default") }
    return name.string.flatMap(GGUFPreTokenizer.named)
  }

  /// The token that a key numbers; nil without the key.
  private func token(_ key: String, _ tokens: [String]) throws(FormatError) -> (id: Int, text: String)? {
    guard metadata[key] != nil else { return nil }
    let id = try metadata.integer(key, 0...max(tokens.count - 1, 0))
    return tokens.indices.contains(id) ? (id, tokens[id]) : nil
  }

  private func tokenizerConfig(_ tokens: [String], _ others: JSONObject) throws(FormatError) -> JSON {
    var config = others
    let templates = GGUFChatTemplates.read(metadata)
    if templates.array != nil { config["chat_template"] = templates }
    for (name, key) in GGUFTokenizer.named {
      if let token = try token(key, tokens) { config[name] = .string(token.text) }
    }
    return .object(config)
  }

  /// Written piece by piece: most of it are two long lists, and pieces are told apart by bytes rather than as text.
  func tokenizer(_ tokens: [String], _ cut: GGUFPreTokenizer) throws(FormatError) -> String {
    guard let kinds = metadata[GGUFTokenizer.typesKey]?.integers, kinds.count == tokens.count else {
      throw metadata.error(GGUFTokenizer.typesKey, "\(tokens.count) integers, one a token")
    }
    var vocabulary: [String] = []
    var added: [JSON] = []
    var addedPieces: [String] = []
    var addedIDs: [Int] = []
    for (id, (token, number)) in zip(tokens, kinds).enumerated() {
      func piece() -> String { "\(JSON.string(token).text()):\(id)" }
      switch Int32(exactly: number).flatMap(GGUFTokenizer.Kind.init) {
      case .unused: continue
      case .control, .userDefined, .unknown:
        let special = number != Int(GGUFTokenizer.Kind.userDefined.rawValue)
        addedPieces.append(piece())
        addedIDs.append(id)
        added.append([
          "id": JSON(id), "content": .string(token), "single_word": false, "lstrip": false, "rstrip": false,
          "normalized": false, "special": .bool(special),
        ])
      case .normal, .byte: vocabulary.append(piece())
      case nil:
        throw metadata.error(GGUFTokenizer.typesKey, "kinds from 1 to 6", found: "\(number) for token \(id)")
      }
    }
    // Added tokens are numbered on from the vocabulary's count; others must be in the vocabulary as well.
    if !addedIDs.elementsEqual(vocabulary.count..<vocabulary.count + addedIDs.count) {
      vocabulary += addedPieces
    }
    let merges = try metadata.strings(GGUFTokenizer.mergesKey).map { JSON.string($0).text() }
    var unknown = JSON.null
    if cut.isSpaced, let token = try token(GGUFTokenizer.unknownKey, tokens) { unknown = .string(token.text) }
    return """
      {"version":"1.0","truncation":null,"padding":null,"added_tokens":\(JSON.array(added).text()),\
      "normalizer":\(cut.normalizer.text()),"pre_tokenizer":\(cut.json.text()),"post_processor":\(try postProcessor(tokens, cut).text()),\
      "decoder":\(cut.decoder.text()),"model":{"type":"BPE","dropout":null,"unk_token":\(unknown.text()),\
      "continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":\(cut.isSpaced),"byte_fallback":\(cut.isSpaced),\
      "ignore_merges":\(cut.ignoresMerges),"vocab":{\(vocabulary.joined(separator: ","))},\
      "merges":[\(merges.joined(separator: ","))]}}
      """
  }

  /// Puts the begin token before a text and the end token behind it where the keys, or else the cut's name, ask
  /// for it.
  private func postProcessor(_ tokens: [String], _ cut: GGUFPreTokenizer) throws(FormatError) -> JSON {
    func token(_ config: String, _ wanted: Bool) throws(FormatError) -> (id: Int, text: String)? {
      guard wanted, let key = GGUFTokenizer.named.first(where: { $0.config == config })?.key else {
        return nil
      }
      return try self.token(key, tokens)
    }
    let begin = try token("bos_token", metadata[GGUFTokenizer.addBeginKey]?.bool ?? cut.addsBegin)
    let end = try token("eos_token", metadata[GGUFTokenizer.addEndKey]?.bool ?? false)
    if begin == nil, end == nil { return .null }
    func around(_ texts: [JSON]) -> JSON {
      func special(_ token: (id: Int, text: String)?) -> [JSON] {
        token.map { [["SpecialToken": ["id": .string($0.text), "type_id": 0]]] } ?? []
      }
      return .array(special(begin) + texts + special(end))
    }
    let first: JSON = ["Sequence": ["id": "A", "type_id": 0]]
    var special: JSONObject = [:]
    for token in [begin, end].compactMap(\.self) {
      special[token.text] = [
        "id": .string(token.text), "ids": [JSON(token.id)], "tokens": [.string(token.text)],
      ]
    }
    return [
      "type": "TemplateProcessing", "single": around([first]),
      "pair": around([first, ["Sequence": ["id": "B", "type_id": 1]]]), "special_tokens": .object(special),
    ]
  }
}

extension Tokenizer {
  /// The tokenizer that the keys of a GGUF file describe, whatever its model's family.
  ///
  /// - Returns: nil if it is neither BPE nor SentencePiece's, or has a cut into words that is not known.
  /// - Throws: `FormatError` for a file that is not GGUF, and for keys that do not fit together.
  package init?(gguf path: String) throws(FormatError) {
    let files = try GGUFTokenizerReader(try GGUFHeader(path: path).metadata).sideFiles()
    guard !Tokenizer.source({ name in files.contains { $0.name == name } }).isEmpty else { return nil }
    try self.init(folder: path) { name in files.first { $0.name == name }?.bytes.array }
  }
}
