import IngotSystem
import IngotTensors

/// A config.json that is asked for typed values; every refusal names the file, the key and what stands there.
public struct Config: Sendable {
  public let path: String
  public let object: JSONObject

  /// Largest integer a config may hold: products of three of them with byte widths stay below 2^63 where
  /// they are formed, and no honest model comes near.
  public static let limit = 1 << 24

  public init(_ bytes: [UInt8], path: String) throws(FormatError) {
    let json = try JSON.parse(bytes, path: path)
    guard let object = json.object else {
      throw FormatError(path: path, expected: "a JSON object", found: json.kind)
    }
    self.path = path
    self.object = object
  }

  init(path: String, object: JSONObject) {
    self.path = path
    self.object = object
  }

  /// The config of the text model: where one stands under `text_config`, as checkpoints with a vision model have it, that one,
  /// with what only the whole says.
  /// - Throws: FormatError for a number of the text model that both give differently.
  public func text() throws(FormatError) -> Config {
    guard let inner = object["text_config"]?.object else { return self }
    var merged = inner
    for (key, value) in object where key != "text_config" {
      guard let other = inner[key], !other.isNull else {
        merged[key] = value
        continue
      }
      if Config.textKeys.contains(key), !value.isNull, !value.isEqual(to: other) {
        throw error(
          key, "the same at top level and in text_config",
          found: "\(printable(value.text(), limit: 80)) and \(printable(other.text(), limit: 80))")
      }
    }
    merged["model_type"] = object["model_type"]
    return Config(path: path, object: merged)
  }

  /// What a text model's forward pass goes by: at top level these mean the same as in text_config.
  private static let textKeys: Set<String> = [
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size",
    "intermediate_size", "moe_intermediate_size", "num_experts", "num_local_experts", "num_experts_per_tok",
    "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor",
    "sliding_window",
    "layer_types", "hidden_act", "scoring_func", "norm_topk_prob", "routed_scaling_factor",
  ]

  /// The same with other values of some keys; null takes one away.
  public func replacing(_ values: JSONObject) -> Config {
    var object = object
    for (key, value) in values { object[key] = value }
    return Config(path: path, object: object)
  }

  /// The value of `key` when it is there and not null.
  public subscript(key: String) -> JSON? {
    guard let value = object[key], !value.isNull else { return nil }
    return value
  }

  /// A positive integer of at most `Config.limit`; `fallback` when the key is missing or null.
  public func positive(_ key: String, or fallback: Int? = nil) throws(FormatError) -> Int {
    try integer(key, 1...Config.limit, or: fallback)
  }

  public func integer(_ key: String, _ range: ClosedRange<Int>, or fallback: Int? = nil)
    throws(FormatError) -> Int
  {
    guard let value = self[key] else {
      if let fallback { return fallback }
      throw error(key, "an integer", found: "no such key")
    }
    guard let number = value.int, range.contains(number) else {
      throw error(key, "an integer from \(range.lowerBound) to \(range.upperBound)", found: value.kind)
    }
    return number
  }

  public func positiveNumber(_ key: String, or fallback: Double? = nil) throws(FormatError) -> Double {
    guard let value = self[key] else {
      if let fallback { return fallback }
      throw error(key, "a number", found: "no such key")
    }
    // Forward passes take it as F32.
    guard let number = value.double, Float(number).isFinite, Float(number) > 0 else {
      throw error(key, "a positive number that F32 holds", found: value.kind)
    }
    return number
  }

  /// Refuses any value of `key` but those `allowed`; a missing key is fine only where `missing` says so.
  public func require(_ key: String, _ allowed: [JSON], missing: Bool = false) throws(FormatError) {
    guard let value = self[key] else {
      guard missing else { throw error(key, choice(allowed), found: "no such key") }
      return
    }
    guard allowed.contains(value) else { throw error(key, choice(allowed), found: value.kind) }
  }

  private func choice(_ allowed: [JSON]) -> String {
    allowed.map { $0.text() }.joined(separator: " or ")
  }

  public func error(_ key: String, _ expected: String, found: String) -> FormatError {
    FormatError(path: path, expected: "\(key): \(expected)", found: found)
  }
}
