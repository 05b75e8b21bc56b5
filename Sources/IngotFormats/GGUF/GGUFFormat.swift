import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// What llama.cpp and its kin load: one file, or numbered parts, with metadata and tokenizer inside.
  public static let gguf = Format(
    name: "gguf",
    summary: "GGUF for llama.cpp: experts stacked, one type a stack, tokenizer and template inside",
    // Types whose names end in K, and IQ4_XS and less, have blocks of 256 columns.
    traits: ContainerTraits(
      sharing: .stacks,
      candidates: [
        .init(
          [
            "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "q3_k", "iq3_s", "iq4_xs", "q4_k", "q5_k",
            "q6_k",
            "q8_0",
          ], reference: "q3_k", columns: 256),
        .init(["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"], reference: "q4_0"),
      ], engines: ["llama.cpp"], suffix: ".gguf"),
    recognizes: { path in path.hasSuffix(".gguf") || Format.begins(path, Array("GGUF".utf8)) },
    read: { path, options throws(FormatError) in
      try GGUFReader(path, keepUnknown: options.keepUnknown).read()
    },
    adapt: { model throws(FormatError) in try model.adaptedToGGUF() },
    restated: { model in model.predictionInGGUF() },
    rounded: { model in GGUFPrediction.rounded(model) },
    refusal: { encoding in
      guard GGUFType(encoding) == nil else { return nil }
      let hint =
        "quantize with a recipe for it (q4_k_m, q8_0 … of 'ingot recipes'), or decode it"
      switch encoding {
      case .blockScaled: return "ggml has no FP8 with scales for blocks of rows and columns; \(hint)"
      default: return "ggml has no type with the same values; \(hint)"
      }
    },
    measure: { model, path, options throws(FormatError) in
      try GGUFWriter(model, path: path, options: options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await GGUFWriter(model, path: path, options: options).write()
    })
}
