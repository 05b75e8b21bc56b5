import IngotKernels
import Testing

@Suite struct FloatsTests {
  /// Value of a code from the definition of its fields, by way of Double.
  static func defined(_ code: Int, exponentBits: Int, mantissaBits: Int, finite: Bool) -> Float {
    let mantissa = code & (1 << mantissaBits - 1)
    let exponent = code >> mantissaBits & (1 << exponentBits - 1)
    let sign: Double = code >> (mantissaBits + exponentBits) == 1 ? -1 : 1
    let bias = 1 << (exponentBits - 1) - 1
    let fraction = Double(mantissa) / Double(1 << mantissaBits)
    if exponent == 1 << exponentBits - 1 {
      if finite {
        if mantissa == 1 << mantissaBits - 1 { return .nan }
      } else {
        return mantissa == 0 ? Float(sign) * .infinity : .nan
      }
    }
    let power = { (e: Int) in Double(sign: .plus, exponent: e, significand: 1) }
    if exponent == 0 { return Float(sign * fraction * power(1 - bias)) }
    return Float(sign * (1 + fraction) * power(exponent - bias))
  }

  static func fields(_ format: FloatFormat) -> (exponentBits: Int, mantissaBits: Int, finite: Bool) {
    switch format {
    case .f32: (8, 23, false)
    case .f16: (5, 10, false)
    case .bf16: (8, 7, false)
    case .f8e4m3: (4, 3, true)
    case .f8e5m2: (5, 2, false)
    }
  }

  /// All codes of a format, little endian.
  static func everyCode(_ format: FloatFormat) -> [UInt8] {
    if format.byteCount == 1 { return (0...255).map { UInt8($0) } }
    return (0...65535).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
  }

  @Test(arguments: [FloatFormat.f16, .bf16, .f8e4m3, .f8e5m2], InstructionSet.supported)
  func everyCodeDecodesToItsDefinition(format: FloatFormat, isa: InstructionSet) {
    let (exponentBits, mantissaBits, finite) = Self.fields(format)
    let values = decoded(format, Self.everyCode(format), using: isa)
    for (code, value) in values.enumerated() {
      let wanted = Self.defined(code, exponentBits: exponentBits, mantissaBits: mantissaBits, finite: finite)
      let equal = wanted.isNaN ? value.isNaN : value.bitPattern == wanted.bitPattern
      if !equal { Issue.record("\(format) \(isa) code \(code): \(value), defined as \(wanted)") }
    }
  }

  @Test(arguments: [FloatFormat.f16, .bf16], InstructionSet.supported)
  func encodingADecodedCodeGivesItBack(format: FloatFormat, isa: InstructionSet) {
    let codes = Self.everyCode(format)
    let values = decoded(format, codes)
    let again = encoded(format, values, using: isa)
    for (index, value) in values.enumerated() {
      let (code, back) = (codes[2 * index..<2 * index + 2], again[2 * index..<2 * index + 2])
      if value.isNaN {
        let bits = UInt16(back.first!) | UInt16(back.last!) << 8
        let quiet: UInt16 = format == .f16 ? 0x7E00 : 0x7FC0
        #expect(bits & quiet == quiet, "\(format) \(isa) code \(index)")
      } else if code != back {
        Issue.record("\(format) \(isa) code \(index) became \(back)")
      }
    }
  }

  /// Between any two neighbouring codes: below, at and above the middle.
  @Test(arguments: [FloatFormat.f16, .bf16], InstructionSet.supported)
  func encodingRoundsToNearestEven(format: FloatFormat, isa: InstructionSet) {
    let infinity = format == .f16 ? 0x7C00 : 0x7F80
    let values = decoded(format, Self.everyCode(format))
    var inputs: [Float] = []
    var wanted: [UInt16] = []
    for code in 0..<infinity {
      let low = Double(values[code])
      let last = code + 1 == infinity
      // The last interval ends where the next power of two would be.
      let high = last ? 2 * low - Double(values[code - 1]) : Double(values[code + 1])
      let middle = Float((low + high) / 2)
      let even = UInt16(code % 2 == 0 ? code : code + 1)
      for sign: UInt16 in [0, 0x8000] {
        let factor: Float = sign == 0 ? 1 : -1
        inputs += [factor * middle.nextDown, factor * middle, factor * middle.nextUp]
        wanted += [UInt16(code) | sign, even | sign, UInt16(code + 1) | sign]
      }
    }
    let got = encoded(format, inputs, using: isa)
    for (j, code) in wanted.enumerated() {
      let bits = UInt16(got[2 * j]) | UInt16(got[2 * j + 1]) << 8
      if bits != code { Issue.record("\(format) \(isa) \(inputs[j]): \(bits), nearest is \(code)") }
    }
  }

  @Test(arguments: vectorSets)
  func everyInstructionSetDecodesAlike(isa: InstructionSet) {
    for (seed, format) in FloatFormat.allCases.enumerated() {
      var random = SeededGenerator(seed)
      for count in lengths {
        let bytes = random.bytes(count * format.byteCount)
        let difference = difference(
          bitPatterns(decoded(format, bytes)), bitPatterns(decoded(format, bytes, using: isa)))
        #expect(difference == nil, "\(format) \(isa) count \(count) seed \(seed)")
      }
    }
  }

  @Test(arguments: vectorSets)
  func everyInstructionSetEncodesAlike(isa: InstructionSet) {
    for (seed, format) in [FloatFormat.f32, .f16, .bf16].enumerated() {
      var random = SeededGenerator(seed)
      for count in lengths {
        let values = random.patterns(count) + random.normals(count)
        let difference = difference(encoded(format, values), encoded(format, values, using: isa))
        #expect(difference == nil, "\(format) \(isa) count \(2 * count) seed \(seed)")
      }
    }
  }

  @Test(arguments: InstructionSet.supported)
  func sourcesMayBeUnaligned(isa: InstructionSet) {
    var random = SeededGenerator(5)
    let bytes = random.bytes(4 * 131 + 3)
    for format in FloatFormat.allCases {
      for start in 0..<4 {
        let count = 131 * format.byteCount
        var out = [Float](repeating: 0, count: 131)
        var span = out.mutableSpan
        decode(format, bytes.span.raw.extracting(start..<start + count), into: &span, using: isa)
        let wanted = decoded(format, Array(bytes[start..<start + count]))
        #expect(difference(bitPatterns(out), bitPatterns(wanted)) == nil, "\(format) \(isa) start \(start)")
      }
    }
  }

  @Test(arguments: InstructionSet.supported)
  func blockScalesMultiplyTheirColumns(isa: InstructionSet) {
    for format in [FloatFormat.f8e4m3, .f8e5m2] {
      var random = SeededGenerator(9)
      for count in lengths {
        for block in [1, 3, 16, 64, 100, 128] {
          let bytes = random.bytes(count)
          let scales = random.normals((count + block - 1) / block)
          let values = decoded(format, bytes)
          let wanted = values.indices.map { values[$0] * scales[$0 / block] }
          var out = [Float](repeating: -1, count: count)
          var span = out.mutableSpan
          decodeBlockScaled(
            format, bytes.span.raw, scales: scales.span, blockColumns: block, into: &span, using: isa)
          let equal = zip(out, wanted).allSatisfy {
            $0.isNaN ? $1.isNaN : $0.bitPattern == $1.bitPattern
          }
          #expect(equal, "\(format) \(isa) count \(count) block \(block) seed 9")
        }
      }
    }
  }

  @Test(arguments: InstructionSet.supported)
  func theFirstNonFiniteValueIsFound(isa: InstructionSet) {
    var random = SeededGenerator(11)
    for count in lengths {
      var values = random.normals(count)
      if count > 0 { values[count / 2] = .greatestFiniteMagnitude }
      #expect(firstNonFinite(values.span, using: isa) == nil, "\(isa) count \(count) seed 11")
      for place in Set([0, 1, count / 3, count / 2, count - 1]) where values.indices.contains(place) {
        for bad in [Float.nan, .infinity, -.infinity, .signalingNaN] {
          var spoiled = values
          spoiled[place] = bad
          spoiled[count - 1] = bad
          #expect(firstNonFinite(spoiled.span, using: isa) == place, "\(isa) count \(count) at \(place)")
        }
      }
    }
  }
}
