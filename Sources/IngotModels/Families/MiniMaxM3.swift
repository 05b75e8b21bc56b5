import IngotSystem
import IngotTensors

extension Family {
  /// MiniMax-M3's text model: norms of (1 + w), an indexer that chooses blocks of keys, a sigmoid router with a correction bias,
  /// a shared expert, a clamped activation everywhere.
  ///
  /// Source: transformers' `minimax_m3_vl`, and the keys of the released configs.
  public static let miniMaxM3 = Family(
    name: "minimax-m3",
    modelTypes: ["minimax_m3_vl", "minimax_m3_vl_text", "minimax_m3"],
    classNames: ["MiniMaxM3SparseForConditionalGeneration"],
    names: TensorNames.llama.adding(TensorNames.sparseExperts).adding([
      (.routerBias, "model.layers.#.block_sparse_moe.e_score_correction_bias"),
      (.sharedGate, "model.layers.#.block_sparse_moe.shared_experts.gate_proj.weight"),
      (.sharedUp, "model.layers.#.block_sparse_moe.shared_experts.up_proj.weight"),
      (.sharedDown, "model.layers.#.block_sparse_moe.shared_experts.down_proj.weight"),
      (.indexerQuery, "model.layers.#.self_attn.index_q_proj.weight"),
      (.indexerKey, "model.layers.#.self_attn.index_k_proj.weight"),
      (.indexerQueryNorm, "model.layers.#.self_attn.index_q_norm.weight"),
      (.indexerKeyNorm, "model.layers.#.self_attn.index_k_norm.weight"),
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size", rotatedDims: "rotary_dim",
      constants: ["hidden_act": "swigluoai"], denseWidth: "dense_intermediate_size",
      sharedWidth: "shared_intermediate_size", feedForwardKinds: "mlp_layer_types",
      textType: "minimax_m3_vl_text"),
    llamaCpp: LlamaCppGraph(
      "minimax-m3",
      names: [
        .indexerQuery: "blk.#.indexer.q_proj.weight", .indexerKey: "blk.#.indexer.k_proj.weight",
        .indexerQueryNorm: "blk.#.indexer.q_norm.weight", .indexerKeyNorm: "blk.#.indexer.k_norm.weight",
      ],
      routing: .init(scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true),
      namesRouting: true, tiesHead: false,
      mixture: .init(hasDenseLayers: true, namesNormalization: true, namesScale: true, shared: .plain),
      indexers: .blocks),
    mlx: MLXClass(
      nestedTypes: ["minimax_m3_vl", "minimax_m3_vl_text", "minimax_m3"],
      typeNames: ["minimax_m3_vl_text": "minimax_m3_vl", "minimax_m3": "minimax_m3_vl"])
  ) { config throws(FormatError) in
    var common = try DecoderConfig(
      config, .init(keyValueHeads: 4, activation: (nil, .silu), normAddsOne: true))
    try config.require("hidden_act", ["silu", "swigluoai"], missing: true)
    let fixed: JSONObject = [
      "use_gemma_norm": true, "use_qk_norm": true, "qk_norm_type": "per_head", "scoring_func": "sigmoid",
      "use_routing_bias": true,
    ]
    for (key, value) in fixed { try config.require(key, [value], missing: true) }
    common.activation = .clampedSwiGLU(
      alpha: Float(try config.positiveNumber("swiglu_alpha", or: 1.702)),
      limit: Float(try config.positiveNumber("swiglu_limit", or: 7)))
    let rotary = try config.rotary(
      headDim: common.headDim, dimsKey: "rotary_dim", theta: 5_000_000, factor: 0.5)
    let attention = common.attention(rotary: rotary, queryKeyNorm: .perHead)
    let sparse = config["sparse_attention_config"].flatMap(\.object).map { config.replacing($0) } ?? config
    let isSparse = try common.layers(
      config, "layer_types", "minimax_m3_sparse", or: (sparse, "sparse_attention_freq"))
    var indexed = attention
    if isSparse.contains(true) {
      func size(_ key: String, _ released: String, _ fallback: Int) throws(FormatError) -> Int {
        try sparse.positive(config[key] == nil ? released : key, or: fallback)
      }
      indexed.indexer = BlockIndexer(
        heads: try size("index_n_heads", "sparse_num_index_heads", 4),
        dim: try size("index_head_dim", "sparse_index_dim", 128),
        blockSize: try size("index_block_size", "sparse_block_size", 128),
        kept: try size("index_topk_blocks", "sparse_topk_blocks", 16),
        localBlocks: try size("index_local_blocks", "sparse_local_block", 1))
      guard common.keyValueHeads % indexed.indexer!.heads == 0, rotary.dims <= indexed.indexer!.dim else {
        throw config.error(
          "index_n_heads",
          "a divisor of \(common.keyValueHeads) key-value heads, of at least \(rotary.dims) dimensions",
          found: "\(indexed.indexer!.heads) of \(indexed.indexer!.dim)")
      }
    }
    let shared = try config.integer("shared_intermediate_size", 0...Config.limit, or: 0)
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts", count: 128, perToken: 4,
      shared: shared == 0 ? nil : SharedMLP(count: 1, intermediateSize: shared),
      .init(
        scoring: .sigmoid, hasCorrectionBias: true, normalizesWeights: true,
        scale: Float(try config.positiveNumber("routed_scaling_factor", or: 2))))
    let isMixture = try common.layers(config, "mlp_layer_types", "sparse", or: (config, "moe_layer_freq"))
    let mlp = isMixture.contains(false) ? common.mlp(try config.positive("dense_intermediate_size")) : nil
    return try common.blueprint { [attention, indexed] layer in
      let mixer = isSparse[layer] ? indexed : attention
      if !isMixture[layer], let mlp { return (mixer, mlp) }
      return (mixer, experts)
    }
  }
}

extension DecoderConfig {
  /// Which layers are of a kind: by a list of names, or by one of 0 and 1.
  fileprivate func layers(_ config: Config, _ key: String, _ name: String, or other: (Config, String))
    throws(FormatError) -> [Bool]
  {
    let isNamed = config[key] != nil
    let (place, key) = isNamed ? (config, key) : other
    guard let list = place[key]?.array, list.count == layers,
      list.allSatisfy({ isNamed ? $0.string != nil : $0 == 0 || $0 == 1 })
    else {
      throw config.error(
        key, "a list of \(layers) \(isNamed ? "names" : "times 0 or 1")",
        found: place[key]?.kind ?? "no such key")
    }
    return list.map { isNamed ? $0.string == name : $0 == 1 }
  }
}
