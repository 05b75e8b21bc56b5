import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Artifacts of a model that lacks some experts: every format has the right number of them, of router rows and of biases.
@Suite struct DroppedFormatsTests {
  static let dropped = DroppedExperts(experts: 8, layers: [[0, 5, 6], [1, 2, 3], [5, 6, 7], [0, 3, 4]])

  @Test(arguments: [
    ("int4", "ingot", "x.ingot"), ("q8_0", "gguf", "x.gguf"), ("mlx-4bit", "mlx", "x"),
    ("w4a16", "compressed-tensors", "x"), ("gptq-4bit", "gptq", "x"), ("awq-4bit", "awq", "x"),
    ("keep", "safetensors", "x"),
  ])
  func readsBack(_ recipe: String, _ name: String, _ path: String) async throws {
    let scratch = try Scratch()
    let format = try #require(Format.named(name))
    let model = try Model.read(nano)
    let left = try model.dropping(Self.dropped)
    var quantized = left
    if recipe != "keep" { quantized = try left.quantized(by: Recipe.named(recipe).plan(for: left)) }
    var options = WriteOptions.with()
    options.provenance[DroppedExperts.key] = Self.dropped.json
    let written = try await quantized.write(scratch(path), as: format, options)
    #expect(written.bytes == (try quantized.plannedBytes(as: format, options)))
    let read = try Model.read(scratch(path))
    #expect(read.format == name && read.blueprint.experts.count == 5)
    #expect(try read.droppedExperts() == Self.dropped)
    #expect(await Format.check(scratch(path), workers: 2) { _ in }.problems.isEmpty)
    for layer in 0..<4 {
      #expect(read[.router, layer: layer]?.shape == [5, model.blueprint.hiddenSize])
      #expect(read[.routerBias, layer: layer]?.shape == [5])
      #expect(try read[.router, layer: layer]!.floats() == left[.router, layer: layer]!.floats())
      #expect(try read[.routerBias, layer: layer]!.floats() == left[.routerBias, layer: layer]!.floats())
      let (last, kept) = (try #require(read[.down, layer: layer, expert: 4]), Self.dropped.kept(layer))
      #expect(read[.down, layer: layer, expert: 5] == nil)
      #expect(try last.floats() == quantized[.down, layer: layer, expert: 4]!.floats())
      // They are the original's, but for the encoding.
      let original = try model[.down, layer: layer, expert: kept[4]]!.floats()
      let error = zip(try last.floats(), original).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      #expect(error <= 0.03 * original.reduce(0) { $0 + $1 * $1 })
    }
    // What was written says the same when it is written again.
    _ = try await read.write(scratch("again.ingot"), as: .ingot, .with())
    #expect(try Model.read(scratch("again.ingot")).droppedExperts() == Self.dropped)
    guard name != "ingot" && name != "gguf" else { return }
    let config = try JSON.parse(content(scratch(path) + "/config.json"), path: "config.json")
    #expect(config["num_local_experts"] == 5)
  }

  @Test func aStoppedRunIsNotContinuedWithOthersDropped() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    func write(_ path: String, _ layers: [[Int]], stops: Bool = false) async throws {
      let left = try model.dropping(DroppedExperts(experts: 8, layers: layers))
      var options = WriteOptions.with()
      if stops { options.shouldStop = { true } }
      _ = try await left.write(scratch(path), as: .ingot, options)
    }
    let some = (0..<4).map { _ in [0, 1] }
    let others = (0..<4).map { _ in [0, 2] }
    await #expect(throws: FormatError.self) { try await write("x.ingot", some, stops: true) }
    let error = try await #require(throws: FormatError.self) { try await write("x.ingot", others) }
    #expect(error.remedy == .discard, "\(error)")
    try await write("x.ingot", some)
    try await write("y.ingot", some)
    #expect(try content(scratch("x.ingot")) == content(scratch("y.ingot")))
  }
}
