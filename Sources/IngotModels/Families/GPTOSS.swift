import IngotSystem
import IngotTensors

extension Family {
  /// gpt-oss 20b and 120b: attention with sinks and biases, a window on every second layer, experts with biases and a clamped
  /// activation, whose gate and up take turns in one stored stack.
  ///
  /// Source: transformers' `gpt_oss`.
  public static let gptOSS = Family(
    name: "gpt-oss",
    modelTypes: ["gpt_oss"],
    classNames: ["GptOssForCausalLM"],
    names: TensorNames.llama.adding([
      (.router, "model.layers.#.mlp.router.weight"),
      (.routerLogitBias, "model.layers.#.mlp.router.bias"),
      (.gate, "model.layers.#.mlp.experts.#.gate_proj.weight"),
      (.up, "model.layers.#.mlp.experts.#.up_proj.weight"),
      (.down, "model.layers.#.mlp.experts.#.down_proj.weight"),
      (.gateBias, "model.layers.#.mlp.experts.#.gate_proj.bias"),
      (.upBias, "model.layers.#.mlp.experts.#.up_proj.bias"),
      (.downBias, "model.layers.#.mlp.experts.#.down_proj.bias"),
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size",
      constants: ["hidden_act": "silu", "attention_bias": true]),
    llamaCpp: LlamaCppGraph(
      "gpt-oss", names: [.feedForwardNorm: "blk.#.post_attention_norm.weight"],
      routing: .init(scoring: .softmax, hasLogitBias: true, normalizesWeights: true),
      tiesHead: false,
      biases: [
        .queryBias, .keyBias, .valueBias, .attentionOutputBias, .gateBias, .upBias, .downBias,
      ], windows: .init(period: 2), keepsYaRNBounds: true),
    fusedNames: [
      "mlp.experts.gate_up_proj": FusedName(
        [.gate, .up], isStack: true, isInterleaved: true, isTransposed: true),
      "mlp.experts.down_proj": FusedName([.down], isStack: true, isTransposed: true),
      "mlp.experts.gate_up_proj_bias": FusedName([.gateBias, .upBias], isStack: true, isInterleaved: true),
      "mlp.experts.down_proj_bias": FusedName([.downBias], isStack: true),
    ],
    mlx: MLXClass(experts: "mlp.experts"),
    hasEngineNames: false, stacks: "mlp", readsMXFP4: true
  ) { config throws(FormatError) in
    var common = try DecoderConfig(
      config, .init(keyValueHeads: 8, headDim: 64, normEpsilon: 1e-5, context: 131_072))
    common.activation = .clampedSwiGLU(
      alpha: Float(try config.positiveNumber("swiglu_alpha", or: 1.702)),
      limit: Float(try config.positiveNumber("swiglu_limit", or: 7)))
    let bias = try config.flag("attention_bias", or: true)
    let windows = try common.windows(try config.window(or: 128)) { $0 % 2 == 0 }
    let rotary = try config.rotary(headDim: common.headDim, theta: 150_000)
    var experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts",
      perToken: try config.integer("experts_per_token", 1...65_536, or: 4),
      Mixture.Routing(scoring: .softmax, hasLogitBias: true, normalizesWeights: true))
    experts.hasBias = true
    return try common.blueprint { layer in
      var attention = common.attention(
        rotary: rotary, hasInputBias: bias, hasOutputBias: bias, window: windows[layer])
      attention.hasSinks = true
      return (attention, experts)
    }
  }
}
