import IngotModels
import IngotSystem
import IngotTensors

/// A model's tensors as a plain checkpoint of its family stores them: each under its name, or, where engines read experts as
/// stacks, in the stacks that the family takes apart when it reads them. What was read comes out in the same layout.
struct StackedExperts {
  private(set) var tensors: [Tensor] = []
  private(set) var items: [[SafeTensorsOutput.Item]] = []

  /// - Throws: FormatError for experts of a stack whose encodings differ, or that no stack holds.
  init(_ model: Model) throws(FormatError) {
    guard let place = model.family.stacks else {
      for tensor in model.tensors { add(tensor) }
      return
    }
    for tensor in model.tensors where tensor.role.expert == nil { add(tensor) }
    let names = model.family.fusedNames.filter(\.value.isStack).sorted { $0.key < $1.key }
    for layer in model.blueprint.mixtures {
      for (name, fused) in names where model[fused.kinds[0], layer: layer, expert: 0] != nil {
        let name = model.family.place.stored(
          "model.layers.\(layer)." + name.replacing("mlp.", with: place + ".", maxReplacements: 1))
        try add(model, name, fused, layer)
      }
    }
  }

  /// Adds a tensor under its own name, its scales beside it.
  private mutating func add(_ tensor: Tensor) {
    let index = tensors.count
    tensors.append(tensor)
    items.append(
      tensor.encoding.planes(tensor.shape)!.enumerated().map { number, plane in
        SafeTensorsOutput.Item(
          name: number == 0 ? tensor.name : tensor.name + Pairing.scaleSuffix, dtype: plane.dtype,
          shape: number == 0 ? tensor.shape : [plane.rows, plane.bytesPerRow * 8 / plane.dtype.bits],
          parts: [(index, number)])
      })
  }

  /// Adds a stack of a layer: of each expert the pieces one after the other or taking turns, transposed where the family's
  /// dense stacks are.
  private mutating func add(_ model: Model, _ name: String, _ fused: Family.FusedName, _ layer: Int)
    throws(FormatError)
  {
    let count = model.blueprint.layers[layer].feedForward.count
    let first = model[fused.kinds[0], layer: layer, expert: 0]!
    let start = tensors.count
    for expert in 0..<count {
      var pieces: [Tensor] = []
      for kind in fused.kinds {
        guard let piece = model[kind, layer: layer, expert: expert] else { continue }
        guard piece.encoding == first.encoding else {
          throw piece.error(
            "\(first.encoding) as \(first.role) has, with which it is in one stack",
            found: "\(piece.encoding)")
        }
        pieces.append(piece)
      }
      let role = Role(.unknown, name: "\(name)[\(expert)]")
      var tensor =
        pieces.count == 1 ? pieces[0] : try Tensor.concatenatingRows(pieces, name: name, role: role)
      if fused.isInterleaved && pieces.count > 1 {
        tensor = try tensor.permutingHeads(to: .interleaved, heads: 1, name: name, role: role)
      }
      if case .dense = tensor.encoding, fused.isTransposed == true, tensor.shape.count == 2 {
        tensor = try tensor.transposed(name: name, role: role)
      }
      tensors.append(tensor)
    }
    let parts = start..<tensors.count
    let shape = [count] + tensors[start].shape
    func item(_ suffix: String, _ plane: Int, _ type: DType, _ shape: [Int]) -> SafeTensorsOutput.Item {
      .init(name: name + suffix, dtype: type, shape: shape, parts: parts.map { ($0, plane) })
    }
    switch first.encoding {
    case .dense(let type): items.append([item("", 0, type, shape)])
    case .microScaled(.mxfp4):
      let grid = shape.dropLast() + [shape.last! / 32]
      items.append([
        item(Pairing.blocks, 0, .u8, grid + [16]), item(Pairing.groupScales, 1, .u8, Array(grid)),
      ])
    default:
      throw first.error("dense values or MXFP4 in the stack '\(name)'", found: "\(first.encoding)")
    }
  }
}

extension Model {
  /// Refuses experts in stacks that are not written, and MXFP4 where a plain checkpoint of the family has no place for it.
  func requirePlainPlaces() throws(FormatError) -> Model {
    if family.stacks == nil { _ = try requireEngineNames(Format.safeTensors.name) }
    for tensor in tensors where tensor.encoding == .microScaled(.mxfp4) {
      let isStacked =
        tensor.role.expert != nil && tensor.columns % 32 == 0
        && family.fusedNames.contains { $0.value.isStack && $0.value.kinds.contains(tensor.role.kind) }
      guard family.readsMXFP4, isStacked else {
        var error = tensor.error(
          "an encoding that a plain checkpoint of \(family.name) holds here",
          found: "\(tensor.encoding): only gpt-oss has such codes, for experts")
        error.remedy = .decode
        throw error
      }
    }
    return self
  }

  /// `quantization_config` of a plain checkpoint whose experts are MXFP4.
  var mxfp4Config: JSON {
    [
      "quant_method": "mxfp4",
      "modules_to_not_convert": [
        "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
      ],
    ]
  }
}
