import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Packed checkpoints whose config or tensors are wrong: refused, naming what is wrong, never a crash.
@Suite struct PackedHostileTests {
  /// A checkpoint whose files may be changed.
  final class Checkpoint {
    let scratch: Scratch
    let path: String

    init(_ recipe: String) async throws {
      scratch = try Scratch()
      path = scratch("out")
      let model = try Model.read(nano)
      let made = try Recipe.named(recipe)
      _ = try await model.quantized(by: made.plan(for: model))
        .write(path, as: try #require(Format.named(made.format!)), .with())
    }

    /// Replaces text in a file; texts of one length leave its places as they are.
    func replace(_ file: String, _ old: String, _ new: String) throws {
      let bytes = try Data(contentsOf: URL(fileURLWithPath: path + "/" + file))
      let range = try #require(bytes.range(of: Data(old.utf8)), "\(old) in \(file)")
      var changed = bytes
      changed.replaceSubrange(range, with: Data(new.utf8))
      try changed.write(to: URL(fileURLWithPath: path + "/" + file))
    }

    /// Overwrites bytes of a stored tensor.
    func overwrite(_ tensor: String, _ body: (inout [UInt8]) -> Void) throws {
      let file = path + "/model.safetensors"
      var bytes = try content(file)
      let length = bytes[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
      let header = try JSON.parse(Array(bytes[8..<8 + length]), path: file)
      let places = try #require(header[tensor]?["data_offsets"]?.array).map { $0.int! }
      let range = 8 + length + places[0]..<8 + length + places[1]
      var part = Array(bytes[range])
      body(&part)
      bytes.replaceSubrange(range, with: part)
      try Data(bytes).write(to: URL(fileURLWithPath: file))
    }
  }

  @Test(arguments: [
    ("w4a16", "\"group_size\": 128", "\"group_size\": 64", "a config group"),
    ("w4a16", "\"group_size\": 128", "\"group_size\": 9223372036854775807", "a config group"),
    ("w4a16", "\"num_bits\": 4", "\"num_bits\": 8", "a config group"),
    ("w4a16", "\"num_bits\": 4", "\"num_bits\": -4", "a config group"),
    ("w4a16", "\"symmetric\": true", "\"symmetric\": false", "a config group"),
    ("w4a16", "\"type\": \"int\"", "\"type\": \"float\"", "a config group"),
    ("w4a16", "config_groups", "config_group", "config_groups"),
    ("w4a16", "\"quantization_status\": \"compressed\"", "\"quantization_status\": \"frozen\"", "compressed"),
    ("mxfp4", "\"group_size\": 32", "\"group_size\": 16", "a config group"),
    ("nvfp4", "\"tensor_group\"", "\"group\"", "a config group"),
    ("gptq-4bit", "\"bits\": 4", "\"bits\": 8", "127 as every stored zero point"),
    ("gptq-4bit", "\"bits\": 4", "\"bits\": 5", "bits 2, 3, 4 or 8"),
    ("gptq-4bit", "\"bits\": 4", "\"bits\": \"4\"", "bits 2, 3, 4 or 8"),
    ("gptq-4bit", "\"group_size\": 128", "\"group_size\": 64", "groups of 64"),
    ("gptq-4bit", "\"group_size\": 128", "\"group_size\": 0", "group_size"),
    ("gptq-4bit", "\"group_size\": 128", "\"group_size\": -128", "group_size"),
    ("gptq-4bit", "\"checkpoint_format\": \"gptq\"", "\"checkpoint_format\": \"marlin\"", "gptq_v2"),
    ("awq-4bit", "\"bits\": 4", "\"bits\": 3", "bits 4"),
    ("awq-4bit", "\"version\": \"gemm\"", "\"version\": \"gemv\"", "gemm"),
    ("awq-4bit", "\"zero_point\": true", "\"zero_point\": \"no\"", "zero_point true or false"),
    ("awq-4bit", "\"group_size\": 128", "\"group_size\": null", "group_size"),
  ])
  func configs(_ recipe: String, _ old: String, _ new: String, _ words: String) async throws {
    let checkpoint = try await Checkpoint(recipe)
    try checkpoint.replace("config.json", old, new)
    let error = try refusal { _ = try Model.read(checkpoint.path) }
    #expect(error?.description.contains(words) ?? false, "\(new): \(error?.description ?? "read")")
  }

  /// Changes of the header, of one length.
  @Test(arguments: [
    (
      "w4a16", "layers.0.self_attn.q_proj.weight_scale", "layers.0.self_attn.q_proj.weight_scalf",
      "q_proj.weight_scal"
    ),
    (
      "w4a16", "layers.0.self_attn.q_proj.weight_shape", "layers.0.self_attn.q_proj.weight_shapf",
      "q_proj.weight_shap"
    ),
    (
      "w4a16", "layers.0.self_attn.q_proj.weight_packed", "layers.0.self_attn.q_proj.weight_pacled",
      "q_proj.weight_"
    ),
    (
      "mxfp4", "layers.0.self_attn.q_proj.weight_packed\":{\"dtype\":\"U8\"",
      "layers.0.self_attn.q_proj.weight_packed\":{\"dtype\":\"I8\"", "I32 or U8"
    ),
    (
      "mxfp4", "layers.0.self_attn.q_proj.weight_scale\":{\"dtype\":\"U8\"",
      "layers.0.self_attn.q_proj.weight_scale\":{\"dtype\":\"I8\"", "U8"
    ),
    (
      "nvfp4", "layers.0.self_attn.q_proj.weight_global_scale",
      "layers.0.self_attn.q_proj.weight_global_scalf",
      "q_proj.weight_"
    ),
    (
      "gptq-4bit", "layers.0.self_attn.q_proj.qweight\":{\"dtype\":\"I32\"",
      "layers.0.self_attn.q_proj.qweight\":{\"dtype\":\"U32\"", "I32"
    ),
    ("gptq-4bit", "layers.0.self_attn.q_proj.qzeros", "layers.0.self_attn.q_proj.qzerof", "q_proj.qzero"),
    (
      "gptq-4bit", "layers.0.self_attn.q_proj.scales\":{\"dtype\":\"F16\",\"shape\":[2,256]",
      "layers.0.self_attn.q_proj.scales\":{\"dtype\":\"F16\",\"shape\":[256,2]", "groups of"
    ),
    (
      "gptq-4bit", "layers.0.self_attn.q_proj.g_idx\":{\"dtype\":\"I32\",\"shape\":[256]",
      "layers.0.self_attn.q_proj.g_idx\":{\"dtype\":\"I32\",\"shape\":[2,1]", "data_offsets"
    ),
    (
      "awq-4bit", "layers.0.self_attn.k_proj.qweight\":{\"dtype\":\"I32\",\"shape\":[256,8]",
      "layers.0.self_attn.k_proj.qweight\":{\"dtype\":\"I32\",\"shape\":[8,256]", "k_proj"
    ),
    (
      "awq-4bit", "layers.0.self_attn.k_proj.qweight\":{\"dtype\":\"I32\",\"shape\":[256,8]",
      "layers.0.self_attn.k_proj.qweight\":{\"dtype\":\"I32\",\"shape\":[2048]", "two extents"
    ),
    ("awq-4bit", "layers.0.self_attn.k_proj.scales", "layers.9.self_attn.k_proj.scales", "k_proj"),
  ])
  func headers(_ recipe: String, _ old: String, _ new: String, _ words: String) async throws {
    let checkpoint = try await Checkpoint(recipe)
    let padding = String(repeating: " ", count: old.utf8.count - new.utf8.count)
    try checkpoint.replace("model.safetensors", old, new + padding)
    let error = try refusal { _ = try Model.read(checkpoint.path) }
    #expect(error?.description.contains(words) ?? false, "\(new): \(error?.description ?? "read")")
  }

  @Test(arguments: [[0, 256], [256, 0], [-1, 256], [256, 255], [256, 1 << 62], [257, 256], [256, 512]])
  func shapesBesideCodes(_ extents: [Int]) async throws {
    let checkpoint = try await Checkpoint("w4a16")
    try checkpoint.overwrite("model.layers.0.self_attn.q_proj.weight_shape") { bytes in
      bytes = extents.flatMap { extent in (0..<8).map { UInt8(truncatingIfNeeded: extent >> (8 * $0)) } }
    }
    let error = try refusal { _ = try Model.read(checkpoint.path) }
    #expect(error?.tensor?.contains("q_proj") ?? false, "\(extents): \(error?.description ?? "read")")
  }

  @Test(arguments: [2, -1, Int(Int32.max)])
  func groupsThatAreNone(_ index: Int) async throws {
    let checkpoint = try await Checkpoint("gptq-4bit")
    try checkpoint.overwrite("model.layers.0.self_attn.q_proj.g_idx") { bytes in
      for byte in 0..<4 { bytes[40 + byte] = UInt8(truncatingIfNeeded: index >> (8 * byte)) }
    }
    let model = try Model.read(checkpoint.path)
    let error = try refusal { _ = try model[.query, layer: 0]!.floats() }
    #expect(
      error?.description.contains("found \(index) for column 10") ?? false, "\(error?.description ?? "read")")
    let report = await Format.check(checkpoint.path, workers: 2)
    #expect(report.problems.count == 1 && report.problems.first?.tensor?.hasSuffix("q_proj.g_idx") == true)
  }

  @Test func zerosThatAreNotTheMiddleAreNotSymmetric() async throws {
    let checkpoint = try await Checkpoint("gptq-4bit")
    try checkpoint.overwrite("model.layers.0.self_attn.q_proj.qzeros") { $0[5] = 0x67 }
    let tensor = try Model.read(checkpoint.path)[.query, layer: 0]!
    let error = try refusal { _ = try tensor.floats() }
    #expect(error?.description.contains("zero points 8") ?? false, "\(error?.description ?? "read")")
  }

  /// The error names the tensor, and not what the config says of all of them.
  @Test func zerosOfAnotherTypeAreAFaultOfTheirModule() async throws {
    let checkpoint = try await Checkpoint("gptq-4bit")
    try checkpoint.replace(
      "model.safetensors", "layers.0.self_attn.q_proj.qzeros\":{\"dtype\":\"I32\"",
      "layers.0.self_attn.q_proj.qzeros\":{\"dtype\":\"U32\"")
    try checkpoint.overwrite("model.layers.0.self_attn.q_proj.qzeros") { $0[0] = 0 }
    let error = try refusal { _ = try Model.read(checkpoint.path) }
    #expect(error?.tensor == "model.layers.0.self_attn.q_proj.qzeros", "\(error?.description ?? "read")")
  }

  @Test func theTensorOfAStrayZeroPointIsNamed() async throws {
    let checkpoint = try await Checkpoint("gptq-4bit")
    try checkpoint.overwrite("model.layers.2.self_attn.k_proj.qzeros") { $0[0] = 0x75 }
    let error = try refusal { _ = try Model.read(checkpoint.path) }
    #expect(
      error?.description.contains("5 in 'model.layers.2.self_attn.k_proj.qzeros'") ?? false,
      "\(error?.description ?? "read")")
  }

  @Test func zeroPointsBesideAWordThatThereAreNone() async throws {
    let checkpoint = try await Checkpoint("awq-4bit")
    try checkpoint.replace("config.json", "\"zero_point\": true", "\"zero_point\": false")
    let tensor = try Model.read(checkpoint.path)[.query, layer: 0]!
    let error = try refusal { _ = try tensor.floats() }
    #expect(error?.tensor == "model.layers.0.self_attn.q_proj.qzeros", "\(error?.description ?? "read")")
    #expect(error?.description.contains("zero_point: false") ?? false)
  }

  @Test func aZeroPastTheCodesIsDecodedAndNotRepacked() async throws {
    let checkpoint = try await Checkpoint("gptq-4bit")
    try checkpoint.replace("config.json", "\"sym\": true", "\"sym\": false")
    try checkpoint.overwrite("model.layers.0.self_attn.q_proj.qzeros") { $0[0] = 0x7F }
    let tensor = try Model.read(checkpoint.path)[.query, layer: 0]!
    let error = try refusal { _ = try tensor.rowPacked!.planes() }
    #expect(error?.description.contains("found 16") ?? false, "\(error?.description ?? "repacked")")
  }
}
