import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// Checkpoints of ExLlamaV3: trellis codes in tiles of matrices that Hadamard matrices transform, bits by module.
  public static let exl3 = Format(
    name: "exl3",
    summary: "folder for ExLlamaV3: trellis codes of 1 to 8 bits, each module with bits of its own",
    traits: ContainerTraits(sharing: nil, engines: []),
    recognizes: { path in CheckpointLocation.quantizationMethod(path) == "exl3" },
    read: { path, options throws(FormatError) in
      try EXL3Reader(path).read(keepUnknown: options.keepUnknown)
    },
    adapt: { model throws(FormatError) in try model.requireEngineNames("exl3") },
    refusal: { encoding in
      switch encoding {
      case .tiles, .dense(.f32), .dense(.f16), .dense(.bf16): nil
      case .dense(let type): "it computes with F32, F16 and BF16, not \(type.rawValue)"
      default: "ExLlamaV3 has no such codes; recipe 'exl3-3.0' writes its own"
      }
    },
    measure: { model, path, options throws(FormatError) in
      try EXL3Writer(model).output(path, options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await EXL3Writer(model).output(path, options).write()
    })
}
