import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Families whose experts engines read as stacks: a plain checkpoint comes out as it was read.
@Suite struct StackedExpertsTests {
  static let cases = ["gpt_oss-plain", "gpt_oss-mxfp4", "granitemoe-tied", "granitemoe-untied"]

  /// Stored tensors of a file by name.
  static func stored(_ path: String) throws -> [String: (type: String, shape: [Int], bytes: [UInt8])] {
    let bytes = try content(path)
    let length = bytes[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSON.parse(Array(bytes[8..<8 + length]), path: path)
    var tensors: [String: (type: String, shape: [Int], bytes: [UInt8])] = [:]
    for (name, entry) in header.object! where name != "__metadata__" {
      let offsets = entry["data_offsets"]!.array!.map { 8 + length + $0.int! }
      tensors[name] = (
        entry["dtype"]!.string!, entry["shape"]!.array!.map { $0.int! }, Array(bytes[offsets[0]..<offsets[1]])
      )
    }
    return tensors
  }

  @Test(arguments: cases) func stacksAreWrittenAsTheyWereRead(_ name: String) async throws {
    let scratch = try Scratch()
    let folder = repository + "/Tests/Fixtures/families/" + name
    let model = try Model.read(folder)
    let planned = try model.plannedBytes(as: .safeTensors, .with())
    let result = try await model.write(scratch("out"), as: .safeTensors, .with())
    #expect(planned == result.bytes)
    let (source, written) = (
      try Self.stored(folder + "/model.safetensors"), try Self.stored(scratch("out/model.safetensors"))
    )
    #expect(Set(source.keys) == Set(written.keys))
    for (key, tensor) in source {
      let other = try #require(written[key])
      #expect(other.type == tensor.type && other.shape == tensor.shape, "\(key)")
      #expect(other.bytes == tensor.bytes, "\(key)")
    }
    let config = try JSON.parse(try content(scratch("out/config.json")), path: "config.json")
    #expect(config["quantization_config"]?["quant_method"] == (name.hasSuffix("mxfp4") ? "mxfp4" : nil))
  }

  @Test func codesThatAPlainCheckpointHasNotAreRefused() async throws {
    let scratch = try Scratch()
    let model = try Model.read(repository + "/Tests/Fixtures/families/gpt_oss-mxfp4")
    let text = "rules:\n  - {parts: [attention], encoding: mx-fp4}\n"
    let attention = try model.quantized(by: try Recipe(yaml: text, path: "test").plan(for: model))
    let error = try await awaitedRefusal {
      _ = try await attention.write(scratch("out"), as: .safeTensors, .with())
    }
    #expect(error?.found.contains("only gpt-oss has such codes, for experts") == true)
    for format in [Format.compressedTensors, .gptq, .awq] {
      let error = try await awaitedRefusal { _ = try await model.write(scratch("out"), as: format, .with()) }
      #expect(error?.found.contains("read as stacks") == true, "\(format.name)")
    }
  }
}
