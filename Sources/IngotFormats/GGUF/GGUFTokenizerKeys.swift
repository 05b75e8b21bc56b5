import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// The keys of a model's tokenizer, chat template and sampling advice.
struct GGUFTokenizerKeys {
  let model: Model
  /// The name of the family's cut into words, written where several names mean the model's cut.
  var preferredPreTokenizer: String?

  /// Adds the keys to `metadata`.
  ///
  /// - Throws: FormatError for a tokenizer that no key can describe: it would cut texts otherwise in llama.cpp.
  func add(to metadata: inout GGUFMetadata) throws(FormatError) {
    let config = try object("tokenizer_config.json")
    if !Tokenizer.source({ model.sideFile($0) != nil }).isEmpty {
      let tokenizer = try Tokenizer(of: model)
      if tokenizer.isByteLevel {
        try add(tokenizer, config, to: &metadata)
      } else {
        try GGUFPieceKeys(model: model, tokenizer: tokenizer, config: config).add(to: &metadata)
      }
    } else if Tokenizer.parts.contains(where: { model.sideFile($0) != nil }) {
      // Says what is missing: without its tokens an engine could not load the file.
      _ = try Tokenizer(of: model)
    } else {
      metadata[GGUFTokenizer.modelKey] = .string(GGUFTokenizer.none)
    }
    try GGUFChatTemplates(model).add(to: &metadata)
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
    guard tokenizer.keepsComposedText else {
      throw wrong(
        "a normalizer of NFC or none, as llama.cpp has none",
        "another one under \"normalizer\": llama.cpp would cut texts otherwise; write another format")
    }
    guard tokenizer.vocabularySize <= size else {
      throw wrong(
        "at most \(size) tokens, the rows of the embedding",
        "\(tokenizer.vocabularySize): it is the tokenizer of another model, or tokens were added to it alone")
    }
    guard tokenizer.prefix.isEmpty || tokenizer.prefix == tokenizer.beginToken.map({ [$0] }),
      tokenizer.suffix.isEmpty || tokenizer.suffix == tokenizer.endToken.map({ [$0] })
    else {
      throw wrong(
        "at most the begin token before a text and the end token behind it",
        "\(tokenizer.prefix), \(tokenizer.suffix)")
    }
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
    // Its place among the keys; which cut it is can be told from the others.
    metadata[GGUFTokenizer.preKey] = .string("")
    metadata[GGUFTokenizer.tokensKey] = .strings(tokens)
    metadata[GGUFTokenizer.typesKey] = .int32s(kinds.map(\.rawValue))
    metadata[GGUFTokenizer.mergesKey] = .strings(
      tokenizer.merges.map { "\(tokens[Int($0.left)]) \(tokens[Int($0.right)])" })
    try GGUFNamedTokens(model, tokenizer, config).add(to: &metadata)
    metadata[GGUFTokenizer.addBeginKey] = .bool(
      tokenizer.addBeginTokenFlag ?? tokenizer.addsBeginToken)
    if !tokenizer.suffix.isEmpty { metadata[GGUFTokenizer.addEndKey] = .bool(true) }
    metadata[GGUFTokenizer.preKey] = .string(try preTokenizer(tokenizer, metadata))
  }

  /// The name of the cut into words. No key holds the expression that cuts: llama.cpp knows it by name.
  private func preTokenizer(_ tokenizer: Tokenizer, _ metadata: GGUFMetadata) throws(FormatError) -> String {
    if let cut = GGUFPreTokenizer.cutting(as: tokenizer) {
      return cut.names.first { $0 == preferredPreTokenizer } ?? cut.names[0]
    }
    // A cut with the other way to treat words that are tokens is fine where that makes no difference.
    let sample = GGUFTokenizer.sample
    let words = tokenizer.cut.words(of: sample)
    for known in GGUFPreTokenizer.all where known.cut.words(of: sample) == words {
      var named = metadata
      named[GGUFTokenizer.preKey] = .string(known.names[0])
      let json = try GGUFTokenizerReader(named).tokenizer(
        try metadata.strings(GGUFTokenizer.tokensKey), known)
      let other = try Tokenizer(json: Array(json.utf8), path: path("tokenizer.json, from keys"), config: nil)
      if other.encode(sample, addingSpecialTokens: false)
        == tokenizer.encode(sample, addingSpecialTokens: false)
      {
        return known.names[0]
      }
    }
    throw FormatError(
      path: path("tokenizer.json"),
      expected: "a cut into words that llama.cpp knows by name "
        + "(\(GGUFPreTokenizer.all.map { $0.names[0] }.joined(separator: ", ")))",
      found: "another one, \(tokenizer.patterns): no key can say it; write another format")
  }
}
