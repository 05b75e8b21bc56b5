import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension TensorNames {
  /// Norms before and behind each block.
  static let gemma = TensorNames.llama.adding([
    (.attentionOutputNorm, "model.layers.#.post_attention_layernorm.weight"),
    (.feedForwardNorm, "model.layers.#.pre_feedforward_layernorm.weight"),
    (.feedForwardOutputNorm, "model.layers.#.post_feedforward_layernorm.weight"),
  ])
}

extension Family.LlamaCppGraph {
  /// Names of the norms behind blocks.
  static let gemmaNames: [TensorKind: String] = [
    .attentionOutputNorm: "blk.#.post_attention_norm.weight",
    .feedForwardOutputNorm: "blk.#.post_ffw_norm.weight",
  ]
}

extension Family {
  /// Gemma 2: norms of (1 + w) before and behind each block, soft caps, a window on every second layer.
  ///
  /// Source: transformers' `gemma2`.
  public static let gemma2 = Family(
    name: "gemma2",
    modelTypes: ["gemma2"],
    classNames: ["Gemma2ForCausalLM"],
    names: .gemma,
    config: ConfigSpelling(constants: ["hidden_activation": "gelu_pytorch_tanh"]),
    llamaCpp: LlamaCppGraph(
      "gemma2", names: LlamaCppGraph.gemmaNames, factors: .gemma(broadLayers: 46),
      softcaps: .init(scores: .always(50), logits: .always(30)),
      windows: .init(period: 2, usual: 4096)),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(
      config,
      .init(
        keyValueHeads: 4, headDim: 256, context: 8192, isHeadTied: true,
        activation: ("hidden_activation", .geluTanh), normAddsOne: true))
    let windows = try common.windows(try config.window(or: 4096)) { ($0 + 1) % 2 != 0 }
    let rotary = try config.rotary(headDim: common.headDim, theta: 10_000)
    let cap = try config.softcap("attn_logit_softcapping", or: 50)
    return try common.gemma(
      logitSoftcap: try config.softcap("final_logit_softcapping", or: 30)
    ) { layer in
      var attention = common.attention(rotary: rotary, window: windows[layer])
      attention.softcap = cap
      return attention
    }
  }

  /// Gemma 3: as Gemma 2 with norms of queries and keys instead of soft caps; one layer in six sees everything, by another
  /// rotation. Of checkpoints with a vision model, the text model.
  ///
  /// Source: transformers' `gemma3_text`, `gemma3`.
  public static let gemma3 = Family(
    name: "gemma3",
    modelTypes: ["gemma3_text", "gemma3"],
    classNames: ["Gemma3ForCausalLM"],
    names: .gemma,
    config: ConfigSpelling(constants: ["hidden_activation": "gelu_pytorch_tanh"]),
    llamaCpp: LlamaCppGraph(
      "gemma3", names: LlamaCppGraph.gemmaNames, factors: .gemma(broadLayers: 62),
      softcaps: .init(logits: .optional), windows: .init(period: 6, hasOwnRotation: true)),
    mlx: MLXClass(nestedTypes: ["gemma3"], hasWindowPattern: true)
  ) { config throws(FormatError) in
    let common = try DecoderConfig(
      config,
      .init(
        keyValueHeads: 4, headDim: 256, context: 131_072, isHeadTied: true,
        activation: ("hidden_activation", .geluTanh), normAddsOne: true))
    let pattern = try config.integer("sliding_window_pattern", 1...10_000, or: 6)
    let windows = try common.windows(try config.window(or: 4096)) { ($0 + 1) % pattern != 0 }
    let local = try config.ropeOfLayers("sliding_attention", localBase: ("rope_local_base_freq", 10_000))
      .rotary(headDim: common.headDim, theta: 10_000)
    let global = try config.ropeOfLayers("full_attention").rotary(headDim: common.headDim, theta: 1_000_000)
    let cap = try config.softcap("attn_logit_softcapping")
    return try common.gemma(logitSoftcap: try config.softcap("final_logit_softcapping")) { layer in
      var attention = common.attention(
        rotary: windows[layer] == nil ? global : local, queryKeyNorm: .perHead, window: windows[layer])
      attention.softcap = cap
      return attention
    }
  }
}

extension DecoderConfig {
  /// Layers with norms behind blocks, and an embedding that is multiplied by the square root of its width.
  fileprivate func gemma(
    logitSoftcap: Float?, _ attention: (Int) throws(FormatError) -> GroupedQueryAttention
  ) throws(FormatError) -> Blueprint {
    let bias = try config.flag("attention_bias", or: false)
    try config.require("use_bidirectional_attention", [false], missing: true)
    let scalar = try config.positiveNumber("query_pre_attn_scalar", or: 256)
    let mlp = mlp(try config.positive("intermediate_size"))
    let residual = Residual(outputNorm: norm)
    let residuals = { (_: Int) in (mixer: residual, feedForward: residual) }
    return try blueprint(
      embeddingScale: Float(hidden).squareRoot(), logitSoftcap: logitSoftcap,
      residuals: residuals
    ) { layer throws(FormatError) in
      var attention = try attention(layer)
      attention.scale = Float(1 / scalar.squareRoot())
      (attention.hasInputBias, attention.hasOutputBias) = (bias, bias)
      return (attention, mlp)
    }
  }
}

extension Config {
  /// A soft cap: null or a missing key that has no default is none.
  func softcap(_ key: String, or fallback: Double? = nil) throws(FormatError) -> Float? {
    guard let value = object[key] else { return fallback.map { Float($0) } }
    return value.isNull ? nil : Float(try positiveNumber(key))
  }
}
