import IngotModels
import IngotSystem

/// What embedding, scores, residuals and logits are multiplied by, and their soft caps: keys of a file, and config.json.
struct GGUFFactors {
  let graph: Family.LlamaCppGraph

  private func key(_ name: String) -> String { "\(graph.architecture).\(name)" }

  /// - Throws: FormatError for factors that the graph has not and no key can say.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) {
    let blueprint = model.blueprint
    func require(_ what: String, _ found: Float, _ expected: Float) throws(FormatError) {
      guard abs(found - expected) <= 1e-6 * abs(expected) else {
        throw FormatError(
          path: model.path,
          expected: "\(what) \(expected), as llama.cpp's \(graph.architecture) has it",
          found: "\(found); write another format")
      }
    }
    func set(_ name: String, _ value: Float) { metadata[key(name)] = .float32(value) }
    if graph.factors == .keys {
      set("embedding_scale", blueprint.embeddingScale)
      set("logit_scale", 1 / blueprint.logitScale)
    } else {
      let isRoot =
        switch graph.factors {
        case .gemma, .gemmaUnscaled: true
        case .usual, .keys, .norms: false
        }
      try require(
        "an embedding times", blueprint.embeddingScale, isRoot ? Float(blueprint.hiddenSize).squareRoot() : 1)
      try require("logits times", blueprint.logitScale, 1)
    }
    let residual = blueprint.layers[0].mixerResidual.scale
    for layer in blueprint.layers {
      let expected = graph.factors == .keys ? residual : 1
      try require("residuals times", layer.mixerResidual.scale, expected)
      try require("residuals times", layer.feedForwardResidual.scale, expected)
    }
    if graph.factors == .keys { set("residual_scale", residual) }
    let norm = blueprint.layers[0].mixerResidual.normScale
    for residual in blueprint.layers.flatMap({ [$0.mixerResidual, $0.feedForwardResidual] }) {
      guard residual.normScale == norm, (norm != nil) == (graph.factors == .norms) else {
        throw FormatError(
          path: model.path,
          expected: "\(norm == nil ? "no factor" : "one factor") on norms' outputs, as llama.cpp's "
            + "\(graph.architecture) has it", found: residual.normScale.map { "\($0)" } ?? "none")
      }
    }
    if let norm { set("residual_scale", norm) }
    try addSoftcap(graph.softcaps.logits, "final_logit_softcapping", blueprint.logitSoftcap, model, &metadata)
    let blocks = blueprint.layers.compactMap { $0.mixer as? GroupedQueryAttention }
    guard let first = blocks.first else { return }
    if graph.factors == .keys { set("attention.scale", first.scale) }
    for block in blocks {
      let scale =
        graph.factors == .keys
        ? first.scale
        : scoreScale(layers: blueprint.layerCount, hidden: blueprint.hiddenSize, block.heads, block.headDim)
      try require("scores times", block.scale, scale)
      guard block.softcap == first.softcap else {
        throw FormatError(path: model.path, expected: "one soft cap of scores", found: "several")
      }
    }
    try addSoftcap(graph.softcaps.scores, "attn_logit_softcapping", first.softcap, model, &metadata)
  }

  private func addSoftcap(
    _ rule: Family.LlamaCppGraph.Softcaps.Softcap, _ name: String, _ value: Float?, _ model: Model,
    _ metadata: inout GGUFMetadata
  ) throws(FormatError) {
    let isFine: Bool
    switch rule {
    case .never: isFine = value == nil
    case .optional, .unlessZero: isFine = true
    case .always: isFine = value != nil
    }
    guard isFine else {
      throw FormatError(
        path: model.path,
        expected: "\(value == nil ? "a" : "no") soft cap (\(name)), as llama.cpp's \(graph.architecture) "
          + "computes it", found: value.map { "\($0)" } ?? "none")
    }
    if let value { metadata[key(name)] = .float32(value) }
    if value == nil, case .unlessZero = rule { metadata[key(name)] = .float32(0) }
  }

  /// What the graph multiplies scores by where no key says it.
  private func scoreScale(layers: Int, hidden: Int, _ heads: Int, _ headDim: Int) -> Float {
    if graph.factors == .gemmaUnscaled { return 1 }
    return 1 / Float(scoreScalar(layers: layers, hidden: hidden, heads, headDim)).squareRoot()
  }

  /// The number by whose root it divides them.
  private func scoreScalar(layers: Int, hidden: Int, _ heads: Int, _ headDim: Int) -> Int {
    if case .gemma(let broad) = graph.factors, layers == broad { return hidden / heads }
    return headDim
  }

  /// What config.json says of them.
  func config(_ metadata: GGUFMetadata, layers: Int, hidden: Int, heads: Int, headDim: Int)
    throws(FormatError) -> JSONObject
  {
    func number(_ name: String, or fallback: Double) throws(FormatError) -> JSON {
      JSON(try metadata.positiveNumber(key(name), or: fallback))
    }
    var config: JSONObject = [:]
    switch graph.factors {
    case .usual, .gemmaUnscaled: break
    case .norms:
      let factor = try number("residual_scale", or: 1)
      for part in ["full_attention", "linear_attention", "mlp"] {
        config["layernorm_\(part)_alpha"] = factor
        config["layernorm_\(part)_beta"] = JSON(1)
      }
    case .gemma:
      config["query_pre_attn_scalar"] = JSON(
        scoreScalar(layers: layers, hidden: hidden, heads, headDim))
    case .keys:
      config["embedding_multiplier"] = try number("embedding_scale", or: 1)
      config["attention_multiplier"] = try number("attention.scale", or: 1 / Double(headDim).squareRoot())
      config["residual_multiplier"] = try number("residual_scale", or: 1)
      config["logits_scaling"] = try number("logit_scale", or: 1)
    }
    for (rule, name) in [
      (graph.softcaps.scores, "attn_logit_softcapping"), (graph.softcaps.logits, "final_logit_softcapping"),
    ] {
      switch rule {
      case .never: break
      case .optional:
        config[name] = metadata[key(name)] == nil ? .null : JSON(try metadata.positiveNumber(key(name)))
      case .unlessZero(let usual):
        let value = metadata[key(name)]?.number ?? usual
        config[name] = value == 0 ? .null : JSON(try metadata.positiveNumber(key(name), or: usual))
      case .always(let usual): config[name] = try number(name, or: usual)
      }
    }
    return config
  }
}
