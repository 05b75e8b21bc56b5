import Foundation
import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Checkpoints of ExLlamaV3: written, read back, refused.
@Suite struct EXL3Tests {
  /// The embedded model with arbitrary codes in its linear layers: choosing them takes long without optimization.
  static func model(_ scheme: (Tensor) -> Tiles = { _ in Tiles(bits: 3)! }) throws -> Model {
    let model = try Model.read(nano)
    let high: [UInt8] = [0x2C, 0xAC, 0x28]
    return try model.mapTensors { tensor throws(FormatError) in
      guard model.blueprint.isLinear(tensor.role), tensor.role != Role(.embedding) else { return tensor }
      let encoding = Encoding.tiles(scheme(tensor))
      var planes: [Bytes] = []
      for plane in encoding.planes(tensor.shape)! {
        var bytes = [UInt8](repeating: 0, count: plane.bytes)
        for index in bytes.indices {
          if plane.name == "codes" {
            bytes[index] = UInt8(truncatingIfNeeded: ((index &+ tensor.count) &* 2_654_435_761) >> 9)
          } else if index % 2 == 1 {
            bytes[index] = high[index / 2 % 3]
          }
        }
        planes.append(Bytes(bytes))
      }
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: encoding, path: tensor.path,
        planes: planes)
    }
  }

  @Test func comesBackAsItWas() async throws {
    let scratch = try Scratch()
    let model = try Self.model { tensor in
      switch tensor.role.kind {
      case .head: Tiles(bits: 6)!
      case .down: Tiles(bits: 4, codebook: .mcg)!
      case .query: Tiles(bits: 1, codebook: .sum)!
      default: Tiles(bits: 2)!
      }
    }
    _ = try await model.write(scratch("out"), as: .exl3, .with())
    let size = try Folder.names(scratch("out")).reduce(0) { try $0 + content(scratch("out/\($1)")).count }
    #expect(try model.plannedBytes(as: .exl3, .with()) == size, "planned to the byte")
    let read = try Model.read(scratch("out"))
    #expect(read.format == "exl3" && Format.of(scratch("out")).name == "exl3")
    for tensor in model.tensors {
      let twin = try #require(read[tensor.role])
      #expect(twin.encoding == tensor.encoding && twin.shape == tensor.shape, "\(tensor.name)")
      let (planes, expected) = (try twin.planes(), try tensor.planes())
      #expect(planes.map(\.array) == expected.map(\.array), "\(tensor.name)")
    }
    _ = try await read.write(scratch("again"), as: .exl3, .with())
    #expect(try content(scratch("again/model.safetensors")) == content(scratch("out/model.safetensors")))
    _ = try await read.decoded(to: .f32).write(scratch("plain"), as: .safeTensors, .with())
    let plain = try Model.read(scratch("plain"))
    for role in [Role(.query, layer: 1), Role(.key, layer: 0), Role(.down, layer: 3, expert: 7), Role(.head)]
    {
      #expect(try plain[role]!.floats() == model[role]!.floats(), "\(role)")
    }
  }

  @Test func configSaysWhatItsLoaderReads() async throws {
    let scratch = try Scratch()
    let model = try Self.model { Tiles(bits: $0.role.kind == .head ? 6 : 3)! }
    _ = try await model.write(scratch("out"), as: .exl3, .with())
    let config = try PackedFormatsTests.config(scratch("out"))["quantization_config"]
    #expect(config?["quant_method"] == "exl3" && config?["bits"]?.double == 3)
    #expect(config?["head_bits"] == 6 && config?["codebook"] == "mul1")
    let file = try content(scratch("out/model.safetensors"))
    let length = file[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSON.parse(Array(file[8..<8 + length]), path: "header")
    // Keys have 64 outputs, which are padded to 128.
    let key = "model.layers.0.self_attn.k_proj."
    #expect(header[key + "trellis"]?["shape"] == [16, 8, 48] && header[key + "trellis"]?["dtype"] == "I16")
    #expect(header[key + "svh"]?["shape"] == [128] && header[key + "suh"]?["shape"] == [256])
    #expect(header[key + "mul1"]?["shape"] == [] && header[key + "mul1"]?["dtype"] == "I32")
    #expect(header[key + "weight"] == nil)
  }

  /// Codes that were chosen, for a few tensors.
  @Test func quantizesByRecipe() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    let recipe = try Recipe(
      yaml: """
        name: mine
        rules:
          - {parts: key, layers: [0], encoding: exl3-4}
          - encoding: bf16
        """, path: "mine.yaml")
    _ = try await model.quantized(by: recipe.plan(for: model)).write(scratch("out"), as: .exl3, .with())
    let (exact, chosen) = (
      try model[.key, layer: 0]!.floats(), try Model.read(scratch("out"))[.key, layer: 0]!.floats()
    )
    let error = zip(exact, chosen).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    let power = exact.reduce(0.0) { $0 + Double($1 * $1) }
    #expect(error < 0.006 * power && error > 0)
  }

  @Test func recipesAreForIt() throws {
    let model = try Model.read(nano)
    for (name, least, most) in [
      ("exl3-2.0", 2.0, 2.3), ("exl3-2.5", 2.4, 2.8), ("exl3-3.0", 3.0, 3.3), ("exl3-4.0", 4.0, 4.3),
    ] {
      let recipe = try Recipe.named(name)
      #expect(recipe.format == "exl3")
      let plan = try recipe.plan(for: model)
      #expect(plan.assignments[Role(.head)]?.encoding == .tiles(Tiles(bits: 6)!))
      let experts = model.tensors.filter { $0.role.expert != nil }
      let bits = experts.reduce(0) { $0 + 8 * plan.assignments[$1.role]!.encoding.bytes($1.shape)! }
      let weights = experts.reduce(0) { $0 + $1.count }
      #expect((least...most).contains(Double(bits) / Double(weights)), "\(name)")
    }
    #expect(Encoding(name: "exl3-3") == .tiles(Tiles(bits: 3)!))
    #expect(Encoding(name: "exl3-3 mcg") == nil, "read, not written")
  }

  @Test func refusesExpertsOfSeveralWidths() async throws {
    let scratch = try Scratch()
    let model = try Self.model { Tiles(bits: $0.role == Role(.up, layer: 1, expert: 2) ? 4 : 3)! }
    await #expect { _ = try await model.write(scratch("out"), as: .exl3, .with()) } throws: { error in
      "\(error)".contains("of all experts of a layer")
    }
    await #expect { _ = try await model.write(scratch("x.ingot"), as: .ingot, .with()) } throws: { error in
      "\(error)".contains("trellis-2")
    }
    await #expect {
      _ = try await Model.read(nano).quantized("int4").write(scratch("int4"), as: .exl3, .with())
    } throws: { error in "\(error)".contains("exl3-3.0") }
  }

  /// exllamav3 gives the head codes where it is the embedding too, and leaves config.json as it was.
  @Test func aHeadOfItsOwnIsNotTheEmbedding() async throws {
    let scratch = try Scratch()
    _ = try await Self.model().write(scratch("out"), as: .exl3, .with())
    let path = scratch("out/config.json")
    let text = String(decoding: try content(path), as: UTF8.self)
    let tied = text.replacing("\"tie_word_embeddings\": false", with: "\"tie_word_embeddings\": true")
    #expect(tied != text)
    try Data(tied.utf8).write(to: URL(fileURLWithPath: path))
    let read = try Model.read(scratch("out"))
    #expect(read[Role(.head)]?.encoding == .tiles(Tiles(bits: 3)!))
    _ = try await read.write(scratch("again"), as: .exl3, .with())
    #expect(try PackedFormatsTests.config(scratch("again"))["tie_word_embeddings"] == false)
  }

  // ---- what others write ---------------------------------------------------------------------------------------------

  /// A written folder whose one file of weights is changed.
  private func changed(
    _ scratch: Scratch, _ body: (inout JSONObject, inout [UInt8]) throws -> Void
  ) async throws -> String {
    _ = try await Self.model().write(scratch("out"), as: .exl3, .with())
    let path = scratch("out/model.safetensors")
    let file = try content(path)
    let length = file[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    var header = try #require(try JSON.parse(Array(file[8..<8 + length]), path: path).object)
    var data = Array(file[(8 + length)...])
    try body(&header, &data)
    var text = Array(JSON.object(header).text().utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    let size = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    try Data(size + text + data).write(to: URL(fileURLWithPath: path))
    return scratch("out")
  }

  private static let module = "model.layers.0.self_attn.q_proj."

  @Test(arguments: ["trellis", "suh", "svh"])
  func namesWhatIsMissing(_ part: String) async throws {
    let scratch = try Scratch()
    let path = try await changed(scratch) { header, _ in
      header[Self.module + "other"] = header[Self.module + part]
      header[Self.module + part] = nil
    }
    let error = try refusal { _ = try Model.read(path) }
    #expect(error?.description.contains(Self.module + (part == "trellis" ? "" : part)) ?? false)
  }

  @Test(arguments: [
    ("trellis", "I16", [16, 16, 40], "bits"), ("trellis", "U16", [16, 16, 48], "I16"),
    ("trellis", "I16", [16, 768], "1 to 8 bits"), ("suh", "BF16", [256], "F16 [256]"),
    ("svh", "F16", [2, 128], "F16 [256]"), ("mul1", "F32", [], "I32"),
  ])
  func refusesOtherTypesAndShapes(_ part: String, _ type: String, _ shape: [Int], _ words: String)
    async throws
  {
    let scratch = try Scratch()
    let path = try await changed(scratch) { header, data in
      var entry = try #require(header[Self.module + part]?.object)
      entry["dtype"] = .string(type)
      entry["shape"] = .array(shape.map { JSON($0) })
      if shape == [16, 16, 40] {
        // Of another size, behind everything else.
        entry["data_offsets"] = [JSON(data.count), JSON(data.count + 16 * 16 * 40 * 2)]
        let old = try #require(header[Self.module + part]?.object)
        header["model.layers.0.self_attn.q_proj.bias"] = .object(old)
        data += [UInt8](repeating: 0, count: 16 * 16 * 40 * 2)
      }
      header[Self.module + part] = .object(entry)
    }
    let error = try refusal { _ = try Model.read(path) }
    #expect(error?.description.contains(words) ?? false, "\(error?.description ?? "read")")
  }

  @Test func refusesAnotherMultiplier() async throws {
    let scratch = try Scratch()
    let path = try await changed(scratch) { header, data in
      let place = try #require(header[Self.module + "mul1"]?["data_offsets"]?.array?.first?.int)
      data[place] ^= 1
    }
    let error = try refusal { _ = try Model.read(path) }
    #expect(error?.description.contains("2212286765") ?? false, "\(error?.description ?? "read")")
  }

  /// Files of the first releases have signs in place of scales, a bit each.
  @Test func readsSignsAsScales() async throws {
    let scratch = try Scratch()
    let path = try await changed(scratch) { header, data in
      for (part, old) in [("su", "suh"), ("sv", "svh")] {
        let place = try #require(header[Self.module + old]?["data_offsets"]?.array?.first?.int)
        // The scales' bytes serve as signs, the rest of them as a tensor of its own.
        header[Self.module + part] = [
          "dtype": "I16", "shape": [16], "data_offsets": [JSON(place), JSON(place + 32)],
        ]
        header["model.visual.rest_\(part)"] = [
          "dtype": "U8", "shape": [480], "data_offsets": [JSON(place + 32), JSON(place + 512)],
        ]
        header[Self.module + old] = nil
        for index in 0..<32 { data[place + index] = UInt8(index * 37 & 255) }
      }
    }
    let read = try Model.read(path, ReadOptions(keepUnknown: true))
    let tensor = try #require(read[.query, layer: 0])
    let scales = try tensor.planes()[1].array
    for column in 0..<256 {
      let isMinus = (column / 8 * 37 & 255) >> (column % 8) & 1 == 1
      #expect(scales[2 * column + 1] == (isMinus ? 0xBC : 0x3C) && scales[2 * column] == 0)
    }
  }
}
