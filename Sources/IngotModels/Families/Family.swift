import IngotSystem
import IngotTensors

/// A model family: which configs it is written for, what its models are made of, and what their tensors are called.
///
/// A family only describes. It refuses every config that asks for something its description, and the forward pass that
/// interprets it, does not do.
public struct Family: Sendable {
  /// The family's name in reports and in `.ingot` files.
  public let name: String
  /// Values of `model_type` in config.json.
  public let modelTypes: [String]
  /// Values of `architectures` in config.json.
  public let classNames: [String]
  /// Config to blueprint; throws for what the family was not written for.
  public let blueprint: @Sendable (Config) throws(FormatError) -> Blueprint
  public let names: TensorNames
  public let config: ConfigSpelling
  /// How llama.cpp runs the family; nil when it does not.
  public let llamaCpp: LlamaCppGraph?
  /// What llama.cpp's graph of the family computes otherwise for every model of it, so that no file is written for it; nil where
  /// there is a graph that is right, or none.
  public let llamaCppFault: String?
  /// Names of fused tensors behind `model.layers.#.`.
  public let fusedNames: [String: FusedName]
  /// Beginnings of names of tensors that the forward pass does not use, such as multi-token prediction.
  public let auxiliary: [String]
  /// How mlx-lm's class of the family keeps tensors; nil when it has none.
  public let mlx: MLXClass?
  /// Whether engines know a checkpoint of the family by these names; where they read stacks that the family takes apart, not.
  public let hasEngineNames: Bool
  /// Where in a layer the stacks of experts stand that engines read in place of these names; nil where they know the experts
  /// by these names.
  public let stacks: String?
  /// Whether published checkpoints of the family have experts in MXFP4.
  public let readsMXFP4: Bool
  /// Whether a config of one of its types is of this family; where several families share a type.
  public let accepts: @Sendable (Config) -> Bool
  /// Where the text model's tensors stand in a checkpoint of several models.
  public private(set) var place = TextPlace.whole

  /// What names of a text model begin with.
  public enum TextPlace: Hashable, Sendable {
    /// `model.layers…` and `lm_head`: the checkpoint has no other model.
    case whole
    /// `model.language_model.layers…`, and `lm_head` as it is.
    case inside
    /// `language_model.model.layers…` and `language_model.lm_head`.
    case outside

    /// The name that a text model alone would have; nil for a tensor of another model.
    public func plain(_ name: String) -> String? {
      switch self {
      case .whole: return name
      case .inside:
        if name.hasPrefix("model.language_model.") {
          return "model." + name.dropFirst("model.language_model.".count)
        }
        return name.hasPrefix("model.") ? nil : name
      case .outside:
        return name.hasPrefix("language_model.") ? String(name.dropFirst("language_model.".count)) : nil
      }
    }

    /// The stored name of what a text model alone calls so.
    public func stored(_ name: String) -> String {
      switch self {
      case .whole: name
      case .inside:
        name.hasPrefix("model.") ? "model.language_model." + name.dropFirst("model.".count) : name
      case .outside: "language_model." + name
      }
    }
  }

  /// The family as it names tensors in a checkpoint that has these.
  public func placed(among names: some Sequence<String>) -> Family {
    var family = self
    for name in names {
      if name.hasPrefix("model.language_model.layers.") { family.place = .inside }
      if name.hasPrefix("language_model.model.layers.") { family.place = .outside }
      if family.place != .whole || name.hasPrefix("model.layers.") { break }
    }
    return family
  }

  /// The family as it names tensors in a checkpoint whose text model stands there.
  public func placed(_ place: TextPlace) -> Family {
    var family = self
    family.place = place
    return family
  }

  public init(
    name: String, modelTypes: [String], classNames: [String], names: TensorNames,
    config: ConfigSpelling = ConfigSpelling(), llamaCpp: LlamaCppGraph? = nil,
    llamaCppFault: String? = nil, fusedNames: [String: FusedName] = Family.usualFusedNames,
    mlx: MLXClass? = nil,
    hasEngineNames: Bool = true, stacks: String? = nil, readsMXFP4: Bool = false,
    auxiliary: [String] = ["mtp."],
    accepts: @escaping @Sendable (Config) -> Bool = { _ in true },
    blueprint: @escaping @Sendable (Config) throws(FormatError) -> Blueprint
  ) {
    self.name = name
    self.modelTypes = modelTypes
    self.classNames = classNames
    self.names = names
    self.config = config
    self.llamaCpp = llamaCpp
    self.llamaCppFault = llamaCppFault
    self.fusedNames = fusedNames
    self.mlx = mlx
    self.hasEngineNames = hasEngineNames
    self.stacks = stacks
    self.readsMXFP4 = readsMXFP4
    self.auxiliary = auxiliary
    self.accepts = accepts
    self.blueprint = { config throws(FormatError) in try blueprint(config.text()) }
  }

  /// What llama.cpp's graph of a family expects of a file, where families differ.
  public struct LlamaCppGraph: Sendable {
    /// Value of `general.architecture`, which is also the prefix of its keys.
    public var architecture: String
    /// Pairs that it rotates: rows of query and key are permuted in the file where the family's own pairs are others.
    public var pairing: RotaryEmbedding.Pairing
    /// Kinds whose tensors have another name than most families' have.
    public var names: [TensorKind: String]
    /// How the graph's router chooses and weighs; nil for a graph without experts.
    public var routing: Mixture.Routing?
    /// Whether a key names the kind of router; elsewhere the graph has it fixed.
    public var namesRouting: Bool
    /// Whether models of the family have a sliding window, which tells them from others of the same architecture.
    public var hasWindow: Bool

    /// Whether a file may leave the head out, so that the embedding is it.
    public var tiesHead: Bool
    /// Biases that the graph adds.
    public var biases: Set<TensorKind>
    public var factors: Factors
    public var softcaps: Softcaps
    /// Windows that some layers have; nil for a graph whose layers all see everything before a token.
    public var windows: Windows?
    public var heads: Heads
    /// What of a mixture a file may have as it likes; without, the graph computes `routing` in every layer.
    public var mixture: MixtureKeys
    /// Whether another family has the same keys, so that a file says in a key of ours which it is.
    public var sharesKeys: Bool
    /// The router of a file that does not name one; nil where every file does.
    public var usualScoring: Mixture.Routing.Scoring?
    /// Layers and vocabulary by which a file that does not name its router is known to be of this family.
    public var unnamedSizes: (layers: ClosedRange<Int>, vocabulary: Int)?
    /// Whether models of the family do not round the bounds of YaRN's ramp, as the graph does.
    public var keepsYaRNBounds: Bool
    public var indexers: Indexers
    public var chunks: Chunks?
    /// Where layers of multi-token prediction stand; nil where llama.cpp's converter leaves them out.
    public var prediction: Prediction?

    public var hasExperts: Bool { routing != nil }

    public init(
      _ architecture: String, pairing: RotaryEmbedding.Pairing = .half, names: [TensorKind: String] = [:],
      routing: Mixture.Routing? = nil, namesRouting: Bool = false, hasWindow: Bool = false,
      tiesHead: Bool = true, biases: Set<TensorKind> = [], factors: Factors = .usual,
      softcaps: Softcaps = Softcaps(), windows: Windows? = nil, heads: Heads = .any,
      mixture: MixtureKeys = MixtureKeys(), sharesKeys: Bool = false,
      usualScoring: Mixture.Routing.Scoring? = nil,
      unnamedSizes: (layers: ClosedRange<Int>, vocabulary: Int)? = nil, keepsYaRNBounds: Bool = false,
      indexers: Indexers = .none, chunks: Chunks? = nil, prediction: Prediction? = nil
    ) {
      self.architecture = architecture
      self.pairing = pairing
      self.names = names
      self.routing = routing
      self.namesRouting = namesRouting
      self.hasWindow = hasWindow
      self.tiesHead = tiesHead
      self.biases = biases
      self.factors = factors
      self.softcaps = softcaps
      self.windows = windows
      self.heads = heads
      self.mixture = mixture
      self.sharesKeys = sharesKeys
      self.usualScoring = usualScoring
      self.unnamedSizes = unnamedSizes
      self.keepsYaRNBounds = keepsYaRNBounds
      self.indexers = indexers
      self.chunks = chunks
      self.prediction = prediction
    }
  }

  /// The family of a config, by `model_type`; nil for a type that none is written for.
  public static func known(_ config: Config) -> Family? {
    config["model_type"]?.string.flatMap { type in
      all.first { $0.modelTypes.contains(type) && $0.accepts(config) }
    }
  }

  /// The family of a config, by `model_type`.
  public static func of(_ config: Config) throws(FormatError) -> Family {
    let types = all.flatMap(\.modelTypes).map { "\"\($0)\"" }.joined(separator: ", ")
    guard let value = config["model_type"] else {
      throw config.error("model_type", "one of \(types)", found: "no such key")
    }
    guard let family = known(config) else {
      throw config.error("model_type", "one of \(types)", found: value.kind)
    }
    return family
  }

  /// The role of a checkpoint's tensor; nil when the model has none of this name.
  public func role(of tensor: String, _ blueprint: Blueprint) -> Role? {
    guard let plain = place.plain(tensor), !auxiliary.contains(where: { plain.hasPrefix($0) }) else {
      return isGeneric ? nil : Role(.auxiliary, name: tensor)
    }
    let (template, indices) = TensorNames.template(plain)
    if let layer = indices.first, plain.hasPrefix("model.layers."), layer >= blueprint.layerCount {
      // Layers past the last one hold multi-token prediction.
      let isPrediction = layer < blueprint.layerCount + blueprint.predictionLayers
      return isPrediction ? Role(.auxiliary, name: tensor) : nil
    }
    guard let kind = names.kind(template) ?? otherSpelling(template).flatMap({ names.kind($0) }) else {
      return nil
    }
    let role = Role(kind, layer: indices.first, expert: indices.count > 1 ? indices[1] : nil)
    return blueprint.spec(of: role) == nil ? nil : role
  }

  /// Whether a tensor that the forward pass does not use is of multi-token prediction, not of another model.
  public func isPrediction(_ tensor: String, _ blueprint: Blueprint) -> Bool {
    guard let plain = place.plain(tensor) else { return false }
    if auxiliary.contains(where: { plain.hasPrefix($0) }) { return true }
    let layer = plain.hasPrefix("model.layers.") ? TensorNames.template(plain).1.first : nil
    return layer.map { $0 >= blueprint.layerCount } ?? false
  }

  /// transformers 5 calls every mixture `mlp` in memory, and some writers keep that.
  private func otherSpelling(_ template: String) -> String? {
    template.contains(".mlp.") ? template.replacing(".mlp.", with: ".block_sparse_moe.") : nil
  }

  /// The checkpoint's name of a role.
  public func name(of role: Role) -> String {
    if let name = role.name { return name }
    guard let name = names.name(of: role) else { preconditionFailure("\(self.name) has no \(role.kind)") }
    return place.stored(name)
  }
}

/// What a family calls its tensors. In a template `#` stands for the layer, the second `#` for the expert; a kind may have
/// one template for layers and another one for experts.
public struct TensorNames: Sendable {
  private let templates: [Key: String]
  private let kinds: [String: TensorKind]

  private struct Key: Hashable {
    var kind: TensorKind
    var indices: Int
  }

  public init(_ names: [(TensorKind, String)]) {
    var templates: [Key: String] = [:]
    for (kind, template) in names {
      templates[Key(kind: kind, indices: template.count { $0 == "#" })] = template
    }
    self.templates = templates
    kinds = Dictionary(uniqueKeysWithValues: names.map { ($1, $0) })
  }

  /// These names and more.
  public func adding(_ names: [(TensorKind, String)]) -> TensorNames {
    TensorNames(templates.map { ($0.kind, $1) }.filter { old in !names.contains { $0.1 == old.1 } } + names)
  }

  /// The kind that a template is of.
  func kind(_ template: String) -> TensorKind? { kinds[template] }

  /// The template of a kind with so many indices; nil when the family has none.
  public func template(_ kind: TensorKind, indices: Int) -> String? {
    templates[Key(kind: kind, indices: indices)]
  }

  func name(of role: Role) -> String? {
    let indices = [role.layer, role.expert].compactMap { $0 }
    guard let template = template(role.kind, indices: indices.count) else { return nil }
    var left = indices[...]
    return template.split(separator: "#", omittingEmptySubsequences: false).reduce(into: "") { text, piece in
      text += text.isEmpty ? String(piece) : "\(left.popFirst() ?? 0)\(piece)"
    }
  }

  /// A name with its numbers replaced by `#`, and the numbers. Pieces such as `w1` are no numbers.
  package static func template(_ name: String) -> (String, [Int]) {
    var indices: [Int] = []
    var out: [UInt8] = []
    out.reserveCapacity(name.utf8.count)
    for (position, part) in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
      .enumerated()
    {
      if position > 0 { out.append(UInt8(ascii: ".")) }
      let digits = part.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
      // Leading zeros would give two names to one role.
      if digits, !part.isEmpty, part.count < 10, part.count == 1 || part.first != 0x30 {
        indices.append(part.reduce(0) { $0 * 10 + Int($1 - 0x30) })
        out.append(UInt8(ascii: "#"))
      } else {
        out.append(contentsOf: part)
      }
    }
    return (String(decoding: out, as: UTF8.self), indices)
  }
}

extension TensorNames {
  /// The names that most families share with Llama: attention with all that it may have, and norms.
  public static let llama = TensorNames([
    (.embedding, "model.embed_tokens.weight"),
    (.attentionNorm, "model.layers.#.input_layernorm.weight"),
    (.query, "model.layers.#.self_attn.q_proj.weight"),
    (.key, "model.layers.#.self_attn.k_proj.weight"),
    (.value, "model.layers.#.self_attn.v_proj.weight"),
    (.attentionOutput, "model.layers.#.self_attn.o_proj.weight"),
    (.queryBias, "model.layers.#.self_attn.q_proj.bias"),
    (.keyBias, "model.layers.#.self_attn.k_proj.bias"),
    (.valueBias, "model.layers.#.self_attn.v_proj.bias"),
    (.attentionOutputBias, "model.layers.#.self_attn.o_proj.bias"),
    (.queryNorm, "model.layers.#.self_attn.q_norm.weight"),
    (.keyNorm, "model.layers.#.self_attn.k_norm.weight"),
    (.sinks, "model.layers.#.self_attn.sinks"),
    (.feedForwardNorm, "model.layers.#.post_attention_layernorm.weight"),
    (.gate, "model.layers.#.mlp.gate_proj.weight"),
    (.up, "model.layers.#.mlp.up_proj.weight"),
    (.down, "model.layers.#.mlp.down_proj.weight"),
    (.gateBias, "model.layers.#.mlp.gate_proj.bias"),
    (.upBias, "model.layers.#.mlp.up_proj.bias"),
    (.downBias, "model.layers.#.mlp.down_proj.bias"),
    (.finalNorm, "model.norm.weight"),
    (.head, "lm_head.weight"),
  ])

  /// Experts under `mlp.experts`, as Qwen and DeepSeek have them.
  public static let expertsOfMLP: [(TensorKind, String)] = [
    (.router, "model.layers.#.mlp.gate.weight"),
    (.gate, "model.layers.#.mlp.experts.#.gate_proj.weight"),
    (.up, "model.layers.#.mlp.experts.#.up_proj.weight"),
    (.down, "model.layers.#.mlp.experts.#.down_proj.weight"),
  ]

  /// Experts under `block_sparse_moe`, as Mixtral and MiniMax have them.
  public static let sparseExperts: [(TensorKind, String)] = [
    (.router, "model.layers.#.block_sparse_moe.gate.weight"),
    (.gate, "model.layers.#.block_sparse_moe.experts.#.w1.weight"),
    (.up, "model.layers.#.block_sparse_moe.experts.#.w3.weight"),
    (.down, "model.layers.#.block_sparse_moe.experts.#.w2.weight"),
  ]
}
