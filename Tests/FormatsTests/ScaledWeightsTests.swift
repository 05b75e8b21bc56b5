import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Codes with scales beside them as FP8, INT8 and FP4 checkpoints have them, against formulas written down here.
@Suite struct ScaledWeightsTests {
  typealias Entry = (name: String, dtype: String, shape: [Int], bytes: [UInt8])

  static let rows = 6
  static let columns = 32
  static let weight = "backbone.0.mix.weight"

  /// A folder with these tensors of a model_type that nobody knows.
  private func checkpoint(_ entries: [Entry], config: String, beside: [String: String] = [:]) throws
    -> Scratch
  {
    let scratch = try Scratch()
    let folder = scratch("model")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var header: [String] = []
    var data: [UInt8] = []
    for entry in entries {
      header.append(
        "\"\(entry.name)\":{\"dtype\":\"\(entry.dtype)\",\"shape\":\(entry.shape),\"data_offsets\":"
          + "[\(data.count),\(data.count + entry.bytes.count)]}")
      data += entry.bytes
    }
    let text = Array("{\(header.joined(separator: ","))}".utf8)
    let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    try Data(length + text + data).write(to: URL(fileURLWithPath: folder + "/model.safetensors"))
    let own =
      "{\"model_type\":\"unheard_of\"\(config.isEmpty ? "" : ",\"quantization_config\":" + config)}"
    for (name, content) in beside.merging(["config.json": own], uniquingKeysWith: { $1 }) {
      try Data(content.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    return scratch
  }

  private func values(_ scratch: Scratch, _ name: String = weight) throws -> [Float] {
    let tensor = try #require(try Model.read(scratch("model")).tensors.first { $0.name == name })
    let all = try tensor.floats()
    // A range of rows is those rows.
    if tensor.rowStep == 1 {
      #expect(try tensor.floats(rows: 2..<5) == Array(all[2 * tensor.columns..<5 * tensor.columns]))
    }
    return all
  }

  private func float8(_ byte: UInt8) -> Float {
    let (exponent, fraction) = (Int(byte >> 3 & 15), Float(byte & 7) / 8)
    let size =
      exponent == 0
      ? fraction * Float(sign: .plus, exponent: -6, significand: 1)
      : (1 + fraction) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
    return byte & 0x80 == 0 ? size : -size
  }

  private func bytes<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
    values.flatMap { value in
      (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
  }

  /// Finite codes of F8_E4M3, all of them after another.
  private var codes: [UInt8] {
    (0..<Self.rows * Self.columns).map { index in
      let byte = UInt8(truncatingIfNeeded: index * 37)
      return byte & 0x7F == 0x7F ? 1 : byte
    }
  }

  /// Codes whose scales are missing are no values, and no tensor that is carried as it is: of any type, in any layer.
  @Test(arguments: ["F8_E4M3", "F8_E5M2", "I8", "U8"])
  func codesWithoutScales(_ type: String) throws {
    let config = #"{"quant_method":"compressed-tensors","format":"int-quantized","config_groups":{}}"#
    for quantization in [#"{"quant_method":"fp8"}"#, config] {
      let scratch = try checkpoint(
        [(Self.weight, type, [Self.rows, Self.columns], codes)], config: quantization)
      let error = #expect(throws: FormatError.self) {
        try Model.read(scratch("model"), .init(keepUnknown: true))
      }
      let text = "\(error!)"
      #expect(text.contains(Self.weight) && text.contains("scale"), "\(text)")
    }
  }

  /// Scales in a type that holds them: bytes and values.
  private func scales(_ type: String, _ count: Int) -> ([UInt8], [Float]) {
    let exact = (0..<count).map { 0.013 * Float($0 + 1) }
    switch type {
    case "F32": return (bytes(exact.map(\.bitPattern)), exact)
    case "BF16":
      let high = exact.map { UInt16($0.bitPattern >> 16) }
      return (bytes(high), high.map { Float(bitPattern: UInt32($0) << 16) })
    case "F16":
      // 2⁻⁷ · (1 + k/1024), in bits.
      let half = (0..<count).map { UInt16(8 << 10 | (37 * $0) & 1023) }
      return (bytes(half), half.map { (1 + Float($0 & 1023) / 1024) * 0x1p-7 })
    default:
      let powers = (0..<count).map { UInt8(120 + $0 % 9) }
      return (powers, powers.map { Float(sign: .plus, exponent: Int($0) - 127, significand: 1) })
    }
  }

  @Test(
    arguments: ["F32", "BF16", "F16", "F8_E8M0", "U8"],
    [
      ("_scale", []), ("_scale_inv", [1]), ("_scale", [6]), ("_scale_inv", [6, 1]),
      ("_scale", [3, 4]),
    ])
  func float8IsCodeTimesScale(_ type: String, _ place: (name: String, shape: [Int])) throws {
    let count = place.shape.reduce(1, *)
    let (stored, scales) = scales(type, count)
    let block = place.shape == [3, 4] ? ",\"weight_block_size\":[2,8]" : ""
    let scratch = try checkpoint(
      [
        (Self.weight, "F8_E4M3", [Self.rows, Self.columns], codes),
        (Self.weight + place.name, type, place.shape, stored),
      ],
      config: "{\"quant_method\":\"fp8\"\(block)}")
    let expected = codes.enumerated().map { index, code -> Float in
      let (row, column) = (index / Self.columns, index % Self.columns)
      return float8(code) * scales[count == 12 ? row / 2 * 4 + column / 8 : count == 6 ? row : 0]
    }
    #expect(try values(scratch) == expected)
  }

  /// E8M0 for every 32 columns needs no block size in the config.
  @Test func powersForGroupsAreMicroScaled() throws {
    let (stored, scales) = scales("U8", 2 * Self.rows)
    let scratch = try checkpoint(
      [
        (Self.weight, "F8_E4M3", [Self.rows, 2 * Self.columns], codes + codes),
        (Self.weight + "_scale", "U8", [Self.rows, 2], stored),
      ], config: "{\"quant_method\":\"modelopt\"}")
    let expected = (codes + codes).enumerated().map { float8($1) * scales[$0 / 32] }
    #expect(try values(scratch) == expected)
  }

  @Test(arguments: [[], [6], [6, 1], [6, 2]], [false, true])
  func int8IsCodeLessZeroTimesScale(_ shape: [Int], _ hasZeros: Bool) async throws {
    let count = shape.reduce(1, *)
    let (stored, scales) = scales("BF16", count)
    let zeros = (0..<count).map { Int8(3 * $0 - 20) }
    let group =
      "{\"weights\":{\"num_bits\":8,\"type\":\"int\"},\"input_activations\":{\"num_bits\":8}}"
    let scratch = try checkpoint(
      [
        (Self.weight, "I8", [Self.rows, Self.columns], codes),
        (Self.weight + "_scale", "BF16", shape, stored),
      ]
        + (hasZeros
          ? [(Self.weight + "_zero_point", "I8", shape, zeros.map { UInt8(bitPattern: $0) })] : []),
      config: "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"group_0\":\(group)}}")
    let expected = codes.enumerated().map { index, code -> Float in
      let row = index / Self.columns
      let place = count == 12 ? index / 16 : count == 6 ? row : 0
      return Float(Int(Int8(bitPattern: code)) - (hasZeros ? Int(zeros[place]) : 0)) * scales[place]
    }
    #expect(try values(scratch) == expected)
    let model = try Model.read(scratch("model"))
    #expect(model.remark?.contains("activations are not quantized") == true)
    _ = try await model.write(scratch("x.ingot"), as: .ingot, .with())
    #expect(try Model.read(scratch("x.ingot")).tensors.first?.floats() == expected)
  }

  private func nvfp4(_ leaving: String = "") -> [Entry] {
    let packed = (0..<Self.rows * Self.columns / 2).map { UInt8(truncatingIfNeeded: 29 * $0 + 3) }
    let scales = (0..<Self.rows * 2).map { UInt8(0x20 + 5 * $0) }
    return [
      (Self.weight, "U8", [Self.rows, Self.columns / 2], packed),
      (Self.weight + "_scale", "F8_E4M3", [Self.rows, 2], scales),
      (Self.weight + "_scale_2", "F32", [], bytes([Float(0.00037).bitPattern])),
      ("backbone.0.mix.input_scale", "F32", [], bytes([Float(0.5).bitPattern])),
      ("backbone.0.k_proj.k_scale", "F32", [], bytes([Float(0.25).bitPattern])),
    ].filter { $0.name != leaving }
  }

  private static let modelOpt =
    "{\"quantization\":{\"quant_algo\":\"NVFP4\",\"group_size\":16,\"exclude_modules\":[\"lm_head\"]}}"

  /// ModelOpt's: code · (scale · scale_2), described in a file of its own.
  @Test func modelOptMultipliesScales() async throws {
    let entries = nvfp4()
    let scratch = try checkpoint(
      entries, config: "", beside: ["hf_quant_config.json": Self.modelOpt])
    let magnitudes: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    let expected = (0..<Self.rows * Self.columns).map { index -> Float in
      let code = entries[0].bytes[index / 2] >> (index % 2 == 0 ? 0 : 4) & 15
      let scale = float8(entries[1].bytes[index / 16]) * Float(0.00037)
      return (code & 8 == 0 ? magnitudes[Int(code & 7)] : -magnitudes[Int(code & 7)]) * scale
    }
    #expect(try values(scratch) == expected)
    let model = try Model.read(scratch("model"))
    #expect(model.activationScales.count == 2 && model.remark != nil)
    _ = try await model.write(scratch("x.ingot"), as: .ingot, .with())
    let again = try Model.read(scratch("x.ingot"))
    #expect(try again.tensors.first { $0.name == Self.weight }?.floats() == expected)
    #expect(again.activationScales.map(\.name).sorted() == entries[3...].map(\.name).sorted())
    #expect(Format.ingot.leftOut(of: again) == nil)
    let line = try #require(Format.compressedTensors.leftOut(of: again))
    #expect(line.contains("input_scale") && line.contains("k_scale"))
  }

  @Test(arguments: ["_scale", "_scale_2"])
  func companionsThatAreMissingAreNamed(_ suffix: String) throws {
    let scratch = try checkpoint(
      nvfp4(Self.weight + suffix), config: "", beside: ["hf_quant_config.json": Self.modelOpt])
    let error = try refusal { _ = try Model.read(scratch("model")) }
    #expect(
      error?.description.contains(Self.weight + suffix) == true, "\(error?.description ?? "read")")
  }

  @Test(arguments: ["[5]", "[2, 6]", "[6, 2]", "[]"])
  func scalesOfOtherShapes(_ shape: String) throws {
    let extents = try #require(try JSON.parse(Array(shape.utf8), path: "").array).map { $0.int! }
    let (stored, _) = scales("F32", extents.reduce(1, *))
    let isAbsent = extents.isEmpty
    let scratch = try checkpoint(
      [(Self.weight, "F8_E4M3", [Self.rows, Self.columns], codes)]
        + (isAbsent ? [] : [(Self.weight + "_scale", "F32", extents, stored)]),
      config: "{\"quant_method\":\"fp8\"}")
    let error = try refusal { _ = try Model.read(scratch("model")) }
    #expect(error?.tensor == Self.weight + (isAbsent ? "" : "_scale"))
    #expect(error?.description.contains(isAbsent ? "_scale_inv" : "weight_block_size") == true)
  }

  /// AutoGPTQ's and AutoAWQ's files of their own are found.
  @Test(arguments: [
    (
      "quantize_config.json", "{\"bits\":4,\"group_size\":128,\"sym\":true,\"desc_act\":false}",
      "gptq"
    ),
    (
      "quant_config.json",
      "{\"w_bit\":4,\"q_group_size\":128,\"zero_point\":true,\"version\":\"GEMM\"}", "awq"
    ),
  ])
  func configsBesideTheConfig(_ file: String, _ text: String, _ format: String) throws {
    let scratch = try checkpoint(
      [("x.weight", "F32", [1], [0, 0, 0, 0])], config: "", beside: [file: text])
    #expect(Format.of(scratch("model")).name == format)
    #expect(try Model.read(scratch("model")).format == format)
  }
}
