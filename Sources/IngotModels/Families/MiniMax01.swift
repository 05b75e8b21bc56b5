import IngotSystem
import IngotTensors

extension Family {
  /// MiniMax-Text-01 and M1: lightning attention on most layers and softmax attention on every eighth, mixtures of experts; what
  /// blocks give is added to the norm's output, not to the stream before it.
  ///
  /// Source: transformers' `minimax`, and the keys of the released configs (`minimax_text_01`, `minimax_m1`).
  public static let miniMax01 = Family(
    name: "minimax-01",
    modelTypes: ["minimax", "minimax_text_01", "minimax_m1", "MiniMaxText01", "MiniMaxM1"],
    classNames: ["MiniMaxForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.sparseExperts).adding([
      (.lightningQKV, "model.layers.#.self_attn.qkv_proj.weight"),
      (.lightningGate, "model.layers.#.self_attn.output_gate.weight"),
      (.lightningNorm, "model.layers.#.self_attn.norm.weight"),
      (.lightningOutput, "model.layers.#.self_attn.out_proj.weight"),
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size", rotatedDims: "rotary_dim",
      constants: ["hidden_act": "silu"], textType: "minimax_text_01"),
    llamaCpp: LlamaCppGraph(
      "minimax-01", routing: .init(scoring: .softmax, normalizesWeights: true), factors: .norms),
    // The early name of MiniMax-M2 is the same; its configs have a `scoring_func`.
    accepts: lacksScoringFunction
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 8, normEpsilon: 1e-5, context: 10_240_000))
    try config.require("shared_intermediate_size", [0], missing: true)
    try config.require("postnorm", [true], missing: true)
    let isFull = try common.miniMaxAttention()
    // transformers' class rotates whole heads; released configs say how many dimensions.
    let rotary = try config.rotary(headDim: common.headDim, dimsKey: "rotary_dim", theta: 1_000_000)
    let windows = try config.window()
    let attention = common.attention(rotary: rotary, window: windows)
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts", count: 8, perToken: 2,
      .init(scoring: .softmax, normalizesWeights: true))
    func residual(_ released: String, _ converted: String) throws(FormatError) -> Residual {
      func factor(_ name: String) throws(FormatError) -> Float {
        let key = "\(converted)_\(name)_factor"
        return Float(
          try config[key] != nil
            ? config.positiveNumber(key) : config.positiveNumber("layernorm_\(released)_\(name)", or: 1))
      }
      return Residual(scale: try factor("beta"), normScale: try factor("alpha"))
    }
    let full = try residual("full_attention", "full_attn")
    let linear = try residual("linear_attention", "linear_attn")
    let mlp = try residual("mlp", "mlp")
    return try common.blueprint(residuals: { (isFull[$0] ? full : linear, mlp) }) { layer in
      if isFull[layer] { return (attention, experts) }
      let lightning = LightningAttention(
        hiddenSize: common.hidden, heads: common.heads, headDim: common.headDim, layer: layer,
        layers: common.layers, norm: Norm(epsilon: 1e-6))
      return (lightning, experts)
    }
  }
}

extension Family {
  private static func lacksScoringFunction(_ config: Config) -> Bool { config["scoring_func"] == nil }
}

extension DecoderConfig {
  /// Which layers have softmax attention: by `attn_type_list` (1) or `layer_types`.
  fileprivate func miniMaxAttention() throws(FormatError) -> [Bool] {
    guard let types = config["attn_type_list"] else {
      return try fullAttentionLayers { ($0 + 1) % 2 == 0 }
    }
    guard let list = types.array, list.count == layers, list.allSatisfy({ $0 == 0 || $0 == 1 }) else {
      throw config.error(
        "attn_type_list", "\(layers) times 1 for softmax or 0 for lightning attention", found: types.kind)
    }
    return list.map { $0 == 1 }
  }
}
