import IngotModels
import IngotSystem
import IngotTensors

/// config.json as mlx-lm's classes read it.
enum MLXConfig {
  /// Keys that mlx-lm's classes have no default for, or another one than the config's class: mlx-lm does not look
  /// into rope_parameters.
  ///
  /// - Throws: FormatError for a model that the class has no key for.
  static func keys(_ model: Model) throws(FormatError) -> [(String, JSON)] {
    let (blueprint, family) = (model.blueprint, model.family)
    let config = try model.config().text()
    var keys: [(String, JSON)] = []
    func add(_ key: String, _ value: JSON) { keys.append((key, value)) }
    let rotary = global(blueprint)
    if let rotary { add("rope_theta", JSON(rotary.theta)) }
    if let attention = blueprint.attention, let dims = attention.rotary?.dims {
      if let name = family.config.rotatedDims {
        add(name, JSON(dims))
      } else if dims != attention.headDim {
        add("partial_rotary_factor", JSON(Double(dims) / Double(attention.headDim)))
      }
    }
    if let rotary, rotary.scaling != .none, let parameters = parameters(of: "full_attention", config) {
      add("rope_scaling", parameters)
    }
    if let rotary, family.mlx?.readsRopeParameters == true {
      var parameters = config["rope_scaling"]?.object ?? ["rope_type": "default"]
      parameters["rope_theta"] = JSON(rotary.theta)
      add("rope_parameters", .object(parameters))
    }
    if let attention = blueprint.attention {
      add("head_dim", JSON(attention.headDim))
      add("num_key_value_heads", JSON(attention.keyValueHeads))
    }
    try addWindows(blueprint, family, config, add)
    try addInterval(blueprint, config, add)
    for case let latent as LatentAttention in blueprint.layers.map(\.mixer) where latent.takesChoice {
      throw config.error(
        "indexer_types", "an indexer in every layer, as mlx-lm's class has",
        found: "layers that share one; mlx-lm would compute another model: write another format")
    }
    for case let latent as LatentAttention in blueprint.layers.map(\.mixer)
    where latent.rotary.pairing != .interleaved {
      throw config.error(
        "rope_interleave", "true, as mlx-lm rotates latent attention",
        found: "pairs of halves; mlx-lm would compute another model: write another format")
    }
    if !blueprint.mixtures.isEmpty {
      add(family.config.expertCount, JSON(blueprint.experts.count))
    }
    if family.mlx?.countsDenseLayers == true { try addRouting(blueprint, config, add) }
    add("tie_word_embeddings", .bool(blueprint.isHeadTied))
    for (key, value) in family.config.constants { add(key, value) }
    for (key, value) in family.mlx?.constants ?? [:] { add(key, value) }
    return keys
  }

  /// Adds what a config lacks, where the class looks for it, and calls the model by mlx-lm's name.
  static func complete(_ config: inout JSONObject, _ keys: [(String, JSON)], _ family: Family) {
    let type = config["model_type"]?.string ?? ""
    let name = family.mlx?.typeNames[type] ?? type
    let isWrapped = name != type && config["text_config"] == nil
    var text = config["text_config"]?.object ?? config
    for (key, value) in keys where text[key] ?? .null == .null { text[key] = value }
    if config["text_config"] != nil {
      config["text_config"] = .object(text)
      // The class of the whole has a default for it.
      if let vocabulary = text["vocab_size"], config["vocab_size"] == nil {
        config["vocab_size"] = vocabulary
      }
    } else if isWrapped {
      config = ["model_type": .string(name), "text_config": .object(text)]
      for key in ["architectures", "eos_token_id", "bos_token_id"] { config[key] = text[key] }
    } else {
      config = text
    }
    if name != type { config["model_type"] = .string(name) }
  }

  /// The rotation of layers that see everything, or of the first there are.
  private static func global(_ blueprint: Blueprint) -> RotaryEmbedding? {
    let layers = blueprint.layers.filter { $0.mixer.window == nil } + blueprint.layers
    return layers.lazy.compactMap { layer in
      (layer.mixer as? GroupedQueryAttention)?.rotary ?? (layer.mixer as? LatentAttention)?.rotary
    }.first
  }

  /// `rope_parameters`, those of one kind of layers where each has its own.
  private static func parameters(of kind: String, _ config: Config) -> JSON? {
    guard let parameters = config["rope_parameters"] else { return nil }
    return parameters[kind] ?? parameters
  }

  private static func addWindows(
    _ blueprint: Blueprint, _ family: Family, _ config: Config, _ add: (String, JSON) -> Void
  ) throws(FormatError) {
    let windows = blueprint.layers.map(\.mixer.window)
    guard let window = blueprint.slidingWindow else { return }
    if family.mlx?.hasWindowPattern == true {
      let first = (windows.firstIndex(of: nil) ?? windows.count) + 1
      guard windows.indices.allSatisfy({ (windows[$0] == nil) == (($0 + 1) % first == 0) }) else {
        throw config.error(
          "layer_types",
          "the same number of layers with a window before each without one, which mlx-lm counts",
          found:
            "\(windows.count) layers in another order; mlx-lm would compute another model: write another format"
        )
      }
      add("sliding_window_pattern", JSON(first))
      add("sliding_window", JSON(window))
      let local = blueprint.layers.first { $0.mixer.window != nil }?.mixer as? GroupedQueryAttention
      if let local = local?.rotary {
        guard local.scaling == .none else {
          throw config.error(
            "rope_parameters", "no scaling in layers with a window, where mlx-lm has none",
            found: "\(local.scaling); mlx-lm would compute another model: write another format")
        }
        add("rope_local_base_freq", JSON(local.theta))
      }
    } else if windows.contains(nil) {
      // mlx-lm's classes have a window where the config says which layers; never in all of them.
      add("sliding_window", JSON(window))
      let types = windows.map { $0 == nil ? "full_attention" : "sliding_attention" }
      add("layer_types", .array(types.map { .string($0) }))
    }
  }

  /// Which layers have softmax attention among linear ones: mlx-lm counts.
  private static func addInterval(
    _ blueprint: Blueprint, _ config: Config, _ add: (String, JSON) -> Void
  ) throws(FormatError) {
    let isLinear = blueprint.layers.map { $0.mixer is GatedDeltaNet }
    guard isLinear.contains(true) else { return }
    let interval = (isLinear.firstIndex(of: false) ?? isLinear.count) + 1
    guard isLinear.indices.allSatisfy({ isLinear[$0] == (($0 + 1) % interval != 0) }) else {
      throw config.error(
        "layer_types", "full attention in every \(interval)th layer, as mlx-lm counts them",
        found:
          "\(isLinear.count) layers in another order; mlx-lm would compute another model: write another format"
      )
    }
    add("full_attention_interval", JSON(interval))
  }

  /// Keys of DeepSeek's and GLM's routers and first layers.
  private static func addRouting(
    _ blueprint: Blueprint, _ config: Config, _ add: (String, JSON) -> Void
  ) throws(FormatError) {
    let dense = blueprint.layers.prefix { !$0.feedForward.isMixture }.count
    guard blueprint.layers.dropFirst(dense).allSatisfy(\.feedForward.isMixture) else {
      throw config.error(
        "mlp_layer_types", "dense layers before the others, which mlx-lm counts",
        found: "a dense layer behind others; mlx-lm would compute another model: write another format")
    }
    add("first_k_dense_replace", JSON(dense))
    guard let mixture = blueprint.layers.lazy.compactMap({ $0.feedForward as? Mixture }).first else { return }
    let routing = mixture.routing
    add("norm_topk_prob", .bool(routing.normalizesWeights))
    add("routed_scaling_factor", JSON(Double(routing.scale)))
    add("n_group", JSON(routing.groups?.count ?? 1))
    add("topk_group", JSON(routing.groups?.kept ?? 1))
    add("moe_layer_freq", 1)
  }
}

extension Model {
  /// config.json of the side files.
  func config() throws(FormatError) -> Config {
    guard let file = sideFile("config.json") else {
      throw FormatError(path: path, expected: "config.json among the side files", found: "none")
    }
    return try Config(file.bytes.array, path: "\(path) (config.json)")
  }
}
