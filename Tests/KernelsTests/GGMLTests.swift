import IngotKernels
import Testing

/// Quantizers of GGML's blocks; llama.cpp's own results stand in FormatsTests.
@Suite struct GGMLTests {
  /// Numbers of the types in GGUF files.
  static let types = [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 29, 39]
  static let rounded = [2, 3, 6, 7, 8, 39]

  static func quantize(
    _ type: Int, _ weights: [Float], rows: Int, _ importance: [Float]? = nil,
    _ method: AffineMethod = .search,
    _ isa: InstructionSet = .best
  ) -> [UInt8] {
    let block = ggmlBlock(type: type)!
    var blocks = [UInt8](repeating: 0xAA, count: weights.count / block.weights * block.bytes)
    var span = blocks.mutableSpan
    var bytes = span.mutableRaw
    quantizeGGML(
      type: type, weights.span, importance: importance?.span, rows: rows, method: method, blocks: &bytes,
      using: isa)
    return blocks
  }

  static func decode(_ type: Int, _ blocks: [UInt8], _ isa: InstructionSet = .best) -> [Float] {
    let block = ggmlBlock(type: type)!
    var values = [Float](repeating: .nan, count: blocks.count / block.bytes * block.weights)
    var span = values.mutableSpan
    decodeGGML(type: type, blocks.span.raw, into: &span, using: isa)
    return values
  }

  static func error(_ weights: [Float], _ values: [Float], _ importance: [Float]?) -> Double {
    zip(weights, values).enumerated().reduce(0) { sum, item in
      let difference = Double(item.element.0) - Double(item.element.1)
      let h = importance.map { Double($0[item.offset % $0.count]) } ?? 1
      return sum + h * difference * difference
    }
  }

  /// Rows of 1, 2, 3 and 5 blocks, so that lanes are left over: normal, with one outlier a block, of one sign, sparse,
  /// tiny and huge.
  static func samples(_ type: Int) -> [(rows: Int, weights: [Float], importance: [Float])] {
    let width = ggmlBlock(type: type)!.weights
    var random = SeededGenerator(type)
    return [(3, 1), (1, 2), (2, 3), (7, 5)].flatMap { rows, blocks in
      (0..<6).map { kind in
        let columns = blocks * width
        var weights = random.normals(rows * columns)
        for index in weights.indices {
          switch kind {
          case 1 where index % width == 7: weights[index] *= 30
          case 2: weights[index] = weights[index].magnitude + 0.5
          case 3 where random.unit() < 0.9: weights[index] = 0
          case 4: weights[index] *= 1e-7
          case 5: weights[index] *= 1e6
          default: break
          }
        }
        // Zero for some columns, and for a whole block.
        let importance = (0..<columns).map { column in
          column / width == 1 || random.unit() < 0.1 ? 0 : random.unit() * random.unit() * 100
        }
        return (rows, weights, importance)
      }
    }
  }

  @Test(arguments: types) func everyInstructionSetGivesTheSameBytes(_ type: Int) {
    for (index, sample) in Self.samples(type).enumerated() {
      for importance in [nil, sample.importance] {
        for method in Self.rounded.contains(type) ? [AffineMethod.search, .roundToNearest] : [.search] {
          let scalar = Self.quantize(type, sample.weights, rows: sample.rows, importance, method, .scalar)
          for isa in vectorSets {
            let blocks = Self.quantize(type, sample.weights, rows: sample.rows, importance, method, isa)
            #expect(blocks == scalar, "\(isa), sample \(index), \(method)")
            #expect(
              bitPatterns(Self.decode(type, blocks, isa)) == bitPatterns(Self.decode(type, blocks, .scalar)))
          }
        }
      }
    }
  }

  @Test(arguments: rounded) func searchIsNeverWorseThanRounding(_ type: Int) {
    for (index, sample) in Self.samples(type).enumerated() {
      for importance in [nil, sample.importance] {
        let errors = [AffineMethod.search, .roundToNearest].map { method in
          let blocks = Self.quantize(type, sample.weights, rows: sample.rows, importance, method)
          return Self.error(sample.weights, Self.decode(type, blocks), importance)
        }
        #expect(errors[0] <= errors[1], "sample \(index)")
      }
    }
  }

  /// The more bits a weight, the less of it is lost; and none loses more than everything.
  @Test func errorsFallWithBits() {
    var random = SeededGenerator(5)
    let weights = random.normals(4 * 1024)
    let errors = [10, 11, 12, 13, 14, 8].map {
      Self.error(weights, Self.decode($0, Self.quantize($0, weights, rows: 4)), nil) / 4096
    }
    #expect(zip(errors, errors.dropFirst()).allSatisfy { $0 > 2 * $1 }, "\(errors)")
    #expect(errors[0] < 0.1, "2 bits keep nine tenths of the variance: \(errors[0])")
  }

  /// Columns without importance may go anywhere, for the others' sake.
  @Test(arguments: types.filter { $0 != 8 && $0 != 39 }) func importanceIsHeeded(_ type: Int) {
    var random = SeededGenerator(type)
    let weights = random.normals(8 * 512)
    let importance = (0..<512).map { $0 % 4 == 0 ? Float(100) : 1 }
    let errors = [nil, importance].map {
      Self.error(weights, Self.decode(type, Self.quantize(type, weights, rows: 8, $0)), importance)
    }
    #expect(errors[1] < 0.97 * errors[0], "\(errors)")
  }

  @Test(arguments: types) func zerosStayZeros(_ type: Int) {
    let zeros = [Float](repeating: 0, count: 512)
    for importance in [nil, zeros, zeros.map { _ in Float(1) }] {
      #expect(
        Self.decode(type, Self.quantize(type, zeros, rows: 2, importance.map { Array($0[..<256]) })) == zeros)
    }
  }

  /// Scaling by a power of two changes scales alone, as long as F16 holds them.
  @Test(arguments: types) func powersOfTwoPassThrough(_ type: Int) {
    var random = SeededGenerator(type)
    let weights = random.normals(512)
    let scaled = weights.map { $0 * 16 }
    let values = Self.decode(type, Self.quantize(type, weights, rows: 1))
    #expect(Self.decode(type, Self.quantize(type, scaled, rows: 1)) == values.map { $0 * 16 })
  }
}
