import IngotSystem
import IngotTensors

extension Family {
  /// Mixtral 8x7B and 8x22B: Mistral's attention, a softmax router whose weights are normalized.
  ///
  /// Source: transformers' `mixtral`.
  public static let mixtral = Family(
    name: "mixtral",
    modelTypes: ["mixtral"],
    classNames: ["MixtralForCausalLM"],
    names: TensorNames.llama.adding(TensorNames.sparseExperts),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size", constants: ["hidden_act": "silu"]),
    llamaCpp: LlamaCppGraph(
      "llama", pairing: .interleaved, routing: .init(scoring: .softmax, normalizesWeights: true)),
    mlx: MLXClass()
  ) { config throws(FormatError) in
    let common = try DecoderConfig(config, .init(keyValueHeads: 8, normEpsilon: 1e-5, context: 131_072))
    let windows = try common.windows(try config.window()) { _ in true }
    let rotary = try config.rotary(headDim: common.headDim, theta: 1_000_000)
    let experts = try common.mixture(
      width: try config.positive("intermediate_size"), countKey: "num_local_experts", count: 8, perToken: 2,
      .init(scoring: .softmax, normalizesWeights: true))
    return try common.blueprint { layer in
      (common.attention(rotary: rotary, window: windows[layer]), experts)
    }
  }
}
