import Foundation
import IngotKernels
import IngotSystem
import IngotTensors
import Testing

/// Blocks against what llama.cpp makes of the same numbers (scripts/tools make-ggml-vectors).
@Suite struct GGMLVectorTests {
  static let columns = 512
  static let vectors = Result {
    try SafeTensorsVectors(repository + "/Tests/Fixtures/ggml-vectors.safetensors")
  }

  @Test(arguments: GGMLType.allCases) func decodingIsLlamas(_ type: GGMLType) throws {
    let vectors = try Self.vectors.get()
    let blocks = vectors.bytes("blocks.\(type)")
    let wanted = vectors.floats("values.\(type)")
    for isa in InstructionSet.supported {
      var values = [Float](repeating: .nan, count: wanted.count)
      var span = values.mutableSpan
      decodeGGML(type: Int(type.rawValue), blocks.span.raw, into: &span, using: isa)
      #expect(values.map(\.bitPattern) == wanted.map(\.bitPattern), "\(isa)")
    }
  }

  /// Recipes that ask for round to nearest have llama.cpp's bytes; Q8_0 does without asking.
  @Test(arguments: [GGMLType.q40, .q41, .q50, .q51, .q80, .mxfp4]) func roundingIsLlamas(_ type: GGMLType)
    throws
  {
    let vectors = try Self.vectors.get()
    let weights = vectors.floats("weights")
    for isa in InstructionSet.supported {
      let blocks = quantized(type, weights, .roundToNearest, nil, isa)
      #expect(blocks == vectors.bytes("nearest.\(type)"), "\(isa)")
    }
  }

  @Test(arguments: GGMLType.allCases.filter(\.isWritable)) func searchLeavesNoMoreErrorThanLlama(
    _ type: GGMLType
  ) throws {
    let vectors = try Self.vectors.get()
    let weights = vectors.floats("weights")
    let importance = vectors.floats("importance")
    for (name, given) in [("error", nil), ("weighted", importance)] {
      let theirs = vectors.floats("\(name).\(type)")
      var values = weights
      var span = values.mutableSpan
      decodeGGML(
        type: Int(type.rawValue), quantized(type, weights, .search, given, .best).span.raw, into: &span)
      for row in theirs.indices where row > 0 && row % 4 != 3 {
        let error = (0..<Self.columns).reduce(0.0) { sum, column in
          let index = row * Self.columns + column
          let difference = Double(values[index]) - Double(weights[index])
          return sum + difference * difference * Double(given?[column] ?? 1)
        }
        // One part in a million is F32's rounding of their sum.
        #expect(error <= Double(theirs[row]) * (1 + 1e-6), "\(name), row \(row)")
      }
    }
  }

  private func quantized(
    _ type: GGMLType, _ weights: [Float], _ method: AffineMethod, _ importance: [Float]?,
    _ isa: InstructionSet
  ) -> [UInt8] {
    var blocks = [UInt8](repeating: 0xAA, count: weights.count / type.blockWeights * type.blockBytes)
    var span = blocks.mutableSpan
    var bytes = span.mutableRaw
    quantizeGGML(
      type: Int(type.rawValue), weights.span, importance: importance?.span,
      rows: weights.count / Self.columns,
      method: method, blocks: &bytes, using: isa)
    return blocks
  }
}

/// The tensors of a small SafeTensors file, by name.
struct SafeTensorsVectors: Sendable {
  private let places: [String: Range<Int>]
  private let content: [UInt8]

  init(_ path: String) throws {
    content = try Bytes.mapping(path).array
    let length = content[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSON.parse(Array(content[8..<8 + length]), path: path)
    var places: [String: Range<Int>] = [:]
    for (name, entry) in header.object ?? [:] {
      guard let ends = entry["data_offsets"]?.array else { continue }
      places[name] = 8 + length + ends[0].int!..<8 + length + ends[1].int!
    }
    self.places = places
  }

  func bytes(_ name: String) -> [UInt8] { Array(content[places[name]!]) }

  func floats(_ name: String) -> [Float] {
    let bytes = bytes(name)
    return stride(from: 0, to: bytes.count, by: 4).map { at in
      Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << (8 * UInt32($1)) })
    }
  }
}
