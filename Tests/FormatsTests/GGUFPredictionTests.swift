import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Layers of multi-token prediction in GGUF: where llama.cpp has them, with the values of the checkpoint.
@Suite struct GGUFPredictionTests {
  private func read(_ name: String) throws -> Model {
    try Model.read(repository + "/Tests/Fixtures/families/" + name)
  }

  private func content(_ model: Model, _ scratch: Scratch) async throws -> (GGUFContent, Written) {
    let path = scratch.path + "/x.gguf"
    let written = try await model.write(path, as: .gguf, .init())
    #expect(try model.plannedBytes(as: .gguf, .init()) == written.bytes)
    return (GGUFContent(try contents(path)), written)
  }

  private func floats(_ content: GGUFContent, _ name: String) throws -> [Float] {
    let tensor = try #require(content.tensors[name], "\(name)")
    let count = tensor.dims.reduce(1, *)
    switch tensor.type {
    case 0:
      return (0..<count).map { index in
        Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(tensor.data[4 * index + $1]) << (8 * $1) })
      }
    case 30:
      return (0..<count).map { index in
        Float(bitPattern: UInt32(tensor.data[2 * index]) << 16 | UInt32(tensor.data[2 * index + 1]) << 24)
      }
    default:
      Issue.record("\(name) has type \(tensor.type)")
      return []
    }
  }

  /// - Parameter adds: what a file adds to the weights of norms.
  @Test(arguments: [
    ("glm4_moe-air", "glm4moe", "model.layers.2.", "model.layers.2.", Float(0)),
    ("glm_moe_dsa-even", "glm-dsa", "model.layers.4.", "model.layers.4.", 0),
    ("deepseek_v32-even", "deepseek32", "model.layers.2.", "model.layers.2.", 0),
    ("qwen3_5_moe-even", "qwen35moe", "mtp.", "mtp.layers.0.", 1),
  ])
  func layerStandsBehindTheOthers(
    _ name: String, _ architecture: String, _ around: String, _ block: String, _ adds: Float
  ) async throws {
    let model = try read(name)
    let layers = model.blueprint.layerCount
    let (content, written) = try await content(model, try Scratch())
    #expect(written.leftOut.allSatisfy { !model.family.isPrediction($0, model.blueprint) })
    #expect(written.rounded.isEmpty)
    #expect(content["\(architecture).block_count"] == "\(layers + 1)")
    #expect(content["\(architecture).nextn_predict_layers"] == "1")
    func source(_ tensor: String) throws -> [Float] {
      try #require(model.tensors.first { $0.name == tensor }, "\(tensor)").floats()
    }
    let isQwen = adds != 0
    let projection = isQwen ? "fc.weight" : "eh_proj.weight"
    let norm = isQwen ? "pre_fc_norm_embedding.weight" : "enorm.weight"
    let prefix = "blk.\(layers)."
    #expect(try floats(content, prefix + "nextn.eh_proj.weight") == source(around + projection))
    #expect(try floats(content, prefix + "nextn.enorm.weight") == source(around + norm).map { $0 + adds })
    let inputNorm = try source(block + "input_layernorm.weight")
    #expect(try floats(content, prefix + "attn_norm.weight") == inputNorm.map { $0 + adds })
    #expect(
      try floats(content, prefix + "attn_output.weight") == source(block + "self_attn.o_proj.weight"))
    let count = model.blueprint.experts.count
    let experts = try (0..<count).flatMap {
      try source(block + "mlp.experts.\($0).down_proj.weight")
    }
    #expect(try floats(content, prefix + "ffn_down_exps.weight") == experts)
    #expect(content.tensors[prefix + "ffn_down_exps.weight"]!.dims.last == count)
    // The block has just the tensors of a layer of the model like it.
    func names(_ layer: Int) -> Set<String> {
      Set(
        content.order.filter { $0.hasPrefix("blk.\(layer).") && !$0.contains(".nextn.") }.map {
          String($0.dropFirst("blk.\(layer).".count))
        })
    }
    #expect((0..<layers).contains { names($0) == names(layers) })
  }

  /// Matrices get the types of the layer like it, the others stay exact; a GGUF file of one is copied.
  @Test func matricesAreQuantizedLikeOthers() async throws {
    let model = try read("glm_moe_dsa-even")
    let plan = try Recipe(yaml: "rules: [{parts: [attention, experts], encoding: q8_0}]", path: "r").plan(
      for: model)
    let scratch = try Scratch()
    let (content, written) = try await content(try model.quantized(by: plan), scratch)
    for name in content.order where name.hasPrefix("blk.4.") && !name.contains(".nextn.") {
      #expect(content.tensors[name]!.type == content.tensors["blk.3." + name.dropFirst(6)]?.type, "\(name)")
    }
    #expect(content.tensors["blk.4.ffn_up_exps.weight"]!.type == 8)
    #expect(content.tensors["blk.4.nextn.eh_proj.weight"]!.type == 30)
    #expect(written.rounded.contains("blk.4.ffn_up_exps.weight"))
    #expect(!written.rounded.contains("blk.4.nextn.enorm.weight"))
    let back = try Model.read(scratch.path + "/x.gguf")
    let path = scratch.path + "/again.gguf"
    let again = try await back.write(path, as: .gguf, .init())
    #expect(again.leftOut.isEmpty && again.rounded.isEmpty)
    let copy = GGUFContent(try contents(path))
    // Latent attention's keys and values are put together when they are read, and decoded for that.
    for name in content.order
    where name.hasPrefix("blk.4.") && !name.contains("attn_k_b") && !name.contains("attn_v_b") {
      #expect(copy.tensors[name]?.data == content.tensors[name]!.data, "\(name)")
    }
    #expect(copy["glm-dsa.nextn_predict_layers"] == "1")
  }

  /// What is read of a file has the checkpoint's names and values again.
  @Test(arguments: [
    "glm4_moe-norm", "glm4_moe-air", "glm4_moe_lite-mtp", "glm_moe_dsa-even", "deepseek_v32-even",
    "qwen3_5-even", "qwen3_5_moe-even",
  ])
  func layerComesBack(_ name: String) async throws {
    let model = try read(name)
    let scratch = try Scratch()
    _ = try await content(model, scratch)
    let back = try Model.read(scratch.path + "/x.gguf")
    let own = model.tensors.filter { model.family.isPrediction($0.name, model.blueprint) }
    let others = Dictionary(
      uniqueKeysWithValues: back.tensors.filter { $0.role.kind == .auxiliary }.map { ($0.name, $0) })
    #expect(!own.isEmpty && own.count == others.count)
    for tensor in own {
      let plain = model.family.place.plain(tensor.name) ?? tensor.name
      let other = try #require(others[plain], "\(plain)")
      #expect(other.shape == tensor.shape, "\(plain)")
      let error = zip(try tensor.floats(), try other.floats()).map { abs($0 - $1) }.max() ?? 0
      // Factors of norms are rounded to F32.
      #expect(error <= (model.blueprint.finalNorm.addsOne ? 1e-6 : 0), "\(plain): \(error)")
    }
    // As a checkpoint it is one that can be read.
    _ = try await back.write(scratch.path + "/folder", as: .safeTensors, .init())
    let again = try Model.read(scratch.path + "/folder")
    #expect(again.tensors.count == back.tensors.count)
  }

  /// llama.cpp's converter leaves DeepSeek-V3's layer out, and so is it here, and named.
  @Test func whatHasNoPlaceIsLeftOut() async throws {
    let model = try read("deepseek_v3-mtp")
    let (content, written) = try await content(model, try Scratch())
    #expect(content["deepseek2.nextn_predict_layers"] == nil)
    #expect(content["deepseek2.block_count"] == "2")
    #expect(written.leftOut.contains("model.layers.2.eh_proj.weight"))
  }
}
