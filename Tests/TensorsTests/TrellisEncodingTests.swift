import IngotKernels
import IngotSystem
import IngotTensors
import Testing

@Suite struct TrellisEncodingTests {
  static let all = (3...8).flatMap { halves in (8...16).map { Trellis(halves: halves, window: $0)! } }

  @Test func namesAreThoseOfOneEncoding() {
    #expect(
      Trellis(halves: 5)!.description == "trellis-2.5" && Trellis(halves: 4)!.description == "trellis-2")
    #expect(Trellis(halves: 3, window: 9)!.description == "trellis-1.5 w9")
    for scheme in Self.all { #expect(Trellis(name: scheme.description) == scheme) }
    #expect(Set(Self.all.map(\.description)).count == Self.all.count)
    for name in [
      "trellis", "trellis-1", "trellis-4.5", "trellis-2.25", "trellis-2.5 w12", "trellis-2.5 w7",
      "trellis-02",
    ] {
      #expect(Trellis(name: name) == nil, "\(name)")
    }
    #expect(Trellis(halves: 2) == nil && Trellis(halves: 9) == nil && Trellis(halves: 5, window: 17) == nil)
  }

  @Test func planesHaveTheirBytes() {
    func bytes(_ halves: Int, _ shape: [Int]) -> [Int]? {
      Encoding.trellis(Trellis(halves: halves)!).planes(shape)?.map(\.bytes)
    }
    #expect(bytes(5, [1536, 3072]) == [1536 * 3072 * 5 / 16, 1536 * 4, 3072 * 2])
    #expect(bytes(4, [65, 3]) == [2 * 4 * 3 * 4, 260, 6])
    #expect(bytes(3, [2, 3, 7]) == [3 * 7 * 4, 24, 14])
    #expect(bytes(8, []) == [32, 4, 2])
    #expect(bytes(5, [0, 8]) == [0, 0, 0] && bytes(5, [1 << 62, 0]) == [0, 0, 0])
    for shape in [[1 << 60, 1 << 60], [Int.max, 2], [1, Int.max], [1, Int.max / 32], [-1, 4], [4, -1]] {
      #expect(bytes(8, shape) == nil, "\(shape)")
    }
  }

  /// Planes of these codes, with scales of powers of two.
  static func sample(_ scheme: Trellis, _ shape: [Int]) -> Tensor {
    let layout = Encoding.trellis(scheme).planes(shape)!
    let contents = layout.map { plane in
      Bytes(
        (0..<plane.bytes).map { index -> UInt8 in
          switch plane.name {
          case "scales": [0, 0, UInt8(truncatingIfNeeded: index / 4 % 2 * 128), 0x3E][index % 4]
          case "columns": [0, 0x3C + UInt8(index / 2 % 3 * 4)][index % 2]
          default: UInt8(truncatingIfNeeded: (index &* 2_654_435_761) >> 9)
          }
        })
    }
    return Tensor(
      name: "sample", role: Role(.head), shape: shape, encoding: .trellis(scheme), path: "sample",
      planes: contents)
  }

  @Test func valuesAreTheKernels() throws {
    for scheme in [Trellis(halves: 5)!, Trellis(halves: 8, window: 9)!] {
      let tensor = Self.sample(scheme, [300, 21])
      let planes = try tensor.planes()
      let rowScales = (0..<300).map { $0 % 2 == 0 ? Float(0.125) : 0.25 }
      let columnScales = (0..<21).map { [Float(1), 2, 4][$0 % 3] }
      var expected = [Float](repeating: 0, count: 300 * 21)
      var span = expected.mutableSpan
      let codes = planes[0]
      decodeTrellis(
        scheme.shape, codes.span, rowScales: rowScales.span, columnScales: columnScales.span, into: &span)
      #expect(try tensor.floats() == expected)
      #expect(tensor.rowStep == 300 && tensor.bytes == planes.reduce(0) { $0 + $1.count })
    }
  }

  @Test func nothingIsCutOutOfIt() {
    let tensor = Self.sample(Trellis(halves: 5)!, [256, 32])
    #expect(throws: FormatError.self) { try tensor.selectingRows(.range(0..<64)) }
    #expect(throws: FormatError.self) { try tensor.selectingColumns(0..<16) }
    #expect(throws: FormatError.self) {
      try Tensor.concatenatingRows([tensor, tensor], name: "two", role: Role(.head))
    }
  }
}
