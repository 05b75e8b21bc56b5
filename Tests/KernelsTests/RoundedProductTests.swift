import IngotKernels
import Testing

/// Products of codes with activations of 8 bits: the same bits on every instruction set, and what the definition says.
@Suite struct RoundedProductTests {
  static let types = [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23, 39]
  static let tokens = [1, 2, 3, 5, 8, 9, 16, 40]

  /// Activations as rounding leaves them: a step for each 32 of a token, the greatest magnitude over 127.
  static func rounded(_ x: [Float]) -> [Double] {
    var out: [Double] = []
    for first in stride(from: 0, to: x.count, by: 32) {
      let block = x[first..<first + 32]
      let step = block.map(abs).max()! / 127
      out += block.map { step > 0 ? Double(step) * Double(($0 * (1 / step)).rounded(.toNearestOrEven)) : 0 }
    }
    return out
  }

  /// Holds every instruction set against the scalar one, and that against F64 sums of decoded weights and rounded activations.
  static func check(
    _ name: String, _ weights: [Float], rows: Int, columns: Int,
    _ multiply: (Span<Float>, Int, inout MutableSpan<Float>, InstructionSet) -> Void
  ) {
    var random = SeededGenerator(rows + columns)
    for tokens in Self.tokens {
      let x = random.normals(tokens * columns)
      var results: [(InstructionSet, [Float])] = []
      for isa in InstructionSet.supported {
        var y = [Float](repeating: .nan, count: tokens * rows)
        var span = y.mutableSpan
        multiply(x.span, tokens, &span, isa)
        results.append((isa, y))
      }
      let scalar = results.first { $0.0 == .scalar }!.1
      for (isa, y) in results {
        #expect(difference(bitPatterns(y), bitPatterns(scalar)) == nil, "\(name), \(tokens) tokens, \(isa)")
      }
      let exact = Self.rounded(x)
      var (worst, scale) = (0.0, 0.0)
      for token in 0..<tokens {
        for row in 0..<rows {
          var (sum, size) = (0.0, 0.0)
          for column in 0..<columns {
            let term = exact[token * columns + column] * Double(weights[row * columns + column])
            sum += term
            size += abs(term)
          }
          worst = max(worst, abs(sum - Double(scalar[token * rows + row])))
          scale = max(scale, size)
        }
      }
      #expect(worst <= 2e-6 * scale, "\(name), \(tokens) tokens: off by \(worst) of \(scale)")
    }
  }

  @Test(arguments: types) func blocks(_ type: Int) {
    let width = ggmlBlock(type: type)!.weights
    var random = SeededGenerator(type)
    #expect(CodedRows.multipliesRounded(ggml: type))
    for (rows, columns) in [(37, 9 * width), (16, width), (3, 2 * width)] {
      let blocks = GGMLTests.quantize(type, random.normals(rows * columns), rows: rows)
      let weights = GGMLTests.decode(type, blocks, .scalar)
      Self.check("type \(type)", weights, rows: rows, columns: columns) { x, tokens, y, isa in
        CodedRows(ggml: type, blocks.span.raw, rows: rows, columns: columns)
          .multiplyRounded(x, tokens: tokens, into: &y, using: isa)
      }
    }
  }

  @Test(arguments: [2, 3, 4, 5, 6, 8], [FloatFormat.f16, .bf16, .f32])
  func affineCodes(_ bits: Int, _ storage: FloatFormat) {
    var random = SeededGenerator(bits)
    for (columns, group) in [(32, 16), (96, 32), (288, 48), (768, 128), (288, 288)] {
      let rows = 21
      let groups = (columns + group - 1) / group
      let codeBytes = columns * bits / 8
      let zeroBytes = (groups * bits + 7) / 8
      let codes = random.bytes(rows * codeBytes)
      let zeros = random.bytes(rows * zeroBytes)
      let scales = encoded(storage, random.normals(rows * groups))
      let biases = encoded(storage, random.normals(rows * groups))
      let (scale, bias) = (decoded(storage, scales), decoded(storage, biases))
      for scheme in [StoredRows.Scheme.symmetric, .zeroPoint, .bias] {
        var weights: [Float] = []
        for row in 0..<rows {
          var values = [UInt8](repeating: 0, count: columns)
          var span = values.mutableSpan
          unpack(
            bits: bits, codes.span.raw.extracting(row * codeBytes..<(row + 1) * codeBytes), into: &span)
          var points = [UInt8](repeating: 0, count: groups)
          var pointSpan = points.mutableSpan
          unpack(
            bits: bits, zeros.span.raw.extracting(row * zeroBytes..<(row + 1) * zeroBytes), into: &pointSpan)
          for (column, code) in values.enumerated() {
            let at = row * groups + column / group
            let weight: Float =
              switch scheme {
              case .symmetric: scale[at] * Float(Int(code) - 1 << (bits - 1))
              case .zeroPoint: scale[at] * Float(Int(code) - Int(points[column / group]))
              case .bias: scale[at] * Float(code) + bias[at]
              }
            weights.append(weight)
          }
        }
        let offsets = scheme == .symmetric ? [] : scheme == .zeroPoint ? zeros : biases
        Self.check("\(scheme), groups of \(group)", weights, rows: rows, columns: columns) {
          x, tokens, y, isa in
          CodedRows(
            affine: scheme, bits: bits, codes: codes.span.raw, group: group, storage: storage,
            scales: scales.span.raw, offsets: offsets.span.raw, rows: rows, columns: columns
          ).multiplyRounded(x, tokens: tokens, into: &y, using: isa)
        }
      }
    }
  }

  @Test func valuesThatAreNotFiniteShow() {
    let (rows, columns) = (17, 64)
    var random = SeededGenerator(3)
    let blocks = GGMLTests.quantize(8, random.normals(rows * columns), rows: rows)
    for bad in [Float.nan, .infinity, -.infinity] {
      var x = random.normals(2 * columns)
      x[columns + 40] = bad
      for isa in InstructionSet.supported {
        var y = [Float](repeating: 0, count: 2 * rows)
        var span = y.mutableSpan
        CodedRows(ggml: 8, blocks.span.raw, rows: rows, columns: columns)
          .multiplyRounded(x.span, tokens: 2, into: &span, using: isa)
        #expect(y[..<rows].allSatisfy(\.isFinite) && y[rows...].allSatisfy(\.isNaN), "\(bad), \(isa)")
      }
    }
  }

  @Test func whatIsNotTaken() {
    for type in [16, 17, 18, 19, 21, 22, 29, 34, 35, 40, 41, 42] {
      #expect(!CodedRows.multipliesRounded(ggml: type), "type \(type)")
    }
    let codes = [UInt8](repeating: 0, count: 24)
    let scales = [UInt8](repeating: 0, count: 2)
    let short = CodedRows(
      affine: .symmetric, bits: 4, codes: codes.span.raw, group: 48, storage: .f16, scales: scales.span.raw,
      offsets: RawSpan(), rows: 1, columns: 48)
    let isTaken = short.isMultipliedRounded
    #expect(!isTaken)
  }
}
