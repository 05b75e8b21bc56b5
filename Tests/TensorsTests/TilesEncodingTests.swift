import IngotKernels
import IngotSystem
import IngotTensors
import Testing

@Suite struct TilesEncodingTests {
  static let all = TileCodebook.allCases.flatMap { book in (1...8).map { Tiles(bits: $0, codebook: book)! } }

  @Test func namesAreThoseOfOneEncoding() {
    #expect(Tiles(bits: 3)!.description == "exl3-3")
    #expect(Tiles(bits: 2, codebook: .mcg)!.description == "exl3-2 mcg")
    #expect(Tiles(bits: 8, codebook: .sum)!.description == "exl3-8 3inst")
    for scheme in Self.all { #expect(Tiles(name: scheme.description) == scheme) }
    #expect(Set(Self.all.map(\.description)).count == Self.all.count)
    for name in ["exl3", "exl3-0", "exl3-9", "exl3-2.5", "exl3-2 mul1", "exl3-02"] {
      #expect(Tiles(name: name) == nil, "\(name)")
    }
    #expect(Tiles(bits: 0) == nil && Tiles(bits: 9) == nil)
  }

  @Test func planesHaveTheirBytes() {
    func bytes(_ bits: Int, _ shape: [Int]) -> [Int]? {
      Encoding.tiles(Tiles(bits: bits)!).planes(shape)?.map(\.bytes)
    }
    #expect(bytes(3, [1536, 3072]) == [1536 * 3072 * 3 / 8, 3072 * 2, 1536 * 2])
    #expect(bytes(2, [64, 200]) == [128 * 256 / 4, 512, 256], "padded")
    #expect(bytes(5, [0, 8]) == [0, 0, 0] && bytes(5, [8, 0]) == [0, 0, 0])
    for shape in [[1 << 60, 1 << 60], [Int.max, 2], [1, Int.max], [1, Int.max / 64], [-1, 4], [4, -1]] {
      #expect(bytes(8, shape) == nil, "\(shape)")
    }
    #expect(Tiles(bits: 4)!.codeExtents(rows: 130, columns: 64) == [8, 16, 64])
  }

  static func sample(_ scheme: Tiles, _ shape: [Int]) -> Tensor {
    let high: [UInt8] = [0x3C, 0xBC, 0x38]
    var contents: [Bytes] = []
    for plane in Encoding.tiles(scheme).planes(shape)! {
      var bytes = [UInt8](repeating: 0, count: plane.bytes)
      for index in bytes.indices {
        if plane.name == "codes" {
          bytes[index] = UInt8(truncatingIfNeeded: (index &* 2_654_435_761) >> 9)
        } else if index % 2 == 1 {
          bytes[index] = high[index / 2 % 3]
        }
      }
      contents.append(Bytes(bytes))
    }
    return Tensor(
      name: "sample", role: Role(.head), shape: shape, encoding: .tiles(scheme), path: "sample",
      planes: contents)
  }

  @Test func valuesAreTheKernels() throws {
    for scheme in [Tiles(bits: 3)!, Tiles(bits: 8, codebook: .mcg)!] {
      let tensor = Self.sample(scheme, [130, 21])
      let planes = try tensor.planes()
      func scales(_ count: Int) -> [Float] { (0..<count).map { [Float(1), -1, 0.5][$0 % 3] } }
      var expected = [Float](repeating: 0, count: 130 * 21)
      var span = expected.mutableSpan
      let codes = planes[0]
      decodeTiles(
        scheme.shape, codes.span, rows: 130, columns: 21, columnScales: scales(128).span,
        rowScales: scales(256).span, into: &span)
      #expect(try tensor.floats() == expected)
      #expect(tensor.rowStep == 130 && tensor.bytes == planes.reduce(0) { $0 + $1.count })
    }
  }

  @Test func nothingIsCutOutOfIt() {
    let tensor = Self.sample(Tiles(bits: 2)!, [256, 128])
    #expect(throws: FormatError.self) { try tensor.selectingRows(.range(0..<128)) }
    #expect(throws: FormatError.self) { try tensor.selectingColumns(0..<16) }
    #expect(throws: FormatError.self) {
      try Tensor.concatenatingRows([tensor, tensor], name: "two", role: Role(.head))
    }
  }
}
