import IngotKernels
import Testing

@Suite struct BitsTests {
  func packed(_ bits: Int, _ codes: [UInt8], using isa: InstructionSet) -> [UInt8] {
    // Canaries on both sides: a body must not write outside.
    let count = packedByteCount(bits: bits, count: codes.count)
    var buffer = [UInt8](repeating: 0xA5, count: count + 128)
    var span = buffer.mutableSpan
    var raw = span.mutableRaw
    var part = raw._mutatingExtracting(64..<64 + count)
    pack(bits: bits, codes.span, into: &part, using: isa)
    #expect(buffer[..<64].allSatisfy { $0 == 0xA5 } && buffer[(64 + count)...].allSatisfy { $0 == 0xA5 })
    return Array(buffer[64..<64 + count])
  }

  func unpacked(_ bits: Int, _ bytes: [UInt8], count: Int, using isa: InstructionSet) -> [UInt8] {
    var buffer = [UInt8](repeating: 0xA5, count: count + 128)
    var span = buffer.mutableSpan
    var part = span._mutatingExtracting(64..<64 + count)
    unpack(bits: bits, bytes.span.raw, into: &part, using: isa)
    #expect(buffer[..<64].allSatisfy { $0 == 0xA5 } && buffer[(64 + count)...].allSatisfy { $0 == 0xA5 })
    return Array(buffer[64..<64 + count])
  }

  @Test(arguments: 1...8, InstructionSet.supported)
  func codesStandAtTheirBits(bits: Int, isa: InstructionSet) {
    var random = SeededGenerator(bits)
    for count in lengths + Array(18..<80) {
      let codes = random.bytes(count)
      let stream = packed(bits, codes, using: isa)
      #expect(stream.count == packedByteCount(bits: bits, count: count))
      var wanted = [UInt8](repeating: 0, count: (count * bits + 7) / 8)
      for (j, code) in codes.enumerated() {
        for bit in 0..<bits where code >> bit & 1 == 1 {
          wanted[(j * bits + bit) / 8] |= 1 << UInt8((j * bits + bit) % 8)
        }
      }
      #expect(difference(stream, wanted) == nil, "\(bits) bits \(isa) count \(count) seed \(bits)")
      let again = unpacked(bits, stream, count: count, using: isa)
      let kept = codes.map { $0 & UInt8(1 << bits - 1) }
      #expect(difference(again, kept) == nil, "\(bits) bits \(isa) count \(count) seed \(bits)")
    }
  }
}
