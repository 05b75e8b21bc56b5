import IngotKernels
import Testing

@Suite struct AffineDecodingTests {
  @Test(arguments: 1...8, InstructionSet.supported)
  func rowsDecodeToTheirDefinition(bits: Int, isa: InstructionSet) {
    for count in lengths + [6144] {
      for group in [16, 32, 48, 64, 100, 128, max(count, 1)] {
        var random = SeededGenerator(count * 31 + group)
        let mask = UInt8(1 << bits - 1)
        let codes = random.bytes(count).map { $0 & mask }
        let groups = (count + group - 1) / group
        let scales = random.normals(groups)
        let biases = random.normals(groups)
        let zeros = random.bytes(groups).map { $0 & mask }
        var packed = [UInt8](repeating: 0, count: packedByteCount(bits: bits, count: count))
        var bytes = packed.mutableSpan
        var raw = bytes.mutableRaw
        pack(bits: bits, codes.span, into: &raw, using: .scalar)

        let half = 1 << (bits - 1)
        let wanted = [
          codes.indices.map { scales[$0 / group] * Float(Int(codes[$0]) - half) },
          codes.indices.map { scales[$0 / group] * Float(Int(codes[$0]) - Int(zeros[$0 / group])) },
          codes.indices.map { (j: Int) -> Float in
            let product = scales[j / group] * Float(codes[j])
            return product + biases[j / group]
          },
        ]
        for scheme in 0..<3 {
          var out = [Float](repeating: -1, count: count)
          var again = out
          var span = out.mutableSpan
          var other = again.mutableSpan
          switch scheme {
          case 0:
            decodeAffineSymmetric(
              bits: bits, packed: packed.span.raw, group: group, scales: scales.span, into: &span, using: isa)
            decodeAffineSymmetric(
              bits: bits, codes: codes.span, group: group, scales: scales.span, into: &other, using: isa)
          case 1:
            decodeAffineZeroPoint(
              bits: bits, packed: packed.span.raw, group: group, scales: scales.span, zeros: zeros.span,
              into: &span, using: isa)
            decodeAffineZeroPoint(
              codes: codes.span, group: group, scales: scales.span, zeros: zeros.span, into: &other,
              using: isa)
          default:
            decodeAffineBias(
              bits: bits, packed: packed.span.raw, group: group, scales: scales.span, biases: biases.span,
              into: &span, using: isa)
            decodeAffineBias(
              codes: codes.span, group: group, scales: scales.span, biases: biases.span, into: &other,
              using: isa)
          }
          let place = "scheme \(scheme) \(bits) bits \(isa) count \(count) group \(group)"
          #expect(difference(bitPatterns(out), bitPatterns(wanted[scheme])) == nil, "\(place)")
          #expect(difference(bitPatterns(again), bitPatterns(wanted[scheme])) == nil, "\(place) codes")
        }
      }
    }
  }
}
