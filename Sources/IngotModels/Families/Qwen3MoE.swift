import IngotSystem
import IngotTensors

extension Family {
  /// Qwen3's mixtures of experts: attention as in Qwen3, softmax router, dense layers where the config has them.
  ///
  /// Source: transformers' `qwen3_moe`.
  public static let qwen3MoE = Family(
    name: "qwen3-moe",
    modelTypes: ["qwen3_moe"],
    classNames: ["Qwen3MoeForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.expertsOfMLP),
    config: ConfigSpelling(
      constants: [
        "hidden_act": "silu", "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
      ]),
    llamaCpp: LlamaCppGraph(
      "qwen3moe", routing: .init(scoring: .softmax, normalizesWeights: true)),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 4, context: 32_768))
    let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
    let bias = try config.flag("attention_bias", or: false)
    // Without layer_types and max_window_layers all layers have the window.
    let windows = try qwenWindows(common, first: 0)
    let experts = try common.mixture(
      width: try config.positive("moe_intermediate_size", or: 768), countKey: "num_experts", count: 128,
      perToken: 8,
      .init(scoring: .softmax, normalizesWeights: try config.flag("norm_topk_prob", or: false)))
    let isMixture = try common.mixtureLayers()
    let mlp =
      (0..<common.layers).allSatisfy(isMixture)
      ? nil : common.mlp(try config.positive("intermediate_size", or: 6144))
    return try common.blueprint { layer in
      let attention = common.attention(
        rotary: rotary, queryKeyNorm: .perHead, hasInputBias: bias, hasOutputBias: bias,
        window: windows[layer])
      if isMixture(layer) { return (attention, experts) }
      return (attention, mlp!)
    }
  }
}
