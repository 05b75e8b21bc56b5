import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// SafeTensors shards with config.json: what checkpoints are published as.
  public static let safeTensors = Format(
    name: "safetensors",
    summary: "folder of SafeTensors shards with config.json; FP8 carried through, or decoded to dense values",
    traits: ContainerTraits(sharing: nil, engines: ["vLLM", "transformers"]),
    recognizes: { _ in false },
    read: { path, options throws(FormatError) in
      try SafeTensorsReader(path, keepUnknown: options.keepUnknown).read()
    },
    adapt: { model throws(FormatError) in
      try model.requireEngineNames("safetensors").requireDescribedBlocks()
    },
    // Beside FP8 that stays as it is described.
    keepsActivationScales: \.hasFP8,
    refusal: { encoding in
      switch encoding {
      case .dense, .blockScaled: nil
      case .affine, .columnPacked, .ggml, .microScaled:
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

  /// Each plane as a tensor of its own: values or codes under the tensor's name, block scales beside it.
  fileprivate func safeTensors(_ path: String, _ options: WriteOptions) throws(FormatError)
    -> SafeTensorsOutput
  {
    let items = tensors.enumerated().map { index, tensor in
      tensor.encoding.planes(tensor.shape)!.enumerated().map { number, plane in
        SafeTensorsOutput.Item(
          name: number == 0 ? tensor.name : tensor.name + Pairing.scaleSuffix, dtype: plane.dtype,
          shape: number == 0 ? tensor.shape : [plane.rows, plane.bytesPerRow * 8 / plane.dtype.bits],
          parts: [(index, number)])
      }
    }
    // FP8 with block scales keeps the config that describes it, byte for byte.
    return SafeTensorsOutput(
      model: self, path: path, options: options, items: items,
      sideFiles: hasFP8 ? sideFiles : try sideFiles { _ in })
  }
}
