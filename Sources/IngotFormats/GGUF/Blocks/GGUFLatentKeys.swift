import IngotModels
import IngotSystem

// Keys of latent attention. llama.cpp runs it as attention with one key-value head, whose key is the latent and the rotated key.

extension GGUFConfig {
  /// What a rotation and a scale of scores are in llama.cpp's keys of YaRN: it multiplies rotated pairs by `attn_factor` and all
  /// scores by (attn_factor · (1 + 0.1 · m · ln factor))² / √d, m being ten times `yarn_log_multiplier` unless that is 0 or
  /// missing: then both get another factor 1 + 0.1 · ln factor.
  ///
  /// Source: llama.cpp, src/llama-context.cpp and src/models/deepseek2.cpp, September 2026.
  private struct Magnitudes {
    /// Factor on cosines and sines, and the root of that on scores.
    var rotation: Double
    var scores: Double
    var factor: Double

    private var usual: Double { RotaryEmbedding.magnitude(factor: factor, scale: 1) }

    /// m.
    var multiplier: Double { factor <= 1 ? 0 : (scores / rotation - 1) / (usual - 1) }

    var attentionFactor: Double { abs(multiplier) < 1e-9 ? rotation / usual : rotation }

    init(rotation: Double, scores: Double, factor: Double) {
      (self.rotation, self.scores, self.factor) = (rotation, scores, factor)
    }

    init(attentionFactor: Double, multiplier: Double, factor: Double) {
      self.factor = factor
      rotation = attentionFactor
      scores = attentionFactor * RotaryEmbedding.magnitude(factor: factor, scale: multiplier)
      if multiplier == 0 {
        rotation *= usual
        scores = rotation
      }
    }
  }

  /// - Throws: FormatError for latents whose norms llama.cpp computes visibly otherwise: it takes `rms_norm_eps` for them, the
  ///   family's own class 1e-6. The 1e-5 of Kimi-K2 and GLM-4.7-Flash moves no logit by more than rounding does.
  static func addLatent(
    _ block: LatentAttention, _ model: Model, _ family: GGUFFamily, to metadata: inout GGUFMetadata
  ) throws(FormatError) {
    let epsilon = model.blueprint.finalNorm.epsilon
    guard abs(epsilon - block.norm.epsilon) <= 1e-5 else {
      throw FormatError(
        path: model.path,
        expected: "norms of latents with rms_norm_eps, as llama.cpp's \(family.name) computes them",
        found: "\(block.norm.epsilon) there and rms_norm_eps \(epsilon)")
    }
    func set(_ name: String, _ value: Int) { metadata["\(family.name).\(name)"] = .uint32(UInt32(value)) }
    let rotary = block.rotary
    set("attention.head_count", block.heads)
    set("attention.head_count_kv", 1)
    set("attention.key_length", block.keyValueRank + rotary.dims)
    set("attention.value_length", block.keyValueRank)
    set("attention.key_length_mla", block.headDim)
    set("attention.value_length_mla", block.valueDim)
    // llama.cpp wants the key, and takes 0 for queries that come from the input.
    set("attention.q_lora_rank", block.queryRank ?? 0)
    set("attention.kv_lora_rank", block.keyValueRank)
    metadata["\(family.name).rope.freq_base"] = .float32(Float(rotary.theta))
    set("rope.dimension_count", rotary.dims)
    try addScaling(rotary.scaling, family, to: &metadata)
    guard case .yarn(let yarn) = rotary.scaling else { return }
    let magnitudes = Magnitudes(
      rotation: yarn.attentionFactor,
      scores: (Double(block.scale) * Double(block.headDim).squareRoot()).squareRoot(), factor: yarn.factor)
    let name = "\(family.name).rope.scaling"
    metadata["\(name).attn_factor"] = nil
    if abs(magnitudes.attentionFactor - 1) > 1e-7 {
      metadata["\(name).attn_factor"] = .float32(Float(magnitudes.attentionFactor))
    }
    let multiplier = (magnitudes.multiplier * 1e6).rounded() / 1e6
    if multiplier != 0 { metadata["\(name).yarn_log_multiplier"] = .float32(Float(0.1 * multiplier)) }
  }

  /// What config.json says of it; nil for a file without.
  func latentConfig() throws(FormatError) -> JSONObject? {
    guard metadata[key("attention.kv_lora_rank")] != nil else { return nil }
    func positive(_ name: String) throws(FormatError) -> Int {
      try metadata.integer(key(name), 1...Config.limit)
    }
    let rank = try metadata.integer(key("attention.q_lora_rank"), 0...Config.limit, or: 0)
    let rotated = try positive("rope.dimension_count")
    // Old files have the plain names for heads that are made whole.
    let isTurned = metadata[key("attention.key_length_mla")] != nil
    let suffix = isTurned ? "_mla" : ""
    let head = try positive("attention.key_length\(suffix)")
    guard head > rotated else {
      throw metadata.error(
        key("attention.key_length\(suffix)"), "more than \(rotated), what is rotated of it")
    }
    return [
      "kv_lora_rank": JSON(try positive("attention.kv_lora_rank")),
      "q_lora_rank": rank == 0 ? .null : JSON(rank), "qk_nope_head_dim": JSON(head - rotated),
      "qk_rope_head_dim": JSON(rotated), "v_head_dim": JSON(try positive("attention.value_length\(suffix)")),
    ]
  }

  /// A scaling of the rotation with what DeepSeek's configs say of scores.
  func latentScaling(_ scaling: JSON) throws(FormatError) -> JSON {
    guard scaling["rope_type"] == "yarn", let factor = scaling["factor"]?.double, factor > 1,
      var yarn = scaling.object
    else { return scaling }
    let magnitudes = Magnitudes(
      attentionFactor: metadata[key("rope.scaling.attn_factor")] == nil
        ? 1 : shortest(try metadata.positiveNumber(key("rope.scaling.attn_factor"))),
      multiplier: shortest(10 * (metadata[key("rope.scaling.yarn_log_multiplier")]?.number ?? 0)),
      factor: factor)
    let unit = RotaryEmbedding.magnitude(factor: factor, scale: 1) - 1
    let all = (magnitudes.scores - 1) / unit
    yarn["mscale_all_dim"] = JSON(shortest(all))
    yarn["attention_factor"] = JSON(magnitudes.rotation)
    return .object(yarn)
  }
}
