import IngotSystem
import IngotTensors

extension Family {
  /// Llama 1 to 3.3 and what is built like them (SmolLM, TinyLlama, Yi): grouped-query attention and gated MLPs.
  ///
  /// Source: transformers' `llama`.
  public static let llama = Family(
    name: "llama",
    modelTypes: ["llama"],
    classNames: ["LlamaForCausalLM"],
    names: .llama,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    llamaCpp: LlamaCppGraph(
      "llama", pairing: .interleaved,
      biases: [
        .queryBias, .keyBias, .valueBias, .attentionOutputBias, .gateBias, .upBias, .downBias,
      ]),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(context: 2048))
    let bias = try config.flag("attention_bias", or: false)
    let attention = common.attention(
      rotary: try config.rotary(headDim: common.headDim, theta: 10_000), hasInputBias: bias,
      hasOutputBias: bias)
    let mlp = common.mlp(
      try config.positive("intermediate_size"), hasBias: try config.flag("mlp_bias", or: false))
    return try common.blueprint { _ in (attention, mlp) }
  }
}
