import Models
import Tensors

/// What llama.cpp calls a family: its name in `general.architecture`, which is also the prefix of its keys, and the
/// names of its tensors.
struct GGUFFamily: Sendable {
  /// `general.architecture`.
  let name: String
  let architecture: Architecture
  /// Tensor names by part; `#` stands for the layer. Parts of experts are one tensor for all of a layer's experts.
  let names: [Role.Part: String]
  private let parts: [String: Role.Part]

  init(name: String, architecture: Architecture, names: [Role.Part: String]) {
    self.name = name
    self.architecture = architecture
    self.names = names
    parts = Dictionary(uniqueKeysWithValues: names.map { ($1, $0) })
  }

  /// Every family that we write and read, one line each.
  static let all = [miniMaxM2]

  /// Source: llama.cpp's `minimax-m2` and its tensor names.
  static let miniMaxM2 = GGUFFamily(
    name: "minimax-m2", architecture: .miniMaxM2,
    names: [
      .embedding: "token_embd.weight",
      .attentionNorm: "blk.#.attn_norm.weight",
      .query: "blk.#.attn_q.weight",
      .key: "blk.#.attn_k.weight",
      .value: "blk.#.attn_v.weight",
      .attentionOutput: "blk.#.attn_output.weight",
      .queryNorm: "blk.#.attn_q_norm.weight",
      .keyNorm: "blk.#.attn_k_norm.weight",
      .feedForwardNorm: "blk.#.ffn_norm.weight",
      .router: "blk.#.ffn_gate_inp.weight",
      .routerBias: "blk.#.exp_probs_b.bias",
      .gate: "blk.#.ffn_gate_exps.weight",
      .up: "blk.#.ffn_up_exps.weight",
      .down: "blk.#.ffn_down_exps.weight",
      .finalNorm: "output_norm.weight",
      .head: "output.weight",
    ])

  /// Parts of which a layer has one for each expert; they are stacked.
  static let stacked: Set<Role.Part> = [.gate, .up, .down]

  static func of(_ architecture: Architecture, path: String) throws(FormatError) -> GGUFFamily {
    guard let family = all.first(where: { $0.architecture.name == architecture.name }) else {
      throw FormatError(
        path: path, expected: "one of the families \(all.map(\.name).joined(separator: ", "))",
        found: architecture.name)
    }
    return family
  }

  /// The tensor that holds a role; the same for all experts of a layer. Nil when llama.cpp has none for it.
  func name(of role: Role) -> String? {
    guard let template = names[role.part] else { return nil }
    guard let layer = role.layer else { return template }
    return template.split(separator: "#", maxSplits: 1).map(String.init).joined(separator: "\(layer)")
  }

  /// The role of a tensor, without an expert; nil for a name that the family does not know.
  func role(of tensor: String) -> Role? {
    let (template, indices) = GGUFFamily.template(tensor)
    return parts[template].map { Role($0, layer: indices) }
  }

  /// A name with its layer replaced by `#`, and the layer.
  private static func template(_ name: String) -> (String, Int?) {
    let pieces = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    guard pieces.count == 3, pieces[0] == "blk", let layer = Int(pieces[1]), String(layer) == pieces[1] else {
      return (name, nil)
    }
    return ("blk.#.\(pieces[2])", layer)
  }
}
