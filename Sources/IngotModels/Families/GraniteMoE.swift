import IngotSystem
import IngotTensors

extension Family {
  /// Granite 3's mixtures of experts: factors on embedding, scores, residuals and logits.
  ///
  /// Source: transformers' `granitemoe`.
  public static let graniteMoE = Family(
    name: "granite-moe",
    modelTypes: ["granitemoe"],
    classNames: ["GraniteMoeForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.expertsOfMLP).adding([
      (.router, "model.layers.#.block_sparse_moe.router.layer.weight")
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size", constants: ["hidden_act": "silu"]),
    llamaCpp: LlamaCppGraph(
      "granitemoe", pairing: .interleaved, routing: .init(scoring: .softmax, normalizesWeights: true),
      factors: .keys),
    fusedNames: [
      "mlp.input_linear.weight": FusedName([.gate, .up], isStack: true, isTransposed: false),
      "mlp.output_linear.weight": FusedName([.down], isStack: true, isTransposed: false),
    ],
    mlx: MLXClass(
      experts: "block_sparse_moe.switch_mlp",
      constants: [
        "attention_bias": false, "logits_scaling": 1, "attention_multiplier": 1, "embedding_multiplier": 1,
        "residual_multiplier": 1,
      ]),
    hasEngineNames: false, stacks: "block_sparse_moe"
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(context: 2048))
    func factor(_ key: String) throws(FormatError) -> Float {
      Float(try config.positiveNumber(key, or: 1))
    }
    let bias = try config.flag("attention_bias", or: false)
    var attention = common.attention(
      rotary: try config.rotary(headDim: common.headDim, theta: 10_000), hasInputBias: bias,
      hasOutputBias: bias)
    attention.scale = try factor("attention_multiplier")
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts", count: 8, perToken: 2,
      .init(scoring: .softmax, normalizesWeights: true))
    let residual = Residual(scale: try factor("residual_multiplier"))
    return try common.blueprint(
      embeddingScale: try factor("embedding_multiplier"), logitScale: 1 / (try factor("logits_scaling")),
      residuals: { _ in (residual, residual) }
    ) { [attention] _ in (attention, experts) }
  }
}
