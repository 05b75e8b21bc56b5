import Models
import Tensors

/// Tokenizer files out of a GGUF file's keys: tokenizer.json, tokenizer_config.json, chat_template.jinja and
/// generation_config.json.
///
/// tokenizer.json is written for byte-level BPE with MiniMax-M2's cut into words, which is all that a family of ours
/// comes with; for another one it is left out, because its pre-tokenizer stands in no key.
struct GGUFTokenizerReader {
  private let metadata: GGUFMetadata

  init(_ metadata: GGUFMetadata) { self.metadata = metadata }

  func sideFiles() throws(FormatError) -> [SideFile] {
    var files: [SideFile] = []
    func add(_ name: String, _ text: String) {
      files.append(SideFile(name: name, bytes: Bytes(Array(text.utf8))))
    }
    if let template = metadata[GGUFTokenizer.templateKey]?.string { add("chat_template.jinja", template) }
    var advice: JSONObject = [:]
    for (name, key) in GGUFTokenizer.sampling {
      if let value = metadata[key] {
        advice[name] = value.integer.map { JSON($0) } ?? value.number.map { JSON($0) }
      }
    }
    for name in ["bos_token_id", "eos_token_id"] {
      if let id = metadata["tokenizer.ggml.\(name)"]?.integer { advice[name] = JSON(id) }
    }
    if advice.count > 0 { add("generation_config.json", JSON.object(advice).text(indented: true)) }
    guard let model = metadata[GGUFTokenizer.modelKey], model.string != GGUFTokenizer.none else {
      return files
    }
    guard model.string == GGUFTokenizer.byteLevel, metadata[GGUFTokenizer.preKey]?.string == GGUFTokenizer.pre
    else { return files }
    let tokens = try metadata.strings(GGUFTokenizer.tokensKey)
    add("tokenizer.json", try tokenizer(tokens))
    add("tokenizer_config.json", try tokenizerConfig(tokens).text(indented: true))
    return files
  }

  /// The token that a key numbers; nil without the key.
  private func token(_ key: String, _ tokens: [String]) throws(FormatError) -> (id: Int, text: String)? {
    guard metadata[key] != nil else { return nil }
    let id = try metadata.integer(key, 0...max(tokens.count - 1, 0))
    return tokens.indices.contains(id) ? (id, tokens[id]) : nil
  }

  private func tokenizerConfig(_ tokens: [String]) throws(FormatError) -> JSON {
    var config: JSONObject = [
      "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": false,
      "clean_up_tokenization_spaces": false,
    ]
    for (name, key) in GGUFTokenizer.named {
      if let token = try token(key, tokens) { config[name] = .string(token.text) }
    }
    return .object(config)
  }

  /// Written piece by piece: most of it are two long lists, and pieces are told apart by bytes rather than as text.
  func tokenizer(_ tokens: [String]) throws(FormatError) -> String {
    guard let kinds = metadata[GGUFTokenizer.typesKey]?.integers, kinds.count == tokens.count else {
      throw metadata.error(GGUFTokenizer.typesKey, "\(tokens.count) integers, one a token")
    }
    var vocabulary: [String] = []
    var added: [JSON] = []
    for (id, (token, number)) in zip(tokens, kinds).enumerated() {
      switch Int32(exactly: number).flatMap(GGUFTokenizer.Kind.init) {
      case .unused: continue
      case .control, .userDefined:
        let special = number == Int(GGUFTokenizer.Kind.control.rawValue)
        added.append([
          "id": JSON(id), "content": .string(token), "single_word": false, "lstrip": false, "rstrip": false,
          "normalized": false, "special": .bool(special),
        ])
      case .normal, .unknown, .byte: vocabulary.append("\(JSON.string(token).text()):\(id)")
      case nil:
        throw metadata.error(GGUFTokenizer.typesKey, "kinds from 1 to 6", found: "\(number) for token \(id)")
      }
    }
    let merges = try metadata.strings(GGUFTokenizer.mergesKey).map { JSON.string($0).text() }
    let preTokenizer: JSON = [
      "type": "Sequence",
      "pretokenizers": [
        [
          "type": "Split", "pattern": ["Regex": .string(GGUFTokenizer.pattern)], "behavior": "Isolated",
          "invert": false,
        ],
        ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false],
      ],
    ]
    let decoder: JSON = [
      "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
    ]
    return """
      {"version":"1.0","truncation":null,"padding":null,"added_tokens":\(JSON.array(added).text()),\
      "normalizer":null,"pre_tokenizer":\(preTokenizer.text()),"post_processor":\(try postProcessor(tokens).text()),\
      "decoder":\(decoder.text()),"model":{"type":"BPE","dropout":null,"unk_token":null,\
      "continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,\
      "ignore_merges":false,"vocab":{\(vocabulary.joined(separator: ","))},\
      "merges":[\(merges.joined(separator: ","))]}}
      """
  }

  /// Puts the begin token before a text where the keys ask for it.
  private func postProcessor(_ tokens: [String]) throws(FormatError) -> JSON {
    guard metadata[GGUFTokenizer.addBeginKey]?.bool == true,
      let begin = try token(GGUFTokenizer.named[0].key, tokens)
    else { return .null }
    let single: JSON = [
      ["SpecialToken": ["id": .string(begin.text), "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]],
    ]
    let pair: JSON = [
      ["SpecialToken": ["id": .string(begin.text), "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]],
      ["Sequence": ["id": "B", "type_id": 1]],
    ]
    var special: JSONObject = [:]
    special[begin.text] = [
      "id": .string(begin.text), "ids": [JSON(begin.id)], "tokens": [.string(begin.text)],
    ]
    return ["type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": .object(special)]
  }
}
