import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension GGUFForm {
  /// Gated DeltaNet: queries, keys and values one after the other in one tensor, gates in another, e^A with its sign.
  ///
  /// llama.cpp's `qwen3next` has value heads as checkpoints have them, those of one key head side by side; in its `qwen35`,
  /// value head j belongs to key head j mod keyHeads, so rows, and columns of the output projection, are in another order.
  /// Where that cuts blocks of a quantized output projection, it is stored as Q8_0 of the original's values, or in F32 where
  /// a file held it quantized already.
  ///
  /// Source: llama.cpp, conversion/qwen.py and src/models/qwen3next.cpp, September 2026.
  static let gatedDeltaNet = GGUFForm(
    pieces: { tensor, model throws(FormatError) in
      guard let layer = tensor.role.layer,
        let block = model.blueprint.layers[layer].mixer as? GatedDeltaNet
      else { return nil }
      return try DeltaNetForm(block).pieces(tensor)
    },
    tensors: { stored, layer, blueprint, name throws(FormatError) in
      guard let layer, let block = blueprint.layers[layer].mixer as? GatedDeltaNet else { return [] }
      return try DeltaNetForm(block).tensors(&stored, layer, name)
    },
    importance: { role, blueprint in
      guard let layer = role.layer, blueprint.layers.indices.contains(layer),
        let block = blueprint.layers[layer].mixer as? GatedDeltaNet
      else { return nil }
      return DeltaNetForm(block).importance(role.kind)
    })
}

/// How the tensors of a gated DeltaNet are stored.
private struct DeltaNetForm {
  let block: GatedDeltaNet
  /// The order of value heads in a file, by their places in a checkpoint.
  let heads: [Int]

  private static let projections = "blk.#.attn_qkv.weight"
  private static let gates = "blk.#.attn_gate.weight"
  /// Both of them by key head, as checkpoints have it.
  private static let grouped = "blk.#.ssm_in.weight"

  /// What a checkpoint has too, one to one.
  private static let names: [TensorKind: String] = [
    .deltaQKV: projections, .deltaGate: gates, .deltaBeta: "blk.#.ssm_beta.weight",
    .deltaAlpha: "blk.#.ssm_alpha.weight", .deltaBetaAlpha: "blk.#.ssm_ba.weight",
    .deltaConvolution: "blk.#.ssm_conv1d.weight", .deltaDecay: "blk.#.ssm_a",
    .deltaTimeBias: "blk.#.ssm_dt.bias", .deltaNorm: "blk.#.ssm_norm.weight",
    .deltaOutput: "blk.#.ssm_out.weight",
  ]

  init(_ block: GatedDeltaNet) {
    self.block = block
    let (sharing, keys) = (block.sharing, block.keyHeads)
    heads =
      block.isGrouped
      ? Array(0..<block.valueHeads)
      : (0..<sharing).flatMap { index in (0..<keys).map { $0 * sharing + index } }
  }

  private var isReordered: Bool { heads != Array(0..<block.valueHeads) }

  /// Rows of value heads, each of `size`, behind `start` rows that stay.
  ///
  /// - Parameter order: for each head its place in the source.
  private func rows(_ order: [Int], size: Int, behind start: Int = 0) -> RowSelection {
    var pieces: [RowSelection] = start > 0 ? [.range(0..<start)] : []
    pieces += order.map { .range(start + $0 * size..<start + ($0 + 1) * size) }
    return .concatenating(pieces)
  }

  /// Where each head of a checkpoint is in a file.
  private var inverse: [Int] {
    var inverse = heads
    for (place, head) in heads.enumerated() { inverse[head] = place }
    return inverse
  }

  /// Rows of the projections by key head: those of queries, keys and values, and those of gates.
  private var ungrouped: (projections: RowSelection, gates: RowSelection) {
    let (key, value) = (block.keyDim, block.sharing * block.valueDim)
    let step = 2 * key + 2 * value
    func part(_ start: Int, _ size: Int) -> RowSelection {
      .concatenating((0..<block.keyHeads).map { .range($0 * step + start..<$0 * step + start + size) })
    }
    return (
      .concatenating([part(0, key), part(key, key), part(2 * key, value)]), part(2 * key + value, value)
    )
  }

  /// Rows of queries, keys, values and gates, one after the other, by key head.
  private var regrouped: RowSelection {
    let (key, value, width) = (block.keyDim, block.sharing * block.valueDim, block.keyWidth)
    return .concatenating(
      (0..<block.keyHeads).flatMap { head -> [RowSelection] in
        let values = 2 * width + head * value
        return [
          .range(head * key..<(head + 1) * key), .range(width + head * key..<width + (head + 1) * key),
          .range(values..<values + value),
          .range(block.valueWidth + values..<block.valueWidth + values + value),
        ]
      })
  }

  /// A tensor with value heads in another order.
  ///
  /// - Parameter order: for each head its place in the source.
  private func reordered(_ tensor: Tensor, _ kind: TensorKind, _ order: [Int]) throws(FormatError) -> Tensor {
    guard isReordered else { return tensor }
    switch kind {
    case .deltaQKV, .deltaConvolution:
      return try tensor.selectingRows(rows(order, size: block.valueDim, behind: 2 * block.keyWidth))
    case .deltaGate: return try tensor.selectingRows(rows(order, size: block.valueDim))
    case .deltaBeta, .deltaAlpha, .deltaDecay, .deltaTimeBias:
      return try tensor.selectingRows(rows(order, size: 1))
    case .deltaOutput:
      return try tensor.orderingColumns(order, rows(order, size: block.valueDim), size: block.valueDim)
    default: return tensor
    }
  }

  /// What goes into projections is the same for all of them; outputs come head by head, in the file's order.
  func importance(_ kind: TensorKind) -> [(template: String, columns: [Int]?)]? {
    if kind == .deltaQKVGate { return [(DeltaNetForm.projections, nil), (DeltaNetForm.gates, nil)] }
    guard let template = DeltaNetForm.names[kind] else { return nil }
    guard kind == .deltaOutput, isReordered else { return [(template, nil)] }
    return [(template, heads.flatMap { $0 * block.valueDim..<($0 + 1) * block.valueDim })]
  }

  func pieces(_ tensor: Tensor) throws(FormatError) -> [GGUFForm.Piece]? {
    let kind = tensor.role.kind
    if kind == .deltaQKVGate {
      let rows = ungrouped
      let width = block.hiddenSize
      return [
        .init(
          template: DeltaNetForm.projections, shape: [block.channels, width],
          tensor: try tensor.selectingRows(rows.projections)),
        .init(
          template: DeltaNetForm.gates, shape: [block.valueWidth, width],
          tensor: try tensor.selectingRows(rows.gates)),
      ]
    }
    guard let template = DeltaNetForm.names[kind] else { return nil }
    var stored = try reordered(tensor, kind, heads)
    if kind == .deltaDecay { stored = stored.mappingValues { -exp($0) } }
    let shape = kind == .deltaConvolution ? [block.channels, block.kernel] : stored.shape
    return [.init(template: template, shape: shape, tensor: stored)]
  }

  func tensors(
    _ stored: inout [String: Tensor], _ layer: Int, _ name: (Role) -> String
  ) throws(FormatError) -> [Tensor] {
    var tensors: [Tensor] = []
    for spec in block.tensors {
      let role = Role(spec.kind, layer: layer)
      var logical: Tensor
      if spec.kind == .deltaQKVGate {
        guard let both = try groupedProjections(&stored) else { continue }
        logical = both
      } else {
        guard let template = DeltaNetForm.names[spec.kind], let tensor = stored.removeValue(forKey: template)
        else { continue }
        logical = tensor
        let shape = spec.kind == .deltaConvolution ? [block.channels, block.kernel] : spec.shape
        guard logical.shape == shape else {
          throw logical.error("shape \(shape) by the keys", found: "\(logical.shape)")
        }
        // Quantizers of others do not spare them.
        if !spec.isLinear { logical = logical.decoded() }
        logical = try reordered(logical, spec.kind, inverse)
        if spec.kind == .deltaDecay { logical = logical.mappingValues { log(-$0) } }
      }
      tensors.append(try logical.taken(as: role, name(role), shape: spec.shape))
    }
    return tensors
  }

  /// Queries, keys, values and gates by key head; nil for a file without.
  private func groupedProjections(_ stored: inout [String: Tensor]) throws(FormatError) -> Tensor? {
    if let whole = stored.removeValue(forKey: DeltaNetForm.grouped) { return whole }
    guard var projections = stored.removeValue(forKey: DeltaNetForm.projections) else { return nil }
    guard var gates = stored.removeValue(forKey: DeltaNetForm.gates) else {
      throw projections.error("attn_gate beside attn_qkv", found: "none")
    }
    for (tensor, rows) in [(projections, block.channels), (gates, block.valueWidth)] {
      guard tensor.shape == [rows, block.hiddenSize] else {
        throw tensor.error("shape \([rows, block.hiddenSize]) by the keys", found: "\(tensor.shape)")
      }
    }
    if projections.encoding != gates.encoding {
      (projections, gates) = (projections.decoded(), gates.decoded())
    }
    return try Tensor.concatenatingRows(
      [projections, gates], name: projections.name, role: projections.role
    ).selectingRows(regrouped)
  }
}

extension Tensor {
  /// Columns in another order, in runs of `size`; see `GGUFForm.gatedDeltaNet` for what quantized ones become.
  ///
  /// - Parameters:
  ///   - runs: for each run its place in this tensor.
  ///   - selection: the same of single columns.
  fileprivate func orderingColumns(_ runs: [Int], _ selection: RowSelection, size: Int) throws(FormatError)
    -> Tensor
  {
    guard case .ggml(let type) = encoding else { return try selectingColumns(selection) }
    guard size % type.blockWeights == 0 else {
      let exact = try (origin ?? self).decoded().selectingColumns(selection)
      return origin != nil && columns % GGMLType.q80.blockWeights == 0 ? exact.roundedToQ80() : exact
    }
    let bytes = size / type.blockWeights * type.blockBytes
    return mapped(to: encoding) { rows, planes in
      defer { for plane in planes { plane.release() } }
      let source = planes[0]
      return [
        Bytes(overwriting: source.count) { output in
          for row in 0..<rows.count {
            let first = row * runs.count * bytes
            for (place, run) in runs.enumerated() {
              copy(
                source[first + run * bytes..<first + (run + 1) * bytes].span, into: &output,
                at: first + place * bytes)
            }
          }
        }
      ]
    }
  }

  /// The same values under another name and role, perhaps with an extent of 1 more.
  fileprivate func taken(as role: Role, _ name: String, shape: [Int]) throws(FormatError) -> Tensor {
    guard shape != self.shape else {
      return try selectingRows(0..<shape[0], name: name, role: role)
    }
    return Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset, rowStep: rowStep
    ) { [self] rows throws(FormatError) in try planes(rows: rows) }
  }

  /// Each value mapped, in F32.
  fileprivate func mappingValues(_ body: @escaping @Sendable (Double) -> Double) -> Tensor {
    mapped(to: .dense(.f32)) { [encoding, columns] rows, planes in
      defer { for plane in planes { plane.release() } }
      var values = [Float](repeating: 0, count: rows.count * columns)
      var span = values.mutableSpan
      encoding.decode(planes, rows: rows.count, columns: columns, into: &span)
      for index in values.indices { values[index] = Float(body(Double(values[index]))) }
      return [Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }]
    }
  }
}
