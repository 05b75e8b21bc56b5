import IngotSystem
import IngotTensors

extension Family {
  /// Mistral 7B and what is built like it: Llama's layers, with a sliding window where the config has one.
  ///
  /// Source: transformers' `mistral`.
  public static let mistral = Family(
    name: "mistral",
    modelTypes: ["mistral"],
    classNames: ["MistralForCausalLM"],
    names: .llama,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    llamaCpp: LlamaCppGraph("llama", pairing: .interleaved, hasWindow: true),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 8, context: 131_072))
    // A config without the key has the class's window; null is none.
    let window = try config.window(or: 4096)
    let windows = try common.windows(window) { _ in true }
    let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
    let mlp = common.mlp(try config.positive("intermediate_size"))
    return try common.blueprint { layer in (common.attention(rotary: rotary, window: windows[layer]), mlp) }
  }
}
