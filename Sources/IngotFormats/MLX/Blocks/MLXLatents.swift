import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// The projection of keys and values from their latent as mlx-lm keeps it. A checkpoint has a matrix of
/// [heads · (plain + value), latent]; mlx-lm a matrix for each head in two stacks: `embed_q`, [heads, latent, plain], which
/// takes queries to the latent, and `unembed_out`, [heads, value, latent], which takes what is attended to from there.
struct MLXLatents {
  let role: Role
  private let heads, plain, value, latent: Int
  private let family: Family

  /// - Returns: nil for a tensor that mlx-lm keeps as it is.
  init?(_ role: Role, _ family: Family, _ blueprint: Blueprint) {
    guard role.kind == .keyValueB, family.mlx?.splitsLatents == true, let layer = role.layer,
      let block = blueprint.layers[layer].mixer as? LatentAttention
    else { return nil }
    self.role = role
    self.family = family
    (heads, plain, value, latent) = (block.heads, block.plainDim, block.valueDim, block.keyValueRank)
  }

  /// The projection by the paths of the modules that hold its halves.
  static func modules(_ family: Family, _ blueprint: Blueprint) -> [String: Role] {
    var modules: [String: Role] = [:]
    for layer in blueprint.layers.indices {
      let role = Role(.keyValueB, layer: layer)
      guard let latents = MLXLatents(role, family, blueprint) else { continue }
      modules[latents.paths.embed] = role
      modules[latents.paths.unembed] = role
    }
    return modules
  }

  /// Paths of the modules of both stacks.
  var paths: (embed: String, unembed: String) {
    let prefix = family.place.stored("model.layers.\(role.layer!).self_attn.")
    return (prefix + "embed_q", prefix + "unembed_out")
  }

  private func spare(_ path: String) -> Role { Role(.unknown, name: path) }

  /// The two stacks of a matrix. Quantized codes stay as they are in `unembed_out`, whose rows are rows of the matrix. In
  /// `embed_q`, where groups would lie across them, the values are dense, of the type of the scales, as MLX decodes them.
  func split(_ tensor: Tensor) throws(FormatError) -> (embed: Tensor, unembed: Tensor) {
    let shared = tensor.shared(by: 2)
    let (heads, plain, latent, encoding) = (heads, plain, latent, tensor.encoding)
    let (paths, head) = (paths, plain + value)
    let values = RowSelection.concatenating((0..<heads).map { .range($0 * head + plain..<($0 + 1) * head) })
    let rows = try shared.selectingRows(values, name: tensor.name, role: spare(paths.unembed))
    let unembed = rows.remade(
      as: rows.encoding, shape: [heads, value, latent], name: tensor.name, role: spare(paths.unembed)
    ) { planes in planes.map { Bytes($0.array) } }
    let type = denseType(tensor.encoding)
    // Codes under scales of F16 may mean more than F16 holds, or less.
    let watch =
      encoding == .dense(type)
      ? nil
      : ScaleWatch(
        shared.remade(as: .dense(type), shape: [heads * latent, plain], name: tensor.name, role: role) { $0 },
        as: .dense(type))
    let embed = shared.remade(
      as: .dense(type), shape: [heads, latent, plain], name: tensor.name, role: spare(paths.embed)
    ) { planes throws(FormatError) in
      var decoded = [Float](repeating: 0, count: heads * head * latent)
      var span = decoded.mutableSpan
      encoding.decode(planes, rows: heads * head, columns: latent, into: &span)
      var turned = [Float](repeating: 0, count: heads * latent * plain)
      for index in 0..<heads {
        for row in 0..<plain {
          for column in 0..<latent {
            turned[(index * latent + column) * plain + row] = decoded[(index * head + row) * latent + column]
          }
        }
      }
      let values = Bytes(count: turned.count * type.bits / 8) {
        encode(type.floatFormat!, turned.span, into: &$0)
      }
      try watch?.check([values], rows: 0..<heads * latent) { () throws(FormatError) in turned }
      return [values]
    }
    return (embed, unembed)
  }

  /// The matrix of two stacks: in their type where both are dense and of one, else decoded to F32.
  func joined(_ embed: Tensor, _ unembed: Tensor) throws(FormatError) -> Tensor {
    for (tensor, shape) in [(embed, [heads, latent, plain]), (unembed, [heads, value, latent])]
    where tensor.shape != shape {
      throw tensor.error("shape \(shape) by config.json", found: "shape \(tensor.shape)")
    }
    var (embed, unembed) = (embed, unembed)
    if !embed.encoding.isWholeDense || embed.encoding != unembed.encoding {
      (embed, unembed) = (embed.decoded(), unembed.decoded())
    }
    func slices(_ tensor: Tensor) throws(FormatError) -> [Tensor] {
      let spare = spare(tensor.name)
      return try tensor.slices(heads, name: { "\(tensor.name)[\($0)]" }, role: { _ in spare })
    }
    var pieces: [Tensor] = []
    for (a, b) in zip(try slices(embed), try slices(unembed)) { pieces += [try a.transposed(), b] }
    return try Tensor.concatenatingRows(pieces, name: family.name(of: role), role: role)
  }

  /// The type of values that are written dense.
  private func denseType(_ encoding: Encoding) -> DType {
    switch encoding {
    case .dense(let type): type
    case .affine(let scheme): scheme.scale
    default: .bf16
    }
  }
}

extension Encoding {
  fileprivate var isWholeDense: Bool {
    if case .dense(let type) = self { return type.bits >= 16 }
    return false
  }
}
