import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Tokens that stand in for others, by the names that chat templates know them under.
package enum SpecialTokens {
  private static let config = "tokenizer_config.json"
  private static let legacy = "special_tokens_map.json"

  /// `bos_token`, `eos_token` and others, with their texts, as transformers' `special_tokens_map` gives them: members of
  /// tokenizer_config.json whose names end in `_token`, and its `extra_special_tokens`; special_tokens_map.json has the last
  /// word where the config lists no added tokens. The tokenizer's own begin and end tokens where these say nothing.
  ///
  /// - Throws: FormatError for files that are no JSON.
  package static func named(in model: Model, _ tokenizer: Tokenizer?) throws(FormatError)
    -> [(name: String, value: JSON)]
  {
    var tokens: JSONObject = [:]
    func add(_ object: JSONObject, all: Bool = false) {
      for (name, value) in object where all || name.hasSuffix("_token") {
        if let text = value.string ?? value["content"]?.string { tokens[name] = .string(text) }
      }
      if let extra = object["extra_special_tokens"]?.object, !all { add(extra, all: true) }
    }
    for (name, id) in [("bos_token", tokenizer?.beginToken), ("eos_token", tokenizer?.endToken)] {
      if let id, let text = tokenizer?.tokens[id] { tokens[name] = .string(text) }
    }
    let config = try object(config, in: model)
    if let config { add(config) }
    if config?["added_tokens_decoder"] == nil, let map = try object(legacy, in: model) { add(map) }
    return tokens.map { (name: $0.key, value: $0.value) }
  }

  private static func object(_ name: String, in model: Model) throws(FormatError) -> JSONObject? {
    guard let file = model.sideFile(name) else { return nil }
    return try JSON.parse(file.bytes.array, path: "\(model.path) (\(name))").object
  }
}
