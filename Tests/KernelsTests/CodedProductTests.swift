import IngotKernels
import Testing

/// Products with codes are those with the decoded rows, bit for bit.
@Suite struct CodedProductTests {
  static let tokens = [1, 2, 3, 5, 8, 9, 40]

  /// Holds `multiply` of each instruction set and number of tokens against the decoded rows.
  static func check(
    _ name: String, _ weights: [Float], rows: Int, columns: Int,
    _ multiply: (Span<Float>, Int, inout MutableSpan<Float>, InstructionSet) -> Void
  ) {
    var random = SeededGenerator(rows * columns)
    for tokens in Self.tokens {
      let x = random.normals(tokens * columns)
      var wanted = [Float](repeating: .nan, count: tokens * rows)
      var wantedSpan = wanted.mutableSpan
      matmul(x.span, weights.span, tokens: tokens, inputs: columns, outputs: rows, into: &wantedSpan)
      for isa in InstructionSet.supported {
        var y = [Float](repeating: .nan, count: tokens * rows)
        var span = y.mutableSpan
        multiply(x.span, tokens, &span, isa)
        let place = difference(bitPatterns(y), bitPatterns(wanted))
        #expect(place == nil, "\(name), \(tokens) tokens, \(isa)")
      }
    }
  }

  /// Types that are only read get bytes of which every scale is finite.
  static func blocks(_ type: Int, rows: Int, columns: Int, _ random: inout SeededGenerator) -> [UInt8] {
    if GGMLTests.types.contains(type) {
      return GGMLTests.quantize(type, random.normals(rows * columns), rows: rows)
    }
    let block = ggmlBlock(type: type)!
    return random.bytes(rows * columns / block.weights * block.bytes).map { $0 & 0x3F }
  }

  @Test(arguments: GGMLTests.types + [34, 35, 40, 41, 42]) func blocksAreMultipliedAsTheirValues(_ type: Int)
  {
    let width = ggmlBlock(type: type)!.weights
    var random = SeededGenerator(type)
    // Rows and columns that fill no panel and no chain of sums.
    for (rows, columns) in [(37, 9 * width), (16, width), (3, 2 * width)] {
      let blocks = Self.blocks(type, rows: rows, columns: columns, &random)
      let weights = GGMLTests.decode(type, blocks, .scalar)
      Self.check("type \(type)", weights, rows: rows, columns: columns) { x, tokens, y, isa in
        CodedRows(ggml: type, blocks.span.raw, rows: rows, columns: columns)
          .multiply(x, tokens: tokens, into: &y, using: isa)
      }
    }
  }

  @Test(arguments: [2, 3, 4, 5, 6, 8], [FloatFormat.f16, .bf16, .f32])
  func affineCodesAreMultipliedAsTheirValues(_ bits: Int, _ storage: FloatFormat) {
    var random = SeededGenerator(bits)
    for (columns, group) in [(16, 16), (80, 32), (250, 64), (300, 48), (768, 128), (300, 300)] {
      let rows = 21
      let groups = (columns + group - 1) / group
      let codeBytes = (columns * bits + 7) / 8
      let codes = random.bytes(rows * codeBytes)
      let zeros = random.bytes(rows * ((groups * bits + 7) / 8))
      let scales = encoded(storage, random.normals(rows * groups))
      let biases = encoded(storage, random.normals(rows * groups))
      let (scale, bias) = (decoded(storage, scales), decoded(storage, biases))
      for scheme in [StoredRows.Scheme.symmetric, .zeroPoint, .bias] {
        var weights: [Float] = []
        for row in 0..<rows {
          var values = [Float](repeating: .nan, count: columns)
          var span = values.mutableSpan
          let packed = codes.span.raw.extracting(row * codeBytes..<(row + 1) * codeBytes)
          let mine = row * groups..<(row + 1) * groups
          switch scheme {
          case .symmetric:
            decodeAffineSymmetric(
              bits: bits, packed: packed, group: group, scales: scale.span.extracting(mine), into: &span)
          case .zeroPoint:
            var points = [UInt8](repeating: 0, count: groups)
            var pointSpan = points.mutableSpan
            let width = zeros.count / rows
            unpack(bits: bits, zeros.span.raw.extracting(row * width..<(row + 1) * width), into: &pointSpan)
            decodeAffineZeroPoint(
              bits: bits, packed: packed, group: group, scales: scale.span.extracting(mine),
              zeros: points.span, into: &span)
          case .bias:
            decodeAffineBias(
              bits: bits, packed: packed, group: group, scales: scale.span.extracting(mine),
              biases: bias.span.extracting(mine), into: &span)
          }
          weights += values
        }
        let offsets = scheme == .symmetric ? [] : scheme == .zeroPoint ? zeros : biases
        Self.check("\(scheme), groups of \(group)", weights, rows: rows, columns: columns) {
          x, tokens, y, isa in
          CodedRows(
            affine: scheme, bits: bits, codes: codes.span.raw, group: group, storage: storage,
            scales: scales.span.raw, offsets: offsets.span.raw, rows: rows, columns: columns
          ).multiply(x, tokens: tokens, into: &y, using: isa)
        }
      }
    }
  }

  @Test(arguments: [16, 32]) func codesOfE2M1AreMultipliedAsTheirValues(_ group: Int) {
    var random = SeededGenerator(group)
    for columns in [16, 80, 250, 300, 768] {
      let rows = 19
      let groups = (columns + group - 1) / group
      let codeBytes = (columns + 1) / 2
      let codes = random.bytes(rows * codeBytes)
      let scales = random.normals(rows * groups)
      var weights: [Float] = []
      for row in 0..<rows {
        var values = [Float](repeating: .nan, count: columns)
        var span = values.mutableSpan
        decodeE2M1(
          packed: codes.span.raw.extracting(row * codeBytes..<(row + 1) * codeBytes), group: group,
          scales: scales.span.extracting(row * groups..<(row + 1) * groups), into: &span)
        weights += values
      }
      let halves = scales.map { $0 / 2 }
      Self.check("groups of \(group)", weights, rows: rows, columns: columns) { x, tokens, y, isa in
        CodedRows(e2m1: codes.span.raw, group: group, halves: halves.span, rows: rows, columns: columns)
          .multiply(x, tokens: tokens, into: &y, using: isa)
      }
    }
  }
}
