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
      constants: ["hidden_act": "silu", "scoring_func": "sigmoid", "topk_method": "noaux_tc"])
  ) { config throws(FormatError) in
    try sparse(config, first: 3, indexerPairs: .half)
  }

  /// GLM-5 and 5.1: DeepSeek-V3.2 with another rotation of the indexer. GLM-5.2, some of whose layers take over the keys that a
  /// layer before them chose, is refused.
  ///
  /// Source: transformers' `glm_moe_dsa`.
  public static let glmMoEDSA = Family(
    name: "glm-moe-dsa",
    modelTypes: ["glm_moe_dsa"],
    classNames: ["GlmMoeDsaForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(expertCount: "n_routed_experts", constants: ["hidden_act": "silu"])
  ) { config throws(FormatError) in
    if let types = config["indexer_types"] {
      guard types.array?.allSatisfy({ $0 == "full" }) ?? false else {
        throw config.error(
          "indexer_types", "\"full\" in every layer",
          found: "layers that share another layer's choice of keys")
      }
    } else {
      try config.require("index_topk_freq", [1], missing: true)
      try config.require("index_topk_pattern", [], missing: true)
    }
    return try sparse(
      config, first: 3,
      indexerPairs: try config.flag("indexer_rope_interleave", or: true) ? .interleaved : .half)
  }

  private static func sparse(_ config: Config, first: Int, indexerPairs: RotaryEmbedding.Pairing)
    throws(FormatError) -> Blueprint
  {
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
    ) { [attention] layer in (attention, feedForward(layer)) }
  }
}
