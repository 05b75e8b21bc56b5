import IngotModels
import IngotSystem
import IngotTensors
import Testing

@Suite struct MiniMaxM2Tests {
  /// M2's config by the facts about the release, with replacements; nil removes a key.
  static func config(_ changes: [String: JSON?] = [:]) throws -> Config {
    var object: JSONObject = [
      "model_type": "minimax_m2", "hidden_size": 3072, "num_hidden_layers": 62, "vocab_size": 200_064,
      "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "rotary_dim": 64,
      "rope_theta": 5_000_000, "num_local_experts": 256, "num_experts_per_tok": 8, "intermediate_size": 1536,
      "shared_intermediate_size": 0, "scoring_func": "sigmoid", "use_routing_bias": true, "use_qk_norm": true,
      "qk_norm_type": "per_layer", "attn_type_list": .array(Array(repeating: 1, count: 62)),
      "sliding_window": nil, "rms_norm_eps": .number(JSONNumber(1e-6)), "hidden_act": "silu",
      "max_position_embeddings": 196_608, "use_mtp": true, "num_mtp_modules": 3, "mtp_transformer_layers": 1,
      "tie_word_embeddings": false,
    ]
    for (key, value) in changes { object[key] = value }
    return try Config(Array(JSON.object(object).text().utf8), path: "config.json")
  }

  @Test func numbersOfTheRelease() throws {
    let config = try Self.config()
    let blueprint = try Family.of(config).blueprint(config)
    #expect(blueprint.layerCount == 62 && blueprint.hiddenSize == 3072 && blueprint.vocabulary == 200_064)
    #expect(blueprint.attention!.heads == 48 && blueprint.attention!.keyValueHeads == 8)
    #expect(blueprint.attention!.rotary!.dims == 64 && blueprint.attention!.rotary!.theta == 5e6)
    #expect(
      blueprint.experts.count == 256 && blueprint.experts.perToken == 8
        && blueprint.experts.intermediateSize == 1536)
    #expect(blueprint.predictionLayers == 3)
    #expect(blueprint.keyValueCacheBytesPerToken == 253_952)
  }

  @Test func earlyModelTypeAndNewerRotationKeys() throws {
    let config = try Self.config([
      "model_type": "minimax", "rotary_dim": nil, "rope_theta": nil,
      "rope_parameters": [
        "rope_theta": 5_000_000, "partial_rotary_factor": .number(JSONNumber(0.5)), "rope_type": "default",
      ],
    ])
    let blueprint = try Family.of(config).blueprint(config)
    #expect(blueprint.attention!.rotary!.dims == 64 && blueprint.attention!.rotary!.theta == 5e6)
  }

  @Test(
    arguments: [
      ("model_type", "unheardof"), ("model_type", nil), ("scoring_func", "softmax"),
      ("use_routing_bias", false),
      ("use_qk_norm", false), ("qk_norm_type", "per_head"), ("shared_intermediate_size", 1024),
      ("sliding_window", 4096), ("hidden_act", "gelu"),
      ("attn_type_list", [0, 1]),
      ("attn_type_list", .array(Array(repeating: 0, count: 62))), ("num_experts_per_tok", 257),
      ("num_key_value_heads", 7), ("rotary_dim", 63), ("rotary_dim", 130), ("hidden_size", nil),
      ("hidden_size", -1),
      ("hidden_size", "3072"), ("num_hidden_layers", 1_000_000_000), ("rms_norm_eps", 0),
      ("rms_norm_eps", .number(JSONNumber(1e300))), ("rope_theta", -1),
      ("rope_scaling", ["type": "yarn"]), ("attention_bias", true),
    ] as [(String, JSON?)])
  func refusesWhatItWasNotWrittenFor(_ key: String, _ value: JSON?) throws {
    let config = try Self.config([key: value])
    let error = #expect(throws: FormatError.self) {
      try Family.of(config).blueprint(config)
    }
    let text = error?.description ?? ""
    #expect(
      text.contains("config.json") && text.contains(key), "\(key) = \(value?.text() ?? "none"): \(text)")
  }

  @Test func namesAndRolesAreOneToOne() throws {
    let config = try Self.config([
      "num_hidden_layers": 3, "attn_type_list": [1, 1, 1], "num_local_experts": 16,
    ])
    let family = try Family.of(config)
    let blueprint = try family.blueprint(config)
    var names = Set<String>()
    var roles: [Role] = []
    try blueprint.forEachTensor { role, _ in roles.append(role) }
    for role in roles {
      let name = family.name(of: role)
      #expect(names.insert(name).inserted, "\(name) twice")
      #expect(family.role(of: name, blueprint) == role, "\(name)")
    }
    // 3 of the model, 10 a layer, 3 an expert.
    #expect(names.count == 3 + 3 * (10 + 16 * 3))
    #expect(names.contains("model.layers.2.block_sparse_moe.experts.15.w2.weight"))
  }

  @Test(arguments: [
    "model.layers.03.input_layernorm.weight", "model.layers.62.input_layernorm.extra",
    "model.layers.x.input_layernorm.weight",
    "model.layers.0.block_sparse_moe.experts.256.w1.weight",
    "model.layers.0.block_sparse_moe.experts.0.w4.weight",
    "model.layers.99999999999999999999.input_layernorm.weight", "model.norm.weight.", "", "lm_head",
    "model..norm.weight",
  ])
  func unknownNamesHaveNoRole(_ name: String) throws {
    let config = try Self.config(["use_mtp": false])
    #expect(
      try Family.of(config).role(of: name, Family.of(config).blueprint(config)) == nil)
  }

  @Test func predictionLayersAreAuxiliary() throws {
    let config = try Self.config()
    let family = try Family.of(config)
    let blueprint = try family.blueprint(config)
    let name = "model.layers.64.eh_proj.weight"
    #expect(family.role(of: name, blueprint) == Role(.auxiliary, name: name))
    #expect(family.role(of: "model.layers.65.eh_proj.weight", blueprint) == nil)
  }
}
