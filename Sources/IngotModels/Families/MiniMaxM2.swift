import IngotSystem
import IngotTensors

extension Family {
  /// MiniMax-M2, M2.1, M2.5 and M2.7: full attention with one RMSNorm over all query heads and one over all
  /// key heads, partial rotation, sigmoid router with a correction bias, no shared expert.
  ///
  /// Source: the released config.json keys and transformers' `minimax_m2`.
  public static let miniMaxM2 = Family(
    name: "minimax-m2",
    modelTypes: ["minimax_m2", "minimax"],
    classNames: ["MiniMaxM2ForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.sparseExperts).adding([
      (.routerBias, "model.layers.#.block_sparse_moe.e_score_correction_bias")
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size",
      rotatedDims: "rotary_dim",
      constants: [
        "hidden_act": "silu", "qk_norm_type": "per_layer", "scoring_func": "sigmoid",
        "shared_intermediate_size": 0, "tie_word_embeddings": false, "use_cache": true, "use_mtp": false,
        "use_qk_norm": true, "use_routing_bias": true,
      ],
      layerConstants: ["attn_type_list": 1]),
    llamaCpp: LlamaCppGraph(
      "minimax-m2", routing: .init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true),
      namesRouting: true, tiesHead: false),
    mlx: MLXClass(),
    // MiniMax-01's configs may have the early name too, and no `scoring_func`.
    accepts: isM2
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config)
    try refuseOtherKinds(config, layers: common.layers)
    let rotary = try config.rotary(
      headDim: common.headDim, dimsKey: "rotary_dim", theta: 5_000_000, factor: 0.5)
    let attention = common.attention(rotary: rotary, queryKeyNorm: .perLayer)
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts",
      .init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true))
    let predictionLayers =
      config["use_mtp"] == true
      ? try config.integer("num_mtp_modules", 0...64, or: 0)
        * config.integer("mtp_transformer_layers", 0...64, or: 1) : 0
    return try common.blueprint(predictionLayers: predictionLayers) { _ in (attention, experts) }
  }

  private static func isM2(_ config: Config) -> Bool {
    config["model_type"] != "minimax" || config["scoring_func"] != nil
  }

  /// Refuses what the config may ask for and this family's forward pass does not do. What is missing is the class's default.
  private static func refuseOtherKinds(_ config: Config, layers: Int) throws(FormatError) {
    try config.require("scoring_func", ["sigmoid"], missing: true)
    try config.require("use_routing_bias", [true], missing: true)
    try config.require("use_qk_norm", [true], missing: true)
    try config.require("qk_norm_type", ["per_layer"], missing: true)
    try config.require("shared_intermediate_size", [0], missing: true)
    try config.require("attention_bias", [false], missing: true)
    for key in ["sliding_window", "n_group", "topk_group"] {
      if let value = config[key], value != 1 { throw config.error(key, "null", found: value.kind) }
    }
    if let types = config["attn_type_list"] {
      guard let list = types.array, list.count == layers, list.allSatisfy({ $0 == 1 }) else {
        throw config.error(
          "attn_type_list", "\(layers) times 1, full attention in every layer",
          found: types.kind
            + (types.array.flatMap { $0.first { $0 != 1 } }.map { " with \($0.text())" } ?? ""))
      }
    }
  }
}
