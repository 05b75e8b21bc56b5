import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// GGUF of families whose graphs in llama.cpp have factors, windows by layer, norms of 1 + w or DeltaNets: what is written is
/// read as the same model, and what they compute otherwise is refused.
@Suite struct GGUFGraphTests {
  static let cases = [
    "gemma2-even", "gemma3-even", "olmoe-even", "olmoe-raw", "granitemoe-even", "granitemoe-untied",
    "qwen2_moe-even", "qwen2_moe-raw", "qwen3_next-even", "qwen3_5-even", "qwen3_5_moe-even",
    "minimax-even", "minimax_m3-mxfp8", "llama4-even", "gemma4-dense", "gemma4-moe", "gemma4-shared",
    "gemma4-even",
  ]

  private func read(_ name: String) throws -> Model {
    try Model.read(repository + "/Tests/Fixtures/families/" + name).decoded(to: .f32)
  }

  @Test(arguments: cases) func tensorsComeBack(_ name: String) async throws {
    let source = try read(name)
    let scratch = try Scratch()
    _ = try await source.write(scratch.path + "/x.gguf", as: .gguf, .init())
    let back = try Model.read(scratch.path + "/x.gguf")
    for tensor in source.tensors where tensor.role.kind != .auxiliary {
      let other = try #require(back[tensor.role], "\(tensor.role)")
      #expect(other.shape == tensor.shape)
      let error = zip(try tensor.floats(), try other.floats()).map { abs($0 - $1) }.max() ?? 0
      // Factors of norms and e^A are rounded to F32.
      let isRounded =
        source.blueprint.norm(of: tensor.role)?.addsOne ?? false || tensor.role.kind == .deltaDecay
      #expect(error <= (isRounded ? 1e-6 : 0), "\(tensor.role): \(error)")
    }
    for (own, other) in zip(source.blueprint.layers, back.blueprint.layers) {
      #expect("\(own.mixer)" == "\(other.mixer)")
      #expect("\(own.feedForward)" == "\(other.feedForward)")
      #expect(own.mixerNorm == other.mixerNorm && own.mixerResidual == other.mixerResidual)
    }
    #expect(source.blueprint.embeddingScale == back.blueprint.embeddingScale)
    #expect(source.blueprint.logitScale == back.blueprint.logitScale)
    #expect(source.blueprint.logitSoftcap == back.blueprint.logitSoftcap)
  }

  @Test(arguments: [
    ("gemma3-text", "scores times"), ("gemma2-capped", "scores times"),
    ("olmoe-norm", "6 heads of keys"), ("qwen3_next-norm", "values as wide as keys"),
    ("minimax-plain", "residuals times"), ("minimax-text01", "residuals times"),
    ("minimax_m3-plain", "swiglu_limit"), ("llama4-scout", "attention_chunk_size"),
    ("llama4-maverick", "attention_chunk_size"),
  ])
  func otherGraphsAreRefused(_ name: String, _ words: String) async throws {
    let scratch = try Scratch()
    let source = try read(name)
    let error = await #expect(throws: FormatError.self) {
      try await source.write(scratch.path + "/x.gguf", as: .gguf, .init())
    }
    #expect(error?.expected.contains(words) == true)
  }

  /// Value heads are in another order there, so columns of a quantized output projection are too, block by block.
  @Test(arguments: ["q8_0", "q4_0"]) func columnsOfQuantizedOutputsMove(_ encoding: String) async throws {
    let source = try read("qwen3_5-even")
    let scratch = try Scratch()
    let plan = try Recipe(yaml: "rules: [{parts: attention, encoding: \(encoding)}]", path: "r").plan(
      for: source)
    let quantized = try source.quantized(by: plan)
    _ = try await quantized.write(scratch.path + "/x.gguf", as: .gguf, .init())
    let back = try Model.read(scratch.path + "/x.gguf")
    let role = Role(.deltaOutput, layer: 0)
    let stored = try #require(back[role])
    #expect(stored.encoding.description == encoding)
    #expect(try stored.floats() == #require(quantized[role]).floats())
  }
}
