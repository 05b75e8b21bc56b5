import IngotSystem
import IngotTensors

extension Family {
  /// GLM-4.5, 4.6 and 4.7, and their Air variants: grouped-query attention with biases, DeepSeek-V3's mixture.
  ///
  /// Source: transformers' `glm4_moe`.
  public static let glm4MoE = Family(
    name: "glm4-moe",
    modelTypes: ["glm4_moe"],
    classNames: ["Glm4MoeForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(
      expertCount: "n_routed_experts", constants: ["hidden_act": "silu"], queryKeyNorm: "use_qk_norm"),
    llamaCpp: LlamaCppGraph(
      "glm4moe", names: [.feedForwardNorm: "blk.#.post_attention_norm.weight"],
      routing: .init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true), namesRouting: true,
      biases: [.queryBias, .keyBias, .valueBias], mixture: .deepSeek, usualScoring: .sigmoid,
      prediction: LlamaCppGraph.deepSeekPrediction),
    mlx: MLXClass(
      countsDenseLayers: true,
      constants: [
        "rope_scaling": nil, "use_qk_norm": false, "attention_bias": false, "partial_rotary_factor": 1,
      ])
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 8, normEpsilon: 1e-5, context: 131_072))
    let attention = common.attention(
      rotary: try config.rotary(headDim: common.headDim, theta: 10_000, factor: 0.5),
      queryKeyNorm: try config.flag("use_qk_norm", or: false) ? .perHead : .none,
      hasInputBias: try config.flag("attention_bias", or: false))
    let feedForward = try common.glmFeedForward()
    return try common.blueprint(
      predictionLayers: try config.integer("num_nextn_predict_layers", 0...64, or: 0)
    ) { layer in (attention, feedForward(layer)) }
  }

  /// GLM-4.7-Flash: DeepSeek-V3's latent attention and mixture without groups.
  ///
  /// Source: transformers' `glm4_moe_lite`.
  public static let glm4MoELite = Family(
    name: "glm4-moe-lite",
    modelTypes: ["glm4_moe_lite"],
    classNames: ["Glm4MoeLiteForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(expertCount: "n_routed_experts", constants: ["hidden_act": "silu"]),
    llamaCpp: .deepSeek2(
      .init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true), sharesKeys: true,
      usualScoring: .sigmoid, unnamedSizes: (layers: 47...48, vocabulary: 154_880),
      prediction: LlamaCppGraph.deepSeekPrediction),
    mlx: MLXClass(splitsLatents: true, countsDenseLayers: true)
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(normEpsilon: 1e-5, context: 202_752, hasLatents: true))
    let attention = try common.latentAttention(hasBias: try config.flag("attention_bias", or: false))
    let feedForward = try common.glmFeedForward()
    return try common.blueprint(
      predictionLayers: try config.integer("num_nextn_predict_layers", 0...64, or: 0)
    ) { layer in (attention, feedForward(layer)) }
  }
}

extension DecoderConfig {
  /// GLM's mixture, and the dense layers before it: by `mlp_layer_types` where the config has them.
  func glmFeedForward(first: Int = 1, scale: Double = 1) throws(FormatError) -> (Int) -> any FeedForward {
    let experts = try deepSeekMixture(
      Mixture.Routing(
        scoring: .sigmoid, hasCorrectionBias: true,
        normalizesWeights: try config.flag("norm_topk_prob", or: true),
        scale: Float(try config.positiveNumber("routed_scaling_factor", or: scale))), sumsTwo: true)
    guard let types = config["mlp_layer_types"] else { return try deepSeekFeedForward(experts, first: first) }
    guard let list = types.array, list.count == layers,
      list.allSatisfy({ $0 == "dense" || $0 == "sparse" })
    else {
      throw config.error(
        "mlp_layer_types", "a list of \(layers) times \"dense\" or \"sparse\"", found: types.kind)
    }
    let mlp = list.contains("dense") ? self.mlp(try config.positive("intermediate_size")) : nil
    return { layer in
      if list[layer] == "dense", let mlp { return mlp }
      return experts
    }
  }
}
