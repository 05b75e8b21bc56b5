import Foundation
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Configs of latent attention whose general keys on heads agree with their own keys or contradict them.
@Suite struct LatentHeadsTests {
  /// DeepSeek-V3's numbers.
  static func config(_ changes: [String: JSON?]) throws -> Config {
    var object: JSONObject = [
      "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61, "vocab_size": 129_280,
      "num_attention_heads": 128, "num_key_value_heads": 128, "intermediate_size": 18_432,
      "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
      "n_group": 8, "topk_group": 4, "norm_topk_prob": true,
      "routed_scaling_factor": .number(JSONNumber(2.5)),
      "scoring_func": "sigmoid", "topk_method": "noaux_tc", "first_k_dense_replace": 3, "moe_layer_freq": 1,
      "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
      "v_head_dim": 128, "rms_norm_eps": .number(JSONNumber(1e-6)), "rope_theta": 10_000,
      "max_position_embeddings": 163_840, "hidden_act": "silu", "tie_word_embeddings": false,
    ]
    for (key, value) in changes { object[key] = value }
    return try Config(Array(JSON.object(object).text().utf8), path: "config.json")
  }

  @Test(
    arguments: [
      ("num_key_value_heads", nil), ("num_key_value_heads", 1), ("num_key_value_heads", 128),
      ("head_dim", nil), ("head_dim", 64), ("head_dim", 128), ("head_dim", 192), ("head_dim", 576),
    ] as [(String, JSON?)])
  func takesWhatConfigsSay(_ key: String, _ value: JSON?) throws {
    let config = try Self.config([key: value])
    let blueprint = try Family.of(config).blueprint(config)
    #expect(blueprint.layerCount == 61 && blueprint.headed?.heads == 128)
  }

  @Test(
    arguments: [
      ("num_key_value_heads", 127), ("num_key_value_heads", 256), ("num_key_value_heads", 0),
      ("num_key_value_heads", "128"), ("head_dim", 56), ("head_dim", 63), ("head_dim", 0), ("head_dim", "64"),
    ] as [(String, JSON?)])
  func refusesContradictions(_ key: String, _ value: JSON?) throws {
    let config = try Self.config([key: value])
    let error = #expect(throws: FormatError.self) { try Family.of(config).blueprint(config) }
    let text = error?.description ?? ""
    #expect(
      text.contains("config.json") && text.contains(key), "\(key) = \(value?.text() ?? "none"): \(text)")
  }
}
