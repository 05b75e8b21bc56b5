import Synchronization

extension Family {
  /// Families of programs that use the library, the latest first.
  private static let registered = Mutex<[Family]>([])

  /// Every family: those that programs have registered, then those that are built in.
  public static var all: [Family] { registered.withLock { $0 } + builtIn }

  /// Adds a family for this process; where it has a `model_type` of another one, it is asked first.
  ///
  /// To be called before the first model is read: what is derived from the list is not made anew.
  public static func register(_ family: Family) {
    registered.withLock { $0.insert(family, at: 0) }
  }

  /// One line each.
  static let builtIn: [Family] = [
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
    .phiMoE,
    .gemma4,
    .gemma4MoE,
    .llama4,
    .smolLM3,
  ]
}
