import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotTensors
import Testing

/// What formats say of themselves for plans.
@Suite struct ContainerTraitsTests {
  @Test func enginesAreOfThisList() {
    let names = Set(Engine.allCases.map(\.rawValue))
    for format in Format.all {
      #expect(format.traits.engines.isSubset(of: names), "\(format.name)")
      // What ExLlamaV3 takes of memory is not known here.
      #expect(format.traits.engines.isEmpty == (format.name == "exl3"), "\(format.name)")
    }
    for engine in Engine.allCases { #expect(Format.all.contains { engine.loads($0.traits) }, "\(engine)") }
  }

  /// Candidates are encodings that the format holds, by rising bits, and there are some where there is something to choose.
  @Test func candidatesAreHeld() throws {
    for format in Format.all {
      #expect((format.traits.sharing != nil) == !format.traits.candidates.isEmpty, "\(format.name)")
      for candidates in format.traits.candidates {
        let encodings = try candidates.names.map { try #require(Encoding(name: $0), "\($0)") }
        for encoding in encodings { #expect(format.refusal(encoding) == nil, "\(format.name): \(encoding)") }
        let bits = encodings.map { 8 * Double($0.bytes([1024, 1024])!) / Double(1 << 20) }
        #expect(
          bits == bits.sorted() && candidates.names.contains(candidates.reference), "\(format.name): \(bits)")
      }
    }
  }

  @Test func encodingsAreNamedByWhatTheirNamesBeginWith() throws {
    func named(_ name: String) throws -> [String] {
      try [
        "trellis-2", "trellis-2.5", "trellis-2 w9", "int2 g32 zero f16", "int3 g64 zero f16", "q4_k", "q4_0",
      ]
      .filter { try #require(Encoding(name: $0)).isNamed(name) }
    }
    #expect(try named("trellis") == ["trellis-2", "trellis-2.5", "trellis-2 w9"])
    #expect(try named("trellis-2") == ["trellis-2", "trellis-2 w9"])
    #expect(try named("int3 g64") == ["int3 g64 zero f16"] && named("int3 g6") == [] && named("in") == [])
    #expect(try named("q4") == ["q4_k", "q4_0"] && named("q4_k") == ["q4_k"] && named("") == [])
  }

  @Test func namesOfOutputs() {
    #expect(
      Format.all.map { $0.suggestedName("model") } == [
        "model.ingot", "model.gguf", "model-mlx", "model-compressed-tensors", "model-gptq", "model-awq",
        "model-exl3", "model-safetensors",
      ])
    #expect(Format.mlx.suggestedName("m", folder: "mlx-4bit") == "m-mlx-4bit")
    #expect(Format.plannedNames == "ingot, gguf, mlx or compressed-tensors")
  }
}
