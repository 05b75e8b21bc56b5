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
  /// Whether outputs of the pieces take turns, instead of following one another.
  public var isInterleaved = false
  /// Outputs of each piece.
  public var outputs: [Int]

  /// A piece of the tensor.
  public struct Piece: Sendable {
    public var role: Role
    /// Index along the first extent of a stack.
    public var expert: Int?
    /// Its rows, or its columns where matrices are transposed: so many from the first on, each so far behind the one before.
    public var start: Int
    public var step: Int
    public var count: Int

    var selection: RowSelection { .strided(from: start, by: step, count: count) }
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
            expert: experts == nil ? nil : expert, start: start, step: isInterleaved ? kinds.count : 1,
            count: count))
        start += isInterleaved ? 1 : count
      }
    }
    return pieces
  }
}

extension Family {
  /// A name of several tensors in one.
  public struct FusedName: Sendable {
    /// The pieces.
    public var kinds: [TensorKind]
    /// Whether there is one of each for each expert.
    public var isStack: Bool
    /// Whether the pieces' outputs take turns.
    public var isInterleaved: Bool
    /// Whether dense matrices are [inputs, outputs]; nil where the shape tells.
    public var isTransposed: Bool?

    public init(
      _ kinds: [TensorKind], isStack: Bool = false, isInterleaved: Bool = false, isTransposed: Bool? = nil
    ) {
      self.kinds = kinds
      self.isStack = isStack
      self.isInterleaved = isInterleaved
      self.isTransposed = isTransposed
    }
  }

  /// Names of fused tensors behind `model.layers.#.` that transformers' classes and converters have in common.
  public static let usualFusedNames: [String: FusedName] = [
    "self_attn.qkv_proj.weight": FusedName([.query, .key, .value]),
    "self_attn.qkv_proj.bias": FusedName([.queryBias, .keyBias, .valueBias]),
    "mlp.gate_up_proj.weight": FusedName([.gate, .up]),
    "mlp.gate_up_proj.bias": FusedName([.gateBias, .upBias]),
    "mlp.experts.gate_up_proj": FusedName([.gate, .up], isStack: true),
    "mlp.experts.gate_proj": FusedName([.gate], isStack: true),
    "mlp.experts.up_proj": FusedName([.up], isStack: true),
    "mlp.experts.down_proj": FusedName([.down], isStack: true),
  ]

  /// What a stored tensor holds when its name is that of several tensors in one.
  ///
  /// Whether matrices are transposed follows from the shape; where both extents are equal, they are not, as most writers have it.
  /// - Returns: nil for another name.
  /// - Throws: FormatError for a shape that is neither layout.
  public func fused(_ tensor: Tensor, _ blueprint: Blueprint) throws(FormatError) -> FusedTensor? {
    guard let plain = place.plain(tensor.name) else { return nil }
    let (template, indices) = TensorNames.template(plain)
    let prefix = "model.layers.#."
    guard template.hasPrefix(prefix), indices.count == 1, blueprint.layers.indices.contains(indices[0]) else {
      return nil
    }
    let name = template.dropFirst(prefix.count).replacing("block_sparse_moe.", with: "mlp.")
      .replacing(".weight", with: "", maxReplacements: template.contains(".experts.") ? 1 : 0)
    guard let fusedName = fusedNames[String(name)] else { return nil }
    let (kinds, isStack) = (fusedName.kinds, fusedName.isStack)
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
      isInterleaved: fusedName.isInterleaved, outputs: outputs)
    // Quantized stacks have their columns' groups along the inputs.
    var isTransposed = rest.isEmpty ? false : fusedName.isTransposed
    if case .dense = tensor.encoding {} else { isTransposed = false }
    let leading = fused.experts.map { [$0] } ?? []
    if isTransposed != true, tensor.shape == leading + [rows] + rest { return fused }
    guard isStack, isTransposed != false, tensor.shape == leading + rest + [rows] else {
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
        pieces.append(try tensor.selectingRows(piece.selection, name: name(of: piece.role), role: piece.role))
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
          ? slice.selectingColumns(piece.selection).transposed(name: name, role: piece.role)
          : slice.selectingRows(piece.selection, name: name, role: piece.role))
    }
    return pieces
  }

  /// Tensors that checkpoints hold and no model needs: tables that follow from the config.
  public static func isDerived(_ name: String) -> Bool {
    [
      ".rotary_emb.inv_freq", ".self_attn.slope_rate", ".self_attn.query_decay", ".self_attn.key_decay",
      ".self_attn.diagonal_decay",
    ].contains { name.hasSuffix($0) }
  }
}
