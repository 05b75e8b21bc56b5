extension Family {
  /// Every family, one line each.
  public static let all: [Family] = [
    .miniMaxM2,
    .llama,
    .mistral,
    .mixtral,
    .qwen2,
    .qwen3,
    .qwen3MoE,
    .deepSeekV3,
    .deepSeekV2,
    .glm4MoE,
    .glm4MoELite,
    .gptOSS,
    .qwen3Next,
    .qwen35MoE,
    .qwen35,
    .gemma3,
    .gemma2,
    .miniMax01,
    .deepSeekV32,
    .glmMoEDSA,
    .miniMaxM3,
    .olmoe,
    .qwen2MoE,
    .graniteMoE,
  ]
}
