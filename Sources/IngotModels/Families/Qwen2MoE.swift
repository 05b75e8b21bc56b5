import IngotSystem
import IngotTensors

extension TensorNames {
  /// A shared expert with a gate, as Qwen has it.
  static let gatedSharedExpert: [(TensorKind, String)] = [
    (.sharedGate, "model.layers.#.mlp.shared_expert.gate_proj.weight"),
    (.sharedUp, "model.layers.#.mlp.shared_expert.up_proj.weight"),
    (.sharedDown, "model.layers.#.mlp.shared_expert.down_proj.weight"),
    (.sharedRouter, "model.layers.#.mlp.shared_expert_gate.weight"),
  ]
}

extension Family {
  /// Qwen1.5-MoE and Qwen2-57B-A14B: Qwen2's attention, softmax router, a shared expert behind a gate.
  ///
  /// Source: transformers' `qwen2_moe`.
  public static let qwen2MoE = Family(
    name: "qwen2-moe",
    modelTypes: ["qwen2_moe"],
    classNames: ["Qwen2MoeForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.expertsOfMLP).adding(TensorNames.gatedSharedExpert),
    config: ConfigSpelling(
      constants: [
        "hidden_act": "silu", "norm_topk_prob": false, "decoder_sparse_step": 1, "mlp_only_layers": [],
      ], inputBias: "qkv_bias"),
    llamaCpp: LlamaCppGraph(
      "qwen2moe", routing: .init(scoring: .softmax, normalizesWeights: false), tiesHead: false,
      biases: [.queryBias, .keyBias, .valueBias], heads: .filling, mixture: .init(shared: .gated)),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 16, context: 32_768))
    let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
    let bias = try config.flag("qkv_bias", or: true)
    let windows = try qwenWindows(common, first: 28)
    let feedForward = try common.qwenFeedForward(
      normalizes: try config.flag("norm_topk_prob", or: false), count: 60, perToken: 4)
    return try common.blueprint { layer in
      (common.attention(rotary: rotary, hasInputBias: bias, window: windows[layer]), feedForward(layer))
    }
  }
}

extension DecoderConfig {
  /// Qwen's mixtures beside a gated shared expert, and dense layers where the config has them.
  func qwenFeedForward(normalizes: Bool, count: Int, perToken: Int) throws(FormatError) -> (Int) ->
    any FeedForward
  {
    let shared = try config.integer("shared_expert_intermediate_size", 0...Config.limit, or: 0)
    let experts = try mixture(
      width: try config.positive("moe_intermediate_size"), countKey: "num_experts", count: count,
      perToken: perToken,
      shared: shared == 0 ? nil : SharedMLP(count: 1, intermediateSize: shared, isGated: true),
      .init(scoring: .softmax, normalizesWeights: normalizes))
    let isMixture = try mixtureLayers()
    let mlp = (0..<layers).allSatisfy(isMixture) ? nil : self.mlp(try config.positive("intermediate_size"))
    return { layer in
      if !isMixture(layer), let mlp { return mlp }
      return experts
    }
  }

  /// Which layers are mixtures by `decoder_sparse_step` and `mlp_only_layers`.
  func mixtureLayers() throws(FormatError) -> (Int) -> Bool {
    let step = try config.integer("decoder_sparse_step", 0...10_000, or: 1)
    var dense = Set<Int>()
    if let list = config["mlp_only_layers"] {
      guard let layers = list.array, layers.allSatisfy({ $0.int != nil }) else {
        throw config.error("mlp_only_layers", "a list of layers", found: list.kind)
      }
      dense = Set(layers.compactMap(\.int))
    }
    return { layer in step > 0 && !dense.contains(layer) && (layer + 1) % step == 0 }
  }
}
