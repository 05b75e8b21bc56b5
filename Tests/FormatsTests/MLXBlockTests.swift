import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Blocks that mlx-lm's classes keep otherwise than checkpoints do. scripts/tools engines-family-table holds them against mlx-lm.
@Suite struct MLXBlockTests {
  static func source(_ name: String) throws -> Model {
    try Model.read(repository + "/Tests/Fixtures/families/" + name)
  }

  /// Linear layers but the head in one encoding.
  static func quantized(_ name: String, _ encoding: String) throws -> Model {
    let model = try source(name)
    let text = "rules:\n  - {parts: [attention, experts, mlp], encoding: \(encoding)}\n"
    return try model.quantized(by: try Recipe(yaml: text, path: "test").plan(for: model))
  }

  static func written(_ model: Model, _ scratch: Scratch) async throws -> (
    Model, [String: (type: String, shape: [Int], bytes: [UInt8])]
  ) {
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    return (
      try Model.read(scratch("out")), try MLXTests.stored(scratch("out/model.safetensors"))
    )
  }

  @Test func latentsAreTwoStacksOfAMatrixForEachHead() async throws {
    let scratch = try Scratch()
    let model = try Self.source("deepseek_v3-even")
    let (again, stored) = try await Self.written(model, scratch)
    let attention = try #require(model.blueprint.layers[0].mixer as? LatentAttention)
    let (heads, plain, value) = (attention.heads, attention.plainDim, attention.valueDim)
    let matrix = try model[.keyValueB, layer: 0]!.planes()[0].array
    let embed = try #require(stored["model.layers.0.self_attn.embed_q.weight"])
    let unembed = try #require(stored["model.layers.0.self_attn.unembed_out.weight"])
    #expect(embed.shape == [heads, 64, plain] && unembed.shape == [heads, value, 64])
    #expect(stored["model.layers.0.self_attn.kv_b_proj.weight"] == nil)
    for (head, row, column) in [(0, 0, 0), (1, 3, 5), (heads - 1, plain - 1, 63)] {
      let from = 2 * ((head * (plain + value) + row) * 64 + column)
      let to = 2 * ((head * 64 + column) * plain + row)
      #expect(embed.bytes[to..<to + 2] == matrix[from..<from + 2])
      let below = 2 * ((head * (plain + value) + plain + row) * 64 + column)
      let there = 2 * ((head * value + row) * 64 + column)
      #expect(unembed.bytes[there..<there + 2] == matrix[below..<below + 2])
    }
    for (read, made) in zip(again.tensors, model.tensors) {
      #expect(read.role == made.role && read.encoding == made.encoding, "\(read.name)")
      #expect(try read.planes().map(\.array) == made.planes().map(\.array), "\(read.name)")
    }
  }

  /// Codes stay in the stack whose rows are the matrix's; the other one has the values as MLX decodes them.
  @Test func quantizedLatentsKeepTheirValues() async throws {
    let scratch = try Scratch()
    let model = try Self.quantized("deepseek_v3-even", "int4 g32 bias bf16")
    let (again, stored) = try await Self.written(model, scratch)
    #expect(stored["model.layers.0.self_attn.unembed_out.weight"]?.type == "U32")
    #expect(stored["model.layers.0.self_attn.embed_q.weight"]?.type == "BF16")
    let attention = try #require(model.blueprint.layers[0].mixer as? LatentAttention)
    let made = try model[.keyValueB, layer: 0]!.floats()
    let read = try again[.keyValueB, layer: 0]!.floats()
    let head = attention.plainDim + attention.valueDim
    for (index, (a, b)) in zip(made, read).enumerated() {
      let isDense = index / 64 % head < attention.plainDim
      #expect(isDense ? abs(a - b) <= abs(a) / 256 : a == b)
    }
  }

  /// Codes under scales of F16 that mean what F16 does not hold: nothing is written as infinite or as 0 unsaid.
  @Test(arguments: [(Float(8e4), "[0, 0]"), (5e-6, "at most")])
  func valuesOfLatentsThatF16DoesNotHoldAreRefused(_ most: Float, _ words: String) async throws {
    let scratch = try Scratch()
    let source = try Self.source("deepseek_v3-even")
    let largest = try source[.keyValueB, layer: 0]!.floats().reduce(0) { max($0, abs($1)) }
    let model = try source.mapTensors { tensor in
      guard tensor.role == Role(.keyValueB, layer: 0) else { return tensor }
      return tensor.mapped(to: .dense(.f32)) { rows, planes throws(FormatError) in
        var values = [Float](repeating: 0, count: rows.count * tensor.columns)
        var span = values.mutableSpan
        tensor.encoding.decode(planes, rows: rows.count, columns: tensor.columns, into: &span)
        // One outlier, or all of them small.
        if most < 1 { for index in values.indices { values[index] *= most / largest } }
        if most > 1, rows.lowerBound == 0 { values[0] = most }
        return [Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }]
      }
    }
    func quantized(_ scale: String) throws -> Model {
      let text = "rules:\n  - {parts: [attention, experts, mlp], encoding: int4 g32 bias \(scale)}\n"
      return try model.quantized(by: try Recipe(yaml: text, path: "test").plan(for: model))
    }
    let error = try #require(
      try await awaitedRefusal {
        _ = try await quantized("f16").write(scratch("out"), as: .mlx, .with())
      })
    let name = "model.layers.0.self_attn.kv_b_proj.weight"
    #expect(error.tensor == name && error.description.contains("weights "), "\(error)")
    for word in [words, "names: [\(name)]", "encoding: bf16", "\(Role(.keyValueB, layer: 0))"] {
      #expect(error.description.contains(word), "\(word): \(error)")
    }
    // BF16 holds both.
    _ = try await quantized("bf16").write(scratch("wide"), as: .mlx, .with())
  }

  @Test func normsAreSumsAndConvolutionsHaveTheirTapsFirst() async throws {
    let scratch = try Scratch()
    let model = try Self.source("qwen3_next-even")
    let (again, stored) = try await Self.written(model, scratch)
    let norm = try #require(stored["model.layers.0.input_layernorm.weight"])
    let sums = try model[.attentionNorm, layer: 0]!.floats().map { $0 + 1 }
    for (index, sum) in sums.enumerated() {
      let bits = UInt32(norm.bytes[2 * index]) << 16 | UInt32(norm.bytes[2 * index + 1]) << 24
      #expect(abs(Float(bitPattern: bits) - sum) <= sum / 256)
      let w = try again[.attentionNorm, layer: 0]!.floats()[index]
      #expect(w + 1 == Float(bitPattern: bits))
    }
    let convolution = try #require(model[.deltaConvolution, layer: 0])
    let kept = try #require(stored["model.layers.0.linear_attn.conv1d.weight"])
    #expect(kept.shape == [convolution.shape[0], convolution.shape[2], 1])
    #expect(try kept.bytes == convolution.planes()[0].array)
    #expect(again[.deltaConvolution, layer: 0]?.shape == convolution.shape)
    // The norm inside DeltaNet multiplies by w.
    #expect(
      try stored["model.layers.0.linear_attn.norm.weight"]?.bytes
        == model[.deltaNorm, layer: 0]!.planes()[0]
        .array)
  }

  @Test func textModelsOfOthersStandInside() async throws {
    let scratch = try Scratch()
    let model = try Self.source("qwen3_5_moe-fused")
    let (again, stored) = try await Self.written(model, scratch)
    #expect(stored.keys.allSatisfy { $0.hasPrefix("language_model.") })
    #expect(again.format == "mlx" && again.tensors.allSatisfy { $0.role.kind != .auxiliary })
  }

  @Test func gptOSSHasStackedBiases() async throws {
    let scratch = try Scratch()
    let model = try Self.source("gpt_oss-mxfp4")
    let (again, stored) = try await Self.written(model, scratch)
    let bias = try #require(stored["model.layers.1.mlp.experts.up_proj.bias"])
    #expect(bias.shape == [4, 64])
    #expect(
      try bias.bytes == (0..<4).flatMap { try model[.upBias, layer: 1, expert: $0]!.planes()[0].array })
    #expect(stored["model.layers.1.mlp.experts.up_proj.scales"]?.type == "U8")
    for (read, made) in zip(again.tensors, model.tensors) {
      #expect(read.role == made.role && read.shape == made.shape && read.encoding == made.encoding)
      #expect(try read.planes().map(\.array) == made.planes().map(\.array), "\(read.name)")
    }
  }

  /// What mlx_lm.convert writes for a mix without a group size: null, which is what the mode has by default.
  @Test func nullIsTheModesOwnGroup() async throws {
    let scratch = try Scratch()
    let model = try MLXTests.model("int4 g64 bias bf16")
    _ = try await model.write(scratch("out"), as: .mlx, .with())
    let path = scratch("out/config.json")
    var config = try JSON.parse(try content(path), path: path).object!
    var entry = config["quantization"]!.object!
    entry["lm_head"] = ["group_size": nil, "bits": 4, "mode": "affine"]
    config["quantization"] = .object(entry)
    config["quantization_config"] = nil
    _ = try scratch.write("out/config.json", Array(JSON.object(config).text().utf8))
    let again = try Model.read(scratch("out"))
    #expect(again[.head]?.encoding == model[.head]?.encoding)
  }

  @Test func aUnitThatTwoReadersShareIsMadeOnce() throws {
    let made = Counter()
    let role = Role(.keyValueB, layer: 0)
    let base = Tensor(
      name: "x", role: role, shape: [2, 2], encoding: .dense(.f32), path: "",
      planes: [Bytes(count: 16) { _ in }])
    let unit = WorkUnit([role], reads: [base], statistics: nil) { _ in
      made.value += 1
      return [role: [Bytes([UInt8](repeating: 7, count: 16))]]
    }
    let tensor = base.made(by: unit, as: .dense(.f32)).shared(by: 2)
    #expect(try tensor.planes()[0].array == tensor.planes()[0].array)
    #expect(made.value == 1)
    _ = try tensor.planes()
    #expect(made.value == 2)
  }
}

/// Counts on one thread.
private final class Counter: @unchecked Sendable {
  var value = 0
}
