import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// Our own artifact: one file or numbered parts, every encoding, side files inside.
  public static let ingot = Format(
    name: "ingot",
    summary: "memory-mappable artifact with any encoding per expert; see formats/ingot/SPEC.md",
    traits: ContainerTraits(
      sharing: ContainerTraits.Sharing.none,
      candidates: [
        .init(
          [
            "trellis-1.5", "trellis-2", "int2 g64 zero f16", "trellis-2.5", "int2 g32 zero f16", "trellis-3",
            "int3 g64 zero f16", "trellis-3.5", "int3 g32 zero f16", "trellis-4", "int4 g64 zero f16",
            "int5 g64 zero f16", "int6 g64 zero f16", "int8 g64 zero f16",
          ], reference: "int3 g64 zero f16")
      ], engines: ["ingot"], suffix: ".ingot"),
    recognizes: { path in path.hasSuffix(".ingot") || Format.begins(path, IngotLayout.magic) },
    read: { path, options throws(FormatError) in
      try IngotFile(path).model(path: path, keepUnknown: options.keepUnknown)
    },
    adapt: { model throws(FormatError) in model },
    keepsActivationScales: { _ in true },
    refusal: { encoding in
      switch encoding {
      case .columnPacked: "its groups of columns are none of an artifact's encodings"
      case .tiles: "its tiles are none of an artifact's encodings, which 'trellis-2' is"
      default: nil
      }
    },
    measure: { model, path, options throws(FormatError) in
      try IngotWriter(model: model, path: path, options: options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await IngotWriter(model: model, path: path, options: options).write()
    })
}
