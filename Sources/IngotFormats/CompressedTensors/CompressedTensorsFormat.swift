import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// What vLLM, SGLang and transformers load through the compressed-tensors library: packed codes beside their scales,
  /// one scheme for all experts, everything described in config.json.
  public static let compressedTensors = Format(
    name: "compressed-tensors",
    summary: "folder for vLLM, SGLang and transformers: symmetric int3, int4, int8, MXFP4, NVFP4",
    traits: ContainerTraits(
      sharing: .fused,
      candidates: [
        .init(
          ["int4 g128 sym bf16", "int4 g64 sym bf16", "int4 g32 sym bf16", "int8 g128 sym bf16"],
          reference: "int4 g128 sym bf16", columns: 128),
        .init(
          ["int4 g64 sym bf16", "int4 g32 sym bf16", "int8 g64 sym bf16"], reference: "int4 g64 sym bf16",
          columns: 64),
        .init(["int4 g32 sym bf16", "int8 g32 sym bf16"], reference: "int4 g32 sym bf16", columns: 32),
      ], engines: ["vLLM", "transformers"]),
    rowRules: RowRules(alike: .experts, needsExperts: true, holds: RowRules.wholeGroups),
    recognizes: { path in CheckpointLocation.quantizationMethod(path) == "compressed-tensors" },
    read: { path, options throws(FormatError) in
      try CompressedTensorsReader(path).read(keepUnknown: options.keepUnknown)
    },
    adapt: { model throws(FormatError) in try model.requireEngineNames("compressed-tensors") },
    refusal: { CompressedTensorsScheme.refusal($0) },
    measure: { model, path, options throws(FormatError) in
      try CompressedTensorsWriter(model).output(path, options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await CompressedTensorsWriter(model).output(path, options).write()
    })
}
