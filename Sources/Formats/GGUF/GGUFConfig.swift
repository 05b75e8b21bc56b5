import Models
import Tensors

/// The keys that describe a MiniMax-M2, and the config.json that says the same.
struct GGUFConfig {
  private let metadata: GGUFMetadata
  private let family: GGUFFamily

  init(_ metadata: GGUFMetadata, _ family: GGUFFamily) {
    self.metadata = metadata
    self.family = family
  }

  private func key(_ name: String) -> String { "\(family.name).\(name)" }

  /// Number of sigmoid among llama.cpp's gating functions.
  static let sigmoid = 2

  /// Adds a model's keys.
  static func add(_ model: Model, _ family: GGUFFamily, to metadata: inout GGUFMetadata) throws(FormatError) {
    let numbers = model.hyperparameters
    guard numbers.contextLength <= UInt32.max else {
      throw FormatError(
        path: model.path, expected: "max_position_embeddings below 2^32", found: "\(numbers.contextLength)")
    }
    let attention = numbers.attention
    func set(_ name: String, _ value: Int) { metadata["\(family.name).\(name)"] = .uint32(UInt32(value)) }
    set("block_count", numbers.layers)
    set("context_length", numbers.contextLength)
    set("embedding_length", numbers.hiddenSize)
    set("feed_forward_length", numbers.experts.width)
    set("expert_feed_forward_length", numbers.experts.width)
    set("vocab_size", numbers.vocabulary)
    set("attention.head_count", attention.heads)
    set("attention.head_count_kv", attention.keyValueHeads)
    set("attention.key_length", attention.headDim)
    set("attention.value_length", attention.headDim)
    metadata["\(family.name).attention.layer_norm_rms_epsilon"] = .float32(numbers.normEpsilon)
    metadata["\(family.name).rope.freq_base"] = .float32(Float(attention.ropeTheta))
    set("rope.dimension_count", attention.rotaryDims)
    set("expert_count", numbers.experts.count)
    set("expert_used_count", numbers.experts.active)
    set("expert_gating_func", sigmoid)
    if let dropped = try model.droppedExperts()?.json.array {
      metadata[droppedKey] = .strings(dropped.compactMap(\.string))
    }
  }

  /// Key under which a file of ours says which experts of the original it lacks.
  private static let droppedKey = "ingot.\(DroppedExperts.key)"

  /// The config.json of these keys, as MiniMax-M2 is published.
  ///
  /// - Parameter vocabulary: rows of the embedding.
  /// - Throws: FormatError for a key that is missing, or that asks for what the family does not do.
  func json(vocabulary: Int) throws(FormatError) -> JSON {
    try refuseOtherKinds()
    func positive(_ name: String, or fallback: Int? = nil) throws(FormatError) -> Int {
      try metadata.integer(key(name), 1...Config.limit, or: fallback)
    }
    let heads = try positive("attention.head_count")
    let hidden = try positive("embedding_length")
    let width = try positive("expert_feed_forward_length", or: try positive("feed_forward_length"))
    let headDim = try positive("attention.key_length", or: max(hidden / heads, 1))
    let valueDim = try positive("attention.value_length", or: max(hidden / heads, 1))
    guard headDim == valueDim else {
      throw metadata.error(key("attention.value_length"), "\(headDim), as attention.key_length")
    }
    let layers = try metadata.integer(key("block_count"), 1...10_000)
    let theta = try metadata.positiveNumber(key("rope.freq_base"))
    var config: JSONObject = [
      "architectures": .array(family.architecture.classNames.map { .string($0) }),
      "attn_type_list": .array([JSON](repeating: 1, count: layers)),
    ]
    for (name, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos")] {
      if let id = metadata["tokenizer.ggml.\(key)_token_id"]?.integer { config[name] = JSON(id) }
    }
    let rest: JSONObject = [
      "head_dim": JSON(headDim), "hidden_act": "silu", "hidden_size": JSON(hidden),
      "intermediate_size": JSON(width),
      "max_position_embeddings": JSON(try metadata.integer(key("context_length"), 1...1 << 40)),
      "model_type": .string(family.architecture.modelTypes[0]), "num_attention_heads": JSON(heads),
      "num_experts_per_tok": JSON(try positive("expert_used_count")), "num_hidden_layers": JSON(layers),
      "num_key_value_heads": JSON(try positive("attention.head_count_kv", or: heads)),
      "num_local_experts": JSON(try positive("expert_count")), "qk_norm_type": "per_layer",
      "rms_norm_eps": JSON(try metadata.positiveNumber(key("attention.layer_norm_rms_epsilon"))),
      "rope_theta": Int(exactly: theta).map { JSON($0) } ?? JSON(theta),
      "rotary_dim": JSON(try positive("rope.dimension_count", or: headDim)), "scoring_func": "sigmoid",
      "shared_intermediate_size": 0, "tie_word_embeddings": false, "use_cache": true, "use_mtp": false,
      "use_qk_norm": true, "use_routing_bias": true, "vocab_size": JSON(vocabulary),
    ]
    for (name, value) in rest { config[name] = value }
    if metadata[GGUFConfig.droppedKey] != nil {
      config[DroppedExperts.key] = .array(
        try metadata.strings(GGUFConfig.droppedKey).map { .string($0) })
    }
    return .object(config)
  }

  /// Refuses what the keys may ask for and the family's forward pass does not do.
  private func refuseOtherKinds() throws(FormatError) {
    guard metadata[key("expert_gating_func")]?.integer == GGUFConfig.sigmoid else {
      throw metadata.error(key("expert_gating_func"), "\(GGUFConfig.sigmoid), sigmoid")
    }
    for (name, allowed) in [
      ("expert_shared_count", 0), ("leading_dense_block_count", 0), ("nextn_predict_layers", 0),
      ("attention.sliding_window", 0), ("expert_group_count", 1), ("expert_group_used_count", 1),
    ] where metadata[key(name)] != nil && metadata[key(name)]?.integer != 0 {
      guard metadata[key(name)]?.integer == allowed else { throw metadata.error(key(name), "\(allowed)") }
    }
    for name in ["expert_weights_scale", "rope.scaling.factor"] {
      guard metadata[key(name)] == nil || metadata[key(name)]?.number == 1 else {
        throw metadata.error(key(name), "1")
      }
    }
    for (name, allowed) in [("expert_weights_norm", true), ("attention.causal", true)] {
      guard metadata[key(name)] == nil || metadata[key(name)]?.bool == allowed else {
        throw metadata.error(key(name), "\(allowed)")
      }
    }
    guard metadata[key("rope.scaling.type")] == nil || metadata[key("rope.scaling.type")]?.string == "none"
    else {
      throw metadata.error(key("rope.scaling.type"), "\"none\"")
    }
  }
}
