import IngotSystem
import IngotTensors

extension Family {
  /// OLMoE: one norm over all query heads and one over all key heads, softmax router.
  ///
  /// Source: transformers' `olmoe`.
  public static let olmoe = Family(
    name: "olmoe",
    modelTypes: ["olmoe"],
    classNames: ["OlmoeForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.expertsOfMLP),
    config: ConfigSpelling(
      expertWidth: "intermediate_size", constants: ["hidden_act": "silu", "norm_topk_prob": false]),
    llamaCpp: LlamaCppGraph(
      "olmoe", routing: .init(scoring: .softmax, normalizesWeights: false), tiesHead: false, heads: .equal),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(normEpsilon: 1e-5, context: 4096))
    if let clip = config["clip_qkv"] {
      throw config.error("clip_qkv", "null, values of queries and keys as they are", found: clip.text())
    }
    let bias = try config.flag("attention_bias", or: false)
    let attention = common.attention(
      rotary: try config.rotary(headDim: common.headDim, theta: 10_000), queryKeyNorm: .perLayer,
      hasInputBias: bias, hasOutputBias: bias)
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_experts", count: 64, perToken: 8,
      .init(scoring: .softmax, normalizesWeights: try config.flag("norm_topk_prob", or: false)))
    return try common.blueprint { _ in (attention, experts) }
  }
}
