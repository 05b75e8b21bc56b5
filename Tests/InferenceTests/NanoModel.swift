import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

/// The embedded model and what goes with it.
enum Nano {
  static let folder = fixture("m2-nano")

  static func fixture(_ name: String) -> String {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fixtures").appending(path: name).path()
  }

  static func model() throws -> Model { try Model.read(folder) }

  /// Token ids of text/heldout-agentic.txt, the first 4096.
  static func heldOut() throws -> [Int] {
    let bytes = try Bytes.mapping(fixture("m2-nano-heldout-ids.json"))
    let json = try JSON.parse(bytes.array, path: "m2-nano-heldout-ids.json")
    return json["ids"]!.array!.map { $0.int! }
  }

  /// `count` contexts of `length` tokens of the held-out text.
  static func contexts(_ count: Int, of length: Int) throws -> [Context] {
    Array(Context.cut(try heldOut(), length: length, text: "heldout-agentic.txt").prefix(count))
  }

  /// Logits of transformers' implementation: contexts and, for each, (tokens, vocabulary).
  static func golden() throws -> (contexts: [Context], logits: [[Float]]) {
    let path = fixture("m2-nano/golden.safetensors")
    let bytes = try Bytes.mapping(path)
    let length = Int(bytes.span.littleEndian(UInt64.self, at: 0))
    let header = try JSON.parse(bytes[8..<8 + length].array, path: path)
    func data(_ name: String) -> (shape: [Int], bytes: Bytes) {
      let offsets = header[name]!["data_offsets"]!.array!.map { 8 + length + $0.int! }
      return (header[name]!["shape"]!.array!.map { $0.int! }, bytes[offsets[0]..<offsets[1]])
    }
    let (shape, ids) = data("ids")
    let (count, tokens) = (shape[0], shape[1])
    let (logitShape, values) = data("logits")
    let width = tokens * logitShape[2]
    let logits = (0..<count).map { context in
      (0..<width).map {
        Float(bitPattern: values.span.littleEndian(UInt32.self, at: 4 * (context * width + $0)))
      }
    }
    let contexts = (0..<count).map { context in
      Context((0..<tokens).map { Int(ids.span.littleEndian(Int64.self, at: 8 * (context * tokens + $0))) })
    }
    return (contexts, logits)
  }
}

extension LayerStatistics.Field {
  /// Hessians of what goes into a mixer and into its output projection.
  static let attentionInput = LayerStatistics.Field(rawValue: "attention.input.hessian")
  static let attentionOutput = LayerStatistics.Field(rawValue: "attention.output.hessian")
}
