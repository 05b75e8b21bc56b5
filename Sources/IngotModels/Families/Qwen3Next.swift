import IngotSystem
import IngotTensors

extension TensorNames {
  /// Gated DeltaNet, its inputs in tensors of their own or grouped by key head.
  static let gatedDeltaNet: [(TensorKind, String)] = [
    (.deltaQKVGate, "model.layers.#.linear_attn.in_proj_qkvz.weight"),
    (.deltaBetaAlpha, "model.layers.#.linear_attn.in_proj_ba.weight"),
    (.deltaQKV, "model.layers.#.linear_attn.in_proj_qkv.weight"),
    (.deltaGate, "model.layers.#.linear_attn.in_proj_z.weight"),
    (.deltaBeta, "model.layers.#.linear_attn.in_proj_b.weight"),
    (.deltaAlpha, "model.layers.#.linear_attn.in_proj_a.weight"),
    (.deltaConvolution, "model.layers.#.linear_attn.conv1d.weight"),
    (.deltaDecay, "model.layers.#.linear_attn.A_log"),
    (.deltaTimeBias, "model.layers.#.linear_attn.dt_bias"),
    (.deltaNorm, "model.layers.#.linear_attn.norm.weight"),
    (.deltaOutput, "model.layers.#.linear_attn.out_proj.weight"),
  ]

  /// Qwen3-Next and Qwen3.5: DeltaNet beside gated attention, experts beside a gated shared one.
  static let qwen3Next = TensorNames.llama.adding(expertsOfMLP).adding(gatedSharedExpert).adding(
    gatedDeltaNet)
}

extension Family.LlamaCppGraph {
  fileprivate static func qwen3Next(_ architecture: String, hasExperts: Bool) -> Self {
    Self(
      architecture, names: [.feedForwardNorm: "blk.#.post_attention_norm.weight"],
      routing: hasExperts ? .init(scoring: .softmax, normalizesWeights: true) : nil,
      biases: [.deltaTimeBias], mixture: .init(shared: .gated),
      prediction: Prediction(
        block: "mtp.layers.#.", countsOn: false,
        around: [
          "mtp.fc.weight": "blk.#.nextn.eh_proj.weight",
          "mtp.norm.weight": "blk.#.nextn.shared_head_norm.weight",
          "mtp.pre_fc_norm_embedding.weight": "blk.#.nextn.enorm.weight",
          "mtp.pre_fc_norm_hidden.weight": "blk.#.nextn.hnorm.weight",
        ]))
  }
}

extension Family {
  /// Qwen3-Next: gated DeltaNet on most layers and gated attention on every fourth, mixtures beside a gated shared expert.
  ///
  /// Source: transformers' `qwen3_next`.
  public static let qwen3Next = Family(
    name: "qwen3-next",
    modelTypes: ["qwen3_next"],
    classNames: ["Qwen3NextForCausalLM"],
    names: .qwen3Next,
    config: ConfigSpelling(
      constants: [
        "hidden_act": "silu", "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
      ]),
    llamaCpp: .qwen3Next("qwen3next", hasExperts: true),
    mlx: MLXClass(
      addsOneToNorms: true,
      constants: [
        "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": true, "partial_rotary_factor": 1,
      ])
  ) { config throws(FormatError) in
    let common = try DecoderConfig.qwen3Next(config)
    let feedForward = try common.qwenFeedForward(
      normalizes: try config.flag("norm_topk_prob", or: true), count: 512, perToken: 10)
    let mixer = try common.qwen3NextMixer(isGrouped: true)
    return try common.blueprint { layer in (mixer(layer), feedForward(layer)) }
  }

  /// Qwen3.5's and 3.6's mixtures of experts: Qwen3-Next with inputs of DeltaNet apart. Of checkpoints with a vision model, the
  /// text model; without images its rotation is the usual one.
  ///
  /// Source: transformers' `qwen3_5_moe`.
  public static let qwen35MoE = Family(
    name: "qwen3.5-moe",
    modelTypes: ["qwen3_5_moe", "qwen3_5_moe_text"],
    classNames: ["Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration"],
    names: .qwen3Next,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    llamaCpp: .qwen3Next("qwen35moe", hasExperts: true),
    mlx: MLXClass(
      nestedTypes: ["qwen3_5_moe", "qwen3_5_moe_text"], typeNames: ["qwen3_5_moe_text": "qwen3_5_moe"],
      addsOneToNorms: true)
  ) { config throws(FormatError) in
    let common = try DecoderConfig.qwen3Next(config)
    // The class always normalizes, whatever the config says.
    let feedForward = try common.qwenFeedForward(normalizes: true, count: 256, perToken: 8)
    let mixer = try common.qwen3NextMixer(isGrouped: false)
    return try common.blueprint { layer in (mixer(layer), feedForward(layer)) }
  }

  /// Qwen3.5's and 3.6's dense models.
  ///
  /// Source: transformers' `qwen3_5`.
  public static let qwen35 = Family(
    name: "qwen3.5",
    modelTypes: ["qwen3_5", "qwen3_5_text"],
    classNames: ["Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"],
    names: .qwen3Next,
    config: ConfigSpelling(constants: ["hidden_act": "silu"]),
    llamaCpp: .qwen3Next("qwen35", hasExperts: false),
    mlx: MLXClass(
      nestedTypes: ["qwen3_5", "qwen3_5_text"], typeNames: ["qwen3_5_text": "qwen3_5"],
      addsOneToNorms: true)
  ) { config throws(FormatError) in
    let common = try DecoderConfig.qwen3Next(config)
    let mlp = common.mlp(try config.positive("intermediate_size"))
    let mixer = try common.qwen3NextMixer(isGrouped: false)
    return try common.blueprint { layer in (mixer(layer), mlp) }
  }
}

extension DecoderConfig {
  fileprivate static func qwen3Next(_ config: Config) throws(FormatError) -> DecoderConfig {
    try DecoderConfig(
      config, .init(keyValueHeads: 2, headDim: 256, context: 32_768, normAddsOne: true))
  }

  /// Attention with an output gate on some layers, DeltaNet on the others.
  fileprivate func qwen3NextMixer(isGrouped: Bool) throws(FormatError) -> (Int) -> any Mixer {
    let interval = try config.integer("full_attention_interval", 1...10_000, or: 4)
    let isFull = try fullAttentionLayers { ($0 + 1) % interval == 0 }
    let bias = try config.flag("attention_bias", or: false)
    try config.require("attn_output_gate", [true], missing: true)
    var attention = attention(
      rotary: try config.rotary(headDim: headDim, theta: 10_000, factor: 0.25), queryKeyNorm: .perHead,
      hasInputBias: bias, hasOutputBias: bias)
    attention.hasOutputGate = true
    let keyHeads = try config.integer("linear_num_key_heads", 1...65_536, or: 16)
    let valueHeads = try config.integer("linear_num_value_heads", 1...65_536, or: 32)
    guard valueHeads % keyHeads == 0 else {
      throw config.error(
        "linear_num_value_heads", "a multiple of \(keyHeads) key heads", found: "\(valueHeads)")
    }
    let delta = GatedDeltaNet(
      hiddenSize: hidden, keyHeads: keyHeads, valueHeads: valueHeads,
      keyDim: try config.positive("linear_key_head_dim", or: 128),
      valueDim: try config.positive("linear_value_head_dim", or: 128),
      kernel: try config.positive("linear_conv_kernel_dim", or: 4), norm: Norm(epsilon: norm.epsilon),
      isGrouped: isGrouped)
    return { [attention] layer in
      if isFull[layer] { return attention }
      return delta
    }
  }

  /// Which layers have softmax attention by `layer_types`, others being linear; by `usual` without that.
  func fullAttentionLayers(_ usual: (Int) -> Bool) throws(FormatError) -> [Bool] {
    guard let types = config["layer_types"] else { return (0..<layers).map(usual) }
    guard let list = types.array, list.count == layers,
      list.allSatisfy({ $0 == "full_attention" || $0 == "linear_attention" })
    else {
      throw config.error(
        "layer_types", "a list of \(layers) times \"full_attention\" or \"linear_attention\"",
        found: types.kind)
    }
    return list.map { $0 == "full_attention" }
  }
}
