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
  ]
}
