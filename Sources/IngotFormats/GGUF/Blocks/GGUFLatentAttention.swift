import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension GGUFForm {
  private static let keyName = "blk.#.attn_k_b.weight"
  private static let valueName = "blk.#.attn_v_b.weight"

  /// Latent attention's second projection to keys and values, whose rows are [key, value] for each head: values as they are,
  /// [heads, value, latent]; keys with each head's matrix turned, [heads, latent, key], since llama.cpp multiplies queries with
  /// it.
  ///
  /// Blocks of a quantized matrix lie along its rows, so keys cannot be turned in them. Where a recipe quantizes the projection,
  /// keys are stored as Q8_0 of the original's values (in F32 where a head's keys are no multiple of 32); values are what the
  /// recipe says. What a file held quantized already is decoded for the keys, exactly.
  ///
  /// Source: llama.cpp, conversion/deepseek.py and src/models/deepseek2.cpp, September 2026.
  static let latentKeysAndValues = GGUFForm(
    pieces: { tensor, model throws(FormatError) in
      guard tensor.role.kind == .keyValueB, let layer = tensor.role.layer,
        let block = model.blueprint.layers[layer].mixer as? LatentAttention
      else { return nil }
      let (keys, values) = (block.keyRows, block.valueRows)
      let value = try tensor.selectingRows(values)
      var key: Tensor
      if case .dense = tensor.encoding {
        key = try tensor.selectingRows(keys).turningHeads(block.heads)
      } else {
        key = try (tensor.origin ?? tensor).decoded().selectingRows(keys).turningHeads(block.heads)
        if tensor.origin != nil, block.plainDim % GGMLType.q80.blockWeights == 0 { key = key.roundedToQ80() }
      }
      return [
        Piece(template: keyName, shape: [block.heads, block.keyValueRank, block.plainDim], tensor: key),
        Piece(template: valueName, shape: [block.heads, block.valueDim, block.keyValueRank], tensor: value),
      ]
    },
    tensors: { stored, layer, blueprint, name throws(FormatError) in
      guard let layer, let key = stored.removeValue(forKey: keyName) else { return [] }
      guard let block = blueprint.layers[layer].mixer as? LatentAttention else {
        throw key.error("no latent attention in layer \(layer)", found: "a tensor of it")
      }
      guard let value = stored.removeValue(forKey: valueName) else {
        throw key.error("attn_v_b beside attn_k_b", found: "none in layer \(layer)")
      }
      func require(_ tensor: Tensor, _ shape: [Int]) throws(FormatError) {
        guard tensor.shape == shape else {
          throw tensor.error("shape \(shape) by the keys", found: "\(tensor.shape)")
        }
      }
      try require(key, [block.heads, block.keyValueRank, block.plainDim])
      try require(value, [block.heads, block.valueDim, block.keyValueRank])
      let isDense = key.encoding == value.encoding && key.isDense
      let role = Role(.keyValueB, layer: layer)
      func heads(_ tensor: Tensor) throws(FormatError) -> [Tensor] {
        try (isDense ? tensor : tensor.decoded()).slices(
          block.heads, name: { _ in tensor.name }, role: { _ in role })
      }
      var rows: [Tensor] = []
      for (key, value) in zip(try heads(key), try heads(value)) { rows += [try key.transposed(), value] }
      return [try Tensor.concatenatingRows(rows, name: name(role), role: role)]
    })
}

extension LatentAttention {
  /// The rows of the second projection to keys and values that are keys, and those that are values.
  fileprivate var keyRows: RowSelection { rows(from: 0, plainDim) }
  fileprivate var valueRows: RowSelection { rows(from: plainDim, valueDim) }

  private func rows(from start: Int, _ count: Int) -> RowSelection {
    .concatenating(
      (0..<heads).map { head in
        let first = head * (plainDim + valueDim) + start
        return .range(first..<first + count)
      })
  }
}

extension Tensor {
  fileprivate var isDense: Bool {
    if case .dense = encoding { return true }
    return false
  }

  /// F32 values rounded to the nearest in Q8_0.
  func roundedToQ80() -> Tensor {
    let watch = ScaleWatch(self, as: .ggml(.q80))
    return mapped(to: .ggml(.q80)) { [columns] rows, planes throws(FormatError) in
      defer { for plane in planes { plane.release() } }
      var values = [Float](repeating: 0, count: rows.count * columns)
      var span = values.mutableSpan
      Encoding.dense(.f32).decode(planes, rows: rows.count, columns: columns, into: &span)
      let type = GGMLType.q80
      let blocks = Bytes(count: values.count / type.blockWeights * type.blockBytes) { output in
        guard !values.isEmpty else { return }
        quantizeGGML(
          type: Int(type.rawValue), values.span, rows: rows.count, method: .roundToNearest,
          blocks: &output)
      }
      try watch.check([blocks], rows: rows) { () throws(FormatError) in values }
      return [blocks]
    }
  }

  /// The matrix of each head transposed: [heads · rows, columns] → [heads · columns, rows].
  fileprivate func turningHeads(_ heads: Int) throws(FormatError) -> Tensor {
    let count = rows / heads
    var turned: [Tensor] = []
    for head in 0..<heads {
      turned.append(try selectingRows(head * count..<(head + 1) * count).transposed())
    }
    return try Tensor.concatenatingRows(turned, name: name, role: role)
  }
}

extension GGUFFamily {
  /// The order of the rows of latent attention's projections that puts rotated pairs side by side, as llama.cpp has them; nil
  /// where they are so. Queries and keys alike, so that no product changes and nothing is put back on reading.
  func interleavedRows(of role: Role, _ blueprint: Blueprint) -> RowSelection? {
    guard let layer = role.layer, let block = blueprint.layers[layer].mixer as? LatentAttention,
      block.rotary.pairing == .half
    else { return nil }
    let plain: Int
    let heads: Int
    switch role.kind {
    case .query, .queryB: (plain, heads) = (block.plainDim, block.heads)
    case .keyValueA, .keyValueABias: (plain, heads) = (block.keyValueRank, 1)
    default: return nil
    }
    let rotated = block.rotatedDim
    var pieces: [RowSelection] = []
    for head in 0..<heads {
      let first = head * (plain + rotated)
      let turned = first + plain
      pieces.append(.range(first..<turned))
      for pair in 0..<rotated / 2 {
        pieces.append(.strided(from: turned + pair, by: rotated / 2, count: 2))
      }
    }
    return .concatenating(pieces)
  }
}
