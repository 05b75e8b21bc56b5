import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension Sensitivity {
  /// Encodings to choose among for a format, by rising bits, and the one of them that groups are measured at by default; nil
  /// for a format that has one encoding for everything.
  public static func candidates(format: String, for model: Model) -> (all: [Encoding], reference: Encoding)? {
    let (names, reference): ([String], String)
    switch format {
    case "ingot":
      names = [
        "int2 g64 zero f16", "int2 g32 zero f16", "int3 g64 zero f16", "int3 g32 zero f16",
        "int4 g64 zero f16", "int5 g64 zero f16", "int6 g64 zero f16", "int8 g64 zero f16",
      ]
      reference = "int3 g64 zero f16"
    case "gguf":
      // Types whose names end in K, and IQ4_XS, have blocks of 256 columns.
      let isWide = model.tensors.allSatisfy { !model.canQuantize($0) || $0.columns % 256 == 0 }
      names =
        isWide
        ? ["q2_k", "q3_k", "iq4_xs", "q4_k", "q5_k", "q6_k", "q8_0"]
        : ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"]
      reference = isWide ? "q3_k" : "q4_0"
    case "mlx":
      names = [
        "int2 g64 bias bf16", "int3 g64 bias bf16", "int3 g32 bias bf16", "int4 g128 bias bf16",
        "int4 g64 bias bf16", "int5 g64 bias bf16", "int6 g64 bias bf16", "int8 g64 bias bf16",
      ]
      reference = "int3 g64 bias bf16"
    case "compressed-tensors":
      names = [
        "int4 g128 sym bf16", "int4 g64 sym bf16", "int4 g32 sym bf16", "int8 g128 sym bf16",
      ]
      reference = "int4 g128 sym bf16"
    default: return nil
    }
    let encodings = names.map { Encoding(name: $0)! }.filter { encoding in
      model.tensors.allSatisfy { !model.canQuantize($0) || encoding.planes($0.shape) != nil }
    }
    guard let first = encodings.first else { return nil }
    let wanted = Encoding(name: reference)!
    return (encodings, encodings.contains(wanted) ? wanted : first)
  }
}
