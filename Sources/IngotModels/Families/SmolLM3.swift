import IngotSystem
import IngotTensors

extension Family {
  /// SmolLM3: Llama's layers, of which every fourth does not rotate; those may have a window.
  ///
  /// Source: transformers' `smollm3`.
  public static let smolLM3 = Family(
    name: "smollm3",
    modelTypes: ["smollm3"],
    classNames: ["SmolLM3ForCausalLM"],
    names: .llama,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 4, context: 32_768, isHeadTied: true))
    let rotary = try config.rotary(headDim: common.headDim, theta: 2_000_000)
    let hasRotation = try common.rotatedLayers()
    let hasWindows = try config.flag("use_sliding_window", or: false)
    let windows = try common.windows(hasWindows ? try config.window() : nil) { !hasRotation[$0] }
    let bias = try config.flag("attention_bias", or: false)
    let mlp = common.mlp(
      try config.positive("intermediate_size"), hasBias: try config.flag("mlp_bias", or: false))
    return try common.blueprint { layer in
      (
        common.attention(
          rotary: hasRotation[layer] ? rotary : nil, hasInputBias: bias, hasOutputBias: bias,
          window: windows[layer]), mlp
      )
    }
  }
}
