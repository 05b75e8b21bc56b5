import IngotModels
import IngotSystem
import IngotTensors

/// A family as llama.cpp has it: its name in `general.architecture`, which is also the prefix of its keys, and the names
/// of its tensors.
struct GGUFFamily: Sendable {
  let family: Family
  let graph: Family.LlamaCppGraph

  /// `general.architecture`.
  var name: String { graph.architecture }

  /// Names by kind of what a layer has once; `#` stands for the layer.
  ///
  /// Source: llama.cpp's gguf-py, constants.py.
  private static let names: [TensorKind: String] = [
    .embedding: "token_embd.weight",
    .attentionNorm: "blk.#.attn_norm.weight",
    .query: "blk.#.attn_q.weight",
    .key: "blk.#.attn_k.weight",
    .value: "blk.#.attn_v.weight",
    .attentionOutput: "blk.#.attn_output.weight",
    .queryBias: "blk.#.attn_q.bias",
    .keyBias: "blk.#.attn_k.bias",
    .valueBias: "blk.#.attn_v.bias",
    .attentionOutputBias: "blk.#.attn_output.bias",
    .queryNorm: "blk.#.attn_q_norm.weight",
    .keyNorm: "blk.#.attn_k_norm.weight",
    .sinks: "blk.#.attn_sinks.weight",
    .queryA: "blk.#.attn_q_a.weight",
    .queryANorm: "blk.#.attn_q_a_norm.weight",
    .queryB: "blk.#.attn_q_b.weight",
    .keyValueA: "blk.#.attn_kv_a_mqa.weight",
    .keyValueANorm: "blk.#.attn_kv_a_norm.weight",
    .keyValueB: "blk.#.attn_kv_b.weight",
    .feedForwardNorm: "blk.#.ffn_norm.weight",
    .router: "blk.#.ffn_gate_inp.weight",
    .routerBias: "blk.#.exp_probs_b.bias",
    .routerLogitBias: "blk.#.ffn_gate_inp.bias",
    .sharedGate: "blk.#.ffn_gate_shexp.weight",
    .sharedUp: "blk.#.ffn_up_shexp.weight",
    .sharedDown: "blk.#.ffn_down_shexp.weight",
    .sharedRouter: "blk.#.ffn_gate_inp_shexp.weight",
    .gate: "blk.#.ffn_gate.weight",
    .up: "blk.#.ffn_up.weight",
    .down: "blk.#.ffn_down.weight",
    .gateBias: "blk.#.ffn_gate.bias",
    .upBias: "blk.#.ffn_up.bias",
    .downBias: "blk.#.ffn_down.bias",
    .finalNorm: "output_norm.weight",
    .head: "output.weight",
  ]

  /// Names of what each expert has: one tensor for all experts of a layer.
  private static let stacks: [TensorKind: String] = [
    .gate: "blk.#.ffn_gate_exps.weight",
    .up: "blk.#.ffn_up_exps.weight",
    .down: "blk.#.ffn_down_exps.weight",
    .gateBias: "blk.#.ffn_gate_exps.bias",
    .upBias: "blk.#.ffn_up_exps.bias",
    .downBias: "blk.#.ffn_down_exps.bias",
  ]

  /// Names of tensors that hold several: query, key and value one after the other; gate and up of each expert.
  ///
  /// Source: llama.cpp's convert_hf_to_gguf.py, --fuse-qkv and --fuse-gate-up-exps.
  static let fused: [String: [TensorKind]] = [
    "blk.#.attn_qkv.weight": [.query, .key, .value],
    "blk.#.attn_qkv.bias": [.queryBias, .keyBias, .valueBias],
    "blk.#.ffn_gate_up_exps.weight": [.gate, .up],
  ]

  /// Factors that divide the frequencies of the rotation, where a key cannot say them.
  static let frequencyFactors = "rope_freqs.weight"

  /// By any of these a file says that a block has biases, norms of queries and keys, or values of its own.
  static let attentionBiases: [TensorKind] = [.queryBias, .attentionOutputBias]
  static let queryKeyNorms: [TensorKind] = [.queryNorm, .keyNorm]
  static let values: [TensorKind] = [.value]

  /// Projections of an indexer of blocks, which llama.cpp's converter and quantizer leave as they are.
  static let exactIndexers: [TensorKind] = [.indexerQuery, .indexerKey]
  static let mlpBiases: [TensorKind] = [.gateBias, .downBias]

  private let kinds: [String: (kind: TensorKind, isStack: Bool)]

  init?(_ family: Family) {
    guard let graph = family.llamaCpp else { return nil }
    self.family = family
    self.graph = graph
    var kinds: [String: (kind: TensorKind, isStack: Bool)] = [:]
    // A graph's own names win over those that most have, also for another kind.
    for (kind, name) in GGUFFamily.names where graph.names[kind] == nil { kinds[name] = (kind, false) }
    for (kind, name) in graph.names { kinds[name] = (kind, false) }
    for (kind, name) in GGUFFamily.stacks { kinds[name] = (kind, true) }
    self.kinds = kinds
  }

  static func of(_ family: Family, path: String) throws(FormatError) -> GGUFFamily {
    guard let known = GGUFFamily(family) else {
      let names = Family.all.compactMap { $0.llamaCpp == nil ? nil : $0.name }
      throw FormatError(
        path: path, expected: "one of the families that llama.cpp runs: \(names.joined(separator: ", "))",
        found: family.name + (family.llamaCppFault.map { "; \($0)" } ?? ""))
    }
    return known
  }

  /// Key under which a file of ours says its family, where another one has the same keys.
  static let familyKey = "ingot.family"

  /// The family of a file, by its keys.
  static func of(_ metadata: GGUFMetadata) throws(FormatError) -> GGUFFamily {
    let all = Family.all.compactMap { GGUFFamily($0) }
    let name = metadata["general.architecture"]?.string ?? ""
    let hasExperts = (metadata["\(name).expert_count"]?.integer ?? 0) > 0
    let hasWindow = (metadata["\(name).attention.sliding_window"]?.integer ?? 0) > 0
    let named = all.filter { $0.name == name }
    // Some of llama.cpp's architectures run several families.
    let familyName = metadata[familyKey]?.string
    let fitting = named.filter { family in
      guard family.graph.hasExperts == hasExperts else { return false }
      if let familyName, named.contains(where: { $0.family.name == familyName }) {
        return family.family.name == familyName
      }
      return named.count == 1 || family.hasRouting(of: metadata)
    }
    guard let family = fitting.first(where: { $0.graph.hasWindow == hasWindow }) ?? fitting.first else {
      var names: [String] = []
      for family in all where !names.contains(family.name) { names.append(family.name) }
      throw metadata.error(
        "general.architecture",
        names.map { "\"\($0)\"" }.joined(separator: " or ")
          + (named.isEmpty ? "" : hasExperts ? " without experts" : " with experts"))
    }
    return family
  }

  /// Whether a file's router is this family's. Files that do not name it are told apart as llama.cpp does: by their sizes.
  private func hasRouting(of metadata: GGUFMetadata) -> Bool {
    guard graph.namesRouting, let routing = graph.routing else { return true }
    if let number = metadata["\(name).expert_gating_func"]?.integer {
      return GGUFConfig.gating[routing.scoring] == number
    }
    func isOf(_ sizes: (layers: ClosedRange<Int>, vocabulary: Int)) -> Bool {
      let prediction = metadata["\(name).nextn_predict_layers"]?.integer ?? 0
      let layers = (metadata["\(name).block_count"]?.integer ?? 0) - prediction
      return sizes.layers.contains(layers)
        && metadata["\(name).vocab_size"]?.integer == sizes.vocabulary
    }
    if let sizes = graph.unnamedSizes { return isOf(sizes) }
    let others = Family.all.compactMap { $0.llamaCpp }.filter { $0.architecture == name }
    return graph.usualScoring != nil && !others.compactMap(\.unnamedSizes).contains(where: isOf)
  }

  /// The tensor that holds a role; the same for all experts of a layer. Nil when llama.cpp has none for it.
  func name(of role: Role) -> String? {
    if let name = role.name {
      let isOurs = name == GGUFFamily.frequencyFactors || GGUFFamily.template(name).1 != nil
      return isOurs ? name : nil
    }
    return template(of: role).map { GGUFFamily.name($0, layer: role.layer) }
  }

  /// The same for any layer, with `#` for it.
  func template(of role: Role) -> String? {
    role.expert == nil
      ? graph.names[role.kind] ?? GGUFFamily.names[role.kind] : GGUFFamily.stacks[role.kind]
  }

  /// A template with the layer in place of `#`.
  static func name(_ template: String, layer: Int?) -> String {
    guard let layer else { return template }
    return template.split(separator: "#", maxSplits: 1).map(String.init).joined(separator: "\(layer)")
  }

  /// A tensor's extents in a file: those of 1 are left out of what is no matrix of a linear layer, such as a convolution.
  func storedShape(_ tensor: Tensor, _ blueprint: Blueprint) -> [Int] {
    guard !blueprint.isLinear(tensor.role), tensor.shape.count > 1 else { return tensor.shape }
    let shape = tensor.shape.filter { $0 != 1 }
    return shape.isEmpty ? [1] : shape
  }

  /// A tensor's extents in a model, for those in a file: with extents of 1 as the blueprint has them.
  func ownShape(_ shape: [Int], _ role: Role, _ blueprint: Blueprint) -> [Int] {
    guard let spec = blueprint.spec(of: role), spec.shape.filter({ $0 != 1 }) == shape.filter({ $0 != 1 })
    else { return shape }
    return spec.shape
  }

  /// The role of a tensor, without an expert, and whether it is of all experts of a layer; nil for a name that llama.cpp's
  /// graph does not know.
  func role(of tensor: String) -> (role: Role, isStack: Bool)? {
    let (template, layer) = GGUFFamily.template(tensor)
    return kinds[template].map { (Role($0.kind, layer: layer), $0.isStack) }
  }

  /// A name with its layer replaced by `#`, and the layer.
  static func template(_ name: String) -> (String, Int?) {
    let pieces = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    guard pieces.count == 3, pieces[0] == "blk", let layer = Int(pieces[1]), String(layer) == pieces[1] else {
      return (name, nil)
    }
    return ("blk.#.\(pieces[2])", layer)
  }

  /// The order of the rows of query and key that the file has, where it is not the family's own; nil for the same.
  ///
  /// - Returns: heads, and the dimensions of each that are rotated.
  func permutation(of role: Role, _ blueprint: Blueprint) -> (heads: Int, headDim: Int, rotated: Int)? {
    guard let layer = role.layer, let block = blueprint.layers[layer].mixer as? GroupedQueryAttention,
      let rotary = block.rotary, rotary.pairing != graph.pairing
    else { return nil }
    switch role.kind {
    case .query, .queryBias: return (block.heads, block.headDim, rotary.dims)
    case .key, .keyBias: return (block.keyValueHeads, block.headDim, rotary.dims)
    default: return nil
    }
  }
}
