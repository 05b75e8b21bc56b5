import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// SafeTensors → .ingot → SafeTensors keeps every stored tensor, scales included, bit for bit.
@Suite struct SafeTensorsRoundTripTests {
  /// Stored tensors of a folder: type, shape and bytes by name.
  struct Stored: Equatable {
    var dtype: DType
    var shape: [Int]
    var bytes: [UInt8]
  }

  static func stored(_ folder: String) throws -> [String: Stored] {
    var all: [String: Stored] = [:]
    for name in try Folder.names(folder) where name.hasPrefix("model") && name.hasSuffix(".safetensors") {
      let bytes = try Bytes.mapping(folder + "/" + name)
      for entry in try SafeTensorsHeader(path: folder + "/" + name).entries {
        let old = all.updateValue(
          Stored(dtype: entry.dtype, shape: entry.shape, bytes: bytes[entry.range].array), forKey: entry.name)
        #expect(old == nil, "\(entry.name) twice")
      }
    }
    return all
  }

  @Test func artifactKeepsEveryStoredTensor() async throws {
    let scratch = try Scratch()
    _ = try await Model.read(nano).write(scratch("nano.ingot"), as: .ingot, .with())
    _ = try await Model.read(scratch("nano.ingot")).write(scratch("back"), as: .safeTensors, .with())
    let before = try Self.stored(nano)
    let after = try Self.stored(scratch("back"))
    #expect(before.keys.contains { $0.hasSuffix("_scale_inv") })
    #expect(before.count > 200 && before.keys.sorted() == after.keys.sorted())
    for (name, tensor) in before { #expect(after[name] == tensor, "\(name)") }
    // FP8 stays, so the config still describes it: the very same bytes.
    #expect(try content(scratch("back/config.json")) == content(nano + "/config.json"))
  }

  @Test func shardsHoldTheSameTensors() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    let written = try await model.write(scratch("shards"), as: .safeTensors, .with(split: 1_500_000))
    #expect(written.files.count >= 5)
    #expect(try scratch.names == ["shards"])
    #expect(try Folder.names(scratch("shards")).contains("model.safetensors.index.json"))
    #expect(try Self.stored(scratch("shards")) == Self.stored(nano))
    let again = try Model.read(scratch("shards"))
    #expect(again.tensors.map(\.name) == model.tensors.map(\.name))
  }

  @Test func plannedBytesAreWritten() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    for (name, options) in [("one", WriteOptions.with()), ("many", .with(split: 1_000_000))] {
      let planned = try model.plannedBytes(as: .safeTensors, options)
      let written = try await model.write(scratch(name), as: .safeTensors, options)
      let sizes = try Folder.names(scratch(name)).map { try content(scratch(name) + "/" + $0).count }
      #expect(planned == written.bytes && planned == sizes.reduce(0, +), "\(name)")
    }
  }

  @Test func tensorsAreAlignedToTheirTypes() async throws {
    let scratch = try Scratch()
    _ = try await Model.read(nano).write(scratch("shards"), as: .safeTensors, .with(split: 1_500_000))
    for name in try Folder.names(scratch("shards")) where name.hasSuffix(".safetensors") {
      let path = scratch("shards/" + name)
      for entry in try SafeTensorsHeader(path: path).entries {
        #expect(entry.range.lowerBound % max(entry.dtype.bits / 8, 1) == 0, "\(entry.name)")
      }
    }
  }

  /// Codes that SafeTensors has no place for are refused before anything is written.
  @Test func affineCodesAreRefused() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("back"), as: .safeTensors, .with())
    }
    let found = try #require(error)
    #expect(found.tensor == "model.embed_tokens.weight" && found.found.contains("int4 g64 zero f16"))
    #expect(try scratch.names == [])
  }

  /// Decoded to F32 a model says exactly what its codes say, and its config says nothing of quantization.
  @Test func decodedValuesAreTheCodes() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    _ = try await model.write(scratch("nano.ingot"), as: .ingot, .with(hash: false))
    let artifact = try Model.read(scratch("nano.ingot"))
    _ = try await artifact.decoded(to: .f32).write(scratch("back"), as: .safeTensors, .with())
    let back = try Model.read(scratch("back"))
    for (one, other) in zip(artifact.tensors, back.tensors) {
      #expect(try one.valuesDigest() == other.valuesDigest(), "\(one.name)")
    }
    let path = scratch("back/config.json")
    #expect(try JSON.parse(try content(path), path: path)["quantization_config"] == nil)
  }
}
