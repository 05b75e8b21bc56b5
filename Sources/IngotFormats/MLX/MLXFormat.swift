import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// A folder for MLX, as mlx-lm reads and writes it: SafeTensors with stacked experts.
  public static let mlx = Format(
    name: "mlx",
    summary: "folder for mlx-lm: affine 2 to 8 bits, mxfp4, mxfp8 or nvfp4, experts stacked",
    traits: ContainerTraits(
      sharing: .stacks,
      candidates: [
        .init(
          [
            "int2 g64 bias bf16", "int3 g64 bias bf16", "int3 g32 bias bf16", "int4 g128 bias bf16",
            "int4 g64 bias bf16", "int5 g64 bias bf16", "int6 g64 bias bf16", "int8 g64 bias bf16",
          ], reference: "int3 g64 bias bf16", columns: 128),
        .init(
          [
            "int2 g64 bias bf16", "int3 g64 bias bf16", "int3 g32 bias bf16", "int4 g64 bias bf16",
            "int5 g64 bias bf16", "int6 g64 bias bf16", "int8 g64 bias bf16",
          ], reference: "int3 g64 bias bf16", columns: 64),
        .init(
          [
            "int2 g32 bias bf16", "int3 g32 bias bf16", "int4 g32 bias bf16", "int5 g32 bias bf16",
            "int6 g32 bias bf16", "int8 g32 bias bf16",
          ], reference: "int3 g32 bias bf16", columns: 32),
      ], engines: ["MLX"]),
    rowRules: RowRules(holds: RowRules.wholeGroups),
    recognizes: { MLXReader.recognizes($0) },
    read: { path, options throws(FormatError) in
      try MLXReader(path, keepUnknown: options.keepUnknown).read()
    },
    adapt: { model throws(FormatError) in
      // mlx-lm's converter too leaves out other models' tensors and multi-token prediction.
      try model.replacingTensors(model.tensors.filter { $0.role.kind != .auxiliary }).mapTensors { tensor in
        tensor.symmetricWithBias ?? tensor
      }
    },
    rounded: { MLXNorms.rounded($0) },
    refusal: { mlxRefusal($0) },
    measure: { model, path, options throws(FormatError) in
      try MLXWriter(model, path, options).output().plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await MLXWriter(model, path, options).output().write()
    })

  private static func mlxRefusal(_ encoding: Encoding) -> String? {
    let recipes = "recipe mlx-4bit makes one"
    switch encoding {
    case .dense(.f32), .dense(.f16), .dense(.bf16): return nil
    case .dense(let type): return "mlx-lm computes with F32, F16 and BF16, not \(type.rawValue)"
    case .blockScaled:
      return
        "MLX has no FP8 with block scales; quantize it (\(recipes)), or decode it"
    case .affine(let scheme) where MLXScheme(encoding) == nil:
      if scheme.offset != .bias {
        return "MLX adds a bias to scale times code, as 'int\(scheme.bits) g64 bias bf16' does; \(recipes)"
      }
      return
        "MLX has groups of \(MLXScheme.groups.map(String.init).joined(separator: ", ")) columns; \(recipes)"
    case .microScaled where MLXScheme(encoding) == nil:
      return
        "MLX has mx-fp4, mx-fp8 and nv-fp4 without a global scale; recipe mlx-mxfp4 makes one"
    case .columnPacked, .ggml, .trellis, .tiles: return "MLX has no such codes; \(recipes)"
    case .affine, .microScaled: return nil
    }
  }
}
