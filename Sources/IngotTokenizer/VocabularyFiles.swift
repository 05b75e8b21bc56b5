import IngotSystem

/// vocab.json and merges.txt, as models had them before there was tokenizer.json: the pieces of a byte-level vocabulary and its
/// merges. How texts are cut into words stands in neither; transformers knows it by the class of the tokenizer, and so does
/// this.
///
/// Source: transformers 5, tokenization_gpt2.py, tokenization_gpt_neox.py, tokenization_qwen2.py, tokenization_qwen3_5.py,
/// tokenization_auto.py (which class counts) and tokenization_utils_tokenizers.py (which tokens are added).
enum VocabularyFiles {
  static let vocabulary = "vocab.json"
  static let merges = "merges.txt"
  static var names: [String] { [vocabulary, merges] }

  /// What a class of transformers does beside the files.
  struct Class {
    let name: String
    var composes = false
    /// The cut into words; nil for GPT-2's.
    var pattern: String?
    /// Whether special tokens are found as they stand, whatever the files say of white space around them.
    var findsPlainly = false
    /// Tokens that have a part of their own unless the settings say which, by that part.
    var usual: [String: String]

    var normalizer: JSON { composes ? ["type": "NFC"] : .null }

    func preTokenizer(addsSpace: Bool) -> JSON {
      let bytes: JSON = [
        "type": "ByteLevel", "add_prefix_space": .bool(addsSpace), "trim_offsets": true,
        "use_regex": .bool(pattern == nil),
      ]
      guard let pattern else { return bytes }
      let split: JSON = [
        "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
      ]
      return ["type": "Sequence", "pretokenizers": [split, bytes]]
    }
  }

  private static let end = "<|endoftext|>"

  /// Words with at most one sign before them, of characters of the set `letters`; digits one by one.
  private static func words(_ letters: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"#
      + (letters.utf8.count > 5 ? "[\(letters)]+" : letters + "+")
      + #"|\p{N}| ?[^\s"# + letters + #"\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  static let classes = [
    Class(name: "GPT2Tokenizer", usual: ["unk_token": end, "bos_token": end, "eos_token": end]),
    Class(
      name: "GPTNeoXTokenizer", composes: true,
      usual: ["unk_token": end, "bos_token": end, "eos_token": end, "pad_token": "<|padding|>"]),
    Class(
      name: "Qwen2Tokenizer", composes: true, pattern: words(#"\p{L}"#), findsPlainly: true,
      usual: ["unk_token": end, "eos_token": end, "pad_token": end]),
    Class(
      name: "Qwen3_5Tokenizer", composes: true, pattern: words(#"\p{L}\p{M}"#), findsPlainly: true,
      usual: ["unk_token": end, "eos_token": end, "pad_token": end]),
  ]

  /// The class of a `model_type` whose files name none.
  private static let usualClasses: [String: [String]] = [
    "GPT2Tokenizer": ["gpt2", "gpt_neo", "gptj", "phi", "starcoder2", "dbrx"],
    "GPTNeoXTokenizer": ["gpt_neox", "olmo", "olmoe"],
    "Qwen2Tokenizer": ["qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next"],
    "Qwen3_5Tokenizer": ["qwen3_5", "qwen3_5_moe", "qwen3_5_text", "qwen3_5_moe_text"],
  ]
  /// Whatever class their files name: it is known to be another one than the model was trained with.
  private static let misnamed: Set<String> = ["qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text"]
  /// Their tokenizer.json alone says how texts are cut: the class that their files name cuts otherwise.
  private static let fileAlone: Set<String> = [
    "arctic", "ernie4_5", "ernie4_5_moe", "flex_olmo", "glm", "glm4", "glm4_moe", "glm4_moe_lite",
    "gpt_bigcode", "granite", "granitemoe", "granitemoehybrid", "granitemoeshared", "internlm2", "internlm3",
    "iquestcoder", "jamba", "kimi_k25", "kimi_linear", "mimo_v2_flash", "minicpm3", "minimax_m2", "ministral",
    "ministral3", "mistral", "mistral3", "mixtral", "nemotron", "olmo2", "olmo3", "olmo_hybrid", "persimmon",
    "phi3", "phimoe", "stablelm",
  ]

  /// The class that transformers takes.
  /// - Parameters:
  ///   - stated: `tokenizer_class` of tokenizer_config.json, or else of config.json.
  ///   - modelType: `model_type` of config.json.
  ///   - path: the folder, for errors.
  /// - Throws: FormatError where the files do not say how texts are cut into words.
  static func kind(stated: String?, modelType: String?, path: String) throws(FormatError) -> Class {
    let usual = modelType.flatMap { type in usualClasses.first { $0.value.contains(type) }?.key }
    let isAlone = modelType.map(fileAlone.contains) ?? false
    var name = isAlone ? nil : stated ?? usual
    if let modelType, misnamed.contains(modelType) { name = usual }
    if let name, name.hasSuffix("Fast") {
      return try named(String(name.dropLast(4)), stated, modelType, path)
    }
    return try named(name, stated, modelType, path)
  }

  private static func named(
    _ name: String?, _ stated: String?, _ modelType: String?, _ path: String
  ) throws(FormatError) -> Class {
    if let kind = classes.first(where: { $0.name == name }) { return kind }
    let type = modelType.map { "model_type '\(printable($0, limit: 40))'" }
    throw FormatError(
      path: path,
      expected: "tokenizer.json, or a tokenizer_class whose cut into words is known ("
        + classes.map(\.name).joined(separator: ", ")
        + "); get tokenizer.json from where the model is published, or let "
        + "transformers' AutoTokenizer read the files and save it (save_pretrained)",
      found: "vocab.json and merges.txt, which do not say how texts are cut into words, "
        + (stated.map { "tokenizer_class '\(printable($0, limit: 40))'" } ?? "no tokenizer_class")
        + (type.map { ", \($0)" } ?? ""))
  }
}

extension TokenizerFile {
  /// Reads vocab.json and merges.txt.
  /// - Parameters:
  ///   - contents: a file's bytes by name.
  ///   - folder: where they are, for errors.
  init(
    vocabularyIn folder: String, _ settings: TokenizerSettings, contents: (String) -> [UInt8]?
  ) throws(FormatError) {
    let configPath = "\(folder) (config.json)"
    let config = JSONPlace(
      path: configPath, name: "",
      json: try contents("config.json").map { bytes throws(FormatError) in
        try JSON.parse(bytes, path: configPath)
      } ?? .null)
    let kind = try VocabularyFiles.kind(
      stated: settings.tokenizerClass ?? config["tokenizer_class"].json.string,
      modelType: config["model_type"].json.string, path: folder)
    let path = "\(folder) (\(VocabularyFiles.vocabulary))"
    let mergesPath = "\(folder) (\(VocabularyFiles.merges))"
    try self.init(
      path: path, normalizer: kind.normalizer,
      preTokenizer: kind.preTokenizer(addsSpace: try settings.flag("add_prefix_space") ?? false),
      decoder: ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true])
    let model = try BPEModel(
      vocabulary: contents(VocabularyFiles.vocabulary) ?? [], path,
      merges: contents(VocabularyFiles.merges) ?? [], mergesPath)
    try take(model, path, merges: mergesPath)
    try add(try settings.tokensBeside(), to: VocabularyFiles.vocabulary)
    try addSpecial(try settings.specialTokens(usual: kind.usual), plainly: kind.findsPlainly)
    func id(_ part: String) throws(FormatError) -> Int? {
      try (settings.has(part) ? settings.named(part) : kind.usual[part]).flatMap(id(of:))
    }
    (beginToken, endToken) = (try id("bos_token"), try id("eos_token"))
    if let beginToken, try settings.flag("add_bos_token") ?? false { prefix = [beginToken] }
    if let endToken, try settings.flag("add_eos_token") ?? false { suffix = [endToken] }
  }

  /// Makes tokens special, with the number that they have or the next free one.
  private mutating func addSpecial(
    _ tokens: [(token: AddedToken, path: String)], plainly: Bool
  ) throws(FormatError) {
    for (token, path) in tokens {
      let token = plainly ? AddedToken(special: token.content, 0) : token
      if let index = addedTokens.firstIndex(where: { $0.content.utf8.elementsEqual(token.content.utf8) }) {
        addedTokens[index] = plainly ? token.numbered(addedTokens[index].id) : addedTokens[index].special
        continue
      }
      let numbered = token.numbered(id(of: token.content) ?? ids.count)
      if id(of: token.content) == nil {
        try set(token.content, numbered.id, "token '\(printable(token.content, limit: 60))'", path)
      }
      addedTokens.append(numbered)
    }
  }
}
