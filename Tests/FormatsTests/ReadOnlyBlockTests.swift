import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Block types that others write and this reads and carries.
@Suite struct ReadOnlyBlockTests {
  /// The embedded model with random blocks in the down projections of a layer.
  private func model(_ type: GGMLType) throws -> Model {
    var random = SystemRandomNumberGenerator()
    return try Model.read(Fixture.nano).decoded(to: .bf16).mapTensors { tensor in
      guard tensor.role.kind == .down, tensor.role.layer == 1 else { return tensor }
      let count = tensor.count / type.blockWeights * type.blockBytes
      // Bytes below 0x40 leave every scale finite, wherever it is.
      let bytes = Bytes((0..<count).map { _ in UInt8.random(in: 0..<0x40, using: &random) })
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: .ggml(type), path: tensor.path,
        planes: [bytes])
    }
  }

  @Test(arguments: GGMLType.allCases.filter { !$0.isWritable })
  func travelBitForBit(_ type: GGMLType) async throws {
    let scratch = try Scratch()
    let source = try model(type)
    _ = try await source.write(scratch("x.gguf"), as: .gguf, .init())
    let read = try Model.read(scratch("x.gguf"))
    _ = try await read.write(scratch("x.ingot"), as: .ingot, .init())
    let artifact = try Model.read(scratch("x.ingot"))
    for tensor in source.tensors where tensor.encoding == .ggml(type) {
      for model in [read, artifact] {
        let twin = try #require(model[tensor.role])
        #expect(twin.encoding == .ggml(type))
        #expect(try twin.planes()[0].array == tensor.planes()[0].array)
        #expect(try twin.floats() == tensor.floats())
      }
    }
    #expect(await Format.check(scratch("x.ingot"), workers: 2).problems.isEmpty)
    let summary = ModelSummary(read)
    #expect(summary.bytesByName.contains { $0.name == type.description.uppercased() })
    #expect(Quantizer.filling(.ggml(type)).isEmpty)
  }

  /// A type that nobody knows is listed by number and size, and refused by name.
  @Test func unknownTypesAreListed() async throws {
    let scratch = try Scratch()
    _ = try await model(.q10).write(scratch("x.gguf"), as: .gguf, .init())
    var bytes = try contents(scratch("x.gguf"))
    // The info of a tensor: its name, 3 dimensions, then the type.
    let name = Array("blk.1.ffn_down_exps.weight".utf8)
    let place = try #require(
      (0..<bytes.count - name.count).first { Array(bytes[$0..<$0 + name.count]) == name })
    let type = place + name.count + 4 + 3 * 8
    #expect(bytes[type] == 41)
    bytes[type] = 99
    try scratch.write("y.gguf", bytes)
    let inventory = try Inventory(scratch("y.gguf"))
    let entry = try #require(inventory.entries.first { $0.name == "blk.1.ffn_down_exps.weight" })
    let known = try #require(Inventory(scratch("x.gguf")).entries.first { $0.name == entry.name })
    #expect(entry.type == "type 99" && entry.bytes == known.bytes)
    let report = await Format.check(scratch("y.gguf"), workers: 1)
    #expect(report.problems.first?.what.contains("type 99 (1 tensors, \(entry.bytes) bytes)") == true)
  }
}
