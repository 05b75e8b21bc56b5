import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// compressed-tensors, GPTQ and AWQ: written, read back, converted, refused.
@Suite struct PackedFormatsTests {
  static let recipes = [
    ("w4a16", "compressed-tensors"), ("w4a16-g64", "compressed-tensors"), ("w8a16", "compressed-tensors"),
    ("mxfp4", "compressed-tensors"), ("nvfp4", "compressed-tensors"), ("gptq-4bit", "gptq"),
    ("awq-4bit", "awq"),
  ]

  static func recipe(_ encoding: String, _ more: String = "") throws -> Recipe {
    try Recipe(
      yaml:
        "name: mine\nrules:\n  - {parts: [embedding, head], encoding: bf16}\n\(more)  - encoding: \(encoding)\n",
      path: "mine.yaml")
  }

  /// The embedded model as a recipe makes it, in a folder.
  static func write(_ recipe: Recipe, _ format: String, _ path: String) async throws -> Model {
    let model = try Model.read(nano)
    let quantized = try model.quantized(by: recipe.plan(for: model))
    _ = try await quantized.write(path, as: try #require(Format.named(format)), .with())
    return quantized
  }

  static func config(_ folder: String) throws -> JSON {
    try JSON.parse(content(folder + "/config.json"), path: "config.json")
  }

  @Test(arguments: recipes)
  func comesBackWithItsNumbers(_ name: String, _ format: String) async throws {
    let scratch = try Scratch()
    let recipe = try Recipe.named(name)
    #expect(recipe.format == format)
    let quantized = try await Self.write(recipe, format, scratch("out"))
    let size = try Folder.names(scratch("out")).reduce(0) { try $0 + content(scratch("out/\($1)")).count }
    #expect(try quantized.plannedBytes(as: Format.named(format)!, .with()) == size, "planned to the byte")
    let read = try Model.read(scratch("out"))
    #expect(read.format == format && Format.of(scratch("out")).name == format)
    #expect(read.tensors.map(\.name) == quantized.tensors.map(\.name))
    for tensor in quantized.tensors {
      let twin = try #require(read[tensor.role])
      if case .columnPacked = twin.encoding {
        #expect(twin.rowPacked?.encoding == tensor.encoding)
      } else {
        #expect(twin.encoding == tensor.encoding)
      }
    }
    for role in [
      Role(.query, layer: 1), Role(.down, layer: 3, expert: 7), Role(.head), Role(.router, layer: 0),
    ] {
      #expect(try read[role]!.floats() == quantized[role]!.floats(), "\(role)")
    }
    // To an artifact and back: the same files of weights.
    _ = try await read.write(scratch("x.ingot"), as: .ingot, .with())
    _ = try await Model.read(scratch("x.ingot")).write(scratch("again"), as: Format.named(format)!, .with())
    #expect(try content(scratch("again/model.safetensors")) == content(scratch("out/model.safetensors")))
    #expect(try Self.config(scratch("again")) == Self.config(scratch("out")))
    // Other ways to write it.
    var options = WriteOptions.with(workers: 5, split: 1_000_000)
    options.provenance = [:]
    _ = try await quantized.write(scratch("split"), as: Format.named(format)!, options)
    #expect(
      try Model.read(scratch("split"))[.up, layer: 2, expert: 3]!.floats()
        == quantized[.up, layer: 2, expert: 3]!.floats())
  }

  @Test func compressedTensorsConfig() async throws {
    let scratch = try Scratch()
    _ = try await Self.write(.named("w4a16"), "compressed-tensors", scratch("out"))
    let config = try #require(try Self.config(scratch("out"))["quantization_config"])
    #expect(config["quant_method"] == "compressed-tensors" && config["format"] == "pack-quantized")
    #expect(config["quantization_status"] == "compressed")
    #expect(
      config["config_groups"] == [
        "group_0": [
          "targets": ["Linear"],
          "weights": [
            "num_bits": 4, "type": "int", "symmetric": true, "group_size": 128, "strategy": "group",
            "dynamic": false, "actorder": nil,
          ],
          "input_activations": nil, "output_activations": nil, "format": "pack-quantized",
        ]
      ])
    #expect(config["ignore"]?.array?.first == "lm_head" && config["ignore"]?.array?.count == 5)
    #expect(config["ignore"]?.array?.contains("model.layers.3.block_sparse_moe.gate") == true)
  }

  /// The text model of a checkpoint with a vision model: `ignore` matches the names of the files, and those of both classes of
  /// engines.
  @Test func ignoredModulesOfNestedModelsAreFoundByEveryName() async throws {
    let scratch = try Scratch()
    let model = try Model.read(repository + "/Tests/Fixtures/families/gemma3-nested")
    let recipe = try Recipe(
      yaml: "rules:\n  - {parts: attention_output, encoding: int4 g32 sym bf16}\n  - {encoding: keep}",
      path: "test")
    _ = try await model.quantized(by: recipe.plan(for: model)).write(
      scratch("out"), as: try #require(Format.named("compressed-tensors")), .with())
    let ignored = try #require(try Self.config(scratch("out"))["quantization_config"]?["ignore"]?.array)
    let expressions = try ignored.map { entry in
      let text = try #require(entry.string)
      #expect(text.hasPrefix("re:"), "\(text)")
      return try Regex(String(text.dropFirst(3)))
    }
    // As compressed-tensors and vLLM match: from the beginning of a name.
    func isIgnored(_ name: String) -> Bool {
      expressions.contains { (try? $0.prefixMatch(in: name)) ?? nil != nil }
    }
    let text = ["model.", "language_model.model.", "model.language_model."]
    for layer in 0..<3 {
      for module in ["self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj"] {
        for place in text { #expect(isIgnored("\(place)layers.\(layer).\(module)"), "\(place) \(module)") }
      }
      for place in text { #expect(!isIgnored("\(place)layers.\(layer).self_attn.o_proj"), "\(place)") }
    }
    for name in ["lm_head", "language_model.lm_head"] { #expect(isIgnored(name), "\(name)") }
    for name in [
      "vision_tower.vision_model.embeddings.position_embedding",
      "model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj",
    ] { #expect(isIgnored(name), "\(name)") }
    #expect(ignored.count == Set(ignored.compactMap(\.string)).count)
    let read = try Model.read(scratch("out"))
    #expect(read[.attentionOutput, layer: 1]?.encoding == Encoding(name: "int4 g32 sym bf16"))
  }

  @Test func attentionOfAnotherSchemeHasItsOwnGroup() async throws {
    let scratch = try Scratch()
    let recipe = try Self.recipe(
      "int4 g128 sym bf16",
      """
        - {parts: attention, layers: [0, 2], encoding: int8 g64 sym bf16}
        - {parts: attention_output, encoding: mx-fp4}

      """)
    let quantized = try await Self.write(recipe, "compressed-tensors", scratch("out"))
    let config = try #require(try Self.config(scratch("out"))["quantization_config"])
    #expect(config["format"] == "mixed-precision")
    let groups = try #require(config["config_groups"])
    #expect(groups["group_0"]?["targets"] == ["Linear"] && groups["group_0"]?["weights"]?["num_bits"] == 4)
    #expect(
      groups["group_1"]?["targets"]
        == [
          "re:.*layers\\.(0|2)\\.self_attn\\.(q|k|v|qkv)_proj$", "re:.*layers\\.(0|2)\\.self_attn\\.o_proj$",
        ])
    #expect(groups["group_1"]?["weights"]?["num_bits"] == 8)
    #expect(groups["group_2"]?["targets"] == ["re:.*layers\\.(1|3)\\.self_attn\\.o_proj$"])
    #expect(groups["group_2"]?["format"] == "mxfp4-pack-quantized" && groups["group_3"] == nil)
    let read = try Model.read(scratch("out"))
    for tensor in quantized.tensors {
      #expect(read[tensor.role]?.encoding == tensor.encoding, "\(tensor.name)")
    }
  }

  @Test(arguments: [
    ("int4 g128 sym f16", "gptq", true), ("int8 g32 sym f16", "gptq", true),
    ("int2 g64 zero f16", "gptq_v2", false),
    ("int3 g128 zero f16", "gptq_v2", false),
  ])
  func gptqConfig(_ encoding: String, _ checkpoint: String, _ symmetric: Bool) async throws {
    let scratch = try Scratch()
    _ = try await Self.write(Self.recipe(encoding), "gptq", scratch("out"))
    let config = try #require(try Self.config(scratch("out"))["quantization_config"])
    #expect(config["quant_method"] == "gptq" && config["desc_act"] == false && config["lm_head"] == false)
    #expect(config["checkpoint_format"]?.string == checkpoint && config["sym"]?.bool == symmetric)
    #expect(encoding.hasPrefix("int\(config["bits"]!.int!) g\(config["group_size"]!.int!) "))
    let read = try Model.read(scratch("out"))
    guard case .columnPacked(let scheme) = read[.key, layer: 0]!.encoding else {
      Issue.record("not column-packed")
      return
    }
    #expect((scheme.layout == .gptq) == symmetric && scheme.offset == (symmetric ? .symmetric : .zeroPoint))
    // The words that every reader knows: 8 less 1 in each nibble.
    if encoding == "int4 g128 sym f16" {
      #expect(try read[.key, layer: 0]!.planes()[1].array.allSatisfy { $0 == 0x77 })
    }
  }

  /// Engines fuse layers and take one global scale for them.
  @Test func globalScalesOfNVFP4AreTheSame() async throws {
    let scratch = try Scratch()
    let quantized = try await Self.write(.named("nvfp4"), "compressed-tensors", scratch("out"))
    let read = try Model.read(scratch("out"))
    for role in [
      Role(.query, layer: 0), Role(.key, layer: 0), Role(.gate, layer: 2, expert: 1),
      Role(.up, layer: 2, expert: 1),
    ] {
      let planes = try read[role]!.planes()
      #expect(planes[2].array == [0, 0, 0x80, 0x42], "64 as F32 for \(role)")
      #expect(try planes.map(\.array) == quantized[role]!.planes().map(\.array))
    }
  }

  @Test func awqConfig() async throws {
    let scratch = try Scratch()
    _ = try await Self.write(.named("awq-4bit"), "awq", scratch("out"))
    let config = try #require(try Self.config(scratch("out"))["quantization_config"])
    #expect(
      config["quant_method"] == "awq" && config["version"] == "gemm" && config["bits"] == 4
        && config["group_size"] == 128 && config["zero_point"] == true)
    #expect(config["modules_to_not_convert"]?.array?.contains("lm_head") == true)
  }

  /// `zero_point: false`: the stored zero points are all the middle, or there are none.
  @Test(arguments: [true, false])
  func awqWithoutZeroPoints(_ areStored: Bool) async throws {
    let scratch = try Scratch()
    let quantized = try await Self.write(Self.recipe("int4 g128 sym f16"), "awq", scratch("out"))
    let text = String(decoding: try content(scratch("out/config.json")), as: UTF8.self)
      .replacingOccurrences(of: "\"zero_point\": true", with: "\"zero_point\": false")
    try scratch.write("out/config.json", Array(text.utf8))
    if !areStored { try Self.remove(".qzeros", from: scratch("out/model.safetensors")) }
    let read = try Model.read(scratch("out"))
    for role in [Role(.query, layer: 1), Role(.down, layer: 3, expert: 7)] {
      let tensor = try #require(read[role])
      #expect(try tensor.floats() == quantized[role]!.floats(), "\(role)")
      #expect(tensor.rowPacked?.encoding == quantized[role]!.encoding)
    }
    let report = await Format.check(scratch("out"), workers: 2)
    #expect(report.problems.isEmpty)
    // What is written has zero points for every engine.
    _ = try await read.write(scratch("again"), as: .awq, .with())
    #expect(try Model.read(scratch("again"))[.key, layer: 2]!.floats() == quantized[.key, layer: 2]!.floats())
  }

  /// Takes the tensors whose names end so out of a SafeTensors file.
  private static func remove(_ suffix: String, from path: String) throws {
    let bytes = try content(path)
    let length = bytes[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try #require(try JSON.parse(Array(bytes[8..<8 + length]), path: path).object)
    var entries: [String] = []
    var data: [UInt8] = []
    for (name, entry) in header where name != "__metadata__" && !name.hasSuffix(suffix) {
      let places = try #require(entry["data_offsets"]?.array).map { 8 + length + $0.int! }
      let start = data.count
      data += bytes[places[0]..<places[1]]
      entries.append(
        "\"\(name)\":{\"dtype\":\(entry["dtype"]!.text()),\"shape\":\(entry["shape"]!.text()),"
          + "\"data_offsets\":[\(start),\(data.count)]}")
    }
    let text = Array("{\(entries.joined(separator: ","))}".utf8)
    let count = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    try Data(count + text + data).write(to: URL(fileURLWithPath: path))
  }

  @Test func gptqAndAWQConvertIntoEachOther() async throws {
    let scratch = try Scratch()
    let quantized = try await Self.write(.named("awq-4bit"), "awq", scratch("awq"))
    _ = try await Model.read(scratch("awq")).write(scratch("gptq"), as: .gptq, .with())
    #expect(try Self.config(scratch("gptq"))["quantization_config"]?["checkpoint_format"] == "gptq_v2")
    let role = Role(.gate, layer: 1, expert: 4)
    #expect(try Model.read(scratch("gptq"))[role]!.floats() == quantized[role]!.floats())
    _ = try await Model.read(scratch("gptq")).write(scratch("back"), as: .awq, .with())
    #expect(try content(scratch("back/model.safetensors")) == content(scratch("awq/model.safetensors")))
  }

  @Test(arguments: [
    ("int4 g128 zero f16", "", "compressed-tensors", "symmetric", "'w4a16'"),
    ("int4 g128 sym f16", "", "compressed-tensors", "BF16", "'w4a16'"),
    ("int5 g128 sym bf16", "", "compressed-tensors", "int3, int4 and int8", "'w4a16'"),
    ("int8 g16 sym bf16", "", "compressed-tensors", "32, 64 or 128", "'w8a16'"),
    ("mx-fp8", "", "compressed-tensors", "mx-fp4", "'mxfp4'"),
    (
      "int4 g128 sym bf16", "  - {parts: key, layers: 2, encoding: int8 g128 sym bf16}\n",
      "compressed-tensors",
      "query, key and value", "layers.2.self_attn.k_proj"
    ),
    (
      "int4 g128 sym bf16", "  - {parts: down, experts: 3, layers: 1, encoding: int8 g128 sym bf16}\n",
      "compressed-tensors", "all experts in one encoding", "layers.1.block_sparse_moe.experts.3.w2"
    ),
    (
      "int4 g128 sym bf16", "  - {parts: attention, encoding: keep}\n", "compressed-tensors", "FP8 in blocks",
      "'w4a16'"
    ),
    ("bf16", "", "compressed-tensors", "quantized experts", "'w4a16'"),
    ("int4 g128 sym bf16", "", "gptq", "F16 scales", "'gptq-4bit'"),
    ("int5 g128 sym f16", "", "gptq", "2, 3, 4 or 8 bits", "'gptq-4bit'"),
    ("int4 g128 bias f16", "", "gptq", "2, 3, 4 or 8 bits", "'gptq-4bit'"),
    (
      "int4 g128 sym f16", "  - {parts: attention, encoding: int8 g128 sym f16}\n", "gptq", "one width",
      "self_attn"
    ),
    ("int8 g128 zero f16", "", "awq", "4 bits", "'awq-4bit'"), ("mx-fp4", "", "awq", "4 bits", "'awq-4bit'"),
  ])
  func refusals(_ encoding: String, _ more: String, _ format: String, _ reason: String, _ words: String)
    async throws
  {
    let scratch = try Scratch()
    let error = try await awaitedRefusal {
      _ = try await Self.write(Self.recipe(encoding, more), format, scratch("out"))
    }
    let text = error?.description ?? "no refusal"
    // That nothing is quantized is no tensor's fault.
    #expect(
      (error?.tensor != nil || encoding == "bf16") && text.contains(reason) && text.contains(words), "\(text)"
    )
    #expect(try scratch.names.isEmpty, "nothing is written")
  }

  @Test func quantizedHeadIsRefused() async throws {
    let scratch = try Scratch()
    let error = try await awaitedRefusal {
      _ = try await Self.write(
        Recipe(yaml: "rules:\n  - {encoding: int4 g128 sym bf16}", path: "mine"), "compressed-tensors",
        scratch("out"))
    }
    #expect(error?.tensor == "model.embed_tokens.weight", "\(error?.description ?? "")")
  }

  @Test func activationOrderIsReadAndNotRepacked() async throws {
    let scratch = try Scratch()
    let quantized = try await Self.write(.named("gptq-4bit"), "gptq", scratch("out"))
    var text = String(decoding: try content(scratch("out/config.json")), as: UTF8.self)
    text = text.replacingOccurrences(of: "\"desc_act\": false", with: "\"desc_act\": true")
    try scratch.write("out/config.json", Array(text.utf8))
    let read = try Model.read(scratch("out"))
    let role = Role(.value, layer: 2)
    #expect(try read[role]!.floats() == quantized[role]!.floats())
    let error = try await awaitedRefusal { _ = try await read.write(scratch("x.ingot"), as: .ingot, .with()) }
    #expect(error?.remedy == .decode, "\(error?.description ?? "written")")
    // Written as what it is.
    _ = try await read.write(scratch("again"), as: .gptq, .with())
    #expect(try content(scratch("again/model.safetensors")) == content(scratch("out/model.safetensors")))
  }

  @Test(arguments: [
    ("gptq-4bit", "gptq", "auto_round:auto_gptq", "gptq"), ("awq-4bit", "awq", "auto_round:auto_awq", "awq"),
    ("gptq-4bit", "gptq", "auto_round:fake", "safetensors"),
  ])
  func autoRoundNamesItsLayouts(_ name: String, _ method: String, _ packing: String, _ format: String)
    async throws
  {
    let scratch = try Scratch()
    let quantized = try await Self.write(.named(name), method, scratch("out"))
    var text = String(decoding: try content(scratch("out/config.json")), as: UTF8.self)
    text = text.replacingOccurrences(
      of: "\"quant_method\": \"\(method)\"",
      with: "\"quant_method\": \"auto-round\", \"packing_format\": \"\(packing)\"")
    try scratch.write("out/config.json", Array(text.utf8))
    #expect(Format.of(scratch("out")).name == format)
    guard format != "safetensors" else { return }
    let role = Role(.up, layer: 3, expert: 2)
    #expect(try Model.read(scratch("out"))[role]!.floats() == quantized[role]!.floats())
  }
}
