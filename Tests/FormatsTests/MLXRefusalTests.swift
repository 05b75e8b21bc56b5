import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// What MLX has no place for is refused before a byte is written, and folders that do not fit together are not read.
@Suite struct MLXRefusalTests {
  static func write(_ text: String, _ scratch: Scratch) async throws -> FormatError? {
    let source = try Model.read(nano)
    let model = try source.quantized(by: try Recipe(yaml: text, path: "test").plan(for: source))
    let error = try await awaitedRefusal { _ = try await model.write(scratch("out"), as: .mlx, .with()) }
    #expect(try scratch.names.isEmpty)
    let planned = try refusal { _ = try model.plannedBytes(as: .mlx, .with()) }
    #expect(planned?.found == error?.found)
    return error
  }

  @Test(arguments: [
    ("int4 g64 zero f16", "int4 g64 bias bf16"), ("int4 row bias f16", "32, 64, 128"),
    ("int4 g16 bias f16", "mlx-4bit"), ("nv-fp4 global", "mlx-mxfp4"), ("mx-fp4 g16", "mx-fp4"),
    ("int4 g64 sym f32", "bias"),
  ])
  func encodingsOfOthers(_ encoding: String, _ hint: String) async throws {
    let error = try #require(
      try await Self.write(
        "rules:\n  - {parts: key, encoding: \(encoding)}\n  - {encoding: int4 g64 bias bf16}", try Scratch()))
    #expect(error.tensor == "model.layers.0.self_attn.k_proj.weight")
    #expect(error.found.hasPrefix(encoding) && error.found.contains(hint), "\(error)")
  }

  @Test func fp8() async throws {
    let error = try #require(
      try await Self.write(
        "rules:\n  - {parts: attention, encoding: keep}\n  - {encoding: int4 g64 bias bf16}", try Scratch()))
    #expect(error.tensor == "model.layers.0.self_attn.q_proj.weight")
    #expect(error.remedy == .decode && error.found.contains("mlx-4bit"), "\(error)")
  }

  @Test func mixesWithinAStack() async throws {
    let error = try #require(
      try await Self.write(
        "rules:\n  - {parts: up, layers: 2, experts: 5, encoding: int8 g64 bias bf16}\n  - {encoding: int4 g64 bias bf16}",
        try Scratch()))
    #expect(error.tensor == "model.layers.2.block_sparse_moe.experts.5.w3.weight")
    #expect(error.expected.contains("up of all experts of layer 2"), "\(error)")
    #expect(error.found.contains("int8 g64 bias bf16 beside int4 g64 bias bf16"), "\(error)")
  }

  @Test func tensorsWithoutAModule() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "source")
    // A tensor of multi-token prediction, which mlx-lm would not load.
    var bytes: [UInt8] = []
    let header = #"{"model.layers.4.extra.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: header.utf8.count >> (8 * shift))) }
    bytes += Array(header.utf8) + [0, 0, 0, 0]
    try scratch.write("source/more.safetensors", bytes)
    let path = "source/model.safetensors.index.json"
    let index = String(decoding: try content(scratch(path)), as: UTF8.self)
    try scratch.write(
      path,
      Array(
        index.replacing(
          "\"weight_map\": {", with: "\"weight_map\": {\"model.layers.4.extra.weight\": \"more.safetensors\","
        )
        .utf8))
    let model = try Model.read(folder).quantized("mlx-4bit")
    let written = try await model.write(scratch("out"), as: .mlx, .with())
    #expect(written.leftOut == ["model.layers.4.extra.weight"])
  }

  @Test func matchingNeedsAnEncodingOfMLX() throws {
    let error = try refusal { _ = try Recipe.named("int4").matchingMLX() }
    #expect(error?.expected.contains("int4 g64 bias bf16") == true && error?.found == "int4 g64 zero f16")
    #expect(try Recipe.named("mlx-mxfp4").matchingMLX().rules[0].quantizer == .matchMLX)
  }

  // ---- reading -------------------------------------------------------------------------------------------------------

  /// Changes to `quantization` (both keys), and what the refusal says.
  static let configs: [(change: String, says: String)] = [
    (#"{"group_size": 64, "bits": 7, "mode": "affine"}"#, "bits 7"),
    (#"{"group_size": 64, "bits": 1, "mode": "affine"}"#, "bits 1"),
    (#"{"group_size": 63, "bits": 4}"#, "group_size 63"),
    (#"{"group_size": 0, "bits": 4}"#, "group_size 0"),
    (#"{"group_size": -64, "bits": 4}"#, "group_size -64"),
    (#"{"group_size": 4611686018427387904, "bits": 4}"#, "group_size 4611686018427387904"),
    (#"{"group_size": 64, "bits": 9223372036854775808}"#, "bits 9223372036854775808"),
    (#"{"group_size": "64", "bits": 4}"#, #"group_size "64""#),
    (#"{"group_size": 64}"#, "bits missing"),
    (#"{"bits": 4}"#, "group_size missing"),
    (#"{"group_size": 64, "bits": 4, "mode": "mxfp5"}"#, "mxfp5"),
    (#"{"group_size": 64, "bits": 4, "mode": 3}"#, "the number 3"),
    (#"{"group_size": 64, "bits": 4, "mode": "mxfp4"}"#, "mode mxfp4"),
    (#"{"group_size": 16, "bits": 4, "mode": "mxfp4"}"#, "group_size 16"),
    (#"{"group_size": 32, "bits": 4, "mode": "mxfp4"}"#, "mode mxfp4"),
    (#"{"group_size": 32, "bits": 4, "mode": "affine"}"#, "group_size 32"),
    (#"{"group_size": 128, "bits": 4, "mode": "affine"}"#, "group_size 128"),
    (#"{"group_size": 64, "bits": 8, "mode": "affine"}"#, "8 bits"),
    (#"{"group_size": 64, "bits": 3, "mode": "affine"}"#, "3 bits"),
    (#"{"group_size": 64, "bits": 4, "lm_head": false}"#, "'lm_head'"),
    (#"{"group_size": 64, "bits": 4, "lm_head": 4}"#, "the number 4"),
    (#"{"group_size": 64, "bits": 4, "lm_head": {"bits": 8, "group_size": 64}}"#, "8 bits"),
    (#"{"group_size": 64, "bits": 4, "nothing": {"bits": 8, "group_size": 64}}"#, "'nothing'"),
    (
      #"{"group_size": 64, "bits": 4, "model.layers.0.block_sparse_moe.gate": {"bits": 8, "group_size": 64}}"#,
      "block_sparse_moe.gate"
    ),
    (#"[]"#, "an array"), (#""four""#, "the string"), (#"7"#, "the number 7"),
  ]

  @Test func configsThatDoNotFit() async throws {
    let scratch = try Scratch()
    _ = try await Model.read(nano).quantized("mlx-4bit").write(scratch("out"), as: .mlx, .with(hash: false))
    let config = try JSON.parse(try content(scratch("out/config.json")), path: "config.json").object!
    for (change, says) in Self.configs {
      var changed = config
      let value = try JSON.parse(Array(change.utf8), path: "change")
      changed["quantization"] = value
      changed["quantization_config"] = value
      try scratch.write("out/config.json", Array(JSON.object(changed).text().utf8))
      let error = try refusal { _ = try Model.read(scratch("out")) }
      #expect(error?.description.contains(says) == true, "\(change): \(error?.description ?? "read")")
    }
    // The two keys say the same, in any order, or nobody knows which one an engine believes.
    var changed = config
    let turned =
      "{"
      + config["quantization"]!.object!.reversed()
      .map { "\"\($0.key)\": \($0.value.text())" }.joined(separator: ",") + "}"
    changed["quantization_config"] = try JSON.parse(Array(turned.utf8), path: "turned")
    try scratch.write("out/config.json", Array(JSON.object(changed).text().utf8))
    #expect(try Model.read(scratch("out")).format == Format.mlx.name)
    changed["quantization_config"] = ["group_size": 32, "bits": 4, "mode": "affine"]
    try scratch.write("out/config.json", Array(JSON.object(changed).text().utf8))
    #expect(try refusal { _ = try Model.read(scratch("out")) }?.expected.contains("the same") == true)
    // Without either, packed codes have no meaning.
    changed["quantization"] = nil
    changed["quantization_config"] = nil
    try scratch.write("out/config.json", Array(JSON.object(changed).text().utf8))
    #expect(try refusal { _ = try Model.read(scratch("out")) }?.expected.contains("\"quantization\"") == true)
    // Older writers leave the mode out, and name what stays as it is.
    changed["quantization"] = [
      "group_size": 64, "bits": 4, "model.layers.0.block_sparse_moe.gate": false, "lm_head": true,
    ]
    try scratch.write("out/config.json", Array(JSON.object(changed).text().utf8))
    #expect(try Model.read(scratch("out"))[.head]?.encoding == Encoding(name: "int4 g64 bias bf16"))
  }

  /// Renames and retypings of stored tensors, of the same length so that nothing else moves.
  static let headers: [(from: String, to: String, says: String)] = [
    ("lm_head.biases", "lm_head.biasez", "biases 'lm_head.biases' in mode affine"),
    ("lm_head.scales", "lm_heat.scales", "'lm_head.scales' beside packed codes"),
    ("switch_mlp.up_proj.scales", "switch_mlp.ub_proj.scales", "up_proj.scales' beside packed codes"),
    ("switch_mlp.up_proj.weight", "switch_mlp.ub_proj.weight", "ub_proj"),
    (#""shape":[8,256,32]"#, #""shape":[4,512,32]"#, "shape [4, 512, 4]"),
    (#""shape":[8,256,32]"#, #""shape":[8,128,64]"#, "shape"),
    (#""lm_head.biases":{"dtype":"BF16","#, #""lm_head.biases":{"dtype":"I16" ,"#, "BF16"),
    (
      #""lm_head.scales":{"dtype":"BF16","#, #""lm_head.scales":{"dtype":"U16" ,"#,
      "scales of F16, BF16 or F32"
    ),
    (#""lm_head.weight":{"dtype":"U32","#, #""lm_head.weight":{"dtype":"I32","#, "U32"),
  ]

  @Test func tensorsThatDoNotFit() async throws {
    let scratch = try Scratch()
    _ = try await Model.read(nano).quantized("mlx-4bit").write(scratch("out"), as: .mlx, .with(hash: false))
    Folder.remove(scratch("out/model.safetensors.index.json"))
    let bytes = try content(scratch("out/model.safetensors"))
    let length = bytes[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = String(decoding: bytes[8..<8 + length], as: UTF8.self)
    #expect(try refusal { _ = try Model.read(scratch("out")) } == nil)
    for (from, to, says) in Self.headers {
      let place = try #require(header.firstRange(of: from), "\(from)")
      let changed = header.replacingCharacters(in: place, with: to)
      try scratch.write(
        "out/model.safetensors", Array(bytes[0..<8]) + Array(changed.utf8) + bytes[(8 + length)...])
      let error = try refusal { _ = try Model.read(scratch("out")) }
      #expect(error?.description.contains(says) == true, "\(to): \(error?.description ?? "read")")
    }
  }
}

extension String {
  fileprivate func replacingCharacters(in range: Range<String.Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
