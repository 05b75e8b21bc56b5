import IngotSystem
import IngotTensors

extension TensorNames {
  /// Latent attention and experts beside shared ones, as DeepSeek has them.
  static let deepSeek = TensorNames.llama.adding(expertsOfMLP).adding([
    (.queryA, "model.layers.#.self_attn.q_a_proj.weight"),
    (.queryABias, "model.layers.#.self_attn.q_a_proj.bias"),
    (.queryANorm, "model.layers.#.self_attn.q_a_layernorm.weight"),
    (.queryB, "model.layers.#.self_attn.q_b_proj.weight"),
    (.keyValueA, "model.layers.#.self_attn.kv_a_proj_with_mqa.weight"),
    (.keyValueABias, "model.layers.#.self_attn.kv_a_proj_with_mqa.bias"),
    (.keyValueANorm, "model.layers.#.self_attn.kv_a_layernorm.weight"),
    (.keyValueB, "model.layers.#.self_attn.kv_b_proj.weight"),
    (.indexerQuery, "model.layers.#.self_attn.indexer.wq_b.weight"),
    (.indexerKey, "model.layers.#.self_attn.indexer.wk.weight"),
    (.indexerKeyNorm, "model.layers.#.self_attn.indexer.k_norm.weight"),
    (.indexerKeyNormBias, "model.layers.#.self_attn.indexer.k_norm.bias"),
    (.indexerWeights, "model.layers.#.self_attn.indexer.weights_proj.weight"),
    (.routerBias, "model.layers.#.mlp.gate.e_score_correction_bias"),
    (.sharedGate, "model.layers.#.mlp.shared_experts.gate_proj.weight"),
    (.sharedUp, "model.layers.#.mlp.shared_experts.up_proj.weight"),
    (.sharedDown, "model.layers.#.mlp.shared_experts.down_proj.weight"),
  ])
}

extension Family.LlamaCppGraph {
  /// `deepseek2`, for all that has DeepSeek's latent attention.
  static func deepSeek2(
    _ routing: Mixture.Routing, sharesKeys: Bool = false, usualScoring: Mixture.Routing.Scoring? = nil,
    unnamedSizes: (layers: ClosedRange<Int>, vocabulary: Int)? = nil, prediction: Prediction? = nil
  ) -> Self {
    Self(
      "deepseek2", pairing: .interleaved, routing: routing, namesRouting: true, mixture: .deepSeek,
      sharesKeys: sharesKeys, usualScoring: usualScoring, unnamedSizes: unnamedSizes, prediction: prediction)
  }

  /// `deepseek32` and `glm-dsa`: the same with an indexer of tokens.
  static func deepSeekSparse(
    _ architecture: String, _ pairing: RotaryEmbedding.Pairing, sharesChoices: Bool = false,
    usualScoring: Mixture.Routing.Scoring? = nil
  ) -> Self {
    Self(
      architecture, pairing: .interleaved,
      names: [
        .indexerQuery: "blk.#.indexer.attn_q_b.weight", .indexerKey: "blk.#.indexer.attn_k.weight",
        .indexerKeyNorm: "blk.#.indexer.k_norm.weight", .indexerKeyNormBias: "blk.#.indexer.k_norm.bias",
        .indexerWeights: "blk.#.indexer.proj.weight",
      ],
      routing: .init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true), namesRouting: true,
      biases: [.indexerKeyNormBias], mixture: .deepSeek, usualScoring: usualScoring,
      indexers: .tokens(pairing, sharesChoices: sharesChoices), prediction: deepSeekPrediction)
  }

  /// A layer behind the others.
  static let deepSeekPrediction = Prediction(
    block: "model.layers.#.", countsOn: true,
    around: [
      "model.layers.#.eh_proj.weight": "blk.#.nextn.eh_proj.weight",
      "model.layers.#.enorm.weight": "blk.#.nextn.enorm.weight",
      "model.layers.#.hnorm.weight": "blk.#.nextn.hnorm.weight",
      "model.layers.#.embed_tokens.weight": "blk.#.nextn.embed_tokens.weight",
      "model.layers.#.shared_head.norm.weight": "blk.#.nextn.shared_head_norm.weight",
      "model.layers.#.shared_head.head.weight": "blk.#.nextn.shared_head_head.weight",
    ])
}

extension Family {
  /// DeepSeek-V3, R1 and V3.1, and Kimi-K2: latent attention, a sigmoid router with a correction bias that chooses groups
  /// first, shared experts, dense first layers.
  ///
  /// Source: transformers' `deepseek_v3`; Kimi's configs say `kimi_k2` and the same otherwise.
  public static let deepSeekV3 = Family(
    name: "deepseek-v3",
    modelTypes: ["deepseek_v3", "kimi_k2", "kimi_k25"],
    classNames: ["DeepseekV3ForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(
      expertCount: "n_routed_experts",
      constants: ["hidden_act": "silu", "scoring_func": "sigmoid", "topk_method": "noaux_tc"]),
    llamaCpp: .deepSeek2(.init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true)),
    mlx: MLXClass(nestedTypes: ["kimi_k25"], splitsLatents: true, countsDenseLayers: true)
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(context: 4096, hasLatents: true))
    try config.require("scoring_func", ["sigmoid"], missing: true)
    try config.require("topk_method", ["noaux_tc"], missing: true)
    try config.require("moe_layer_freq", [1], missing: true)
    let attention = try common.latentAttention(hasBias: try config.flag("attention_bias", or: false))
    let experts = try common.deepSeekMixture(
      Mixture.Routing(
        scoring: .sigmoid, hasCorrectionBias: true,
        normalizesWeights: try config.flag("norm_topk_prob", or: true),
        scale: Float(try config.positiveNumber("routed_scaling_factor", or: 2.5))), sumsTwo: true)
    let feedForward = try common.deepSeekFeedForward(experts, first: 3)
    return try common.blueprint(
      predictionLayers: try config.integer("num_nextn_predict_layers", 0...64, or: 0)
    ) { layer in (attention, feedForward(layer)) }
  }

  /// DeepSeek-V2, V2.5 and V2-Lite: as V3 with a softmax router, whose groups are chosen by their best expert.
  ///
  /// Source: transformers' `deepseek_v2`.
  public static let deepSeekV2 = Family(
    name: "deepseek-v2",
    modelTypes: ["deepseek_v2"],
    classNames: ["DeepseekV2ForCausalLM"],
    names: .deepSeek,
    config: ConfigSpelling(
      expertCount: "n_routed_experts", constants: ["hidden_act": "silu", "scoring_func": "softmax"]),
    llamaCpp: .deepSeek2(.init(scoring: .softmax, normalizesWeights: false), usualScoring: .softmax),
    mlx: MLXClass(countsDenseLayers: true, constants: ["topk_method": "greedy"])
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(context: 2048, hasLatents: true))
    try config.require("scoring_func", ["softmax"], missing: true)
    try config.require("topk_method", ["greedy", "group_limited_greedy"], missing: true)
    // The class has the key and never reads it.
    try config.require("norm_topk_prob", [false], missing: true)
    try config.require("moe_layer_freq", [1], missing: true)
    let attention = try common.latentAttention(hasBias: try config.flag("attention_bias", or: false))
    let experts = try common.deepSeekMixture(
      Mixture.Routing(
        scoring: .softmax, normalizesWeights: false,
        scale: Float(try config.positiveNumber("routed_scaling_factor", or: 1))),
      sumsTwo: false, hasGroups: config["topk_method"] == "group_limited_greedy")
    let feedForward = try common.deepSeekFeedForward(experts, first: 0)
    return try common.blueprint { layer in (attention, feedForward(layer)) }
  }
}

extension DecoderConfig {
  /// A mixture by the keys that DeepSeek and GLM share.
  ///
  /// - Parameters:
  ///   - sumsTwo: whether a group counts by its two best experts.
  ///   - hasGroups: whether experts are chosen by groups at all.
  func deepSeekMixture(_ routing: Mixture.Routing, sumsTwo: Bool, hasGroups: Bool = true)
    throws(FormatError) -> Mixture
  {
    let width = try config.positive("moe_intermediate_size")
    let count = try config.expertCount("n_routed_experts")
    var routing = routing
    let groups = try config.integer("n_group", 1...count, or: 1)
    if hasGroups && groups > 1 {
      guard count % groups == 0 else {
        throw config.error("n_group", "a divisor of \(count) experts", found: "\(groups)")
      }
      routing.groups = .init(
        count: groups, kept: try config.integer("topk_group", 1...groups, or: groups), sumsTwo: sumsTwo)
    }
    let shared = try config.integer("n_shared_experts", 0...1024, or: 0)
    return try mixture(
      width: width, countKey: "n_routed_experts",
      shared: shared == 0 ? nil : SharedMLP(count: shared, intermediateSize: width * shared), routing)
  }

  /// Dense layers first, as many as `first_k_dense_replace` says.
  func deepSeekFeedForward(_ experts: Mixture, first usual: Int) throws(FormatError) -> (Int) ->
    any FeedForward
  {
    let dense = min(try config.integer("first_k_dense_replace", 0...10_000, or: usual), layers)
    let mlp = dense == 0 ? nil : self.mlp(try config.positive("intermediate_size"))
    return denseFirst(dense, mlp, experts)
  }
}
