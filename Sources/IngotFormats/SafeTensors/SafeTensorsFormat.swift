import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// SafeTensors shards with config.json: what checkpoints are published as.
  public static let safeTensors = Format(
    name: "safetensors",
    summary: "folder of SafeTensors shards with config.json; FP8 copied, or decoded to dense values",
    traits: ContainerTraits(sharing: nil, engines: ["vLLM", "transformers"]),
    recognizes: { _ in false },
    read: { path, options throws(FormatError) in
      try SafeTensorsReader(path, keepUnknown: options.keepUnknown).read()
    },
    adapt: { model throws(FormatError) in
      try model.requirePlainPlaces().requireDescribedBlocks()
    },
    // Beside FP8 that stays as it is described.
    keepsActivationScales: \.hasFP8,
    refusal: { encoding in
      switch encoding {
      // MXFP4 in a family whose checkpoints have it: `adapt` refuses others.
      case .dense, .blockScaled, .microScaled(.mxfp4): nil
      case .affine, .columnPacked, .ggml, .microScaled, .trellis, .tiles:
        "a plain checkpoint has no such codes, only dense values"
      }
    },
    measure: { model, path, options throws(FormatError) in
      try model.safeTensors(path, options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await model.safeTensors(path, options).write()
    })
}

extension Model {
  /// Whether a tensor is FP8 with scales.
  fileprivate var hasFP8: Bool {
    tensors.contains { if case .blockScaled = $0.encoding { true } else { false } }
  }

  /// Refuses FP8 in other blocks than config.json names: engines would take its scales for others.
  fileprivate func requireDescribedBlocks() throws(FormatError) -> Model {
    guard hasFP8 else { return self }
    let config = try sideFile("config.json").map { file throws(FormatError) in
      try Config(file.bytes.array, path: "\(path) (config.json)")
    }
    let size = config?["quantization_config"]?["weight_block_size"]?.array?.map { $0.int }
    for tensor in tensors {
      guard case .blockScaled(let scheme) = tensor.encoding, size != [scheme.blockRows, scheme.blockColumns]
      else { continue }
      throw FormatError(
        path: path, tensor: tensor.name,
        expected: "FP8 in the blocks that config.json's weight_block_size names",
        found: "\(tensor.encoding)", remedy: .decode)
    }
    return self
  }

  /// Each plane as a tensor of its own: values or codes under the tensor's name, block scales beside it; experts in the stacks
  /// that engines read.
  fileprivate func safeTensors(_ path: String, _ options: WriteOptions) throws(FormatError)
    -> SafeTensorsOutput
  {
    let stacked = try StackedExperts(self)
    // FP8 with block scales keeps the config that describes it, byte for byte.
    let codes = tensors.contains { $0.encoding == .microScaled(.mxfp4) }
    return SafeTensorsOutput(
      model: self, tensors: stacked.tensors, path: path, options: options, items: stacked.items,
      sideFiles: hasFP8
        ? sideFiles : try sideFiles { if codes { $0["quantization_config"] = mxfp4Config } })
  }
}
