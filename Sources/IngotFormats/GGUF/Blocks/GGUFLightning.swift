import IngotModels
import IngotSystem
import IngotTensors

extension GGUFForm {
  /// Lightning attention, whose tensors have names of their own in layers that have it.
  ///
  /// Source: llama.cpp, src/models/minimax-01.cpp, September 2026.
  static let lightningAttention = GGUFForm(
    pieces: { tensor, model throws(FormatError) in
      guard let template = GGUFLightning.names[tensor.role.kind] else { return nil }
      return [Piece(template: template, shape: tensor.shape, tensor: tensor)]
    },
    tensors: { stored, layer, blueprint, name throws(FormatError) in
      guard let layer, let block = blueprint.layers[layer].mixer as? LightningAttention else { return [] }
      var tensors: [Tensor] = []
      for spec in block.tensors {
        guard let template = GGUFLightning.names[spec.kind], let tensor = stored.removeValue(forKey: template)
        else { continue }
        guard tensor.shape == spec.shape else {
          throw tensor.error("shape \(spec.shape) by the keys", found: "\(tensor.shape)")
        }
        let role = Role(spec.kind, layer: layer)
        let logical = spec.isLinear ? tensor : tensor.decoded()
        tensors.append(try logical.selectingRows(0..<logical.shape[0], name: name(role), role: role))
      }
      return tensors
    },
    importance: { role, _ in GGUFLightning.names[role.kind].map { [($0, nil)] } })
}

/// Which layers have lightning attention: keys of a file, and config.json.
struct GGUFLightning {
  let architecture: String

  fileprivate static let names: [TensorKind: String] = [
    .lightningQKV: "blk.#.attn_qkv.weight", .lightningGate: "blk.#.attn_gate.weight",
    .lightningNorm: "blk.#.attn_norm_2.weight", .lightningOutput: "blk.#.attn_output.weight",
  ]

  private func key(_ name: String) -> String { "\(architecture).\(name)" }
  private static let layers = "attention.recurrent_layers"
  private static let interval = "full_attention_interval"
  /// What llama.cpp takes where no key says it.
  private static let usualInterval = 8

  /// - Throws: FormatError for norms that llama.cpp computes visibly otherwise: it takes `rms_norm_eps` for those of outputs, the
  ///   family's class 1e-6.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) {
    let blocks = model.blueprint.layers.map { $0.mixer as? LightningAttention }
    guard let block = blocks.lazy.compactMap(\.self).first else { return }
    let epsilon = model.blueprint.finalNorm.epsilon
    guard abs(epsilon - block.norm.epsilon) <= 1e-5 else {
      throw FormatError(
        path: model.path,
        expected: "norms of outputs with rms_norm_eps, as llama.cpp's \(architecture) computes them",
        found: "\(block.norm.epsilon) there and rms_norm_eps \(epsilon)")
    }
    guard let attention = model.blueprint.attention, attention.heads == block.heads,
      attention.headDim == block.headDim
    else {
      throw FormatError(
        path: model.path,
        expected:
          "softmax attention in some layer, with the same heads, as llama.cpp's \(architecture) has it",
        found: "none")
    }
    let flags = blocks.map { $0 != nil }
    if flags == flags.indices.map({ ($0 + 1) % GGUFLightning.usualInterval != 0 }) {
      metadata[key(GGUFLightning.interval)] = .uint32(UInt32(GGUFLightning.usualInterval))
    } else {
      metadata[key(GGUFLightning.layers)] = .bools(flags)
    }
  }

  /// What config.json says of it, as released configs do.
  func config(_ metadata: GGUFMetadata, layers: Int) throws(FormatError) -> JSONObject {
    var flags: [Bool]
    if let value = metadata[key(GGUFLightning.layers)] {
      guard let values = value.integers, values.count >= layers else {
        throw metadata.error(key(GGUFLightning.layers), "a flag for each of \(layers) layers")
      }
      flags = values.prefix(layers).map { $0 != 0 }
    } else {
      let interval = try metadata.integer(
        key(GGUFLightning.interval), 1...10_001, or: GGUFLightning.usualInterval)
      flags = (0..<layers).map { ($0 + 1) % interval != 0 }
    }
    return ["attn_type_list": .array(flags.map { JSON($0 ? 0 : 1) })]
  }
}
