import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Packed checkpoints as tools write them with options that few use: small ones, of modules that no family has.
@Suite struct PackedOptionTests {
  struct Stored {
    var name: String
    var dtype: String
    var shape: [Int]
    var bytes: [UInt8]

    init(_ name: String, _ dtype: String, _ shape: [Int], words: [UInt32]) {
      (self.name, self.dtype, self.shape) = (name, dtype, shape)
      bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    init(_ name: String, _ dtype: String, _ shape: [Int], halves: [UInt16]) {
      (self.name, self.dtype, self.shape) = (name, dtype, shape)
      bytes = halves.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    }
  }

  /// A checkpoint of a model type that no family is written for.
  private static func read(_ tensors: [Stored], _ quantization: String, _ scratch: Scratch) throws -> Model {
    var entries: [String] = []
    var data: [UInt8] = []
    for tensor in tensors {
      let start = data.count
      data += tensor.bytes
      entries.append(
        "\"\(tensor.name)\":{\"dtype\":\"\(tensor.dtype)\",\"shape\":\(tensor.shape),"
          + "\"data_offsets\":[\(start),\(data.count)]}")
    }
    let header = Array("{\(entries.joined(separator: ","))}".utf8)
    let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
    try FileManager.default.createDirectory(atPath: scratch("model"), withIntermediateDirectories: true)
    try scratch.write("model/model.safetensors", length + header + data)
    try scratch.write(
      "model/config.json", Array(#"{"model_type":"unheardof","quantization_config":\#(quantization)}"#.utf8))
    return try Model.read(scratch("model"))
  }

  private static func values(_ model: Model, _ name: String) throws -> [Float] {
    try #require(model.tensors.first { $0.name == name }).floats()
  }

  /// Codes 9 of 4 bits, 2 rows of 32 columns.
  private static func packed(scale: Stored) -> [Stored] {
    [
      Stored("a.weight_packed", "I32", [2, 4], words: Array(repeating: 0x9999_9999, count: 8)),
      Stored("a.weight_shape", "I32", [2], words: [2, 32]), scale,
    ]
  }

  private static func config(_ strategy: String) -> String {
    #"{"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":{"num_bits":4,"type":"int","#
      + #""symmetric":true,"strategy":"\#(strategy)"}}}}"#
  }

  @Test func oneScaleForAllRows() throws {
    let scratch = try Scratch()
    let one = Self.packed(scale: Stored("a.weight_scale", "BF16", [1], halves: [0x3F00]))
    #expect(
      try Self.values(Self.read(one, Self.config("tensor"), scratch), "a.weight")
        == Array(repeating: 0.5, count: 64))
    // The config must say so.
    let error = try refusal { _ = try Self.read(one, Self.config("channel"), scratch) }
    #expect(error?.tensor == "a.weight_packed" && error?.found.contains("one scale") == true)
    let rows = Self.packed(scale: Stored("a.weight_scale", "BF16", [2, 1], halves: [0x3F00, 0x3F80]))
    #expect(try refusal { _ = try Self.read(rows, Self.config("tensor"), scratch) } != nil)
    #expect(
      try Self.values(Self.read(rows, Self.config("channel"), scratch), "a.weight")
        == Array(repeating: 0.5, count: 32) + Array(repeating: 1, count: 32))
  }

  @Test func codesOfSixBitsAreNamed() throws {
    let scratch = try Scratch()
    var stored = Self.packed(scale: Stored("a.weight_scale", "U8", [2, 1], halves: [0x7F7F]))
    stored[0] = Stored("a.weight_packed", "U8", [2, 16], words: Array(repeating: 0, count: 8))
    let six = Self.config("group").replacingOccurrences(
      of: #""num_bits":4,"type":"int""#, with: #""num_bits":6,"type":"float","group_size":32"#)
    let error = try refusal { _ = try Self.read(stored, six, scratch) }
    #expect(error?.tensor == "a.weight_packed" && error?.found.contains("MXFP6") == true)
  }

  /// A module of 32 rows and columns, all of one code, without the groups of columns.
  private static func module(_ name: String, bits: Int, code: UInt32, zero: UInt32) -> [Stored] {
    func word(_ value: UInt32) -> UInt32 { (0..<32 / bits).reduce(0) { $0 | value << UInt32($1 * bits) } }
    return [
      Stored("\(name).qweight", "I32", [bits, 32], words: Array(repeating: word(code), count: 32 * bits)),
      Stored("\(name).qzeros", "I32", [1, bits], words: Array(repeating: word(zero), count: bits)),
      Stored("\(name).scales", "F16", [1, 32], halves: Array(repeating: 0x3800, count: 32)),
    ]
  }

  @Test func autoRoundGivesModulesWidthsOfTheirOwn() throws {
    let scratch = try Scratch()
    let tensors =
      Self.module("a", bits: 4, code: 9, zero: 7) + Self.module("b", bits: 8, code: 130, zero: 127)
      + Self.module("c", bits: 2, code: 3, zero: 1)
    let config =
      #"{"quant_method":"auto-round","packing_format":"auto_round:auto_gptq","bits":4,"group_size":32,"sym":true,"#
      + #""extra_config":{"b":{"bits":8},"c":{"bits":2,"sym":true}}}"#
    let model = try Self.read(tensors, config, scratch)
    #expect(model.format == Format.gptq.name)
    for (name, value) in [("a", 0.5 as Float), ("b", 1), ("c", 0.5)] {
      #expect(try Self.values(model, "\(name).weight") == Array(repeating: value, count: 1024), "\(name)")
    }
    // Where one is asymmetric, any zero point is as it is meant.
    let asymmetric = config.replacingOccurrences(of: #""sym":true}}"#, with: #""sym":false}}"#)
    let shifted =
      Self.module("a", bits: 4, code: 9, zero: 7) + Self.module("b", bits: 8, code: 130, zero: 127)
      + Self.module("c", bits: 2, code: 3, zero: 0)
    #expect(
      try Self.values(Self.read(shifted, asymmetric, scratch), "c.weight") == Array(repeating: 1, count: 1024)
    )
    #expect(try refusal { _ = try Self.values(Self.read(shifted, config, scratch), "c.weight") } != nil)
    // Without the word for it, other widths contradict the config.
    let plain = config.replacingOccurrences(of: "extra_config", with: "other_config")
    #expect(try refusal { _ = try Self.read(tensors, plain, scratch) } != nil)
  }
}
