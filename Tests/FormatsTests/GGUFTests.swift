import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// Writing GGUF and reading it again.
@Suite struct GGUFTests {
  /// The embedded model, its FP8 as the F32 values that it decodes to, or rounded.
  private func nano(_ type: DType = .f32) throws -> Model {
    try Model.read(Fixture.nano).decoded(to: type)
  }

  private func write(_ model: Model, _ path: String, _ change: (inout WriteOptions) -> Void = { _ in })
    async throws -> Written
  {
    var options = WriteOptions()
    change(&options)
    return try await model.write(path, as: .gguf, options)
  }

  @Test(arguments: [DType.f32, .bf16, .f16]) func valuesComeBack(_ type: DType) async throws {
    let scratch = try Scratch()
    let source = try nano(type)
    let written = try await write(source, scratch.path + "/x.gguf")
    #expect(written.bytes == (try contents(written.files[0])).count)
    #expect(try source.plannedBytes(as: .gguf, .init()) == written.bytes)
    let back = try Model.read(scratch.path + "/x.gguf")
    #expect(back.tensors.count == source.tensors.count)
    for (old, new) in zip(source.tensors, back.tensors) {
      #expect(old.name == new.name && old.role == new.role)
      #expect(try old.floats() == new.floats(), "\(old.name)")
    }
    func layers(_ model: Model) -> [String] {
      model.blueprint.layers.map { "\($0.mixer) \($0.mixerNorm) \($0.feedForward) \($0.feedForwardNorm)" }
    }
    #expect(layers(back) == layers(source) && back.blueprint.finalNorm == source.blueprint.finalNorm)
    #expect(back.blueprint.contextLength == source.blueprint.contextLength && !back.blueprint.isHeadTied)
    #expect(back.provenance?["source"]?["name"] == "m2-nano")
    #expect(
      back.provenance?["source"]?["files"]?.array?.first?["sha256"]?.string?.contains("00000000") == false)
    let report = await Format.check(scratch.path + "/x.gguf", workers: 2)
    #expect(report.problems.isEmpty && report.tensors == source.tensors.count)
  }

  @Test func readAndWrittenAgainIsEqual() async throws {
    let scratch = try Scratch()
    _ = try await write(try nano(.bf16), scratch.path + "/x.gguf")
    _ = try await write(try Model.read(scratch.path + "/x.gguf"), scratch.path + "/y.gguf")
    let (first, second) = (
      GGUFContent(try contents(scratch.path + "/x.gguf")), GGUFContent(try contents(scratch.path + "/y.gguf"))
    )
    #expect(first.order == second.order)
    for name in first.order { #expect(first.tensors[name]!.data == second.tensors[name]!.data, "\(name)") }
    let keys = first.values.filter { !$0.key.hasPrefix("ingot.") }.map { "\($0)" }
    #expect(keys == second.values.filter { !$0.key.hasPrefix("ingot.") }.map { "\($0)" })
  }

  @Test func bytesDoNotDependOnWorkers() async throws {
    let scratch = try Scratch()
    let source = try nano(.bf16)
    var files: [[UInt8]] = []
    for workers in [1, 3, 8] {
      files.append(
        try contents(
          try await write(source, scratch.path + "/\(workers).gguf") { $0.workers = workers }.files[0]))
    }
    #expect(files[0] == files[1] && files[0] == files[2])
  }

  @Test func expertsAreStackedInOrder() async throws {
    let scratch = try Scratch()
    let source = try nano(.bf16)
    let written = try await write(source, scratch.path + "/x.gguf")
    let content = GGUFContent(try contents(written.files[0]))
    #expect(content.order.count == 3 + 4 * 13)
    for (part, name) in [(TensorKind.gate, "gate"), (.up, "up"), (.down, "down")] {
      let stack = try #require(content.tensors["blk.2.ffn_\(name)_exps.weight"])
      #expect(stack.dims == [256, 256, 8])
      #expect(stack.type == 30)
      for expert in 0..<8 {
        let slice = stack.data.count / 8
        let planes = try #require(source[part, layer: 2, expert: expert]).planes()
        #expect(Array(stack.data[expert * slice..<(expert + 1) * slice]) == planes[0].array)
      }
    }
    let norm = try #require(content.tensors["blk.0.attn_q_norm.weight"])
    #expect(norm.type == 0 && norm.dims == [256], "norms are widened to F32")
    #expect(content.tensors["blk.3.ffn_gate_inp.weight"]?.type == 0)
    #expect(content.tensors["blk.3.exp_probs_b.bias"]?.dims == [8])
    #expect(content.tensors["output.weight"]?.dims == [256, 2048])
  }

  @Test func metadataIsAsLlamaExpects() async throws {
    let scratch = try Scratch()
    let written = try await write(try nano(.bf16), scratch.path + "/x.gguf") {
      $0.provenance = ["tool": "ingot test", "recipe": ["name": "r", "text": "rules"]]
    }
    let content = GGUFContent(try contents(written.files[0]))
    let expected: [(String, UInt32, String)] = [
      ("general.architecture", 8, "minimax-m2"), ("general.type", 8, "model"),
      ("general.name", 8, "m2-nano"), ("general.size_label", 8, "8x2.5M"),
      ("general.base_model.count", 4, "1"), ("general.base_model.0.name", 8, "m2-nano"),
      ("general.file_type", 4, "32"), ("general.quantization_version", 4, "2"),
      ("ingot.tool", 8, "ingot test"), ("ingot.recipe.name", 8, "r"), ("ingot.recipe.text", 8, "rules"),
      ("minimax-m2.block_count", 4, "4"), ("minimax-m2.context_length", 4, "4096"),
      ("minimax-m2.embedding_length", 4, "256"), ("minimax-m2.feed_forward_length", 4, "256"),
      ("minimax-m2.expert_feed_forward_length", 4, "256"), ("minimax-m2.vocab_size", 4, "2048"),
      ("minimax-m2.attention.head_count", 4, "8"), ("minimax-m2.attention.head_count_kv", 4, "2"),
      ("minimax-m2.attention.key_length", 4, "32"), ("minimax-m2.attention.value_length", 4, "32"),
      ("minimax-m2.attention.layer_norm_rms_epsilon", 6, "1e-06"),
      ("minimax-m2.rope.freq_base", 6, "5000000.0"),
      ("minimax-m2.rope.dimension_count", 4, "16"), ("minimax-m2.expert_count", 4, "8"),
      ("minimax-m2.expert_used_count", 4, "2"), ("minimax-m2.expert_gating_func", 4, "2"),
      ("general.sampling.temp", 6, "1.0"), ("general.sampling.top_p", 6, "0.95"),
      ("general.sampling.top_k", 5, "40"), ("tokenizer.ggml.model", 8, "gpt2"),
      ("tokenizer.ggml.pre", 8, "minimax-m2"),
      ("tokenizer.ggml.tokens", 9, "2048 of type 8, first !, last </minimax:tool_call>"),
      ("tokenizer.ggml.token_type", 9, "2048 of type 5, first 1, last 4"),
      ("tokenizer.ggml.merges", 9, "1785 of type 8, first Ġ Ġ, last \(try lastMerge())"),
      ("tokenizer.ggml.bos_token_id", 4, "2043"), ("tokenizer.ggml.eos_token_id", 4, "2042"),
      ("tokenizer.ggml.add_bos_token", 7, "0"),
    ]
    for (key, type, text) in expected {
      let value = content.values.first { $0.key == key }
      #expect(value?.type == type && value?.text == text, "\(key)")
    }
    let others = content.values.map(\.key).filter { key in !expected.contains { $0.0 == key } }
    #expect(
      others == [
        "ingot.provenance", "tokenizer.chat_template", "ingot.file.README.md", "ingot.file.manifest.json",
        "ingot.file.tokenizer_config.json",
      ])
  }

  private func lastMerge() throws -> String {
    let json = try JSON.parse(try contents(Fixture.nano + "/tokenizer.json"), path: "tokenizer.json")
    let merge = try #require(json["model"]?["merges"]?.array?.last)
    return merge.string ?? merge.array!.map { $0.string! }.joined(separator: " ")
  }

  @Test func tokenizerComesBack() async throws {
    let scratch = try Scratch()
    let source = try nano(.bf16)
    let back = try Model.read(try await write(source, scratch.path + "/x.gguf").files[0])
    func tokenizer(_ model: Model) throws -> Tokenizer {
      try Tokenizer(
        json: try #require(model.sideFile("tokenizer.json")).bytes.array, path: "tokenizer.json",
        config: model.sideFile("tokenizer_config.json")?.bytes.array)
    }
    let (old, new) = (try tokenizer(source), try tokenizer(back))
    #expect(new.isEquivalent(to: old))
    #expect(new.beginToken == old.beginToken && new.endToken == old.endToken)
    for name in ["tokenizer_config.json", "README.md", "manifest.json"] {
      #expect(back.sideFile(name)?.bytes.array == source.sideFile(name)?.bytes.array, "\(name)")
    }
    let text = "]~!b[]~b]user\nWas kostet das? 1234 €\n\n<think>\n  I'LL see…[e~["
    #expect(new.encode(text) == old.encode(text))
    #expect(new.decode(old.encode(text)) == text)
    #expect(
      back.sideFile("chat_template.jinja")?.bytes.array == source.sideFile("chat_template.jinja")?.bytes.array
    )
  }

  @Test func splitFilesHoldTheSame() async throws {
    let scratch = try Scratch()
    let source = try nano(.bf16)
    let written = try await write(source, scratch.path + "/x.gguf") { $0.splitSize = 3_000_000 }
    #expect(written.files.count > 3)
    #expect(written.files[0].hasSuffix("/x-00001-of-0000\(written.files.count).gguf"))
    var names: [String] = []
    for (number, file) in written.files.enumerated() {
      let bytes = try contents(file)
      #expect(bytes.count <= 3_000_000)
      let content = GGUFContent(bytes)
      #expect(content["split.no"] == "\(number)" && content["split.count"] == "\(written.files.count)")
      #expect(content["split.tensors.count"] == "55")
      #expect((content["general.architecture"] != nil) == (number == 0), "metadata in the first part only")
      names += content.order
    }
    #expect(Set(names).count == 55)
    // Any part will do.
    for file in [written.files[0], written.files[2]] {
      let back = try Model.read(file)
      for (old, new) in zip(source.tensors, back.tensors) { #expect(try old.floats() == new.floats()) }
    }
    Folder.remove(written.files[1])
    #expect(throws: FormatError.self) { try Model.read(written.files[0]) }
  }

  @Test func partsOfTwoSplitsDoNotMix() async throws {
    let scratch = try Scratch()
    let small = try await write(try nano(.bf16), scratch.path + "/x.gguf") { $0.splitSize = 3_000_000 }
    var bytes = try contents(small.files[1])
    // The same part once more under the next one's name.
    Folder.remove(small.files[2])
    _ = try scratch.write(Folder.name(of: small.files[2]), bytes)
    #expect(throws: FormatError.self) { try Model.read(small.files[0]) }
    bytes[0] = 0
    _ = try scratch.write(Folder.name(of: small.files[2]), bytes)
    #expect(throws: FormatError.self) { try Model.read(small.files[0]) }
  }

  @Test func refusesWhatItCannotHold() async throws {
    let scratch = try Scratch()
    let source = try Model.read(Fixture.nano)
    let error = await #expect(throws: FormatError.self) { try await write(source, scratch.path + "/x.gguf") }
    #expect(error?.tensor?.contains("q_proj") == true)
    #expect(error?.found.contains("q4_k_m") == true)
    #expect(try Folder.names(scratch.path) == [], "nothing is begun")
    let small = await #expect(throws: FormatError.self) {
      try await write(try nano(.bf16), scratch.path + "/x.gguf") { $0.splitSize = 200_000 }
    }
    #expect(small?.expected.contains("split size of at least") == true)
    #expect(try Folder.names(scratch.path) == [])
  }

  @Test func oneTypeForAStack() async throws {
    let scratch = try Scratch()
    let source = try nano(.f32)
    let mixed = try source.quantized(
      by: Recipe(
        yaml: "rules: [{parts: down, layers: 1, experts: 5, encoding: f16}, {parts: down, encoding: bf16}]",
        path: "r"
      ).plan(for: source))
    let error = await #expect(throws: FormatError.self) { try await write(mixed, scratch.path + "/x.gguf") }
    #expect(error?.expected.contains("down projections of all experts of layer 1") == true)
    #expect(error?.found == "f16 for expert 5")
  }

  @Test func anOlderFileIsReplacedOnlyByForce() async throws {
    let scratch = try Scratch()
    let path = try scratch.write("x.gguf", [1, 2, 3])
    await #expect(throws: FormatError.self) { try await write(try nano(.bf16), path) }
    #expect(try contents(path) == [1, 2, 3])
    _ = try await write(try nano(.bf16), path) { $0.force = true }
    #expect(try Folder.names(scratch.path) == ["x.gguf"])
    _ = try Model.read(path)
  }

  /// Every block type that a quantizer fills today: bytes in the file are the encoding's planes.
  @Test(arguments: GGMLType.allCases.filter { !Quantizer.filling(.ggml($0)).isEmpty })
  func blocksComeBack(_ type: GGMLType) async throws {
    let scratch = try Scratch()
    let source = try Model.read(Fixture.nano)
    let quantized = try source.quantized(
      by: Recipe(yaml: "rules: [{encoding: \(type)}]", path: "r").plan(for: source))
    let written = try await write(quantized, scratch.path + "/x.gguf")
    let back = try Model.read(written.files[0])
    for (old, new) in zip(quantized.tensors, back.tensors) {
      if old.shape.count > 1 && old.role.kind != .router {
        #expect(new.encoding == .ggml(type))
        #expect(try old.planes()[0].array == new.planes()[0].array, "\(old.name)")
      }
      #expect(try old.floats() == new.floats(), "\(old.name)")
    }
  }

  /// Affine codes whose values a ggml type gives too are repacked bit for bit.
  @Test(arguments: [
    ("int8 g32 sym f16", GGMLType.q80), ("int5 g32 sym f16", .q50), ("int5 g32 bias f16", .q51),
    ("int4 g32 sym f16", .q40), ("int4 g32 bias f16", .q41),
  ])
  func affineTwins(_ name: String, _ twin: GGMLType) async throws {
    let scratch = try Scratch()
    let source = try Model.read(Fixture.nano)
    let quantized = try source.quantized(
      by: Recipe(yaml: "rules: [{encoding: \(name)}]", path: "r").plan(for: source))
    let back = try Model.read(try await write(quantized, scratch.path + "/x.gguf").files[0])
    for (old, new) in zip(quantized.tensors, back.tensors) {
      if case .affine = old.encoding { #expect(new.encoding == .ggml(twin)) }
      #expect(try old.floats() == new.floats(), "\(old.name)")
    }
  }

  @Test(arguments: ["int4 g64 sym f16", "int4 g32 zero f16", "int4 g32 sym bf16", "int3 g32 sym f16"])
  func affineWithoutTwinIsRefused(_ name: String) async throws {
    let scratch = try Scratch()
    let source = try Model.read(Fixture.nano)
    let quantized = try source.quantized(
      by: Recipe(yaml: "rules: [{encoding: \(name)}]", path: "r").plan(for: source))
    let error = await #expect(throws: FormatError.self) {
      try await write(quantized, scratch.path + "/x.gguf")
    }
    #expect(error?.found.contains("no type with the same values") == true)
  }

  /// A pre-tokenizer in other words is fine when it cuts alike, and refused when it does not.
  @Test(arguments: [("\\p{N}{1,3}", "\\p{N}\\p{N}?\\p{N}?", true), ("\\p{N}{1,3}", "\\p{N}", false)])
  func preTokenizerMustCutAlike(_ old: String, _ new: String, _ fine: Bool) async throws {
    let scratch = try Scratch()
    var source = try nano(.bf16)
    let index = try #require(source.sideFiles.firstIndex { $0.name == "tokenizer.json" })
    let text = String(decoding: source.sideFiles[index].bytes.array, as: UTF8.self)
    let changed = text.replacingOccurrences(
      of: old.replacingOccurrences(of: "\\", with: "\\\\"),
      with: new.replacingOccurrences(of: "\\", with: "\\\\"))
    #expect(changed != text)
    source.sideFiles[index].bytes = Bytes(Array(changed.utf8))
    if fine {
      _ = try await write(source, scratch.path + "/x.gguf")
    } else {
      let error = await #expect(throws: FormatError.self) {
        try await write(source, scratch.path + "/x.gguf")
      }
      #expect(error?.expected.contains("minimax-m2") == true)
    }
  }
}
