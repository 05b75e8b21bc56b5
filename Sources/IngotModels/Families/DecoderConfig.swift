import IngotSystem
import IngotTensors

/// The keys that configs of decoders share, read with a class's defaults for those that are missing.
public struct DecoderConfig {
  public let config: Config
  public let layers: Int
  public let hidden: Int
  public let heads: Int
  public let keyValueHeads: Int
  public let headDim: Int
  public let vocabulary: Int
  public let context: Int
  public let norm: Norm
  public let isHeadTied: Bool
  public var activation: GatedActivation

  /// What a class of transformers has where its config says nothing.
  public struct Defaults: Sendable {
    /// nil: as many as heads.
    public var keyValueHeads: Int?
    /// nil: the hidden size shared by the heads.
    public var headDim: Int?
    public var normEpsilon: Double? = 1e-6
    public var context: Int?
    public var isHeadTied = false
    /// Whether heads have widths of their own and keys and values one latent: `head_dim` and `num_key_value_heads` say
    /// nothing then that other keys do not, and must not contradict them.
    public var hasLatents = false
    /// Key and default of the activation.
    public var activation: (key: String?, GatedActivation) = ("hidden_act", .silu)
    /// Whether norms' stored weights are the factor less 1.
    public var normAddsOne = false
    /// Whether norms of the residual stream are LayerNorms with biases.
    public var normIsCentered = false

    public init() {}

    init(
      keyValueHeads: Int? = nil, headDim: Int? = nil, normEpsilon: Double? = 1e-6, context: Int? = nil,
      isHeadTied: Bool = false, hasLatents: Bool = false,
      activation: (key: String?, GatedActivation) = ("hidden_act", .silu), normAddsOne: Bool = false,
      normIsCentered: Bool = false
    ) {
      self.keyValueHeads = keyValueHeads
      self.headDim = headDim
      self.normEpsilon = normEpsilon
      self.context = context
      self.isHeadTied = isHeadTied
      self.hasLatents = hasLatents
      self.activation = activation
      self.normAddsOne = normAddsOne
      self.normIsCentered = normIsCentered
    }
  }

  /// - Throws: FormatError naming the key that is missing, or whose value cannot be.
  public init(_ config: Config, _ defaults: Defaults = Defaults()) throws(FormatError) {
    self.config = config
    layers = try config.integer("num_hidden_layers", 1...10_000)
    hidden = try config.positive("hidden_size")
    heads = try config.integer("num_attention_heads", 1...65_536)
    if defaults.hasLatents {
      (headDim, keyValueHeads) = (hidden / heads, heads)
      try Self.checkUnused(config, heads: heads)
    } else {
      headDim = try config.integer("head_dim", 1...65_536, or: defaults.headDim ?? hidden / heads)
      keyValueHeads = try config.integer(
        "num_key_value_heads", 1...65_536, or: defaults.keyValueHeads ?? heads)
    }
    guard heads % keyValueHeads == 0 else {
      throw config.error("num_key_value_heads", "a divisor of \(heads) heads", found: "\(keyValueHeads)")
    }
    vocabulary = try config.positive("vocab_size")
    context = try config.integer("max_position_embeddings", 1...1 << 40, or: defaults.context)
    norm = Norm(
      epsilon: Float(try config.positiveNumber("rms_norm_eps", or: defaults.normEpsilon)),
      addsOne: defaults.normAddsOne, isCentered: defaults.normIsCentered)
    isHeadTied = try config.flag("tie_word_embeddings", or: defaults.isHeadTied)
    let (key, activation) = defaults.activation
    self.activation = activation
    if let key { try config.require(key, [.string(activation.configName)], missing: true) }
  }

  /// The blueprint of layers that `layer` makes.
  ///
  /// - Parameter residuals: how mixer and feed-forward of a layer get into the residual stream.
  public func blueprint(
    predictionLayers: Int = 0, embeddingScale: Float = 1, logitScale: Float = 1, logitSoftcap: Float? = nil,
    residuals: (Int) -> (mixer: Residual, feedForward: Residual) = { _ in (Residual(), Residual()) },
    _ layer: (Int) throws(FormatError) -> (any Mixer, any FeedForward)
  ) throws(FormatError) -> Blueprint {
    var made: [Blueprint.Layer] = []
    made.reserveCapacity(layers)
    for index in 0..<layers {
      let (mixer, feedForward) = try layer(index)
      let residual = residuals(index)
      made.append(
        .init(
          hiddenSize: hidden, mixer: mixer, mixerNorm: norm, mixerResidual: residual.mixer,
          feedForward: feedForward, feedForwardNorm: norm, feedForwardResidual: residual.feedForward))
    }
    return Blueprint(
      hiddenSize: hidden, vocabulary: vocabulary, contextLength: context, layers: made, finalNorm: norm,
      isHeadTied: isHeadTied, embeddingScale: embeddingScale, logitScale: logitScale,
      logitSoftcap: logitSoftcap, predictionLayers: predictionLayers)
  }

  /// Attention with grouped queries by the config's heads.
  public func attention(
    rotary: RotaryEmbedding?, queryKeyNorm: GroupedQueryAttention.QueryKeyNorm = .none,
    hasInputBias: Bool = false, hasOutputBias: Bool = false, window: Int? = nil
  ) -> GroupedQueryAttention {
    GroupedQueryAttention(
      hiddenSize: hidden, heads: heads, keyValueHeads: keyValueHeads, headDim: headDim, rotary: rotary,
      norm: norm, queryKeyNorm: queryKeyNorm, hasInputBias: hasInputBias, hasOutputBias: hasOutputBias,
      window: window)
  }

  /// A gated MLP with this many inner channels.
  public func mlp(_ width: Int, hasBias: Bool = false) -> GatedMLP {
    GatedMLP(hiddenSize: hidden, intermediateSize: width, hasBias: hasBias, activation: activation)
  }

  /// A mixture whose experts have this width; keys of the count as transformers 4 and 5 spell them.
  public func mixture(
    width: Int, countKey: String, count: Int? = nil, perToken: Int? = nil, shared: SharedMLP? = nil,
    _ routing: Mixture.Routing
  ) throws(FormatError) -> Mixture {
    let count = try config.expertCount(countKey, or: count)
    return Mixture(
      hiddenSize: hidden, count: count,
      perToken: try config.integer("num_experts_per_tok", 1...count, or: perToken),
      intermediateSize: width, routing: routing, activation: activation, shared: shared)
  }

  /// What configs of latent attention say of heads beside their own keys: published ones give `num_key_value_heads` as the
  /// number of heads, and `head_dim` as one of the widths that a head has. Other values belong to another model, and
  /// libraries that do read them compute something else.
  private static func checkUnused(_ config: Config, heads: Int) throws(FormatError) {
    let copies = try config.integer("num_key_value_heads", 1...65_536, or: heads)
    guard heads % copies == 0 else {
      throw config.error("num_key_value_heads", "a divisor of \(heads) heads", found: "\(copies)")
    }
    guard config["head_dim"] != nil else { return }
    let width = try config.integer("head_dim", 1...65_536)
    let plain = try config.positive("qk_nope_head_dim")
    let rotated = try config.positive("qk_rope_head_dim")
    let value = try config.positive("v_head_dim")
    let rank = try config.positive("kv_lora_rank")
    guard [rotated, plain, plain + rotated, value, rank + rotated].contains(width) else {
      throw config.error(
        "head_dim",
        "a width of a head: qk_rope_head_dim \(rotated), qk_nope_head_dim \(plain), their sum \(plain + rotated), "
          + "or v_head_dim \(value)", found: "\(width)")
    }
  }

  /// Multi-head latent attention by DeepSeek's keys. The latents' norms have ε 1e-6 whatever `rms_norm_eps` says, as
  /// transformers' classes have it.
  public func latentAttention(hasBias: Bool = false) throws(FormatError) -> LatentAttention {
    let plain = try config.positive("qk_nope_head_dim")
    let rotated = try config.positive("qk_rope_head_dim")
    var rotary = try config.rotary(headDim: rotated, theta: 10_000)
    if try config.flag("rope_interleave", or: true) { rotary.pairing = .interleaved }
    return LatentAttention(
      hiddenSize: hidden, heads: heads,
      queryRank: config["q_lora_rank"] == nil ? nil : try config.positive("q_lora_rank"),
      keyValueRank: try config.positive("kv_lora_rank"), plainDim: plain, rotary: rotary,
      valueDim: try config.positive("v_head_dim"),
      scale: Float(try config.latentMagnitude() / Double(plain + rotated).squareRoot()),
      norm: Norm(epsilon: 1e-6), hasBias: hasBias)
  }

  /// A dense layer for the first layers, a mixture for the others.
  public func denseFirst(_ count: Int, _ mlp: GatedMLP?, _ mixture: Mixture) -> (Int) -> any FeedForward {
    { layer in
      if layer < count, let mlp { return mlp }
      return mixture
    }
  }

  /// Windows by layer: `layer_types` where the config has it, else `fallback` for each layer.
  public func windows(_ window: Int?, or fallback: (Int) -> Bool) throws(FormatError) -> [Int?] {
    guard let types = config["layer_types"] else {
      return (0..<layers).map { fallback($0) ? window : nil }
    }
    guard let list = types.array, list.count == layers else {
      throw config.error("layer_types", "a list of \(layers) kinds of attention", found: types.kind)
    }
    var windows: [Int?] = []
    for type in list {
      switch type.string {
      case "full_attention": windows.append(nil)
      case "sliding_attention":
        guard let window else {
          throw config.error(
            "sliding_window", "a number, since layer_types has sliding_attention", found: "none")
        }
        windows.append(window)
      default:
        throw config.error(
          "layer_types", "\"full_attention\" or \"sliding_attention\"", found: type.text())
      }
    }
    return windows
  }
}

extension Config {
  /// A boolean; `fallback` when the key is missing or null.
  public func flag(_ key: String, or fallback: Bool) throws(FormatError) -> Bool {
    guard let value = self[key] else { return fallback }
    guard let flag = value.bool else { throw error(key, "true or false", found: value.kind) }
    return flag
  }

  /// The number of experts, under the key of the class or the one that the other version of transformers writes.
  public func expertCount(_ key: String, or fallback: Int? = nil) throws(FormatError) -> Int {
    let spellings = [key] + ["num_experts", "num_local_experts"].filter { $0 != key }
    let present = spellings.filter { self[$0] != nil }
    guard let first = present.first else { return try integer(key, 1...65_536, or: fallback) }
    let count = try integer(first, 1...65_536)
    for other in present.dropFirst() where self[other] != self[first] {
      throw error(other, "\(count), as \(first) says", found: self[other]!.text())
    }
    return count
  }

  /// Tokens of the sliding window; nil for none. A missing key is the class's default, null is none.
  public func window(_ key: String = "sliding_window", or fallback: Int? = nil) throws(FormatError) -> Int? {
    guard let value = object[key] else { return fallback }
    if value.isNull { return nil }
    return try integer(key, 1...1 << 40)
  }

  /// The rotation by `rope_parameters` (transformers 5), or by `rope_theta`, `rope_scaling` and `partial_rotary_factor`
  /// (transformers 4). Where a file has both, they must agree.
  ///
  /// - Parameters:
  ///   - headDim: dimensions of a head.
  ///   - dimsKey: a key that says how many are rotated (MiniMax's `rotary_dim`).
  ///   - theta: base when the config has none; nil when it must.
  ///   - factor: share of the dimensions that are rotated when the config has none.
  public func rotary(headDim: Int, dimsKey: String? = nil, theta fallback: Double?, factor usual: Double = 1)
    throws(FormatError) -> RotaryEmbedding
  {
    let parameters = self["rope_parameters"]
    if let parameters, parameters.object == nil {
      throw error("rope_parameters", "an object", found: parameters.kind)
    }
    try requireOneScaling()
    let theta = try agreed("rope_theta", parameters) ?? fallback
    guard let theta else { throw error("rope_theta", "a positive number", found: "no such key") }
    guard theta > 0, theta.isFinite else { throw error("rope_theta", "a positive number", found: "\(theta)") }
    if let type = parameters?["rope_type"], type == "proportional" {
      let factor = try agreed("partial_rotary_factor", parameters) ?? 1
      guard factor > 0, factor <= 1, headDim % 2 == 0 else {
        throw error(
          "partial_rotary_factor", "a number above 0 and up to 1, and heads of even size", found: "\(factor)")
      }
      return RotaryEmbedding(
        dims: headDim, theta: theta, scaling: .proportional(pairs: Int(Double(headDim) * factor / 2)))
    }
    var dims = try dimsKey.flatMap { key throws(FormatError) in
      self[key] == nil ? nil : try positive(key)
    }
    if let factor = try agreed("partial_rotary_factor", parameters) {
      guard factor > 0, factor <= 1 else {
        throw error("partial_rotary_factor", "a number above 0 and up to 1", found: "\(factor)")
      }
      let share = Int(Double(headDim) * factor)
      if let dims, dims != share, let dimsKey {
        throw error(
          "partial_rotary_factor", "\(dims) of \(headDim) dimensions, as \(dimsKey) says",
          found: "\(factor), which is \(share)")
      }
      dims = share
    }
    let rotated = dims ?? Int(Double(headDim) * usual)
    guard rotated % 2 == 0, rotated > 0, rotated <= headDim else {
      throw error(
        dimsKey ?? "partial_rotary_factor",
        "an even number of rotated dimensions, at most head_dim \(headDim)", found: "\(rotated)")
    }
    let isNew = parameters?["rope_type"] != nil || self["rope_scaling"] == nil
    let key = isNew ? "rope_parameters" : "rope_scaling"
    return RotaryEmbedding(dims: rotated, theta: theta, scaling: try scaling(self[key], key, dims: rotated))
  }

  /// What YaRN multiplies scores of latent attention with: the square of its magnitude for `mscale_all_dim`; 1 without.
  func latentMagnitude() throws(FormatError) -> Double {
    guard let rope = self["rope_parameters"] ?? self["rope_scaling"], rope.object != nil,
      let all = rope["mscale_all_dim"]?.double, all != 0, let factor = rope["factor"]?.double,
      rope["rope_type"] ?? rope["type"] ?? "default" != "default"
    else { return 1 }
    let magnitude = RotaryEmbedding.magnitude(factor: factor, scale: all)
    return magnitude * magnitude
  }

  /// The config as layers of a type have their rotation: `rope_parameters` may hold one for each type; without that, layers with
  /// a window may have a base of their own and no scaling (Gemma 3).
  func ropeOfLayers(_ type: String, localBase: (key: String, fallback: Double)? = nil) -> Config {
    if let own = self["rope_parameters"]?[type] {
      // What stands at top level as well is for one kind of layers.
      return replacing(["rope_parameters": own, "rope_theta": nil, "rope_scaling": nil])
    }
    guard type == "sliding_attention", let localBase else { return self }
    return replacing([
      "rope_theta": self[localBase.key] ?? JSON(localBase.fallback), "rope_scaling": nil,
      "rope_parameters": nil,
    ])
  }

  /// A number that stands at top level, in `rope_parameters`, or in both alike.
  private func agreed(_ key: String, _ parameters: JSON?) throws(FormatError) -> Double? {
    let (top, inner) = (self[key], parameters?[key].flatMap { $0.isNull ? nil : $0 })
    for value in [top, inner].compactMap({ $0 }) {
      guard let number = value.double, number.isFinite else {
        throw error(key, "a number", found: value.kind)
      }
    }
    if let top, let inner, top.double != inner.double {
      throw error(
        key, "the same at top level and in rope_parameters", found: "\(top.text()) and \(inner.text())")
    }
    return (top ?? inner)?.double
  }

  /// `rope_scaling` and the kind of rotation in `rope_parameters` are two spellings of one thing.
  private func requireOneScaling() throws(FormatError) {
    guard let old = self["rope_scaling"]?.object, let new = self["rope_parameters"]?.object else { return }
    func kind(_ object: JSONObject) -> JSON? {
      [object["rope_type"], object["type"]].lazy.compactMap { $0 }.first { !$0.isNull }
    }
    var pairs = [("rope_type", kind(old), kind(new))]
    for (key, value) in old where !["rope_type", "type"].contains(key) {
      pairs.append((key, value, new[key]))
    }
    for case (let key, let first?, let second?) in pairs {
      guard !first.isNull, !second.isNull, !first.isEqual(to: second) else { continue }
      throw error(
        key, "the same in rope_scaling and in rope_parameters", found: "\(first.text()) and \(second.text())")
    }
  }

  private func scaling(_ value: JSON?, _ name: String, dims: Int) throws(FormatError)
    -> RotaryEmbedding.Scaling
  {
    guard let value, !value.isNull else { return .none }
    guard value.object != nil else { throw error(name, "an object", found: value.kind) }
    func number(_ key: String, or fallback: Double? = nil) throws(FormatError) -> Double {
      guard let found = value[key], !found.isNull else {
        if let fallback { return fallback }
        throw error("\(name), \(key)", "a number", found: "no such key")
      }
      guard let number = found.double, number.isFinite, number > 0 else {
        throw error("\(name), \(key)", "a positive number", found: found.kind)
      }
      return number
    }
    func original() throws(FormatError) -> Int {
      let usual = self["max_position_embeddings"]?.double
      return Int(min(try number("original_max_position_embeddings", or: usual), 1e15))
    }
    switch value["rope_type"] ?? value["type"] ?? "default" {
    case "default": return .none
    case "linear": return .linear(factor: try number("factor"))
    case "llama3":
      return .llama3(
        factor: try number("factor"), lowFactor: try number("low_freq_factor"),
        highFactor: try number("high_freq_factor"), originalContext: try original())
    case "yarn": return .yarn(try yarn(value, number, original()))
    case "longrope": return .longRoPE(try longRoPE(value, name, dims))
    case let type:
      throw error(
        name, "rope_type \"default\", \"linear\", \"llama3\", \"yarn\" or \"longrope\"", found: type.text())
    }
  }

  /// LongRoPE as Phi-3.5-MoE's configs have it: with a factor of their own on cosines and sines.
  private func longRoPE(_ value: JSON, _ name: String, _ dims: Int) throws(FormatError)
    -> RotaryEmbedding.LongRoPE
  {
    let factors = value["short_factor"]?.array?.compactMap(\.double) ?? []
    guard factors.count == dims / 2, factors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw error(
        "\(name), short_factor", "\(dims / 2) positive numbers, one for each rotated pair",
        found: value["short_factor"].map { $0.array.map { "\($0.count) entries" } ?? $0.kind }
          ?? "no such key")
    }
    guard let magnitude = value["short_mscale"]?.double, magnitude.isFinite, magnitude > 0 else {
      throw error(
        "\(name), short_mscale", "a positive number", found: value["short_mscale"]?.kind ?? "no such key")
    }
    let key = "original_max_position_embeddings"
    let context = try value[key] == nil ? integer(key, 1...1 << 40) : nil
    guard let original = context ?? value[key]?.int, original > 0 else {
      throw error("\(name), \(key)", "a positive number", found: value[key]?.kind ?? "no such key")
    }
    return .init(factors: factors, originalContext: original, magnitude: magnitude)
  }

  private func yarn(
    _ value: JSON, _ number: (String, Double?) throws(FormatError) -> Double, _ original: Int
  ) throws(FormatError) -> RotaryEmbedding.YaRN {
    let factor = try number("factor", nil)
    func magnitude(_ scale: Double) -> Double { RotaryEmbedding.magnitude(factor: factor, scale: scale) }
    var attention = magnitude(1)
    if let all = value["mscale_all_dim"]?.double, let own = value["mscale"]?.double, all != 0, own != 0 {
      attention = magnitude(own) / magnitude(all)
    }
    if let given = value["attention_factor"], !given.isNull {
      attention = try number("attention_factor", nil)
    }
    return .init(
      factor: factor, originalContext: original, betaFast: try number("beta_fast", 32),
      betaSlow: try number("beta_slow", 1), attentionFactor: attention,
      truncates: value["truncate"]?.bool ?? true)
  }
}

extension RotaryEmbedding {
  /// YaRN's factor on cosines and sines: 0.1·scale·ln(factor) + 1.
  public static func magnitude(factor: Double, scale: Double) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * logarithm(factor) + 1
  }
}
