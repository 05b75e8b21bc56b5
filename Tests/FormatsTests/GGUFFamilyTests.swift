import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// GGUF of families whose tensors or keys llama.cpp has otherwise: what is written is read as the same model.
@Suite struct GGUFFamilyTests {
  static let cases = [
    "deepseek_v3-plain", "deepseek_v3-mtp", "deepseek_v3-fp8", "deepseek_v2-lite", "kimi_k2-int4",
    "kimi_k25-int4", "glm4_moe_lite-mtp", "glm4_moe-norm", "glm4_moe-air", "gpt_oss-mxfp4", "gpt_oss-even",
    "deepseek_v32-even", "glm_moe_dsa-even",
  ]

  private func read(_ name: String) throws -> Model {
    try Model.read(repository + "/Tests/Fixtures/families/" + name).decoded(to: .f32)
  }

  private func written(_ model: Model, _ scratch: Scratch) async throws -> Model {
    let made = try await model.write(scratch.path + "/x.gguf", as: .gguf, .init())
    #expect(try model.plannedBytes(as: .gguf, .init()) == made.bytes)
    let auxiliary = model.tensors.filter { $0.role.kind == .auxiliary }.map(\.name)
    // Layers of multi-token prediction have a place where llama.cpp's converter keeps them.
    let carries = model.family.llamaCpp?.prediction != nil
    #expect(made.leftOut == auxiliary.filter { !carries || !model.family.isPrediction($0, model.blueprint) })
    let report = await Format.check(made.files[0], workers: 2)
    #expect(report.problems.isEmpty)
    return try Model.read(made.files[0])
  }

  @Test(arguments: cases) func tensorsComeBack(_ name: String) async throws {
    let source = try read(name)
    let back = try await written(source, try Scratch())
    let used = source.tensors.filter { $0.role.kind != .auxiliary }
    #expect(back.tensors.count { $0.role.kind != .auxiliary } == used.count)
    for tensor in used {
      let other = try #require(back[tensor.role], "\(tensor.role)")
      // Rotated pairs are put side by side there.
      let isEqual = try other.floats() == tensor.floats()
      let isTurned = name == "deepseek_v3-mtp" && !isEqual
      if isTurned {
        #expect([.queryB, .keyValueA].contains(tensor.role.kind))
        #expect(try other.floats().sorted() == tensor.floats().sorted(), "\(tensor.role)")
      } else {
        #expect(isEqual, "\(tensor.role)")
      }
    }
    for (own, other) in zip(source.blueprint.layers, back.blueprint.layers) {
      #expect("\(own.feedForward)" == "\(other.feedForward)")
      if let own = own.mixer as? LatentAttention, let other = other.mixer as? LatentAttention {
        #expect(abs(own.scale - other.scale) <= 1e-6 * own.scale)
        #expect(other.rotary.pairing == .interleaved && own.rotary.theta == other.rotary.theta)
        #expect(abs(own.rotary.magnitude - other.rotary.magnitude) <= 1e-6)
        #expect(own.rotary.frequencies == other.rotary.frequencies)
      } else {
        #expect("\(own.mixer)" == "\(other.mixer)")
      }
    }
  }

  /// Keys of latent attention are turned, so they are quantized where they stand, from the original's values.
  @Test func turnedKeysAreQuantizedFromTheSource() async throws {
    let source = try read("deepseek_v3-even")
    let plan = try Recipe(yaml: "rules: [{encoding: q4_0}]", path: "r").plan(for: source)
    let scratch = try Scratch()
    let quantized = try source.quantized(by: plan)
    let back = try await written(quantized, scratch)
    let content = GGUFContent(try contents(scratch.path + "/x.gguf"))
    let block = try #require(source.blueprint.latentAttention)
    let (keys, values) = (block.plainDim, block.valueDim)
    #expect(keys == 32)
    let key = try #require(content.tensors["blk.1.attn_k_b.weight"])
    let value = try #require(content.tensors["blk.1.attn_v_b.weight"])
    #expect(
      key.type == 8
        && key.dims == [UInt64(keys), UInt64(block.keyValueRank), UInt64(block.heads)].map(Int.init))
    #expect(value.type == 2 && value.dims == [block.keyValueRank, values, block.heads])
    let role = Role(.keyValueB, layer: 1)
    let (original, made) = (try source[role]!.floats(), try back[role]!.floats())
    let planned = try quantized[role]!.floats()
    let columns = block.keyValueRank
    for row in 0..<block.heads * (keys + values) {
      let range = row * columns..<(row + 1) * columns
      if row % (keys + values) >= keys {
        #expect(made[range] == planned[range])
      } else {
        for index in range { #expect(abs(made[index] - original[index]) <= 0.006) }
      }
    }
  }

  @Test(arguments: [
    ("deepseek_v3-lite", "rms_norm_eps"), ("deepseek_v2-groups", "topk_method"),
    ("gpt_oss-plain", "swiglu_limit"), ("deepseek_v32-plain", "index_head_dim"),
    ("glm_moe_dsa-shared", "index_head_dim"), ("phimoe-plain", "sparsemixer"),
  ])
  func otherGraphsAreRefused(_ name: String, _ words: String) async throws {
    let scratch = try Scratch()
    let source = try read(name)
    let error = await #expect(throws: FormatError.self) {
      _ = try await source.write(scratch.path + "/x.gguf", as: .gguf, .init())
    }
    #expect("\(error!)".contains(words), "\(error!)")
  }

  /// MXFP4 is taken as it is, its codes in ggml's order.
  @Test func microScaledCodesAreRepacked() async throws {
    let source = try Model.read(repository + "/Tests/Fixtures/families/gpt_oss-mxfp4")
    let back = try await written(source, try Scratch())
    for kind in TensorKind.mlpLinears {
      for expert in 0..<4 {
        let (own, other) = (source[kind, layer: 1, expert: expert]!, back[kind, layer: 1, expert: expert]!)
        #expect(own.encoding == .microScaled(.mxfp4) && other.encoding == .ggml(.mxfp4))
        #expect(try own.floats() == other.floats())
      }
    }
  }
}
