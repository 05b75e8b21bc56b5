import IngotModels
import IngotSystem

/// Which layers are gated DeltaNets, and their sizes: keys of a file, and config.json. llama.cpp has the words of Mamba for them.
struct GGUFDeltaKeys {
  let architecture: String

  private func key(_ name: String) -> String { "\(architecture).\(name)" }
  private static let kernel = "ssm.conv_kernel"
  private static let layers = "attention.recurrent_layers"
  private static let interval = "full_attention_interval"
  private static let sections = "rope.dimension_sections"
  /// What llama.cpp takes where no key says it.
  private static let usualInterval = 4

  /// - Throws: FormatError for sizes that llama.cpp's graphs have not.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) {
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(architecture) computes it",
        found: "\(found); no key says so: write another format")
    }
    let blocks = model.blueprint.layers.map { $0.mixer as? GatedDeltaNet }
    guard let block = blocks.lazy.compactMap(\.self).first else { return }
    guard blocks.allSatisfy({ $0 == nil || $0 == block }) else {
      throw wrong("equal linear attention", "several kinds")
    }
    guard block.keyDim == block.valueDim else {
      throw wrong("values as wide as keys, \(block.keyDim)", "\(block.valueDim) (linear_value_head_dim)")
    }
    // Queries and keys are normalized with 1e-6, there with the ε of all norms.
    guard block.norm.epsilon == 1e-6 else {
      throw wrong("rms_norm_eps 1e-6", "\(block.norm.epsilon)")
    }
    func set(_ name: String, _ value: Int) { metadata[key(name)] = .uint32(UInt32(clamping: value)) }
    set(GGUFDeltaKeys.kernel, block.kernel)
    set("ssm.state_size", block.keyDim)
    set("ssm.group_count", block.keyHeads)
    set("ssm.time_step_rank", block.valueHeads)
    set("ssm.inner_size", block.valueWidth)
    let flags = blocks.map { $0 != nil }
    let interval = (flags.firstIndex(of: false) ?? flags.count) + 1
    set(GGUFDeltaKeys.interval, interval)
    if flags != flags.indices.map({ ($0 + 1) % interval != 0 }) {
      let prediction = [Bool](repeating: false, count: GGUFPrediction.count(in: model))
      metadata[key(GGUFDeltaKeys.layers)] = .bools(flags + prediction)
    }
    if !block.isGrouped, let rotary = model.blueprint.attention?.rotary {
      metadata[key(GGUFDeltaKeys.sections)] = .int32s(try sections(model, pairs: rotary.dims / 2))
    }
  }

  /// Pairs that rotate by time, height and width of an image; where the config does not say, a third each. For text all of them are
  /// one position.
  private func sections(_ model: Model, pairs: Int) throws(FormatError) -> [Int32] {
    var sections = [pairs - 2 * (pairs / 3), pairs / 3, pairs / 3]
    if let file = model.sideFile("config.json") {
      let config = try Config(file.bytes.array, path: "\(model.path) (config.json)").text()
      let rope = config["rope_parameters"] ?? config["rope_scaling"]
      if let given = rope?["mrope_section"]?.array?.compactMap(\.int), given.count == 3,
        given.allSatisfy({ (0...pairs).contains($0) })
      {
        sections = given
      }
    }
    return sections.map { Int32($0) } + [0]
  }

  /// What config.json says of it; nothing for a file without.
  func config(_ metadata: GGUFMetadata, layers: Int, headDim: Int, rotated: Int) throws(FormatError)
    -> JSONObject
  {
    guard metadata[key(GGUFDeltaKeys.kernel)] != nil else { return [:] }
    func positive(_ name: String) throws(FormatError) -> Int {
      try metadata.integer(key(name), 1...Config.limit)
    }
    let heads = try positive("ssm.time_step_rank")
    let inner = try positive("ssm.inner_size")
    guard inner % heads == 0 else {
      throw metadata.error(key("ssm.inner_size"), "a multiple of \(heads), ssm.time_step_rank")
    }
    var flags: [Bool]
    if let value = metadata[key(GGUFDeltaKeys.layers)] {
      guard let values = value.integers, values.count >= layers else {
        throw metadata.error(key(GGUFDeltaKeys.layers), "a flag for each of \(layers) layers")
      }
      flags = values.prefix(layers).map { $0 != 0 }
    } else {
      let interval = try metadata.integer(
        key(GGUFDeltaKeys.interval), 1...10_001, or: GGUFDeltaKeys.usualInterval)
      flags = (0..<layers).map { ($0 + 1) % interval != 0 }
    }
    var config: JSONObject = [
      "linear_conv_kernel_dim": JSON(try positive(GGUFDeltaKeys.kernel)),
      "linear_key_head_dim": JSON(try positive("ssm.state_size")),
      "linear_num_key_heads": JSON(try positive("ssm.group_count")),
      "linear_num_value_heads": JSON(heads), "linear_value_head_dim": JSON(inner / heads),
      "layer_types": .array(flags.map { $0 ? "linear_attention" : "full_attention" }),
      // A quarter of each head is rotated where the config does not say.
      "partial_rotary_factor": JSON(Double(rotated) / Double(headDim)),
    ]
    if let sections = metadata[key(GGUFDeltaKeys.sections)]?.integers, sections.count >= 3 {
      config["rope_scaling"] = [
        "rope_type": "default", "mrope_interleaved": true,
        "mrope_section": .array(sections.prefix(3).map { JSON($0) }),
      ]
    }
    return config
  }
}
