import IngotSystem
import IngotTensors

extension Family {
  /// Qwen2 and Qwen2.5's dense models: Llama's layers with biases of query, key and value.
  ///
  /// Source: transformers' `qwen2`.
  public static let qwen2 = Family(
    name: "qwen2",
    modelTypes: ["qwen2"],
    classNames: ["Qwen2ForCausalLM"],
    names: .llama,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    llamaCpp: LlamaCppGraph("qwen2", biases: [.queryBias, .keyBias, .valueBias]),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 32, context: 32_768))
    let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
    let windows = try qwenWindows(common)
    let mlp = common.mlp(try config.positive("intermediate_size"))
    return try common.blueprint { layer in
      (common.attention(rotary: rotary, hasInputBias: true, window: windows[layer]), mlp)
    }
  }
}
