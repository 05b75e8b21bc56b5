import IngotKernels
import Testing

@Suite struct TileTests {
  static let shapes = TileCodebook.allCases.flatMap { book in
    (1...8).map { TileShape(bits: $0, codebook: book)! }
  }

  static func decoded(
    _ shape: TileShape, _ codes: [UInt8], _ rows: Int, _ columns: Int, columnScales: [Float],
    rowScales: [Float], using isa: InstructionSet
  ) -> [Float] {
    var out = [Float](repeating: .nan, count: rows * columns)
    var span = out.mutableSpan
    decodeTiles(
      shape, codes.span.raw, rows: rows, columns: columns, columnScales: columnScales.span,
      rowScales: rowScales.span, into: &span, using: isa)
    return out
  }

  static func decoded(_ shape: TileShape, _ chosen: TileCodes, _ rows: Int, _ columns: Int) -> [Float] {
    decoded(
      shape, chosen.codes, rows, columns, columnScales: chosen.columnScales, rowScales: chosen.rowScales,
      using: .best)
  }

  static func squaredError(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
  }

  @Test func numbersOutOfRangeAreNoShape() {
    #expect(TileShape(bits: 0) == nil && TileShape(bits: 9) == nil)
    #expect(TileShape.padded(0) == 0 && TileShape.padded(1) == 128 && TileShape.padded(129) == 256)
    #expect(TileShape.padded(Int.max) == nil)
    #expect(TileShape(bits: 3)!.codeBytes(rows: 129, columns: 1) == 256 * 128 * 3 / 8)
  }

  /// Sums over decoded values, as scripts/tools reference-exl3-reader, which shares no code with this, prints them.
  static let sums: [TileCodebook: [UInt64]] = [
    .mul1: [
      0x1A89_CC35_C334_7E22, 0x1A89_7DAF_6711_3DE6, 0x1A96_CCA3_5DE5_1C25, 0x1A7A_7BBE_EF7A_84B4,
      0x1A3B_AEF1_2C19_6549, 0x1AAC_619D_45E0_4D2D, 0x1A6B_811F_8235_4042, 0x1A7C_DBE9_49E3_E9E3,
    ],
    .mcg: [
      0x1A71_D5A5_D6DC_EBAF, 0x1AB2_5A57_8580_64FF, 0x1AA4_8579_5078_8F22, 0x1A90_EEF0_D6CC_B79E,
      0x1AA1_03C8_208F_8210, 0x1A8F_515F_13F0_0AE0, 0x1A84_592B_FE7E_4196, 0x1A76_F474_561E_CBB3,
    ],
    .sum: [
      0x1AA2_3685_EF97_3B7D, 0x1A86_3FA2_A004_D7F7, 0x1A82_27C6_70CF_1F2D, 0x1AAB_92FF_D579_C01D,
      0x1AAA_A310_0E3F_8F50, 0x1A82_FEDD_657A_D4BF, 0x1A8C_2208_E7D9_3147, 0x1A76_9530_C412_5710,
    ],
  ]

  @Test(arguments: [InstructionSet.scalar] + vectorSets)
  func valuesAreThoseOfTheReference(isa: InstructionSet) {
    let (rows, columns) = (256, 128)
    for shape in Self.shapes {
      var codes = [UInt8](repeating: 0, count: shape.codeBytes(rows: rows, columns: columns))
      for index in codes.indices {
        codes[index] = UInt8(truncatingIfNeeded: UInt32(truncatingIfNeeded: index &* 2_654_435_761) >> 13)
      }
      let values = Self.decoded(
        shape, codes, rows, columns, columnScales: (0..<columns).map { Float($0 * 7 % 13 - 6) / 4 },
        rowScales: (0..<rows).map { Float($0 * 5 % 11 - 5) / 8 }, using: isa)
      var sum: UInt64 = 0
      for (index, value) in values.enumerated() {
        sum &+= UInt64((value + 0).bitPattern) &* UInt64(2 * index + 1)
      }
      #expect(sum == Self.sums[shape.codebook]![shape.bits - 1], "\(shape)")
    }
  }

  /// What is padded is cut off, and scales of any kind are multiplied in the same order.
  @Test(arguments: vectorSets)
  func vectorsDecodeAsTheScalar(isa: InstructionSet) {
    var random = SeededGenerator(3)
    for shape in Self.shapes where shape.bits % 3 != 1 {
      for (rows, columns) in [(1, 1), (17, 130), (128, 128), (200, 15)] {
        let codes = random.bytes(shape.codeBytes(rows: rows, columns: columns))
        let rowScales = random.normals(TileShape.padded(rows)!)
        let columnScales = random.patterns(TileShape.padded(columns)!)
        let results = [InstructionSet.scalar, isa].map {
          Self.decoded(
            shape, codes, rows, columns, columnScales: columnScales, rowScales: rowScales, using: $0)
        }
        let isEqual = zip(results[0], results[1]).allSatisfy {
          $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN
        }
        #expect(isEqual, "\(shape), \(rows) × \(columns)")
      }
    }
  }

  /// Whatever is chosen, a block of 128 × 128 weights is: seconds without optimization.
  @Test(arguments: vectorSets)
  func vectorsChooseTheScalarsCodes(isa: InstructionSet) {
    let shape = TileShape(bits: 3)!
    var random = SeededGenerator(8)
    var weights = random.normals(20 * 16)
    weights[5] *= 40
    weights[6] = 0
    let results = [InstructionSet.scalar, isa].map {
      chooseTiles(weights.span, rows: 20, columns: 16, hessian: nil, shape, using: $0)
    }
    #expect(results[0].codes == results[1].codes && results[0].rowScales == results[1].rowScales)
  }

  /// Mean square errors of normal weights; those of the best codes there can be are 4^−bits.
  @Test(arguments: [
    (1, 0.31), (4, 0.0049), (6, 0.00035),
  ])
  func normalWeightsHaveLittleError(bits: Int, most: Double) {
    let shape = TileShape(bits: bits)!
    var random = SeededGenerator(bits)
    let weights = random.normals(128 * 128)
    let chosen = chooseTiles(weights.span, rows: 128, columns: 128, hessian: nil, shape)
    let error = Self.squaredError(Self.decoded(shape, chosen, 128, 128), weights)
    #expect(error / chosen.result.power < most)
    #expect(abs(error - chosen.result.error) < 1e-3 * error)
    for scale in chosen.columnScales + chosen.rowScales { #expect(Float(Float16(scale)) == scale) }
  }

  @Test func errorsArePassedOn() {
    let shape = TileShape(bits: 2)!
    let (rows, columns) = (64, 128)
    var random = SeededGenerator(9)
    let weights = random.normals(rows * columns)
    let matrix = GPTQTests.correlated(columns, tokens: 2 * columns, &random)
    func outputError(_ chosen: TileCodes) -> Double {
      let values = Self.decoded(shape, chosen, rows, columns)
      var sum = 0.0
      for row in 0..<rows {
        let left = (0..<columns).map { Double(weights[row * columns + $0] - values[row * columns + $0]) }
        for i in 0..<columns {
          var moved = 0.0
          for j in 0..<columns { moved += Double(matrix[i * columns + j]) * left[j] }
          sum += left[i] * moved
        }
      }
      return sum
    }
    let apart = chooseTiles(weights.span, rows: rows, columns: columns, hessian: nil, shape)
    let together = chooseTiles(weights.span, rows: rows, columns: columns, hessian: matrix, shape)
    let error = outputError(together)
    #expect(error < 0.8 * outputError(apart))
    #expect(abs(error - together.result.error) < 0.01 * error)
  }

  @Test func zerosAndNothingAreCoded() {
    let shape = TileShape(bits: 8)!
    let zeros = [Float](repeating: 0, count: 3 * 5)
    for hessian in [nil, [Float](repeating: 0, count: 25)] {
      let chosen = chooseTiles(zeros.span, rows: 3, columns: 5, hessian: hessian, shape)
      #expect(Self.decoded(shape, chosen, 3, 5).allSatisfy { $0 == 0 } && chosen.result.error == 0)
    }
    let none = chooseTiles([Float]().span, rows: 0, columns: 5, hessian: nil, shape)
    #expect(none.codes.isEmpty && none.columnScales.count == 128 && none.rowScales.isEmpty)
  }
}
