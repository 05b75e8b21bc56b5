import IngotModels
import IngotSystem
import IngotTensors

/// The keys that describe a model, and the config.json that says the same.
struct GGUFConfig {
  /// The keys, with one number where a file may have one for each layer.
  let metadata: GGUFMetadata
  private let file: GGUFMetadata
  let family: GGUFFamily

  init(_ metadata: GGUFMetadata, _ family: GGUFFamily) {
    file = metadata
    self.metadata = GGUFHeadSizes(family.graph)?.flattened(metadata) ?? metadata
    self.family = family
  }

  func key(_ name: String) -> String { "\(family.name).\(name)" }

  /// Numbers of llama.cpp's gating functions.
  static let gating: [Mixture.Routing.Scoring: Int] = [.softmax: 1, .sigmoid: 2]

  /// Adds a model's keys.
  ///
  /// - Throws: FormatError for a model that llama.cpp's graph of the family does not compute as its config says.
  static func add(_ model: Model, _ family: GGUFFamily, to metadata: inout GGUFMetadata) throws(FormatError) {
    let blueprint = model.blueprint
    guard blueprint.contextLength <= UInt32.max else {
      throw FormatError(
        path: model.path, expected: "max_position_embeddings below 2^32", found: "\(blueprint.contextLength)")
    }
    try requireSameGraph(model, family)
    let attention = blueprint.attention
    let latent = blueprint.latentAttention
    guard attention != nil || latent != nil else {
      throw FormatError(path: model.path, expected: "attention that llama.cpp has keys for", found: "none")
    }
    func set(_ name: String, _ value: Int) { metadata["\(family.name).\(name)"] = .uint32(UInt32(value)) }
    let dense = blueprint.layers.first { !$0.feedForward.isMixture }?.feedForward.intermediateSize
    let experts = blueprint.experts
    let prediction = GGUFPrediction.count(in: model)
    set("block_count", blueprint.layerCount + prediction)
    if prediction > 0 { set("nextn_predict_layers", prediction) }
    // Most of llama.cpp's graphs see everything before a token. Within the smallest window that is the same, so no longer context is
    // announced there.
    let windows = GGUFWindows(family.graph)
    let window = windows == nil ? blueprint.layers.compactMap(\.mixer.window).min() : nil
    set("context_length", min(blueprint.contextLength, window ?? blueprint.contextLength))
    if let window, window < blueprint.contextLength {
      metadata[contextKey] = .uint32(UInt32(blueprint.contextLength))
    }
    set("embedding_length", blueprint.hiddenSize)
    set("feed_forward_length", dense ?? experts.intermediateSize)
    if experts.count > 0 { set("expert_feed_forward_length", experts.intermediateSize) }
    set("vocab_size", blueprint.vocabulary)
    if let attention {
      set("attention.head_count", attention.heads)
      set("attention.head_count_kv", attention.keyValueHeads)
      set("attention.key_length", attention.headDim)
      set("attention.value_length", attention.headDim)
    }
    metadata["\(family.name).attention.layer_norm_rms_epsilon"] = .float32(blueprint.finalNorm.epsilon)
    try GGUFFactors(graph: family.graph).add(model, to: &metadata)
    try GGUFDeltaKeys(architecture: family.name).add(model, to: &metadata)
    try GGUFLightning(architecture: family.name).add(model, to: &metadata)
    try GGUFIndexers(graph: family.graph).add(model, to: &metadata)
    try GGUFChunks(family.graph)?.require(model)
    if windows == nil, let window = blueprint.slidingWindow {
      set("attention.sliding_window", min(window, Int(UInt32.max)))
      // Which layers have it: llama.cpp has no key for that here, and no window in some of its graphs.
      metadata[layerTypesKey] = .strings(
        blueprint.layers.map { $0.mixer.window == nil ? "full_attention" : "sliding_attention" })
    }
    if let latent { try addLatent(latent, model, family, to: &metadata) }
    if let rotary = try windows?.add(model, to: &metadata) ?? attention?.rotary {
      metadata["\(family.name).rope.freq_base"] = .float32(Float(rotary.theta))
      set("rope.dimension_count", rotary.dims)
      try addScaling(rotary.scaling, family, to: &metadata)
    }
    try GGUFHeadSizes(family.graph)?.add(model, to: &metadata)
    if experts.count > 0 {
      set("expert_count", experts.count)
      set("expert_used_count", experts.perToken)
      if family.graph.namesRouting, let routing = family.graph.routing {
        set("expert_gating_func", gating[routing.scoring]!)
      }
    }
    try GGUFMixture(family).add(model, to: &metadata)
    if family.graph.sharesKeys { metadata[GGUFFamily.familyKey] = .string(family.family.name) }
    if let dropped = try model.droppedExperts()?.json.array {
      metadata[droppedKey] = .strings(dropped.compactMap(\.string))
    }
  }

  /// Refuses what the graph would silently compute otherwise.
  private static func requireSameGraph(_ model: Model, _ family: GGUFFamily) throws(FormatError) {
    let blueprint = model.blueprint
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(family.name) computes it",
        found: "\(found); no key says so: write another format")
    }
    guard family.graph.tiesHead || !blueprint.isHeadTied else {
      throw wrong("a head of its own", "the embedding (tie_word_embeddings)")
    }
    for layer in blueprint.layers.indices {
      if let attention = blueprint.layers[layer].mixer as? GroupedQueryAttention, family.graph.heads != .any {
        guard attention.queryWidth == blueprint.hiddenSize else {
          throw wrong("heads of \(blueprint.hiddenSize) values together", "\(attention.queryWidth)")
        }
        guard family.graph.heads == .filling || attention.keyValueHeads == attention.heads else {
          throw wrong("\(attention.heads) heads of keys", "\(attention.keyValueHeads)")
        }
      }
      let block = blueprint.layers[layer].feedForward
      guard
        block.isMixture == family.graph.hasExperts
          || (family.graph.mixture.hasDenseLayers || family.graph.mixture.interleaves) && !block.isMixture
      else {
        throw wrong(
          family.graph.hasExperts ? "a mixture in every layer" : "no mixtures",
          "layer \(layer) has \(block.name)")
      }
      for spec in blueprint.tensors(layer: layer)
      where spec.kind.rawValue.hasSuffix("_bias") && !family.graph.biases.contains(spec.kind)
        && !Mixture.perExpertRows.contains(spec.kind)
      {
        throw wrong("no \(spec.kind.rawValue)", "one in layer \(layer) (attention_bias)")
      }
      if case .clampedSwiGLU(let alpha, let limit) = block.activation, alpha != 1.702 || limit != 7 {
        throw wrong("swiglu_alpha 1.702 and swiglu_limit 7", "\(alpha) and \(limit)")
      }
      if let mixture = block as? Mixture,
        GGUFMixture(family).fixed(mixture.routing) != family.graph.routing
      {
        throw wrong(
          "a \(family.graph.routing!.scoring.rawValue) router that "
            + (family.graph.routing!.normalizesWeights
              ? "divides the weights of the chosen experts by their sum"
              : "leaves the weights as they are"),
          "another one (\(mixture.routing.groups == nil ? "norm_topk_prob" : "topk_method")) in layer \(layer)"
        )
      }
    }
  }

  static func addScaling(
    _ scaling: RotaryEmbedding.Scaling, _ family: GGUFFamily, to metadata: inout GGUFMetadata
  ) throws(FormatError) {
    func set(_ name: String, _ value: GGUFValue) { metadata["\(family.name).rope.scaling.\(name)"] = value }
    switch scaling {
    case .none: break
    case .linear(let factor):
      set("type", .string("linear"))
      set("factor", .float32(Float(factor)))
    case .llama3(let factor, let low, let high, let original):
      // llama.cpp takes the factors of the frequencies from a tensor; these keys are for readers.
      metadata["ingot.rope.llama3"] = .strings(["\(factor)", "\(low)", "\(high)", "\(original)"])
    case .yarn(let yarn):
      set("type", .string("yarn"))
      set("factor", .float32(Float(yarn.factor)))
      set("original_context_length", .uint32(UInt32(clamping: yarn.originalContext)))
      set("yarn_beta_fast", .float32(Float(yarn.betaFast)))
      set("yarn_beta_slow", .float32(Float(yarn.betaSlow)))
      if family.graph.keepsYaRNBounds, yarn.truncates { metadata[truncatesKey] = .bool(true) }
      // llama.cpp multiplies by 0.1 ln(factor) + 1 itself.
      let usual = RotaryEmbedding.magnitude(factor: yarn.factor, scale: 1)
      if yarn.attentionFactor != usual { set("attn_factor", .float32(Float(yarn.attentionFactor / usual))) }
    case .proportional where family.graph.windows?.hasOwnHeads ?? false: break
    case .proportional, .longRoPE:
      throw FormatError(
        path: metadata.path, expected: "a rotation that llama.cpp has keys for in this family",
        found: "another one (rope_parameters)")
    }
  }

  /// Key under which a file of ours says which experts of the original it lacks.
  private static let droppedKey = "ingot.\(DroppedExperts.key)"

  /// Key under which a file of ours says how long contexts are with the sliding window at work.
  private static let contextKey = "ingot.context_length"

  /// Key under which a file of ours says that the bounds of YaRN's ramp are rounded, where the family's usually are not.
  private static let truncatesKey = "ingot.rope.yarn_truncate"

  /// Key under which a file of ours says which layers have the sliding window.
  private static let layerTypesKey = "ingot.attention.layer_types"

  /// What tensors say that no key does.
  struct Facts {
    /// Rows of the embedding.
    var vocabulary: Int
    var isHeadTied: Bool
    var hasQueryKeyNorm: Bool
    var hasAttentionBias: Bool
    var hasMLPBias: Bool
    /// Values of `rope_freqs.weight`; empty for none.
    var frequencyFactors: [Float]
    /// Layers with a projection to values.
    var valueLayers: Set<Int>
  }

  /// The config.json of these keys, as transformers has it.
  ///
  /// - Throws: FormatError for a key that is missing, or that asks for what the family does not do.
  func json(_ facts: Facts) throws(FormatError) -> JSON {
    try refuseOtherKinds()
    func positive(_ name: String, or fallback: Int? = nil) throws(FormatError) -> Int {
      try metadata.integer(key(name), 1...Config.limit, or: fallback)
    }
    let spelling = family.family.config
    let heads = try positive("attention.head_count")
    let hidden = try positive("embedding_length")
    let latent = try latentConfig()
    let headDim = try positive("attention.key_length", or: max(hidden / heads, 1))
    let valueDim = try positive("attention.value_length", or: max(hidden / heads, 1))
    guard headDim == valueDim || latent != nil else {
      throw metadata.error(key("attention.value_length"), "\(headDim), as attention.key_length")
    }
    let prediction = try metadata.integer(key("nextn_predict_layers"), 0...64, or: 0)
    let layers = try metadata.integer(key("block_count"), 1 + prediction...10_000) - prediction
    let theta = try metadata.positiveNumber(key("rope.freq_base"), or: 10_000)
    var config: JSONObject = ["architectures": .array(family.family.classNames.map { .string($0) })]
    for (name, value) in spelling.layerConstants {
      config[name] = .array([JSON](repeating: value, count: layers))
    }
    for (name, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos")] {
      if let id = metadata["tokenizer.ggml.\(key)_token_id"]?.integer { config[name] = JSON(id) }
    }
    var rest: JSONObject = [
      "head_dim": JSON(headDim), "hidden_size": JSON(hidden),
      spelling.denseWidth: JSON(try positive("feed_forward_length")),
      "max_position_embeddings": JSON(
        try metadata.integer(
          metadata[GGUFConfig.contextKey] == nil ? key("context_length") : GGUFConfig.contextKey, 1...1 << 40)
      ),
      "model_type": .string(spelling.textType ?? family.family.modelTypes[0]),
      "num_attention_heads": JSON(heads),
      "num_hidden_layers": JSON(layers),
      "num_key_value_heads": JSON(try positive("attention.head_count_kv", or: heads)),
      "rms_norm_eps": JSON(shortest(try metadata.positiveNumber(key("attention.layer_norm_rms_epsilon")))),
      "rope_theta": Int(exactly: theta).map { JSON($0) } ?? JSON(shortest(theta)),
      "tie_word_embeddings": .bool(facts.isHeadTied), "vocab_size": JSON(facts.vocabulary),
    ]
    for (name, value) in spelling.constants { rest[name] = value }
    rest["tie_word_embeddings"] = .bool(facts.isHeadTied)
    if let name = spelling.queryKeyNorm { rest[name] = .bool(facts.hasQueryKeyNorm) }
    let inputBias = spelling.inputBias
    if facts.hasAttentionBias || inputBias != Family.ConfigSpelling().inputBias {
      rest[inputBias] = .bool(facts.hasAttentionBias)
    }
    if facts.hasMLPBias { rest["mlp_bias"] = true }
    if family.graph.hasExperts {
      rest[spelling.expertCount] = JSON(try positive("expert_count"))
      rest[spelling.expertsPerToken] = JSON(try positive("expert_used_count"))
      rest[spelling.expertWidth] = JSON(
        try positive("expert_feed_forward_length", or: try positive("feed_forward_length")))
    }
    for (name, value) in try GGUFMixture(family).config(metadata, layers: layers) { rest[name] = value }
    let rotated = try positive("rope.dimension_count", or: headDim)
    if let latent {
      rest["head_dim"] = nil
      rest["num_key_value_heads"] = JSON(heads)
      for (name, value) in latent { rest[name] = value }
    } else if let name = spelling.rotatedDims {
      rest[name] = JSON(rotated)
    } else if rotated != headDim {
      rest["partial_rotary_factor"] = JSON(Double(rotated) / Double(headDim))
    }
    let delta = try GGUFDeltaKeys(architecture: family.name).config(
      metadata, layers: layers, headDim: headDim, rotated: rotated)
    for (name, value) in delta { rest[name] = value }
    let indexers = try GGUFIndexers(graph: family.graph).config(
      metadata, layers: layers, dense: try GGUFMixture(family).denseLayers(metadata, layers: layers))
    for (name, value) in indexers { rest[name] = value }
    for (name, value) in GGUFChunks(family.graph)?.config(metadata) ?? [:] { rest[name] = value }
    if family.graph.factors == .norms {
      let lightning = try GGUFLightning(architecture: family.name).config(metadata, layers: layers)
      for (name, value) in lightning { rest[name] = value }
    }
    let factors = try GGUFFactors(graph: family.graph).config(
      metadata, layers: layers, hidden: hidden, heads: heads, headDim: headDim)
    for (name, value) in factors { rest[name] = value }
    let window = try metadata.integer(key("attention.sliding_window"), 0...1 << 40, or: 0)
    if let windows = GGUFWindows(family.graph) {
      for (name, value) in try windows.config(metadata, layers: layers) { rest[name] = value }
    } else if window > 0 {
      rest["sliding_window"] = JSON(window)
      rest["use_sliding_window"] = true
      if let types = metadata[GGUFConfig.layerTypesKey]?.strings {
        rest["layer_types"] = .array(types.map { .string($0) })
      }
    } else if family.graph.hasWindow {
      rest["sliding_window"] = .null
    }
    let sizes = GGUFHeadSizes(family.graph)
    if let sizes {
      let local = rest["rope_local_base_freq"]?.double ?? theta
      for (name, value) in try sizes.config(
        file, facts, types: rest["layer_types"]?.array ?? [], theta: theta, localTheta: local)
      { rest[name] = value }
      (rest["rope_theta"], rest["rope_local_base_freq"]) = (nil, nil)
    }
    if prediction > 0 { rest["num_nextn_predict_layers"] = JSON(prediction) }
    if sizes == nil, let scaling = try scaling(facts, theta: theta, rotated: rotated) {
      rest["rope_scaling"] = latent == nil ? scaling : try latentScaling(scaling)
    }
    for name in rest.keys.sorted() { config[name] = rest[name] }
    if metadata[GGUFConfig.droppedKey] != nil {
      config[DroppedExperts.key] = .array(
        try metadata.strings(GGUFConfig.droppedKey).map { .string($0) })
    }
    return .object(config)
  }

  /// The shortest decimal number that is the same F32: keys hold F32.
  func shortest(_ value: Double) -> Double { Double("\(Float(value))") ?? value }

  private func scaling(_ facts: Facts, theta: Double, rotated: Int) throws(FormatError) -> JSON? {
    if !facts.frequencyFactors.isEmpty {
      return try llama3(facts.frequencyFactors, theta: theta, rotated: rotated)
    }
    func number(_ name: String) throws(FormatError) -> JSON {
      JSON(shortest(try metadata.positiveNumber(key("rope.scaling.\(name)"))))
    }
    switch metadata[key("rope.scaling.type")]?.string ?? "none" {
    case "none": return nil
    case "linear": return ["rope_type": "linear", "factor": try number("factor")]
    case "yarn":
      var yarn: JSONObject = ["rope_type": "yarn", "factor": try number("factor")]
      if metadata[key("rope.scaling.original_context_length")] != nil {
        yarn["original_max_position_embeddings"] = JSON(
          try metadata.integer(key("rope.scaling.original_context_length"), 1...1 << 40))
      }
      for (name, value) in [("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow")]
      where metadata[key("rope.scaling.\(name)")] != nil { yarn[value] = try number(name) }
      if metadata[key("rope.scaling.attn_factor")] != nil {
        let share = try metadata.positiveNumber(key("rope.scaling.attn_factor"))
        let factor = try metadata.positiveNumber(key("rope.scaling.factor"))
        yarn["attention_factor"] = JSON(
          shortest(share * RotaryEmbedding.magnitude(factor: factor, scale: 1)))
      }
      if family.graph.keepsYaRNBounds {
        yarn["truncate"] = .bool(metadata[GGUFConfig.truncatesKey]?.bool ?? false)
      }
      return .object(yarn)
    default:
      throw metadata.error(key("rope.scaling.type"), "\"none\", \"linear\" or \"yarn\"")
    }
  }

  /// Refuses what the keys may ask for and the family's forward pass does not do.
  private func refuseOtherKinds() throws(FormatError) {
    if family.graph.namesRouting, let routing = family.graph.routing {
      let number = GGUFConfig.gating[routing.scoring]!
      let usual = family.graph.usualScoring.flatMap { GGUFConfig.gating[$0] }
      guard metadata[key("expert_gating_func")]?.integer ?? usual == number else {
        throw metadata.error(key("expert_gating_func"), "\(number), \(routing.scoring.rawValue)")
      }
    }
    try GGUFMixture(family).refuseOtherKinds(metadata)
    guard metadata[key("attention.causal")] == nil || metadata[key("attention.causal")]?.bool == true else {
      throw metadata.error(key("attention.causal"), "true")
    }
  }
}
