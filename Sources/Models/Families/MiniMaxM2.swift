import Tensors

extension Architecture {
  /// MiniMax-M2, M2.1, M2.5 and M2.7: full attention with one RMSNorm over all query heads and one over all
  /// key heads, partial rotation, sigmoid router with a correction bias, no shared expert.
  ///
  /// Source: the released config.json keys and transformers' `minimax_m2`.
  public static let miniMaxM2 = Architecture(
    name: "minimax-m2",
    modelTypes: ["minimax_m2", "minimax"],
    classNames: ["MiniMaxM2ForCausalLM"],
    names: [
      .embedding: "model.embed_tokens.weight",
      .attentionNorm: "model.layers.#.input_layernorm.weight",
      .query: "model.layers.#.self_attn.q_proj.weight",
      .key: "model.layers.#.self_attn.k_proj.weight",
      .value: "model.layers.#.self_attn.v_proj.weight",
      .attentionOutput: "model.layers.#.self_attn.o_proj.weight",
      .queryNorm: "model.layers.#.self_attn.q_norm.weight",
      .keyNorm: "model.layers.#.self_attn.k_norm.weight",
      .feedForwardNorm: "model.layers.#.post_attention_layernorm.weight",
      .router: "model.layers.#.block_sparse_moe.gate.weight",
      .routerBias: "model.layers.#.block_sparse_moe.e_score_correction_bias",
      .gate: "model.layers.#.block_sparse_moe.experts.#.w1.weight",
      .up: "model.layers.#.block_sparse_moe.experts.#.w3.weight",
      .down: "model.layers.#.block_sparse_moe.experts.#.w2.weight",
      .finalNorm: "model.norm.weight",
      .head: "lm_head.weight",
    ],
    exactParts: [
      .attentionNorm, .queryNorm, .keyNorm, .feedForwardNorm, .router, .routerBias, .finalNorm,
      .auxiliary, .unknown,
    ],
    expertCountKey: "num_local_experts",
    shape: { part, numbers in
      let attention = numbers.attention
      let queries = attention.heads * attention.headDim
      let keys = attention.keyValueHeads * attention.headDim
      return switch part {
      case .embedding, .head: [numbers.vocabulary, numbers.hiddenSize]
      case .finalNorm, .attentionNorm, .feedForwardNorm: [numbers.hiddenSize]
      case .query: [queries, numbers.hiddenSize]
      case .key, .value: [keys, numbers.hiddenSize]
      case .attentionOutput: [numbers.hiddenSize, queries]
      case .queryNorm: [queries]
      case .keyNorm: [keys]
      case .router: [numbers.experts.count, numbers.hiddenSize]
      case .routerBias: [numbers.experts.count]
      case .gate, .up: [numbers.experts.width, numbers.hiddenSize]
      case .down: [numbers.hiddenSize, numbers.experts.width]
      case .auxiliary, .unknown: []
      }
    },
    hyperparameters: { config throws(FormatError) in
      let layers = try config.integer("num_hidden_layers", 1...10_000)
      let hidden = try config.positive("hidden_size")
      let heads = try config.integer("num_attention_heads", 1...65_536)
      let headDim = try config.integer("head_dim", 1...65_536, or: hidden / heads)
      let keyValueHeads = try config.integer("num_key_value_heads", 1...65_536, or: heads)
      guard heads % keyValueHeads == 0 else {
        throw config.error("num_key_value_heads", "a divisor of \(heads) heads", found: "\(keyValueHeads)")
      }
      let experts = try config.integer("num_local_experts", 1...65_536)
      let active = try config.integer("num_experts_per_tok", 1...experts)
      try refuseOtherKinds(config, layers: layers)
      let rotary = try rotation(config, headDim: headDim)
      return Hyperparameters(
        layers: layers, hiddenSize: hidden, vocabulary: try config.positive("vocab_size"),
        contextLength: try config.integer("max_position_embeddings", 1...1 << 40),
        normEpsilon: Float(try config.positiveNumber("rms_norm_eps")),
        attention: .init(
          heads: heads, keyValueHeads: keyValueHeads, headDim: headDim, slidingWindow: nil,
          queryKeyNorm: config["use_qk_norm"] == false ? .none : .perLayer,
          rotaryDims: rotary.dims, ropeTheta: rotary.theta),
        experts: .init(
          count: experts, active: active, width: try config.positive("intermediate_size"), shared: 0,
          correctionBias: true),
        predictionModules: config["use_mtp"] == true
          ? try config.integer("num_mtp_modules", 0...64, or: 0)
            * config.integer("mtp_transformer_layers", 0...64, or: 1) : 0)
    })

  /// Refuses what the config may ask for and this family's forward pass does not do.
  private static func refuseOtherKinds(_ config: Config, layers: Int) throws(FormatError) {
    try config.require("hidden_act", ["silu"], missing: true)
    try config.require("scoring_func", ["sigmoid"])
    try config.require("use_routing_bias", [true])
    try config.require("use_qk_norm", [true])
    try config.require("qk_norm_type", ["per_layer"])
    try config.require("shared_intermediate_size", [0], missing: true)
    try config.require("tie_word_embeddings", [false], missing: true)
    try config.require("attention_bias", [false], missing: true)
    for key in ["sliding_window", "rope_scaling", "n_group", "topk_group"] {
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

  /// Rotated dimensions and base: `rotary_dim` and `rope_theta`, or newer writers' `rope_parameters`.
  private static func rotation(_ config: Config, headDim: Int) throws(FormatError) -> (
    dims: Int, theta: Double
  ) {
    var dims = config["rotary_dim"] != nil ? try config.positive("rotary_dim") : nil
    var theta = config["rope_theta"] != nil ? try config.positiveNumber("rope_theta") : nil
    if let parameters = config["rope_parameters"] {
      let type = parameters["rope_type"] ?? "default"
      guard parameters.object != nil, type == "default" else {
        throw config.error("rope_parameters", "rope_type \"default\"", found: type.kind)
      }
      theta = theta ?? parameters["rope_theta"]?.double
      if dims == nil, let factor = parameters["partial_rotary_factor"]?.double, factor > 0, factor <= 1 {
        dims = Int((Double(headDim) * factor).rounded())
      }
    }
    guard let dims else { throw config.error("rotary_dim", "an integer", found: "no such key") }
    guard let theta, theta > 0, theta.isFinite else {
      throw config.error("rope_theta", "a positive number", found: "no such key")
    }
    guard dims % 2 == 0, dims <= headDim else {
      throw config.error("rotary_dim", "an even number of at most head_dim \(headDim)", found: "\(dims)")
    }
    return (dims, theta)
  }
}
