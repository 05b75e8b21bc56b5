import IngotSystem
import IngotTensors

/// A stored tensor that holds several logical ones: query, key and value one after the other, gate and up, a projection of
/// all experts of a layer.
///
/// Layouts are those of transformers' classes and of converters: [outputs, inputs] of each piece one after the other;
/// with experts first; and with experts first and transposed, [experts, inputs, outputs].
public struct FusedTensor: Sendable {
  public var layer: Int
  /// The pieces in order.
  public var kinds: [TensorKind]
  /// Experts of the first extent; nil for a matrix of what a layer has once.
  public var experts: Int?
  /// Whether each expert's matrix is [inputs, outputs].
  public var isTransposed: Bool
  /// Outputs of each piece.
  public var outputs: [Int]

  /// A piece of the tensor.
  public struct Piece: Sendable {
    public var role: Role
    /// Index along the first extent of a stack.
    public var expert: Int?
    /// Its rows, or its columns where matrices are transposed.
    public var range: Range<Int>
  }

  /// All pieces, expert by expert.
  public var pieces: [Piece] {
    var pieces: [Piece] = []
    for expert in 0..<(experts ?? 1) {
      var start = 0
      for (kind, count) in zip(kinds, outputs) {
        pieces.append(
          Piece(
            role: Role(kind, layer: layer, expert: experts == nil ? nil : expert),
            expert: experts == nil ? nil : expert, range: start..<start + count))
        start += count
      }
    }
    return pieces
  }
}

extension Family {
  /// Names of fused tensors behind `model.layers.#.`: the pieces, and whether there is one for each expert.
  private static let fusedNames: [String: (kinds: [TensorKind], isStack: Bool)] = [
    "self_attn.qkv_proj.weight": ([.query, .key, .value], false),
    "self_attn.qkv_proj.bias": ([.queryBias, .keyBias, .valueBias], false),
    "mlp.gate_up_proj.weight": ([.gate, .up], false),
    "mlp.gate_up_proj.bias": ([.gateBias, .upBias], false),
    "mlp.experts.gate_up_proj": ([.gate, .up], true),
    "mlp.experts.gate_proj": ([.gate], true),
    "mlp.experts.up_proj": ([.up], true),
    "mlp.experts.down_proj": ([.down], true),
  ]

  /// What a stored tensor holds when its name is that of several tensors in one.
  ///
  /// Whether matrices are transposed follows from the shape; where both extents are equal, they are not, as most writers have it.
  /// - Returns: nil for another name.
  /// - Throws: FormatError for a shape that is neither layout.
  public func fused(_ tensor: Tensor, _ blueprint: Blueprint) throws(FormatError) -> FusedTensor? {
    let (template, indices) = TensorNames.template(tensor.name)
    let prefix = "model.layers.#."
    guard template.hasPrefix(prefix), indices.count == 1, blueprint.layers.indices.contains(indices[0]) else {
      return nil
    }
    let name = template.dropFirst(prefix.count).replacing("block_sparse_moe.", with: "mlp.")
      .replacing(".weight", with: "", maxReplacements: template.contains(".experts.") ? 1 : 0)
    guard let (kinds, isStack) = Family.fusedNames[String(name)] else { return nil }
    let layer = indices[0]
    func spec(_ kind: TensorKind) -> TensorSpec? {
      blueprint.spec(of: Role(kind, layer: layer, expert: isStack ? 0 : nil))
    }
    let specs = kinds.compactMap(spec)
    guard specs.count == kinds.count else { return nil }
    let outputs = specs.map { $0.shape[0] }
    let rows = outputs.reduce(0, +)
    let rest = Array(specs[0].shape.dropFirst())
    var fused = FusedTensor(
      layer: layer, kinds: kinds, experts: isStack ? specs[0].experts : nil, isTransposed: false,
      outputs: outputs)
    let leading = fused.experts.map { [$0] } ?? []
    if tensor.shape == leading + [rows] + rest { return fused }
    guard isStack, tensor.shape == leading + rest + [rows] else {
      throw tensor.error(
        "shape \(leading + [rows] + rest)" + (isStack ? " or \(leading + rest + [rows])" : "")
          + " by config.json",
        found: "shape \(tensor.shape)")
    }
    fused.isTransposed = true
    return fused
  }

  /// The logical tensors of a stored one: itself under its role, or the pieces of a fused one, which are read lazily. Nil for
  /// a name that the family does not know.
  public func logical(_ tensor: Tensor, _ blueprint: Blueprint) throws(FormatError) -> [Tensor]? {
    if let role = role(of: tensor.name, blueprint) {
      var known = tensor
      known.role = role
      return [known]
    }
    guard let fused = try fused(tensor, blueprint) else { return nil }
    guard let experts = fused.experts else {
      var pieces: [Tensor] = []
      for piece in fused.pieces {
        pieces.append(try tensor.selectingRows(piece.range, name: name(of: piece.role), role: piece.role))
      }
      return pieces
    }
    let slices = try tensor.slices(
      experts, name: { "\(tensor.name)[\($0)]" }, role: { Role(.unknown, name: "\(tensor.name)[\($0)]") })
    var pieces: [Tensor] = []
    for piece in fused.pieces {
      let (slice, name) = (slices[piece.expert!], name(of: piece.role))
      pieces.append(
        try fused.isTransposed
          ? slice.selectingColumns(piece.range).transposed(name: name, role: piece.role)
          : slice.selectingRows(piece.range, name: name, role: piece.role))
    }
    return pieces
  }

  /// Tensors that checkpoints hold and no model needs: tables that follow from the config.
  public static func isDerived(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }
}
