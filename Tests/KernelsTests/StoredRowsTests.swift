import IngotKernels
import Testing

/// Quantizing rows as they are stored is decoding them and quantizing that, bit for bit, on every instruction set.
@Suite struct StoredRowsTests {
  /// Rows in a format, with block scales or without.
  struct Sample: Sendable, CustomStringConvertible {
    var format: FloatFormat
    var values: [UInt8]
    var scales: [Float] = []
    var block = (rows: 1, columns: 1)
    var rows: Int
    var columns: Int
    var description: String { "\(format.rawValue) \(rows)x\(columns), blocks of \(block)" }

    /// - Parameter seed: also decides whether some rows are zeros, constant, of one sign or with outliers.
    init(_ format: FloatFormat, rows: Int, columns: Int, block: (Int, Int)? = nil, seed: Int) {
      var random = SeededGenerator(seed)
      self.format = format
      (self.rows, self.columns) = (rows, columns)
      values = []
      if format.byteCount == 1 {
        self.block = block ?? (1, columns)
        for row in 0..<rows {
          for column in 0..<columns {
            // Magnitudes of a block reach different peaks; NaN is 0x7F, in E5M2 also what stands before it.
            let most = format == .f8e5m2 ? 0x7B : 0x7E
            let magnitude = max(
              0, min(most, most - Int(abs(random.normal() * 8) + 20 * random.unit() * random.unit())))
            let sign = row % 7 == 3 ? 0 : random.unit() < 0.5 ? 0x80 : 0
            let constant = row % 11 == 5
            values.append(UInt8(row % 9 == 4 ? 0 : constant ? 0x35 : magnitude | sign))
            if column > 0, column % 97 == 0 { values[values.count - 1] = UInt8(most | sign) }
          }
        }
        let count =
          ((rows + self.block.rows - 1) / self.block.rows)
          * ((columns + self.block.columns - 1) / self.block.columns)
        scales = (0..<count).map { _ in 0.0004 * (0.25 + random.unit()) }
        if count > 2 { (scales[1], scales[2]) = (3e-9, 700) }
      } else {
        let floats = (0..<rows * columns).map { index -> Float in
          let weight = random.normal() * 0.02 * (index % 61 == 0 ? 9 : 1)
          switch index / columns % 13 {
          case 4: return 0
          case 5: return index % 3 == 0 ? -0.0 : 0
          case 6: return (weight * 150).rounded() * 0.25  // ties
          case 7: return weight * (index % 100 < 50 ? 1e-38 : 1e-20)
          case 8: return format == .f16 ? weight * 60000 : weight * (index % 100 < 50 ? 1e38 : 1e9)
          case 9: return 1 + weight * 0.01
          default: return weight
          }
        }
        values = encoded(format, floats)
      }
    }

    /// All values in F32, by the scalar reference.
    var floats: [Float] {
      if scales.isEmpty { return decoded(format, values) }
      let blocks = (columns + block.columns - 1) / block.columns
      return (0..<rows).flatMap { row in
        var out = [Float](repeating: 0, count: columns)
        var span = out.mutableSpan
        let first = row / block.rows * blocks
        decodeBlockScaled(
          format, values.span.raw.extracting(row * columns..<(row + 1) * columns),
          scales: scales.span.extracting(first..<first + blocks), blockColumns: block.columns, into: &span,
          using: .scalar)
        return out
      }
    }

    /// Calls `body` with room for up to three planes; what it made of them, and its answer.
    func planes(
      _ sizes: [Int],
      _ body: (
        borrowing StoredRows, inout MutableRawSpan, inout MutableRawSpan, inout MutableRawSpan,
        inout MutableRawSpan
      ) -> Bool
    ) -> (planes: [[UInt8]], finite: Bool) {
      var (a, b, c) = (
        [UInt8](repeating: 0xAA, count: sizes[0]), [UInt8](repeating: 0xAA, count: sizes[1]),
        [UInt8](repeating: 0xAA, count: sizes[2])
      )
      // Of words, since the scratch is aligned to floats.
      var scratch = [UInt64](repeating: 0xAAAA, count: StoredRows.scratchBytes(columns: columns) / 8 + 1)
      var aSpan = a.mutableSpan
      var bSpan = b.mutableSpan
      var cSpan = c.mutableSpan
      var scratchSpan = scratch.mutableSpan
      var aRaw = aSpan.mutableRaw
      var bRaw = bSpan.mutableRaw
      var cRaw = cSpan.mutableRaw
      var scratchRaw = scratchSpan.mutableRaw
      let finite: Bool
      if scales.isEmpty {
        let stored = StoredRows(format, values.span.raw, rows: rows, columns: columns)
        finite = body(stored, &aRaw, &bRaw, &cRaw, &scratchRaw)
      } else {
        let stored = StoredRows(
          format, values.span.raw, scales: scales.span, blockRows: block.rows, blockColumns: block.columns,
          rows: rows, columns: columns)
        finite = body(stored, &aRaw, &bRaw, &cRaw, &scratchRaw)
      }
      return ([a, b, c], finite)
    }
  }

  static let samples = [
    Sample(.f8e4m3, rows: 40, columns: 384, block: (16, 128), seed: 1),
    Sample(.f8e4m3, rows: 130, columns: 256, block: (128, 128), seed: 2),
    Sample(.f8e4m3, rows: 9, columns: 160, block: (4, 96), seed: 3),
    Sample(.f8e5m2, rows: 12, columns: 256, block: (8, 64), seed: 4),
    Sample(.bf16, rows: 27, columns: 320, seed: 5),
    Sample(.bf16, rows: 14, columns: 2176, seed: 8),
    Sample(.f16, rows: 27, columns: 192, seed: 6),
    Sample(.f32, rows: 5, columns: 128, seed: 7),
  ]

  static func packed(_ codes: [UInt8], bits: Int, rows: Int) -> [UInt8] {
    let columns = codes.count / rows
    return (0..<rows).flatMap { row in
      var out = [UInt8](repeating: 0, count: packedByteCount(bits: bits, count: columns))
      var span = out.mutableSpan
      var raw = span.mutableRaw
      pack(bits: bits, codes.span.extracting(row * columns..<(row + 1) * columns), into: &raw, using: .scalar)
      return out
    }
  }

  @Test(arguments: samples) func affine(_ sample: Sample) {
    let floats = sample.floats
    for (scheme, kind) in [
      (Scheme.symmetric, StoredRows.Scheme.symmetric), (.zeroPoint, .zeroPoint), (.bias, .bias),
    ] {
      for bits in [2, 3, 4, 5, 6, 8] {
        for (group, storage) in [
          (32, FloatFormat.f16), (64, .f16), (128, .bf16), (48, .f32), (sample.columns, .f16),
        ] {
          for method in AffineMethod.allCases where method == .roundToNearest || bits == 4 && group == 64 {
            let wanted = QuantizedRows(
              floats, rows: sample.rows, scheme: scheme, bits: bits, group: group, storage: storage,
              method: method,
              using: .scalar)
            let offsets =
              scheme == .bias
              ? wanted.biases
              : scheme == .zeroPoint ? Self.packed(wanted.zeros, bits: bits, rows: sample.rows) : []
            let planes = [Self.packed(wanted.codes, bits: bits, rows: sample.rows), wanted.scales, offsets]
            for isa in InstructionSet.supported {
              let made = sample.planes(planes.map(\.count)) { rows, codes, scales, offsets, scratch in
                rows.quantizeAffine(
                  kind, bits: bits, group: group, storage: storage, method: method, codes: &codes,
                  scales: &scales,
                  offsets: &offsets, scratch: &scratch, using: isa)
              }
              let what = "\(sample) int\(bits) g\(group) \(scheme) \(storage) \(method) \(isa)"
              #expect(made.finite, "\(what)")
              for (mine, theirs) in zip(made.planes, planes) {
                #expect(difference(mine, theirs) == nil, "\(what)")
              }
            }
          }
        }
      }
    }
  }

  @Test(arguments: samples) func blocks(_ sample: Sample) {
    let floats = sample.floats
    for (type, method) in [
      (2, AffineMethod.roundToNearest), (3, .roundToNearest), (6, .roundToNearest), (7, .roundToNearest),
      (8, .roundToNearest), (39, .roundToNearest), (2, .search), (8, .search), (39, .search), (20, .search),
    ] {
      guard let shape = ggmlBlock(type: type), sample.columns % shape.weights == 0 else { continue }
      var wanted = [UInt8](repeating: 0, count: floats.count / shape.weights * shape.bytes)
      var span = wanted.mutableSpan
      var raw = span.mutableRaw
      quantizeGGML(type: type, floats.span, rows: sample.rows, method: method, blocks: &raw, using: .scalar)
      for isa in InstructionSet.supported {
        let made = sample.planes([wanted.count, 0, 0]) { rows, blocks, _, _, scratch in
          rows.quantizeGGML(type: type, method: method, blocks: &blocks, scratch: &scratch, using: isa)
        }
        #expect(
          made.finite && difference(made.planes[0], wanted) == nil, "\(sample) \(type) \(method) \(isa)")
      }
    }
  }

  @Test(arguments: samples) func microScaled(_ sample: Sample) {
    let floats = sample.floats
    for (code, group, scale) in [
      (MicroCode.e2m1, 32, MicroScale.e8m0), (.e2m1, 16, .e4m3), (.e4m3, 32, .e8m0),
    ] {
      for method in AffineMethod.allCases {
        var codes = [UInt8](repeating: 0, count: floats.count)
        var scales = [UInt8](repeating: 0, count: sample.rows * ((sample.columns + group - 1) / group))
        var codeSpan = codes.mutableSpan
        var scaleSpan = scales.mutableSpan
        quantizeMicroScaled(
          floats.span, rows: sample.rows, code: code, group: group, scale: scale, method: method,
          codes: &codeSpan,
          scales: &scaleSpan, using: .scalar)
        let wanted = Self.packed(codes, bits: code == .e2m1 ? 4 : 8, rows: sample.rows)
        for isa in InstructionSet.supported {
          let made = sample.planes([wanted.count, scales.count, 0]) { rows, codes, scaleBytes, _, scratch in
            rows.quantizeMicroScaled(
              code: code, group: group, scale: scale, method: method, codes: &codes, scales: &scaleBytes,
              scratch: &scratch, using: isa)
          }
          let what = "\(sample) \(code) \(group) \(scale) \(method) \(isa)"
          #expect(made.finite && difference(made.planes[0], wanted) == nil, "\(what)")
          #expect(difference(made.planes[1], scales) == nil, "\(what)")
        }
      }
    }
  }

  @Test(arguments: samples) func dense(_ sample: Sample) {
    let floats = sample.floats
    for format in [FloatFormat.f32, .f16, .bf16] {
      let wanted = encoded(format, floats)
      for isa in InstructionSet.supported {
        let made = sample.planes([wanted.count, 0, 0]) { rows, out, _, _, scratch in
          rows.encode(format, into: &out, scratch: &scratch, using: isa)
        }
        #expect(made.finite && difference(made.planes[0], wanted) == nil, "\(sample) \(format) \(isa)")
      }
    }
  }

  /// Products: the bits of the decoded rows' on every instruction set and beside any other tokens, close to a product in
  /// F64.
  @Test(arguments: [
    Sample(.f8e4m3, rows: 9, columns: 160, block: (4, 96), seed: 3),
    Sample(.f8e4m3, rows: 130, columns: 1280, block: (128, 128), seed: 2),
    Sample(.f8e5m2, rows: 6, columns: 1100, block: (8, 1100), seed: 4),
    Sample(.bf16, rows: 7, columns: 320, seed: 5),
    Sample(.f16, rows: 7, columns: 1101, seed: 6),
    Sample(.f32, rows: 5, columns: 128, seed: 7),
  ]) func products(_ sample: Sample) {
    var random = SeededGenerator(sample.columns)
    let weights = sample.floats
    let x = random.normals(16 * sample.columns)
    func product(_ tokens: Range<Int>, _ isa: InstructionSet) -> [Float] {
      var y = [Float](repeating: .nan, count: tokens.count * sample.rows)
      _ = sample.planes([0, 0, 0]) { rows, _, _, _, _ in
        var span = y.mutableSpan
        let inputs = x.span.extracting(
          tokens.lowerBound * sample.columns..<tokens.upperBound * sample.columns)
        rows.multiply(inputs, tokens: tokens.count, into: &span, using: isa)
        return true
      }
      return y
    }
    let wanted = product(0..<16, .scalar)
    for isa in InstructionSet.supported {
      #expect(product(0..<16, isa) == wanted, "\(sample) \(isa)")
      var decoded = [Float](repeating: .nan, count: 16 * sample.rows)
      var span = decoded.mutableSpan
      gemm(
        m: 16, n: sample.rows, k: sample.columns, a: x.span, lda: sample.columns, b: weights.span,
        ldb: sample.columns, bTransposed: true, c: &span, ldc: sample.rows, using: isa)
      #expect(decoded == wanted, "\(sample) \(isa), decoded")
      for tokens in [0..<1, 3..<5, 9..<16] {
        let part = Array(wanted[tokens.lowerBound * sample.rows..<tokens.upperBound * sample.rows])
        #expect(product(tokens, isa) == part, "\(sample) \(tokens) \(isa)")
      }
    }
    for token in 0..<16 {
      for row in 0..<sample.rows {
        var (sum, size) = (0.0, 0.0)
        for j in 0..<sample.columns {
          let term = Double(weights[row * sample.columns + j]) * Double(x[token * sample.columns + j])
          sum += term
          size += abs(term)
        }
        #expect(
          abs(Double(wanted[token * sample.rows + row]) - sum) <= 1e-5 * size, "\(sample) \(token) \(row)")
      }
    }
  }

  /// A value that is not finite is seen wherever it stands.
  @Test func nonFiniteValuesAreFound() {
    for (format, bad) in [
      (FloatFormat.f8e4m3, [UInt8(0xFF)]), (.bf16, [0x80, 0x7F]), (.bf16, [0xC1, 0xFF]), (.f16, [0, 0xFC]),
      (.f16, [1, 0x7C]), (.f32, [0, 0, 0x80, 0xFF]),
    ] {
      for place in [0, 63, 64, 8 * 256 - 1, 40 * 256 - 1] {
        var sample = Sample(format, rows: 40, columns: 256, block: (8, 128), seed: place)
        for (index, byte) in bad.enumerated() { sample.values[place * bad.count + index] = byte }
        for isa in InstructionSet.supported {
          let affine = sample.planes([40 * 128, 40 * 8, 40 * 2]) { rows, codes, scales, zeros, scratch in
            rows.quantizeAffine(
              .zeroPoint, bits: 4, group: 64, storage: .f16, method: .roundToNearest, codes: &codes,
              scales: &scales,
              offsets: &zeros, scratch: &scratch, using: isa)
          }
          let blocks = sample.planes([40 * 8 * 34, 0, 0]) { rows, blocks, _, _, scratch in
            rows.quantizeGGML(
              type: 8, method: .roundToNearest, blocks: &blocks, scratch: &scratch, using: isa)
          }
          let symmetric = sample.planes([40 * 256, 40 * 8, 0]) { rows, codes, scales, none, scratch in
            rows.quantizeAffine(
              .symmetric, bits: 8, group: 64, storage: .f16, method: .roundToNearest, codes: &codes,
              scales: &scales,
              offsets: &none, scratch: &scratch, using: isa)
          }
          let micro = sample.planes([40 * 128, 40 * 8, 0]) { rows, codes, scales, _, scratch in
            rows.quantizeMicroScaled(
              code: .e2m1, group: 32, scale: .e8m0, method: .roundToNearest, codes: &codes, scales: &scales,
              scratch: &scratch, using: isa)
          }
          let finite = [affine.finite, blocks.finite, symmetric.finite, micro.finite]
          #expect(finite.allSatisfy { !$0 }, "\(format) \(place) \(isa)")
        }
      }
    }
  }
}
