import IngotModels
import IngotSystem

/// Layers whose sizes differ: heads with and without a window, widths of dense layers, keys and values that layers share, inputs of
/// a layer's own (Gemma 4). Keys of a file, and config.json.
struct GGUFHeadSizes {
  let architecture: String

  init?(_ graph: Family.LlamaCppGraph) {
    guard graph.windows?.hasOwnHeads ?? false else { return nil }
    architecture = graph.architecture
  }

  private func key(_ name: String) -> String { "\(architecture).\(name)" }
  private static let keyLength = "attention.key_length"
  private static let valueLength = "attention.value_length"
  private static let rotated = "rope.dimension_count"
  private static let keyHeads = "attention.head_count_kv"
  private static let width = "feed_forward_length"
  private static let sharing = "attention.shared_kv_layers"
  private static let inputs = "embedding_length_per_layer_input"
  private static let windowed = "_swa"

  /// - Throws: FormatError for sizes that llama.cpp's graph has not.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) {
    let layers = model.blueprint.layers
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(architecture) computes it", found: found)
    }
    func set(_ name: String, _ value: Int) { metadata[key(name)] = .uint32(UInt32(clamping: value)) }
    let blocks = layers.compactMap { $0.mixer as? GroupedQueryAttention }
    func headDim(_ isLocal: Bool) throws(FormatError) -> Int? {
      let sizes = Set(blocks.filter { ($0.window != nil) == isLocal }.map(\.headDim))
      guard sizes.count < 2 else { throw wrong("one size of these heads", "\(sizes.sorted())") }
      return sizes.first
    }
    guard let local = try headDim(true), let full = try headDim(false) else {
      throw wrong("layers with a window and layers without", "one kind")
    }
    for (suffix, size) in [("", full), (GGUFHeadSizes.windowed, local)] {
      set(GGUFHeadSizes.keyLength + suffix, size)
      set(GGUFHeadSizes.valueLength + suffix, size)
      set(GGUFHeadSizes.rotated + suffix, size)
    }
    let keyHeads = blocks.map(\.keyValueHeads)
    if Set(keyHeads).count > 1 { metadata[key(GGUFHeadSizes.keyHeads)] = .int32s(keyHeads.map { Int32($0) }) }
    let widths = layers.map { ($0.feedForward.shared?.intermediateSize) ?? $0.feedForward.intermediateSize }
    if Set(widths).count > 1 {
      metadata[key(GGUFHeadSizes.width)] = .int32s(widths.map { Int32($0) })
    } else {
      set(GGUFHeadSizes.width, widths[0])
    }
    let first = blocks.firstIndex { $0.shared?.takes ?? false } ?? blocks.count
    guard blocks[first...].allSatisfy({ $0.shared?.takes ?? false }) else {
      throw wrong("layers that share keys behind all others", "others")
    }
    if first < blocks.count {
      // The graph takes them from the last layer but one, or the last, before.
      guard first >= 2, blocks[first - 2].window != nil, blocks[first - 1].window == nil else {
        throw wrong(
          "a layer with a window and one without right before those that share their keys", "others")
      }
    }
    set(GGUFHeadSizes.sharing, blocks.count - first)
    set(GGUFHeadSizes.inputs, model.blueprint.layerInputWidth ?? 0)
  }

  /// The keys with one number where a file has one for each layer, and those of layers with a window where it has two.
  func flattened(_ metadata: GGUFMetadata) -> GGUFMetadata {
    var flat = metadata
    for name in [GGUFHeadSizes.keyLength, GGUFHeadSizes.valueLength, GGUFHeadSizes.rotated] {
      if let own = metadata[key(name + GGUFHeadSizes.windowed)] { flat[key(name)] = own }
    }
    let windows = metadata[key("attention.sliding_window_pattern")]?.integers ?? []
    for name in [GGUFHeadSizes.keyHeads, GGUFHeadSizes.width] {
      guard metadata[key(name)]?.integer == nil, let values = metadata[key(name)]?.integers,
        let first = values.first
      else { continue }
      let place = name == GGUFHeadSizes.keyHeads ? windows.firstIndex { $0 != 0 } ?? 0 : 0
      let value = values.indices.contains(place) ? values[place] : first
      flat[key(name)] = .uint32(UInt32(clamping: value))
    }
    return flat
  }

  /// What config.json says of it.
  ///
  /// - Parameters:
  ///   - metadata: the keys as a file has them.
  ///   - types: `layer_types`.
  func config(
    _ metadata: GGUFMetadata, _ facts: GGUFConfig.Facts, types: [JSON], theta: Double, localTheta: Double
  ) throws(FormatError) -> JSONObject {
    let layers = types.count
    let shared = try metadata.integer(key(GGUFHeadSizes.sharing), 0...max(layers - 1, 0), or: 0)
    let headDim = try metadata.integer(key(GGUFHeadSizes.keyLength), 1...65_536)
    let full = types.indices.filter { types[$0] == "full_attention" }
    let valueIsKey = full.contains { $0 < layers - shared && !facts.valueLayers.contains($0) }
    let turning = facts.frequencyFactors.count { $0 < 1e20 }
    let pairs = facts.frequencyFactors.count
    guard pairs == headDim / 2, facts.frequencyFactors.prefix(turning).allSatisfy({ $0 == 1 }) else {
      throw FormatError(
        path: metadata.path, tensor: GGUFFamily.frequencyFactors,
        expected: "1 for each of \(headDim / 2) pairs that turns and a huge number for the others",
        found: "\(facts.frequencyFactors.prefix(6)) …")
    }
    var share = 2 * Double(turning) / Double(headDim)
    if Int(share * Double(headDim) / 2) < turning { share = share.nextUp }
    var config: JSONObject = [
      "global_head_dim": JSON(headDim), "attention_k_eq_v": .bool(valueIsKey),
      "num_kv_shared_layers": JSON(shared),
      "hidden_size_per_layer_input": JSON(
        try metadata.integer(key(GGUFHeadSizes.inputs), 0...Config.limit, or: 0)),
      "rope_parameters": [
        "full_attention": [
          "rope_type": "proportional", "partial_rotary_factor": JSON(share), "rope_theta": JSON(theta),
        ],
        "sliding_attention": ["rope_type": "default", "rope_theta": JSON(localTheta)],
      ],
    ]
    if let heads = metadata[key(GGUFHeadSizes.keyHeads)]?.integers, let layer = full.first,
      heads.indices.contains(layer)
    {
      config["num_global_key_value_heads"] = JSON(heads[layer])
    }
    if let widths = metadata[key(GGUFHeadSizes.width)]?.integers, let first = widths.first,
      let last = widths.last, first != last
    {
      guard last == 2 * first, widths == (0..<layers).map({ $0 < layers - shared ? first : last }) else {
        throw metadata.error(key(GGUFHeadSizes.width), "twice the width in layers that share keys")
      }
      config["use_double_wide_mlp"] = true
    }
    return config
  }
}
