import Models
import Tensors

/// The keys of a model's tokenizer, chat template and sampling advice.
struct GGUFTokenizerKeys {
  let model: Model

  /// Adds the keys to `metadata`.
  ///
  /// - Throws: FormatError for a tokenizer that no key can describe: it would cut texts otherwise in llama.cpp.
  func add(to metadata: inout GGUFMetadata) throws(FormatError) {
    let config = try object("tokenizer_config.json")
    if let file = model.sideFile("tokenizer.json") {
      let tokenizer = try Tokenizer(
        json: file.bytes.array, path: path("tokenizer.json"),
        config: model.sideFile("tokenizer_config.json")?.bytes.array)
      try add(tokenizer, config, to: &metadata)
    } else {
      metadata[GGUFTokenizer.modelKey] = .string(GGUFTokenizer.none)
    }
    if let template = try template(config) { metadata[GGUFTokenizer.templateKey] = .string(template) }
  }

  /// Adds sampling advice of generation_config.json.
  func addSampling(to metadata: inout GGUFMetadata) throws(FormatError) {
    guard let advice = try object("generation_config.json") else { return }
    for (name, key) in GGUFTokenizer.sampling {
      if name == "top_k" {
        if let value = advice[name]?.int.flatMap(Int32.init(exactly:)) { metadata[key] = .int32(value) }
      } else if let value = advice[name]?.double {
        metadata[key] = .float32(Float(value))
      }
    }
  }

  private func path(_ name: String) -> String { "\(model.path) (\(name))" }

  private func object(_ name: String) throws(FormatError) -> JSONObject? {
    guard let file = model.sideFile(name) else { return nil }
    let json = try JSON.parse(file.bytes.array, path: path(name))
    guard let object = json.object else {
      throw FormatError(path: path(name), expected: "a JSON object", found: json.kind)
    }
    return object
  }

  private func add(_ tokenizer: Tokenizer, _ config: JSONObject?, to metadata: inout GGUFMetadata)
    throws(FormatError)
  {
    let size = model.blueprint.vocabulary
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(path: path("tokenizer.json"), expected: expected, found: found)
    }
    guard tokenizer.vocabularySize <= size else {
      throw wrong("at most \(size) tokens, the rows of the embedding", "\(tokenizer.vocabularySize)")
    }
    guard tokenizer.prefix.isEmpty || tokenizer.prefix == tokenizer.beginToken.map({ [$0] }),
      tokenizer.suffix.isEmpty
    else { throw wrong("at most the begin token around a text", "\(tokenizer.prefix), \(tokenizer.suffix)") }
    var kinds = [GGUFTokenizer.Kind](repeating: .normal, count: size)
    var tokens: [String] = []
    tokens.reserveCapacity(size)
    for id in 0..<size {
      if let piece = tokenizer.piece(id) {
        tokens.append(piece)
      } else {
        tokens.append("[PAD\(id)]")
        kinds[id] = .unused
      }
    }
    for token in tokenizer.addedTokens { kinds[token.id] = token.isSpecial ? .control : .userDefined }
    metadata[GGUFTokenizer.modelKey] = .string(GGUFTokenizer.byteLevel)
    metadata[GGUFTokenizer.preKey] = .string(GGUFTokenizer.pre)
    metadata[GGUFTokenizer.tokensKey] = .strings(tokens)
    metadata[GGUFTokenizer.typesKey] = .int32s(kinds.map(\.rawValue))
    metadata[GGUFTokenizer.mergesKey] = .strings(
      tokenizer.merges.map { "\(tokens[Int($0.left)]) \(tokens[Int($0.right)])" })
    for (name, key) in GGUFTokenizer.named {
      guard let text = config?[name].flatMap({ $0.string ?? $0["content"]?.string }) else { continue }
      guard let id = tokenizer.tokens.firstIndex(of: text) else {
        throw FormatError(
          path: path("tokenizer_config.json"), expected: "\(name): a token of tokenizer.json",
          found: "'\(printable(text, limit: 40))'")
      }
      metadata[key] = .uint32(UInt32(id))
    }
    metadata[GGUFTokenizer.addBeginKey] = .bool(
      tokenizer.addBeginTokenFlag ?? tokenizer.addsBeginToken)
    if tokenizer.patterns != [GGUFTokenizer.pattern] || tokenizer.ignoresMerges {
      try requireKnownCut(tokenizer, metadata)
    }
  }

  /// No key holds the expression that cuts texts into words; llama.cpp knows it by a name. One in other words than
  /// MiniMax-M2's must give the same tokens for a text that has every kind of word.
  private func requireKnownCut(_ tokenizer: Tokenizer, _ metadata: GGUFMetadata) throws(FormatError) {
    let json = try GGUFTokenizerReader(metadata).tokenizer(try metadata.strings(GGUFTokenizer.tokensKey))
    let known = try Tokenizer(json: Array(json.utf8), path: path("tokenizer.json, from keys"), config: nil)
    let sample = GGUFTokenizer.sample
    guard
      known.encode(sample, addingSpecialTokens: false)
        == tokenizer.encode(sample, addingSpecialTokens: false)
    else {
      throw FormatError(
        path: path("tokenizer.json"),
        expected: "the cut into words that llama.cpp calls '\(GGUFTokenizer.pre)'",
        found: "another one: \(tokenizer.patterns)")
    }
  }

  /// chat_template.jinja; else the one template of tokenizer_config.json.
  private func template(_ config: JSONObject?) throws(FormatError) -> String? {
    guard let file = model.sideFile("chat_template.jinja") else { return config?["chat_template"]?.string }
    guard let text = String(validating: file.bytes.array, as: UTF8.self) else {
      throw FormatError(path: path("chat_template.jinja"), expected: "UTF-8", found: "other bytes")
    }
    return text
  }
}
