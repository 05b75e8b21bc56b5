import IngotSystem
import IngotTensors

extension TensorNames {
  /// Of what Gemma 4 has in all sizes: norms around each block, a factor behind a layer, inputs of a layer's own.
  fileprivate static let gemma4 = TensorNames.gemma.adding([
    (.layerScale, "model.layers.#.layer_scalar"),
    (.layerInputEmbedding, "model.embed_tokens_per_layer.weight"),
    (.layerInputStateProjection, "model.per_layer_model_projection.weight"),
    (.layerInputStateNorm, "model.per_layer_projection_norm.weight"),
    (.layerInputGate, "model.layers.#.per_layer_input_gate.weight"),
    (.layerInputProjection, "model.layers.#.per_layer_projection.weight"),
    (.layerInputNorm, "model.layers.#.post_per_layer_input_norm.weight"),
  ])
}

extension Family.LlamaCppGraph {
  /// `gemma4`, dense or with experts.
  fileprivate static func gemma4(
    _ names: [TensorKind: String] = [:], routing: Mixture.Routing? = nil, mixture: MixtureKeys = MixtureKeys()
  ) -> Self {
    let common: [TensorKind: String] = [
      .layerScale: "blk.#.layer_output_scale.weight", .layerInputEmbedding: "per_layer_token_embd.weight",
      .layerInputStateProjection: "per_layer_model_proj.weight",
      .layerInputStateNorm: "per_layer_proj_norm.weight", .layerInputGate: "blk.#.inp_gate.weight",
      .layerInputProjection: "blk.#.proj.weight", .layerInputNorm: "blk.#.post_norm.weight",
    ]
    return Self(
      "gemma4", names: gemmaNames.merging(common) { $1 }.merging(names) { $1 }, routing: routing,
      factors: .gemmaUnscaled, softcaps: .init(logits: .unlessZero(30)),
      windows: .init(period: 6, hasOwnRotation: true, hasOwnHeads: true), mixture: mixture)
  }
}

extension Family {
  /// The router of Gemma 4's mixtures.
  private static var gemma4Routing: Mixture.Routing {
    var routing = Mixture.Routing(scoring: .softmax, normalizesWeights: true)
    routing.hasExpertScales = true
    return routing
  }

  private static let gemma4Classes = ["Gemma4ForConditionalGeneration", "Gemma4ForCausalLM"]

  /// Gemma 4's dense models: heads of two sizes, values with a norm, layers that share keys and values, inputs of a layer's own. Of
  /// checkpoints that also see or hear, the text model.
  ///
  /// Source: transformers' `gemma4_text`.
  public static let gemma4 = Family(
    name: "gemma4",
    modelTypes: ["gemma4", "gemma4_text"],
    classNames: gemma4Classes,
    names: .gemma4,
    config: ConfigSpelling(
      constants: ["hidden_activation": "gelu_pytorch_tanh", "enable_moe_block": false],
      textType: "gemma4_text"),
    llamaCpp: .gemma4(),
    hasEngineNames: false,
    accepts: lacksExperts
  ) { config throws(FormatError) in
    let gemma = try Gemma4(config)
    let width = try config.positive("intermediate_size")
    let mlp = gemma.common.mlp(width)
    let wide = gemma.common.mlp(2 * width)
    let widens = try config.flag("use_double_wide_mlp", or: false)
    return try gemma.blueprint { layer in widens && layer >= gemma.firstSharing ? wide : mlp }
  }

  /// Gemma 4's mixtures of experts: a dense MLP beside the experts, each behind norms of its own.
  ///
  /// Source: transformers' `gemma4_text`.
  public static let gemma4MoE = Family(
    name: "gemma4-moe",
    modelTypes: ["gemma4", "gemma4_text"],
    classNames: gemma4Classes,
    names: TensorNames.gemma4.adding([
      (.feedForwardNorm, "model.layers.#.pre_feedforward_layernorm_2.weight"),
      (.sharedNorm, "model.layers.#.pre_feedforward_layernorm.weight"),
      (.sharedOutputNorm, "model.layers.#.post_feedforward_layernorm_1.weight"),
      (.expertsOutputNorm, "model.layers.#.post_feedforward_layernorm_2.weight"),
      (.sharedGate, "model.layers.#.mlp.gate_proj.weight"),
      (.sharedUp, "model.layers.#.mlp.up_proj.weight"),
      (.sharedDown, "model.layers.#.mlp.down_proj.weight"),
      (.router, "model.layers.#.router.proj.weight"),
      (.routerScale, "model.layers.#.router.scale"),
      (.routerExpertScales, "model.layers.#.router.per_expert_scale"),
      (.gate, "model.layers.#.experts.#.gate_proj.weight"),
      (.up, "model.layers.#.experts.#.up_proj.weight"),
      (.down, "model.layers.#.experts.#.down_proj.weight"),
    ]),
    config: ConfigSpelling(
      expertsPerToken: "top_k_experts",
      constants: ["hidden_activation": "gelu_pytorch_tanh", "enable_moe_block": true],
      textType: "gemma4_text"),
    llamaCpp: .gemma4(
      [
        .feedForwardNorm: "blk.#.pre_ffw_norm_2.weight", .sharedNorm: "blk.#.ffn_norm.weight",
        .sharedOutputNorm: "blk.#.post_ffw_norm_1.weight", .expertsOutputNorm: "blk.#.post_ffw_norm_2.weight",
        .sharedGate: "blk.#.ffn_gate.weight", .sharedUp: "blk.#.ffn_up.weight",
        .sharedDown: "blk.#.ffn_down.weight", .routerScale: "blk.#.ffn_gate_inp.scale",
        .routerExpertScales: "blk.#.ffn_down_exps.scale",
      ], routing: gemma4Routing, mixture: .init(shared: .dense)),
    fusedNames: [
      "experts.gate_up_proj": FusedName([.gate, .up], isStack: true, isTransposed: false),
      "experts.down_proj": FusedName([.down], isStack: true, isTransposed: false),
    ],
    hasEngineNames: false,
    accepts: hasExperts
  ) { config throws(FormatError) in
    let gemma = try Gemma4(config)
    try config.require("use_double_wide_mlp", [false], missing: true)
    let shared = SharedMLP(count: 1, intermediateSize: try config.positive("intermediate_size"))
    let count = try config.expertCount("num_experts")
    var experts = Mixture(
      hiddenSize: gemma.common.hidden, count: count,
      perToken: try config.integer("top_k_experts", 1...count),
      intermediateSize: try config.positive("moe_intermediate_size"), routing: gemma4Routing,
      activation: gemma.common.activation, shared: shared)
    experts.ownNorms = gemma.common.norm
    return try gemma.blueprint { [experts] _ in experts }
  }

  private static func lacksExperts(_ config: Config) -> Bool { !hasExperts(config) }

  private static func hasExperts(_ config: Config) -> Bool {
    (try? config.text())?["enable_moe_block"] == true
  }
}

/// What dense models and mixtures have in common.
private struct Gemma4 {
  let common: DecoderConfig
  let config: Config
  /// The first of the layers that take keys and values of earlier ones.
  let firstSharing: Int
  private let attention: [GroupedQueryAttention]

  init(_ config: Config) throws(FormatError) {
    self.config = config
    let common = try DecoderConfig(
      config,
      .init(
        keyValueHeads: 4, headDim: 256, context: 131_072, isHeadTied: true,
        activation: ("hidden_activation", .geluTanh)))
    self.common = common
    try config.require("use_bidirectional_attention", ["vision"], missing: true)
    let bias = try config.flag("attention_bias", or: false)
    let window = try config.window(or: 512)
    guard let window else { throw config.error("sliding_window", "a number", found: "null") }
    var windows = try common.windows(window) { ($0 + 1) % 6 != 0 }
    // The class makes the last layer see everything.
    windows[common.layers - 1] = nil
    let valueIsKey = try config.flag("attention_k_eq_v", or: false)
    firstSharing = common.layers - (try config.integer("num_kv_shared_layers", 0...common.layers - 1, or: 0))
    let heads = try Gemma4.heads(config, common, windows, valueIsKey: valueIsKey)
    var attention: [GroupedQueryAttention] = []
    for layer in 0..<common.layers {
      let isFull = windows[layer] == nil
      let (headDim, keyValueHeads) = heads[layer]
      var own = GroupedQueryAttention(
        hiddenSize: common.hidden, heads: common.heads, keyValueHeads: keyValueHeads, headDim: headDim,
        rotary: try Gemma4.rotary(config, isFull: isFull, headDim: headDim), norm: common.norm,
        queryKeyNorm: .perHead, hasInputBias: bias, hasOutputBias: bias, window: windows[layer], scale: 1)
      own.hasValueNorm = true
      own.valueIsKey = valueIsKey && isFull
      let place = isFull ? 1 : 0
      let lastOfKind = windows[..<firstSharing].lastIndex { ($0 == nil) == isFull }
      if layer >= firstSharing {
        own.shared = .init(place: place, takes: true)
      } else if firstSharing < common.layers, layer == lastOfKind {
        own.shared = .init(place: place, takes: false)
      }
      attention.append(own)
    }
    for layer in firstSharing..<common.layers {
      let place = attention[layer].shared!.place
      let source = attention.first { $0.shared == .init(place: place, takes: false) }
      guard let source,
        source.headDim == attention[layer].headDim, source.keyValueHeads == attention[layer].keyValueHeads
      else {
        throw config.error(
          "num_kv_shared_layers", "layers before with the same kind of attention and sizes of heads",
          found: "none for layer \(layer)")
      }
    }
    self.attention = attention
  }

  /// Layers whose feed-forwards `feedForward` makes.
  func blueprint(_ feedForward: (Int) -> any FeedForward) throws(FormatError) -> Blueprint {
    let residual = Residual(outputNorm: common.norm)
    let residuals = { (_: Int) in (mixer: residual, feedForward: residual) }
    var blueprint = try common.blueprint(
      embeddingScale: Float(common.hidden).squareRoot(),
      logitSoftcap: try config.softcap("final_logit_softcapping"), residuals: residuals
    ) { layer in (attention[layer], feedForward(layer)) }
    for layer in blueprint.layers.indices { blueprint.layers[layer].hasScale = true }
    let width = try config.integer("hidden_size_per_layer_input", 0...Config.limit, or: 256)
    if width > 0 {
      try config.require("vocab_size_per_layer_input", [JSON(common.vocabulary)], missing: true)
      blueprint.layerInputWidth = width
    }
    return blueprint
  }

  /// Size of a head and number of key-value heads of each layer: by `per_layer_config` (transformers 5), or by
  /// `global_head_dim` and `num_global_key_value_heads` for layers that see everything.
  private static func heads(
    _ config: Config, _ common: DecoderConfig, _ windows: [Int?], valueIsKey: Bool
  ) throws(FormatError) -> [(headDim: Int, keyValueHeads: Int)] {
    let key = "per_layer_config"
    let own = config[key]
    if let own, own.object == nil { throw config.error(key, "an object", found: own.kind) }
    var global = (
      headDim: try config.integer("global_head_dim", 1...65_536, or: 512), keyValueHeads: common.keyValueHeads
    )
    if valueIsKey && config["num_global_key_value_heads"] != nil {
      global.keyValueHeads = try config.integer("num_global_key_value_heads", 1...65_536)
    }
    var heads: [(headDim: Int, keyValueHeads: Int)] = []
    for layer in 0..<common.layers {
      var sizes = (headDim: common.headDim, keyValueHeads: common.keyValueHeads)
      if let own {
        for (name, value) in own["\(layer)"]?.object ?? [:] {
          guard let size = value.int, (1...65_536).contains(size),
            name == "head_dim" || name == "num_key_value_heads"
          else {
            throw config.error(
              key, "head_dim and num_key_value_heads, whole numbers", found: "\(name): \(value.text())")
          }
          if name == "head_dim" { sizes.headDim = size } else { sizes.keyValueHeads = size }
        }
      } else if windows[layer] == nil {
        sizes = global
      }
      guard common.heads % sizes.keyValueHeads == 0 else {
        throw config.error(
          "num_key_value_heads", "a divisor of \(common.heads) heads",
          found: "\(sizes.keyValueHeads) in layer \(layer)")
      }
      heads.append(sizes)
    }
    return heads
  }

  private static func rotary(_ config: Config, isFull: Bool, headDim: Int) throws(FormatError)
    -> RotaryEmbedding
  {
    let usual: JSON =
      isFull
      ? ["rope_type": "proportional", "partial_rotary_factor": JSON(0.25), "rope_theta": 1_000_000]
      : ["rope_type": "default", "rope_theta": 10_000]
    let config = config["rope_parameters"] == nil ? config.replacing(["rope_parameters": usual]) : config
    return try config.ropeOfLayers(isFull ? "full_attention" : "sliding_attention")
      .rotary(headDim: headDim, theta: nil)
  }
}
