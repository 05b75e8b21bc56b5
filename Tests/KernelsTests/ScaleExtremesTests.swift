import IngotKernels
import Testing

@Suite struct ScaleExtremesTests {
  private func found(_ bytes: [UInt8], width: Int, offset: Int = 0, stride: Int, count: Int) -> [UInt16]? {
    scaleExtremes(bytes.span.raw, width: width, offset: offset, stride: stride, count: count).map {
      [$0.least, $0.greatest]
    }
  }

  @Test func neighboursOfTwoBytes() {
    let codes: [UInt16] = (0..<100).map { UInt16(1000 + 37 * $0 % 513) } + [0x8005, 0xFBFF]
    let bytes = codes.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    #expect(found(bytes, width: 2, stride: 2, count: codes.count) == [5, 0x7BFF])
    #expect(found(bytes, width: 2, stride: 2, count: 100) == [1000, codes.prefix(100).max()!])
  }

  @Test func scalesInBlocks() {
    // d at byte 4 of blocks of 6, whose other bytes are larger.
    var bytes = [UInt8](repeating: 0x7F, count: 18)
    for (block, code) in [UInt16(0x0203), 0x8001, 0x3C00].enumerated() {
      bytes[6 * block + 4] = UInt8(code & 255)
      bytes[6 * block + 5] = UInt8(code >> 8)
    }
    #expect(found(bytes, width: 2, offset: 4, stride: 6, count: 3) == [1, 0x3C00])
  }

  @Test func oneByteAndNone() {
    #expect(found([0x85, 3, 0x7E, 9], width: 1, stride: 1, count: 4) == [3, 0x7E])
    #expect(found([], width: 1, stride: 1, count: 0) == nil)
  }
}
