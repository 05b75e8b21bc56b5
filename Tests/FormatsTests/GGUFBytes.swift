import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors

/// A GGUF file made by hand, independent of the writer: every field can be wrong on purpose.
struct GGUFBytes {
  struct Value {
    var key: String
    var type: UInt32
    var payload: [UInt8]
  }

  struct Info {
    var name: String
    /// The file's order: fastest dimension first.
    var dims: [UInt64]
    var type: UInt32 = 0
    /// Nil for the place behind the tensor before.
    var offset: UInt64?
    var data: [UInt8]
  }

  var magic: [UInt8] = Array("GGUF".utf8)
  var version: UInt32 = 3
  var values: [Value] = []
  var tensors: [Info] = []
  var alignment = 32
  /// Written instead of the true counts.
  var statedTensors: UInt64?
  var statedValues: UInt64?

  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  static func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }

  mutating func add(_ key: String, _ type: UInt32, _ payload: [UInt8]) {
    values.append(Value(key: key, type: type, payload: payload))
  }

  mutating func add(_ key: String, uint32 value: UInt32) { add(key, 4, GGUFBytes.little(value)) }
  mutating func add(_ key: String, float value: Float) { add(key, 6, GGUFBytes.little(value.bitPattern)) }
  mutating func add(_ key: String, _ value: String) { add(key, 8, GGUFBytes.text(value)) }

  mutating func set(_ key: String, _ type: UInt32, _ payload: [UInt8]) {
    values.removeAll { $0.key == key }
    add(key, type, payload)
  }

  var bytes: [UInt8] {
    var out = magic + GGUFBytes.little(version)
    out += GGUFBytes.little(statedTensors ?? UInt64(tensors.count))
    out += GGUFBytes.little(statedValues ?? UInt64(values.count))
    for value in values { out += GGUFBytes.text(value.key) + GGUFBytes.little(value.type) + value.payload }
    var end = 0
    for tensor in tensors {
      out += GGUFBytes.text(tensor.name) + GGUFBytes.little(UInt32(tensor.dims.count))
      for dim in tensor.dims { out += GGUFBytes.little(dim) }
      out += GGUFBytes.little(tensor.type) + GGUFBytes.little(tensor.offset ?? UInt64(end))
      end = (end + tensor.data.count + alignment - 1) / alignment * alignment
    }
    func pad() { while out.count % alignment != 0 { out.append(0) } }
    pad()
    for tensor in tensors {
      out += tensor.data
      pad()
    }
    return out
  }

  /// A MiniMax-M2 of one layer, two experts, four columns and four tokens, all F32.
  static func tiny() -> GGUFBytes {
    var file = GGUFBytes()
    file.add("general.architecture", "minimax-m2")
    for (key, value) in [
      ("block_count", 1), ("context_length", 64), ("embedding_length", 4), ("feed_forward_length", 4),
      ("expert_feed_forward_length", 4), ("attention.head_count", 1), ("attention.head_count_kv", 1),
      ("attention.key_length", 4), ("attention.value_length", 4), ("rope.dimension_count", 2),
      ("expert_count", 2), ("expert_used_count", 1), ("expert_gating_func", 2),
    ] { file.add("minimax-m2.\(key)", uint32: UInt32(value)) }
    file.add("minimax-m2.attention.layer_norm_rms_epsilon", float: 1e-6)
    file.add("minimax-m2.rope.freq_base", float: 10000)
    file.add("tokenizer.ggml.model", "none")
    let shapes: [(String, [UInt64])] = [
      ("token_embd.weight", [4, 4]), ("output_norm.weight", [4]), ("output.weight", [4, 4]),
      ("blk.0.attn_norm.weight", [4]), ("blk.0.ffn_norm.weight", [4]), ("blk.0.attn_q.weight", [4, 4]),
      ("blk.0.attn_k.weight", [4, 4]), ("blk.0.attn_v.weight", [4, 4]), ("blk.0.attn_output.weight", [4, 4]),
      ("blk.0.attn_q_norm.weight", [4]), ("blk.0.attn_k_norm.weight", [4]),
      ("blk.0.ffn_gate_inp.weight", [4, 2]), ("blk.0.exp_probs_b.bias", [2]),
      ("blk.0.ffn_gate_exps.weight", [4, 4, 2]), ("blk.0.ffn_up_exps.weight", [4, 4, 2]),
      ("blk.0.ffn_down_exps.weight", [4, 4, 2]),
    ]
    for (number, (name, dims)) in shapes.enumerated() {
      let count = Int(dims.reduce(1, *))
      let data = (0..<count).flatMap { little((Float(number) + Float($0) / 64).bitPattern) }
      file.tensors.append(Info(name: name, dims: dims, data: data))
    }
    return file
  }
}

/// What stands in a GGUF file, by a parser that trusts the file: for files of our own.
struct GGUFContent {
  /// Key, type's number and value as text; long arrays by count and first element.
  var values: [(key: String, type: UInt32, text: String)] = []
  var tensors: [String: (dims: [Int], type: UInt32, data: [UInt8])] = [:]
  var order: [String] = []

  init(_ file: [UInt8]) {
    var position = 8
    func integer<T: FixedWidthInteger>(_ type: T.Type) -> T {
      defer { position += T.bitWidth / 8 }
      return (0..<T.bitWidth / 8).reduce(T.zero) {
        $0 | T(truncatingIfNeeded: file[position + $1]) << (8 * $1)
      }
    }
    func string() -> String {
      let count = Int(integer(UInt64.self))
      defer { position += count }
      return String(decoding: file[position..<position + count], as: UTF8.self)
    }
    func value(_ type: UInt32) -> String {
      switch type {
      case 0, 7: return "\(integer(UInt8.self))"
      case 2: return "\(integer(UInt16.self))"
      case 4: return "\(integer(UInt32.self))"
      case 5: return "\(integer(Int32.self))"
      case 6: return "\(Float(bitPattern: integer(UInt32.self)))"
      case 8: return string()
      case 9:
        let inner = integer(UInt32.self)
        let count = Int(integer(UInt64.self))
        let elements = (0..<count).map { _ in value(inner) }
        return "\(count) of type \(inner), first \(elements.first ?? ""), last \(elements.last ?? "")"
      default: preconditionFailure("type \(type) is none that the writer uses")
      }
    }
    let tensorCount = Int(integer(UInt64.self))
    let valueCount = Int(integer(UInt64.self))
    for _ in 0..<valueCount {
      let key = string()
      let type = integer(UInt32.self)
      values.append((key, type, value(type)))
    }
    var infos: [(String, [Int], UInt32, Int)] = []
    for _ in 0..<tensorCount {
      let name = string()
      let rank = Int(integer(UInt32.self))
      let dims = (0..<rank).map { _ in Int(integer(UInt64.self)) }
      infos.append((name, dims, integer(UInt32.self), Int(integer(UInt64.self))))
    }
    let start = (position + 31) / 32 * 32
    for (number, info) in infos.enumerated() {
      let end = number + 1 < infos.count ? start + infos[number + 1].3 : file.count
      tensors[info.0] = (info.1, info.2, Array(file[start + info.3..<end]))
      order.append(info.0)
    }
  }

  subscript(key: String) -> String? { values.first { $0.key == key }?.text }
}

enum Fixture {
  static let nano = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/m2-nano").path()
}

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
