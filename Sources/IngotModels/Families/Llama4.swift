import IngotSystem
import IngotTensors

extension Family {
  /// Llama 4's text model: chunked attention with rotation on most layers, attention to everything without rotation on the others,
  /// one expert a token, whose input is multiplied by the router's score, beside a shared one.
  ///
  /// Source: transformers' `llama4_text`, and the keys of the released configs.
  public static let llama4 = Family(
    name: "llama4",
    modelTypes: ["llama4", "llama4_text"],
    classNames: ["Llama4ForConditionalGeneration", "Llama4ForCausalLM"],
    names: TensorNames.llama.adding([
      (.gate, "model.layers.#.feed_forward.gate_proj.weight"),
      (.up, "model.layers.#.feed_forward.up_proj.weight"),
      (.down, "model.layers.#.feed_forward.down_proj.weight"),
      (.router, "model.layers.#.feed_forward.router.weight"),
      (.gate, "model.layers.#.feed_forward.experts.#.gate_proj.weight"),
      (.up, "model.layers.#.feed_forward.experts.#.up_proj.weight"),
      (.down, "model.layers.#.feed_forward.experts.#.down_proj.weight"),
      (.sharedGate, "model.layers.#.feed_forward.shared_expert.gate_proj.weight"),
      (.sharedUp, "model.layers.#.feed_forward.shared_expert.up_proj.weight"),
      (.sharedDown, "model.layers.#.feed_forward.shared_expert.down_proj.weight"),
    ]),
    config: ConfigSpelling(
      expertCount: "num_local_experts", expertWidth: "intermediate_size", constants: ["hidden_act": "silu"],
      denseWidth: "intermediate_size_mlp", textType: "llama4_text"),
    llamaCpp: LlamaCppGraph(
      "llama4", pairing: .interleaved, routing: scaledInputs,
      mixture: .init(interleaves: true, shared: .plain),
      chunks: .init(size: 8192, period: 4, temperature: .init(scale: 0.1, floor: 8192), plainExperts: 128)),
    fusedNames: [
      "feed_forward.experts.gate_up_proj": FusedName([.gate, .up], isStack: true, isTransposed: true),
      "feed_forward.experts.down_proj": FusedName([.down], isStack: true, isTransposed: true),
    ],
    hasEngineNames: false
  ) { config throws(FormatError) in
    let common = try DecoderConfig(
      config, .init(keyValueHeads: 8, headDim: 128, normEpsilon: 1e-5, context: 131_072))
    let hasRotation = try common.rotatedLayers()
    let bias = try config.flag("attention_bias", or: false)
    let full = common.attention(rotary: nil, hasInputBias: bias, hasOutputBias: bias)
    var rotary = try config.rotary(headDim: common.headDim, theta: 500_000)
    rotary.pairing = .interleaved
    // The class normalizes queries and keys after the rotation, which leaves mean squares as they are.
    var chunked = common.attention(
      rotary: rotary, queryKeyNorm: try config.flag("use_qk_norm", or: true) ? .perHeadPlain : .none,
      hasInputBias: bias, hasOutputBias: bias)
    chunked.chunk = try config.window("attention_chunk_size", or: 8192)
    var heated = full
    if try config.flag("attn_temperature_tuning", or: true) {
      heated.temperature = .init(
        scale: try config.positiveNumber("attn_scale", or: 0.1),
        floor: try config.positiveNumber("floor_scale", or: 8192))
    }
    let width = try config.positive("intermediate_size")
    let experts = try common.mixture(
      width: width, countKey: "num_local_experts", count: 16, perToken: 1,
      shared: SharedMLP(count: 1, intermediateSize: width), scaledInputs)
    let isMixture = try common.layersOfExperts()
    let mlp = isMixture.contains(false) ? common.mlp(try config.positive("intermediate_size_mlp")) : nil
    return try common.blueprint { [chunked, heated] layer in
      let mixer = hasRotation[layer] ? chunked : heated
      if !isMixture[layer], let mlp { return (mixer, mlp) }
      return (mixer, experts)
    }
  }
}

extension Family {
  /// A sigmoid router whose scores multiply what goes into experts.
  private static var scaledInputs: Mixture.Routing {
    var routing = Mixture.Routing(scoring: .sigmoid, normalizesWeights: false)
    routing.scalesInputs = true
    return routing
  }
}

extension DecoderConfig {
  /// Which layers rotate: `no_rope_layers` has 1 for them; without that, all but every so many.
  func rotatedLayers() throws(FormatError) -> [Bool] {
    let key = "no_rope_layers"
    let given = config[key]?.array ?? []
    guard !given.isEmpty || config[key] == nil || config[key]?.array != nil else {
      throw config.error(key, "a list", found: config[key]!.kind)
    }
    let interval = try config.integer("no_rope_layer_interval", 1...10_000, or: 4)
    if given.isEmpty { return (0..<layers).map { ($0 + 1) % interval != 0 } }
    guard given.count == layers, given.allSatisfy({ $0 == 0 || $0 == 1 }) else {
      throw config.error(key, "\(layers) times 1 for rotation or 0 for none", found: "\(given.count) entries")
    }
    return given.map { $0 == 1 }
  }

  /// Which layers are mixtures: those of `moe_layers`; without that, every so many.
  fileprivate func layersOfExperts() throws(FormatError) -> [Bool] {
    guard let given = config["moe_layers"] else {
      let step = try config.integer("interleave_moe_layer_step", 1...10_000, or: 1)
      return (0..<layers).map { $0 % step == step - 1 }
    }
    let numbers = given.array?.compactMap(\.int) ?? []
    guard let list = given.array, list.count == numbers.count,
      numbers.allSatisfy({ (0..<layers).contains($0) })
    else {
      throw config.error("moe_layers", "a list of layers from 0 to \(layers - 1)", found: given.text())
    }
    let mixtures = Set(numbers)
    return (0..<layers).map { mixtures.contains($0) }
  }
}
