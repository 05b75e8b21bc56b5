import IngotKernels
import Testing

@Suite struct TrellisTests {
  static let shapes = (3...8).flatMap { halves in
    [8, 9, 12].map { TrellisShape(halves: halves, window: $0)! }
  }

  static func decoded(
    _ shape: TrellisShape, _ codes: [UInt8], _ rowScales: [Float], _ columnScales: [Float],
    using isa: InstructionSet
  ) -> [Float] {
    var out = [Float](repeating: .nan, count: rowScales.count * columnScales.count)
    var span = out.mutableSpan
    decodeTrellis(
      shape, codes.span.raw, rowScales: rowScales.span, columnScales: columnScales.span, into: &span,
      using: isa)
    return out
  }

  static func squaredError(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
  }

  @Test func numbersOutOfRangeAreNoShape() {
    #expect(TrellisShape(halves: 2, window: 12) == nil && TrellisShape(halves: 9, window: 12) == nil)
    #expect(TrellisShape(halves: 5, window: 7) == nil && TrellisShape(halves: 5, window: 17) == nil)
    #expect(TrellisShape(halves: 5, window: 12)!.codeBytes(rows: 65, columns: 3) == 2 * 5 * 3 * 4)
  }

  /// The decoder as it is specified, bit by bit.
  @Test(arguments: shapes + [TrellisShape(halves: 5, window: 16)!])
  func codesMeanWhatIsSpecified(shape: TrellisShape) {
    var random = SeededGenerator(shape.halves * 100 + shape.window)
    for (rows, columns) in [(1, 1), (64, 3), (65, 17), (300, 2), (513, 5)] {
      let codes = random.bytes(shape.codeBytes(rows: rows, columns: columns))
      let rowScales = random.normals(rows)
      let columnScales = random.normals(columns)
      let found = Self.decoded(shape, codes, rowScales, columnScales, using: .scalar)
      for row in 0..<rows {
        let start = row / 256 * 256
        let bits = min(256, (rows - start + 63) / 64 * 64) * shape.halves / 2
        let end = (row - start + 1) * shape.halves / 2
        for column in 0..<columns {
          var state: UInt32 = 0
          for bit in 0..<shape.window {
            let place = (end - shape.window + bit + bits) % bits
            let word = (start / 64 * shape.halves + place / 32) * columns + column
            let set = codes[word * 4 + place % 32 / 8] >> (place % 8) & 1
            state |= UInt32(set) << bit
          }
          let product = state &* 0x83DC_D12D
          let sum = (0..<4).reduce(0) { $0 + Int(product >> (8 * $1) & 255) }
          let value = Float(sum - 510) * rowScales[row] * columnScales[column]
          #expect(found[row * columns + column].bitPattern == value.bitPattern)
        }
      }
    }
  }

  @Test(arguments: vectorSets)
  func vectorsDecodeAsTheScalar(isa: InstructionSet) {
    var random = SeededGenerator(3)
    for shape in Self.shapes {
      for (rows, columns) in [(1, 1), (63, 15), (64, 16), (257, 33), (700, 50)] {
        let codes = random.bytes(shape.codeBytes(rows: rows, columns: columns))
        let rowScales = random.patterns(rows)
        let columnScales = random.normals(columns)
        let scalar = Self.decoded(shape, codes, rowScales, columnScales, using: .scalar)
        let found = Self.decoded(shape, codes, rowScales, columnScales, using: isa)
        let isEqual = zip(found, scalar).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN }
        #expect(isEqual, "\(shape), \(rows) × \(columns)")
      }
    }
  }

  @Test(arguments: vectorSets)
  func vectorsChooseTheScalarsCodes(isa: InstructionSet) {
    for shape in Self.shapes where shape.window < 12 || shape.halves % 3 == 2 {
      for (rows, columns, outlier) in [(70, 3, Float(1)), (300, 2, 40)] {
        var random = SeededGenerator(rows + shape.halves)
        var weights = random.normals(rows * columns)
        weights[5] *= outlier
        weights[6] = 0
        let scalar = chooseTrellis(
          weights.span, rows: rows, columns: columns, hessian: nil, shape, using: .scalar)
        let found = chooseTrellis(weights.span, rows: rows, columns: columns, hessian: nil, shape, using: isa)
        #expect(found.codes == scalar.codes && found.result.values == scalar.result.values, "\(shape)")
      }
    }
  }

  /// Mean square errors of normal weights, which scripts/tools reference-trellis measures: states of 12 bits.
  @Test(arguments: [(3, 0.156), (4, 0.081), (5, 0.042), (6, 0.022), (7, 0.0118), (8, 0.0066)])
  func normalWeightsHaveLittleError(halves: Int, most: Double) {
    let shape = TrellisShape(halves: halves, window: 12)!
    var random = SeededGenerator(halves)
    let (rows, columns) = (256, 24)
    let weights = random.normals(rows * columns)
    let chosen = chooseTrellis(weights.span, rows: rows, columns: columns, hessian: nil, shape)
    let values = Self.decoded(
      shape, chosen.codes, chosen.rowScales, chosen.columnScales, using: .best)
    let error = Self.squaredError(values, weights)
    #expect(error / chosen.result.power < most)
    #expect(abs(error - chosen.result.error) < 1e-4 * error)
    for row in 0..<rows {
      for column in 0..<columns {
        let meant =
          chosen.result.values[column * rows + row] * chosen.rowScales[row] * chosen.columnScales[column]
        #expect(meant == values[row * columns + column])
      }
    }
  }

  /// Under the whole matrix's scales a column's codes do not depend on the others.
  @Test func someColumnsErrAsAllOfThemDo() {
    let shape = TrellisShape(halves: 5, window: 9)!
    let (rows, columns) = (130, 12)
    var random = SeededGenerator(4)
    var weights = random.normals(rows * columns)
    for row in 0..<rows { weights[row * columns + 3] *= 20 }
    let chosen = chooseTrellis(weights.span, rows: rows, columns: columns, hessian: nil, shape)
    let values = Self.decoded(
      shape, chosen.codes, chosen.rowScales, chosen.columnScales, using: .best)
    let tried = [0, 3, 11]
    let some = (0..<rows).flatMap { row in tried.map { weights[row * columns + $0] } }
    let rowScales = (0..<rows).map { row in
      let squares = (0..<columns).map { column in
        let weight = Double(weights[row * columns + column] / chosen.columnScales[column])
        return weight * weight
      }
      return (squares.reduce(0, +) / Double(columns)).squareRoot()
    }
    let errors = trellisErrors(
      some.span, rowScales: rowScales, columnScales: tried.map { chosen.columnScales[$0] }, shape)
    for (index, column) in tried.enumerated() {
      let error = (0..<rows).reduce(0.0) { sum, row in
        let difference = Double(weights[row * columns + column] - values[row * columns + column])
        return sum + difference * difference
      }
      #expect(error > 0 && abs(errors[index] / error - 1) < 1e-6, "\(column): \(errors[index]) of \(error)")
    }
    #expect(trellisErrors([Float]().span, rowScales: [], columnScales: [1, 1], shape) == [0, 0])
  }

  @Test func errorsArePassedOn() {
    let shape = TrellisShape(halves: 4, window: 9)!
    let (rows, columns) = (150, 136)
    var random = SeededGenerator(9)
    let weights = random.normals(rows * columns)
    let matrix = GPTQTests.correlated(columns, tokens: 2 * columns, &random)
    let hessian = GPTQHessian(matrix, columns: columns)
    func outputError(_ chosen: TrellisCodes) -> Double {
      let values = Self.decoded(shape, chosen.codes, chosen.rowScales, chosen.columnScales, using: .best)
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
    let apart = chooseTrellis(weights.span, rows: rows, columns: columns, hessian: nil, shape)
    let together = chooseTrellis(weights.span, rows: rows, columns: columns, hessian: hessian, shape)
    let error = outputError(together)
    #expect(error < 0.6 * outputError(apart))
    #expect(abs(error - together.result.error) < 0.01 * error)
  }

  @Test func zerosAndNothingAreCoded() {
    let shape = TrellisShape(halves: 5, window: 10)!
    let zeros = [Float](repeating: 0, count: 70 * 5)
    let matrix = [Float](repeating: 0, count: 25)
    for hessian in [nil, GPTQHessian(matrix, columns: 5)] {
      let chosen = chooseTrellis(zeros.span, rows: 70, columns: 5, hessian: hessian, shape)
      let values = Self.decoded(shape, chosen.codes, chosen.rowScales, chosen.columnScales, using: .best)
      #expect(values.allSatisfy { $0 == 0 } && chosen.result.error == 0)
    }
    let none = chooseTrellis([Float]().span, rows: 0, columns: 5, hessian: nil, shape)
    #expect(none.codes.isEmpty && none.columnScales.count == 5)
  }
}
