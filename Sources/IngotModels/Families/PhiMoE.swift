import IngotSystem
import IngotTensors

extension Family {
  /// Phi-3.5-MoE and its smaller kin: LayerNorms, biases also of the head, two experts chosen one after the other.
  ///
  /// Source: transformers' `phimoe`.
  public static let phiMoE = Family(
    name: "phimoe",
    modelTypes: ["phimoe"],
    classNames: ["PhimoeForCausalLM", "PhiMoEForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.sparseExperts).adding([
      (.attentionNorm.bias, "model.layers.#.input_layernorm.bias"),
      (.feedForwardNorm.bias, "model.layers.#.post_attention_layernorm.bias"),
      (.finalNorm.bias, "model.norm.bias"),
      (.head.bias, "lm_head.bias"),
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size", constants: ["hidden_act": "silu"]),
    llamaCppFault: "its phimoe takes RMSNorms for the LayerNorms and a softmax of two experts for sparsemixer"
  ) { config throws(FormatError) in
    let common = try DecoderConfig(
      config, .init(keyValueHeads: 8, normEpsilon: 1e-5, context: 131_072, normIsCentered: true))
    let bias = try config.flag("attention_bias", or: false)
    let attention = common.attention(
      rotary: try config.rotary(headDim: common.headDim, theta: 1_000_000), hasInputBias: bias,
      hasOutputBias: bias, window: try config.window())
    // The class sends every token to two experts, whatever the config says.
    try config.require("num_experts_per_tok", [2], missing: true)
    var routing = Mixture.Routing(scoring: .sparseMixer, normalizesWeights: false)
    routing.jitter = Float(try config.positiveNumber("router_jitter_noise", or: 0.01))
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts", count: 16, perToken: 2,
      routing)
    guard experts.count > 1 else { throw config.error("num_local_experts", "at least 2", found: "1") }
    var blueprint = try common.blueprint { _ in (attention, experts) }
    blueprint.hasHeadBias = try config.flag("lm_head_bias", or: false)
    return blueprint
  }
}
