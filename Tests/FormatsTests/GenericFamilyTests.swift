import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// A checkpoint of a model_type that no family is written for.
@Suite struct GenericFamilyTests {
  static let folder = repository + "/Tests/Fixtures/families/unheardof"

  private func recipe(_ rules: String) throws -> Recipe {
    try Recipe(yaml: "name: trial\nrules:\n" + rules, path: "trial")
  }

  @Test func namesAreAllThatIsKnown() throws {
    let model = try Model.read(Self.folder)
    #expect(model.family.isGeneric && !model.blueprint.isKnown)
    #expect(model.tensors.count == 24 && model.tensors.allSatisfy { $0.role.kind == .unknown })
    #expect(throws: FormatError.self) { try model.requireForwardPass() }
  }

  /// Embedding, head, norms, the adapter and everything that is no matrix stay as they are.
  @Test func matricesAreQuantizedByDefault() throws {
    let model = try Model.read(Self.folder)
    let plan = try recipe("  - encoding: int4 g48 sym bf16\n").plan(for: model)
    let names = plan.assignments.filter { $0.value.quantizer != nil }.keys.compactMap(\.name)
    #expect(names.count == 14 && names.allSatisfy { $0.contains("_proj.weight") }, "\(names)")
  }

  @Test func recipesMatchNames() throws {
    let model = try Model.read(Self.folder)
    let rules = """
        - {names: "*.mlp.down_proj.weight", encoding: keep}
        - {names: ["model.embed_tokens.*", "*.mlp.*"], encoding: int8 g48 sym bf16}

      """
    let plan = try recipe(rules).plan(for: model)
    let names = Set(plan.assignments.filter { $0.value.quantizer != nil }.keys.compactMap(\.name))
    #expect(names.count == 5 && names.contains("model.embed_tokens.weight"))
    #expect(names.contains("model.layers.1.mlp.up_proj.weight"))
    let error = #expect(throws: FormatError.self) {
      try recipe("  - {names: \"*.no_such.*\", encoding: bf16}\n").plan(for: model)
    }
    #expect(error?.expected.contains("rule 1") == true)
  }

  @Test func patternsOfNames() throws {
    let model = try Model.read(Self.folder)
    func matches(_ pattern: String) -> [String] {
      let plan = try? recipe("  - {names: \"\(pattern)\", encoding: f32}\n").plan(for: model)
      return (plan?.assignments ?? [:]).filter { $0.value.quantizer != nil }.keys.compactMap(\.name).sorted()
    }
    let name = "model.layers.1.mlp.up_proj.weight"
    for text in [
      name, "model.*1.mlp.up*", "*.1.*.up_proj.weight", "model*1*mlp*up_proj*weight", "**1**up_**",
    ] {
      #expect(matches(text) == [name], "\(text)")
    }
    for text in ["model", "*.bias", "layers.*", "*mlp*mlp*", name + "?", "*weight*weight*"] {
      #expect(matches(text).isEmpty, "\(text)")
    }
  }

  /// A kernel of patches has 5 extents; what a record has no room for is refused before anything is written.
  @Test(arguments: [
    ([2, 3, 1, 2, 2], true), ([1, 2, 1, 2, 1, 2, 1, 3], true), ([1, 1, 1, 1, 1, 1, 1, 1, 2], false),
  ])
  func manyExtents(_ shape: [Int], _ fits: Bool) async throws {
    let scratch = try Scratch()
    let source = try Model.read(Self.folder)
    let values = Bytes(Array((0..<UInt8(4 * shape.reduce(1, *)))))
    let patches = Tensor(
      name: "patch_embed.proj.weight", role: Role(.unknown, name: "patch_embed.proj.weight"), shape: shape,
      encoding: .dense(.f32), path: source.path, planes: [values])
    let model = try Model(
      family: source.family, blueprint: source.blueprint, tensors: source.tensors + [patches],
      sideFiles: source.sideFiles, path: source.path, format: source.format, weightFiles: source.weightFiles)
    let path = scratch("out.ingot")
    guard fits else {
      let error = await #expect(throws: FormatError.self) {
        _ = try await model.write(path, as: .ingot, .with())
      }
      #expect(error?.tensor == "patch_embed.proj.weight" && error?.expected.contains("8 extents") == true)
      #expect(!FileManager.default.fileExists(atPath: path))
      return
    }
    _ = try await model.write(path, as: .ingot, .with())
    let again = try #require(try Model.read(path).tensors.first { $0.name == patches.name })
    #expect(again.shape == shape)
    #expect(try again.planes().map(\.array) == [values.array])
  }

  /// The same values after every container that takes names as they are.
  @Test(arguments: ["ingot", "compressed-tensors", "safetensors"])
  func writtenAndReadAgain(_ format: String) async throws {
    let scratch = try Scratch()
    let source = try Model.read(Self.folder)
    let model =
      format == "safetensors"
      ? source
      : try source.quantized(by: recipe("  - encoding: int4 g48 sym bf16\n").plan(for: source))
    let path = scratch("out" + (format == "ingot" ? ".ingot" : ""))
    if format == "compressed-tensors" {
      // Engines there have groups of 32, 64 and 128.
      let plan = try recipe("  - {names: \"*.down_proj.weight\", encoding: int4 g32 sym bf16}\n").plan(
        for: source)
      let packed = try source.quantized(by: plan)
      _ = try await packed.write(path, as: .compressedTensors, .with())
      try expectSame(packed, Model.read(path))
      return
    }
    _ = try await model.write(path, as: try #require(Format.named(format)), .with())
    let back = try Model.read(path)
    try expectSame(model, back)
    #expect(await Format.check(path, workers: 2).problems.isEmpty)
  }

  private func expectSame(_ model: Model, _ back: Model) throws {
    #expect(back.family.isGeneric && back.tensors.count == model.tensors.count)
    for tensor in model.tensors where tensor.encoding.isDecodable {
      let other = try #require(back[tensor.role], "\(tensor.name)")
      #expect(try other.floats() == tensor.floats(), "\(tensor.name)")
    }
  }
}

/// What `inspect` says of files that are no model of a known kind.
@Suite struct InventoryTests {
  @Test func oneShardWithoutConfig() throws {
    let scratch = try Scratch()
    try scratch.write("part.safetensors", content(nano + "/model-00002-of-00004.safetensors"))
    let inventory = try Inventory(scratch("part.safetensors"))
    #expect(inventory.format == "safetensors" && inventory.problems.isEmpty && inventory.entries.count > 10)
    #expect(inventory.patterns.count < inventory.entries.count)
    let first = try #require(inventory.entries.first)
    #expect(first.bytes > 0 && first.offset > 8 && !first.shape.isEmpty)
  }

  @Test func whatIsWholeAndWhatIsNot() throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "broken")
    let shard = "broken/model-00003-of-00004.safetensors"
    try scratch.write(shard, Array(content(scratch(shard)).prefix(1000)))
    Folder.remove(scratch("broken/model-00004-of-00004.safetensors"))
    let inventory = try Inventory(folder)
    #expect(inventory.problems.count == 2 && inventory.entries.count > 10)
    let text = inventory.problems.map { "\($0.error)" }.joined()
    #expect(text.contains("model-00003") && text.contains("model-00004") && text.contains("no such file"))
  }

  @Test func artifactsOfAllKinds() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    _ = try await model.quantized("q4_k_m").write(scratch("a.gguf"), as: .gguf, .with())
    _ = try await model.quantized("int4").write(scratch("a.ingot"), as: .ingot, .with())
    let gguf = try Inventory(scratch("a.gguf"))
    #expect(gguf.bytesByType.contains { $0.type == "Q4_K" })
    #expect(gguf.metadata.contains { $0.key == "general.architecture" && $0.value.contains("minimax-m2") })
    let ingot = try Inventory(scratch("a.ingot"))
    #expect(ingot.entries.count == model.tensors.count && ingot.format == "ingot")
    #expect(throws: FormatError.self) { try Inventory(scratch("nothing")) }
  }
}
