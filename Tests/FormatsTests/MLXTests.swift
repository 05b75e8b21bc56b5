import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Folders for mlx-lm: what is written, read again, and refused. scripts/tools engines-check-mlx holds them against mlx-lm.
@Suite struct MLXTests {
  static let encodings: [String] =
    Affine.widths.flatMap { bits in [32, 64, 128].map { "int\(bits) g\($0) bias bf16" } }
    + ["int4 g64 bias f16", "mx-fp4", "mx-fp8", "nv-fp4"]

  /// The model with every part that may be quantized in one encoding.
  static func model(_ encoding: String, _ quantizer: String = "round-to-nearest") throws -> Model {
    let model = try Model.read(nano)
    let text = "rules:\n  - encoding: \(encoding)\n    quantizer: \(quantizer)\n"
    return try model.quantized(by: try Recipe(yaml: text, path: "test").plan(for: model))
  }

  /// Stored tensors of a file by name: type, shape, bytes.
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
    #expect(header["__metadata__"]?["format"] == "mlx")
    return tensors
  }

  @Test(arguments: encodings)
  func whatIsWrittenIsReadAgain(_ encoding: String) async throws {
    let scratch = try Scratch()
    let model = try Self.model(encoding)
    let planned = try model.plannedBytes(as: .mlx, .with())
    let written = try await model.write(scratch("out"), as: .mlx, .with())
    #expect(planned == written.bytes)
    #expect(
      try scratch.write("x", []).isEmpty == false
        && Folder.names(scratch("out")).reduce(0) { $0 + (try content(scratch("out/" + $1)).count) }
          == planned
    )
    let again = try Model.read(scratch("out"))
    #expect(again.format == "mlx" && Format.of(scratch("out")).name == "mlx")
    #expect(again.tensors.count == model.tensors.count)
    for (read, made) in zip(again.tensors, model.tensors) {
      #expect(read.role == made.role && read.name == made.name && read.shape == made.shape)
      #expect(read.encoding == made.encoding, "\(read.name)")
      #expect(try read.planes().map(\.array) == made.planes().map(\.array), "\(read.name)")
    }
    // Written again, from what was read, it is the same.
    _ = try await again.write(scratch("again"), as: .mlx, .with())
    for name in try Folder.names(scratch("out")) where name.hasSuffix(".safetensors") || name == "config.json"
    {
      #expect(try content(scratch("out/" + name)) == content(scratch("again/" + name)), "\(name)")
    }
  }

  @Test func expertsAreStackedInTheirOrder() async throws {
    let scratch = try Scratch()
    let model = try Self.model("int3 g64 bias bf16")
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    let stored = try Self.stored(scratch("out/model.safetensors"))
    for (part, name) in [(TensorKind.gate, "gate_proj"), (.up, "up_proj"), (.down, "down_proj")] {
      for (plane, suffix, type, last) in [
        (0, "weight", "U32", 24), (1, "scales", "BF16", 4), (2, "biases", "BF16", 4),
      ] {
        let stack = try #require(stored["model.layers.2.block_sparse_moe.switch_mlp.\(name).\(suffix)"])
        #expect(stack.type == type && stack.shape == [8, 256, last])
        let wanted = try (0..<8).flatMap { try model[part, layer: 2, expert: $0]!.planes()[plane].array }
        #expect(stack.bytes == wanted, "\(name).\(suffix)")
      }
    }
    #expect(stored["model.layers.0.block_sparse_moe.gate.weight"]?.type == "F32")
    #expect(stored["model.layers.0.block_sparse_moe.gate.scales"] == nil)
    #expect(stored["model.layers.0.block_sparse_moe.e_score_correction_bias"]?.type == "F32")
    #expect(stored["model.embed_tokens.scales"]?.shape == [2048, 4])
    #expect(!stored.keys.contains { $0.contains(".experts.") })
  }

  @Test func configSaysWhatModulesAre() async throws {
    let scratch = try Scratch()
    let source = try Model.read(nano)
    let text = """
      rules:
        - {parts: head, encoding: int8 g32 bias bf16}
        - {parts: embedding, encoding: bf16}
        - {parts: experts, layers: 1, encoding: mx-fp4}
        - {encoding: int4 g64 bias bf16}
      """
    let model = try source.quantized(by: try Recipe(yaml: text, path: "test").plan(for: source))
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    let config = try JSON.parse(try content(scratch("out/config.json")), path: "config.json")
    let quantization = try #require(config["quantization"])
    #expect(config["quantization_config"] == quantization)
    #expect(quantization["bits"] == 4 && quantization["group_size"] == 64 && quantization["mode"] == "affine")
    #expect(quantization["lm_head"] == ["group_size": 32, "bits": 8, "mode": "affine"])
    let expert = "model.layers.1.block_sparse_moe.switch_mlp."
    for name in ["gate_proj", "up_proj", "down_proj"] {
      #expect(quantization[expert + name] == ["group_size": 32, "bits": 4, "mode": "mxfp4"])
    }
    #expect(quantization.object?.count == 7)
    #expect(
      config["rope_theta"] == 5_000_000 && config["rotary_dim"] == 16 && config["scoring_func"] == "sigmoid")
    #expect(config["shared_intermediate_size"] == 0)
    let index = try JSON.parse(try content(scratch("out/model.safetensors.index.json")), path: "index")
    #expect(index["metadata"]?["total_size"]?.int == model.bytes)
    #expect(index["metadata"]?["total_parameters"]?.int == 8_007_200)
    let again = try Model.read(scratch("out"))
    #expect(again[.embedding]?.encoding == .dense(.bf16))
    #expect(again[.up, layer: 1, expert: 7]?.encoding == .microScaled(.mxfp4))
  }

  /// `mlx_lm.convert` without -q leaves the source's quantization_config beside decoded weights.
  @Test func unquantizedFolderWithTheSourcesConfig() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).decoded(to: .bf16)
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    var config = try JSON.parse(try content(scratch("out/config.json")), path: "config.json").object!
    config["quantization_config"] = ["quant_method": "fp8", "weight_block_size": [128, 128]]
    try scratch.write("out/config.json", Array(JSON.object(config).text().utf8))
    let again = try Model.read(scratch("out"))
    #expect(again.format == "mlx")
    for role in [Role(.head), Role(.down, layer: 3, expert: 5)] {
      #expect(try again[role]!.floats() == model[role]!.floats(), "\(role)")
    }
  }

  /// `mlx_lm.convert --quant-predicate mixed_3_6` writes null for what is MLX's default.
  @Test(arguments: [
    #"{"group_size": null, "bits": 4, "mode": "affine"}"#, #"{"bits": 4}"#, #"{"group_size": 64}"#,
  ])
  func moduleOfUsualGroup(_ entry: String) async throws {
    let scratch = try Scratch()
    let model = try Self.model("int4 g64 bias bf16")
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    var config = try JSON.parse(try content(scratch("out/config.json")), path: "config.json").object!
    var quantization = try #require(config["quantization"]?.object)
    quantization["lm_head"] = try JSON.parse(Array(entry.utf8), path: "entry")
    for key in ["quantization", "quantization_config"] { config[key] = .object(quantization) }
    try scratch.write("out/config.json", Array(JSON.object(config).text().utf8))
    let again = try Model.read(scratch("out"))
    #expect(try again[Role(.head)]!.floats() == model[Role(.head)]!.floats())
  }

  /// mlx-lm looks for rotation at the top of config.json only.
  @Test func nestedRotationIsStatedAtTheTop() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "nested")
    var config = try JSON.parse(try content(folder + "/config.json"), path: "config.json").object!
    for key in ["rope_theta", "rotary_dim", "shared_intermediate_size", "head_dim"] { config[key] = nil }
    config["rope_parameters"] = ["rope_type": "default", "rope_theta": 10_000, "partial_rotary_factor": 1]
    try scratch.write("nested/config.json", Array(JSON.object(config).text().utf8))
    let model = try Model.read(folder).quantized("mlx-8bit")
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    let written = try JSON.parse(try content(scratch("out/config.json")), path: "config.json")
    #expect(written["rope_theta"] == 10_000 && written["rotary_dim"] == 32 && written["head_dim"] == 32)
    #expect(written["shared_intermediate_size"] == 0)
  }

  @Test func shardsHoldWholeModules() async throws {
    let scratch = try Scratch()
    let model = try Self.model("int4 g64 bias bf16")
    _ = try await model.write(scratch("out"), as: .mlx, .with(split: 700_000))
    let names = try Folder.names(scratch("out")).filter { $0.hasSuffix(".safetensors") }
    #expect(names.count > 3 && names.allSatisfy { $0.hasPrefix("model-0000") })
    for name in names {
      let stored = try Self.stored(scratch("out/" + name))
      for key in stored.keys where key.hasSuffix(".scales") {
        #expect(stored[key.dropLast(6) + "weight"] != nil && stored[key.dropLast(6) + "biases"] != nil)
      }
    }
    let again = try Model.read(scratch("out"))
    #expect(try again[.head]!.planes().map(\.array) == model[.head]!.planes().map(\.array))
  }

  @Test func symmetricCodesBecomeCodesWithABias() async throws {
    let scratch = try Scratch()
    for encoding in ["int4 g64 sym bf16", "int8 g128 sym f16", "int2 g32 sym bf16"] {
      let model = try Self.model(encoding, "search")
      _ = try await model.write(scratch(encoding), as: .mlx, .with())
      let again = try Model.read(scratch(encoding))
      for role in [Role(.head), Role(.down, layer: 3, expert: 5)] {
        #expect(try again[role]!.floats() == model[role]!.floats(), "\(encoding) \(role)")
      }
    }
  }

  @Test func cardSaysWhereItComesFrom() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "source")
    try scratch.write(
      "source/README.md",
      Array("---\nlicense: mit\nlanguage:\n- en\nmodel-index:\n- name: x\n---\n# The original\n".utf8))
    var options = WriteOptions.with()
    options.provenance["recipe"] = ["name": "mlx-4bit", "text": "rules: …\n"]
    let model = try Model.read(folder).quantized("mlx-4bit")
    _ = try await model.write(scratch("out"), as: .mlx, options)
    let card = String(decoding: try content(scratch("out/README.md")), as: UTF8.self)
    for line in [
      "base_model: \"source\"", "base_model_relation: quantized", "library_name: mlx", "license: mit",
      "language:", "- en", "| gate | int4 g64 bias bf16 | 32 | 1179648 | 4.500 |", "rules: …",
    ] {
      #expect(card.split(separator: "\n").contains { $0 == line }, "\(line)")
    }
    #expect(card.contains("recipe mlx-4bit") && !card.contains("model-index"))
    #expect(
      String(decoding: try content(scratch("out/README.original.md")), as: UTF8.self).hasSuffix(
        "# The original\n"))
    // Through an artifact of our own, the card still names what all began with.
    _ = try await Model.read(folder).quantized("mlx-8bit").write(scratch("x.ingot"), as: .ingot, .with())
    _ = try await Model.read(scratch("x.ingot")).write(scratch("from"), as: .mlx, .with())
    let second = String(decoding: try content(scratch("from/README.md")), as: UTF8.self)
    #expect(second.contains("base_model: \"source\"\n") && second.contains("license: mit\n"))
    // Every side file travels.
    for name in ["tokenizer.json", "chat_template.jinja", "generation_config.json"] {
      #expect(try content(scratch("out/" + name)) == content(nano + "/" + name))
    }
  }
}
