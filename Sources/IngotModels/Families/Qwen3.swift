import IngotSystem
import IngotTensors

extension Family {
  /// Qwen3's dense models: RMSNorm of each query and key head.
  ///
  /// Source: transformers' `qwen3`.
  public static let qwen3 = Family(
    name: "qwen3",
    modelTypes: ["qwen3"],
    classNames: ["Qwen3ForCausalLM"],
    names: .llama,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    llamaCpp: LlamaCppGraph("qwen3"),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 32, headDim: 128, context: 32_768))
    let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
    let bias = try config.flag("attention_bias", or: false)
    let windows = try qwenWindows(common)
    let mlp = common.mlp(try config.positive("intermediate_size"))
    return try common.blueprint { layer in
      (
        common.attention(
          rotary: rotary, queryKeyNorm: .perHead, hasInputBias: bias, hasOutputBias: bias,
          window: windows[layer]), mlp
      )
    }
  }

  /// Windows of Qwen's models: with `use_sliding_window`, layers from `max_window_layers` on have one.
  static func qwenWindows(_ common: DecoderConfig, first usual: Int = 28) throws(FormatError) -> [Int?] {
    let config = common.config
    guard try config.flag("use_sliding_window", or: false) else {
      return try common.windows(nil) { _ in false }
    }
    let first = try config.integer("max_window_layers", 0...10_000, or: usual)
    return try common.windows(try config.window(or: 4096)) { $0 >= first }
  }
}
