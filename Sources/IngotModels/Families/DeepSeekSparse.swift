import IngotSystem
import IngotTensors

extension Family {
  /// DeepSeek-V3.2: V3 with an indexer that chooses the keys each query sees.
  ///
  /// Source: transformers' `deepseek_v32`.
  public static let deepSeekV32 = Family(
    name: "deepseek-v3.2",
    modelTypes: ["deepseek_v32"],
    classNames: ["DeepseekV32ForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(
      expertCount: "n_routed_experts",
      constants: ["hidden_act": "silu", "scoring_func": "sigmoid", "topk_method": "noaux_tc"]),
    llamaCpp: .deepSeekSparse("deepseek32", .half),
    mlx: MLXClass(splitsLatents: true, countsDenseLayers: true)
  ) { config throws(FormatError) in
    try sparse(config, first: 3, indexerPairs: .half)
  }

  /// GLM-5, 5.1 and 5.2: DeepSeek-V3.2 with another rotation of the indexer, which only some layers may have: others take over the
  /// keys that the last one before them chose.
  ///
  /// Source: transformers' `glm_moe_dsa`.
  public static let glmMoEDSA = Family(
    name: "glm-moe-dsa",
    modelTypes: ["glm_moe_dsa"],
    classNames: ["GlmMoeDsaForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(expertCount: "n_routed_experts", constants: ["hidden_act": "silu"]),
    llamaCpp: .deepSeekSparse("glm-dsa", .interleaved, sharesChoices: true, usualScoring: .sigmoid),
    mlx: MLXClass(
      splitsLatents: true, countsDenseLayers: true, readsRopeParameters: true,
      constants: [
        "topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1, "attention_bias": false,
      ])
  ) { config throws(FormatError) in
    try sparse(
      config, first: 3,
      indexerPairs: try config.flag("indexer_rope_interleave", or: true) ? .interleaved : .half,
      hasIndexer: try glmIndexers(config))
  }

  /// Which layers have an indexer: by `indexer_types`, by the letters of `index_topk_pattern`, or one in `index_topk_freq`
  /// from `index_skip_topk_offset` − 1 on.
  private static func glmIndexers(_ config: Config) throws(FormatError) -> [Bool] {
    let layers = try config.integer("num_hidden_layers", 1...10_000)
    let found: [Bool]
    let key: String
    if let types = config["indexer_types"] {
      key = "indexer_types"
      guard let list = types.array, list.count >= layers,
        list.allSatisfy({ $0 == "full" || $0 == "shared" })
      else {
        throw config.error(key, "\(layers) times \"full\" or \"shared\"", found: types.kind)
      }
      found = list.map { $0 == "full" }
    } else if let pattern = config["index_topk_pattern"] {
      key = "index_topk_pattern"
      let letters =
        pattern.string.map { Array($0) } ?? pattern.array?.map { Character($0.string ?? "?") } ?? []
      guard letters.count >= layers, letters.allSatisfy({ $0 == "F" || $0 == "S" }) else {
        throw config.error(key, "\(layers) letters F or S", found: pattern.text())
      }
      found = letters.map { $0 == "F" }
    } else {
      key = "index_topk_freq"
      let interval = try config.integer(key, 1...10_000, or: 1)
      let offset = try config.integer("index_skip_topk_offset", 0...10_000, or: 2)
      found = (0..<layers).map { max($0 - offset + 1, 0) % interval == 0 }
    }
    guard found.first ?? false else {
      throw config.error(key, "an indexer in the first layer", found: "a layer before it to share keys with")
    }
    return Array(found.prefix(layers))
  }

  private static func sparse(
    _ config: Config, first: Int, indexerPairs: RotaryEmbedding.Pairing,
    hasIndexer: [Bool]? = nil
  ) throws(FormatError) -> Blueprint {
    let common = try DecoderConfig(config, .init(context: 202_752, hasLatents: true))
    try config.require("scoring_func", ["sigmoid"], missing: true)
    try config.require("topk_method", ["noaux_tc"], missing: true)
    try config.require("moe_layer_freq", [1], missing: true)
    var attention = try common.latentAttention(hasBias: try config.flag("attention_bias", or: false))
    guard attention.queryRank != nil else {
      throw config.error("q_lora_rank", "a number, since the indexer reads that latent", found: "none")
    }
    // The class rotates attention's own pairs one way, whatever the config says.
    attention.rotary.pairing = .interleaved
    var rotary = attention.rotary
    rotary.pairing = indexerPairs
    let dim = try config.integer("index_head_dim", rotary.dims...Config.limit, or: 128)
    attention.indexer = TokenIndexer(
      heads: try config.integer("index_n_heads", 1...65_536), dim: dim,
      kept: try config.positive("index_topk", or: 2048), rotary: rotary)
    let feedForward = try common.glmFeedForward(first: first, scale: 2.5)
    return try common.blueprint(
      predictionLayers: try config.integer("num_nextn_predict_layers", 0...64, or: 0)
    ) { [attention] layer in
      guard let hasIndexer else { return (attention, feedForward(layer)) }
      var attention = attention
      if !hasIndexer[layer] { (attention.indexer, attention.takesChoice) = (nil, true) }
      attention.leavesChoice = layer + 1 < hasIndexer.count && !hasIndexer[layer + 1]
      return (attention, feedForward(layer))
    }
  }
}
