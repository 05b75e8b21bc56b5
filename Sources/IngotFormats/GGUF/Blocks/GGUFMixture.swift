import IngotModels
import IngotSystem

/// What keys say of mixtures: dense layers before them, shared experts, how chosen experts are weighed.
struct GGUFMixture {
  let family: GGUFFamily
  private var keys: Family.LlamaCppGraph.MixtureKeys { family.graph.mixture }

  init(_ family: GGUFFamily) { self.family = family }

  private func key(_ name: String) -> String { "\(family.name).\(name)" }
  private static let step = "interleave_moe_layer_step"

  /// Layers before the first mixture, by the keys.
  func denseLayers(_ metadata: GGUFMetadata, layers: Int) throws(FormatError) -> Int {
    try metadata.integer(key("leading_dense_block_count"), 0...layers, or: 0)
  }

  /// A routing with what keys may say as the graph has it, to be compared with the graph's.
  func fixed(_ routing: Mixture.Routing) -> Mixture.Routing {
    guard let graphRouting = family.graph.routing else { return routing }
    var fixed = routing
    if keys.namesNormalization { fixed.normalizesWeights = graphRouting.normalizesWeights }
    if keys.namesScale { fixed.scale = graphRouting.scale }
    if keys.namesGroups, routing.groups?.sumsTwo ?? true { fixed.groups = graphRouting.groups }
    return fixed
  }

  /// - Throws: FormatError for what the graph has no key for.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) {
    let layers = model.blueprint.layers
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(family.name) computes it",
        found: "\(found); no key says so: write another format")
    }
    func set(_ name: String, _ value: Int) { metadata[key(name)] = .uint32(UInt32(clamping: value)) }
    let mixtures = layers.compactMap { $0.feedForward as? Mixture }
    guard let first = mixtures.first else { return }
    guard mixtures.allSatisfy({ $0 == first }) else { throw wrong("equal mixtures", "several kinds") }
    if keys.hasDenseLayers {
      let dense = layers.firstIndex { $0.feedForward.isMixture } ?? layers.count
      if let layer = layers.indices.first(where: { $0 > dense && !layers[$0].feedForward.isMixture }) {
        throw wrong("dense layers before all others", "a dense layer \(layer) behind mixtures")
      }
      set("leading_dense_block_count", dense)
    }
    if keys.interleaves {
      let step = (layers.firstIndex { $0.feedForward.isMixture } ?? 0) + 1
      for index in layers.indices where layers[index].feedForward.isMixture != ((index + 1) % step == 0) {
        throw wrong("a mixture in every layer \(step)", "others (moe_layers), such as in layer \(index)")
      }
      set(GGUFMixture.step, step)
    }
    switch (keys.shared, first.shared) {
    case (.none, nil): break
    case (.plain, .some(let shared)) where !shared.isGated:
      let count = shared.intermediateSize / first.intermediateSize
      guard count * first.intermediateSize == shared.intermediateSize else {
        throw wrong("shared experts of an expert's width", "\(shared.intermediateSize) in all")
      }
      set("expert_shared_count", count)
    case (.gated, .some(let shared)) where shared.isGated:
      set("expert_shared_feed_forward_length", shared.intermediateSize)
    case (.dense, .some(let shared)) where !shared.isGated: break
    case (.none, _): throw wrong("no shared expert", "one")
    case (.plain, _), (.dense, _):
      throw wrong("shared experts without a gate", first.shared == nil ? "none" : "a gate")
    case (.gated, _): throw wrong("a shared expert behind a gate", first.shared == nil ? "none" : "no gate")
    }
    let routing = first.routing
    if keys.namesScale { metadata[key("expert_weights_scale")] = .float32(routing.scale) }
    if keys.namesNormalization { metadata[key("expert_weights_norm")] = .bool(routing.normalizesWeights) }
    // llama.cpp refuses groups that are all kept.
    if keys.namesGroups, let groups = routing.groups, groups.kept < groups.count {
      set("expert_group_count", groups.count)
      set("expert_group_used_count", groups.kept)
    }
  }

  /// What config.json says of it, with DeepSeek's words.
  func config(_ metadata: GGUFMetadata, layers: Int) throws(FormatError) -> JSONObject {
    guard family.graph.hasExperts else { return [:] }
    var config: JSONObject = [:]
    if keys.hasDenseLayers {
      let dense = try denseLayers(metadata, layers: layers)
      if let name = family.family.config.feedForwardKinds {
        config[name] = .array((0..<layers).map { $0 < dense ? "dense" : "sparse" })
      } else {
        config["first_k_dense_replace"] = JSON(dense)
      }
    }
    if keys.interleaves {
      config[GGUFMixture.step] = JSON(try metadata.integer(key(GGUFMixture.step), 1...10_000))
    }
    switch keys.shared {
    case .none, .dense: break
    case .plain:
      let count = try metadata.integer(key("expert_shared_count"), 0...1024, or: 0)
      if let name = family.family.config.sharedWidth {
        config[name] = JSON(
          count * (try metadata.integer(key("expert_feed_forward_length"), 1...Config.limit)))
      } else {
        config["n_shared_experts"] = JSON(count)
      }
    case .gated:
      config["shared_expert_intermediate_size"] = JSON(
        try metadata.integer(key("expert_shared_feed_forward_length"), 0...Config.limit, or: 0))
    }
    if keys.namesScale {
      // A file without the key, or with 0, has none.
      let scale = metadata[key("expert_weights_scale")]?.number ?? 1
      let shortest = Double("\(Float(scale))") ?? scale
      config["routed_scaling_factor"] = JSON(shortest == 0 ? 1 : shortest)
    }
    if keys.namesNormalization {
      config["norm_topk_prob"] = .bool(metadata[key("expert_weights_norm")]?.bool ?? false)
    }
    if keys.namesGroups {
      let groups = try metadata.integer(key("expert_group_count"), 0...65_536, or: 1)
      if groups > 1 {
        config["n_group"] = JSON(groups)
        config["topk_group"] = JSON(
          try metadata.integer(key("expert_group_used_count"), 1...groups, or: groups))
        if family.graph.routing?.scoring == .softmax { config["topk_method"] = "group_limited_greedy" }
      }
    }
    return config
  }

  /// Refuses what keys may ask for and the graph's family has not.
  func refuseOtherKinds(_ metadata: GGUFMetadata) throws(FormatError) {
    var counts: [(String, Int)] = []
    if keys.shared != .plain { counts.append(("expert_shared_count", 0)) }
    if !keys.hasDenseLayers {
      counts.append(("leading_dense_block_count", 0))
    }
    if !keys.namesGroups { counts += [("expert_group_count", 1), ("expert_group_used_count", 1)] }
    for (name, allowed) in counts where metadata[key(name)] != nil && metadata[key(name)]?.integer != 0 {
      guard metadata[key(name)]?.integer == allowed else { throw metadata.error(key(name), "\(allowed)") }
    }
    if !keys.namesScale, let scale = metadata[key("expert_weights_scale")], scale.number != 1 {
      throw metadata.error(key("expert_weights_scale"), "1")
    }
    if !keys.namesNormalization, let norm = metadata[key("expert_weights_norm")], norm.bool != true {
      throw metadata.error(key("expert_weights_norm"), "true")
    }
  }
}
