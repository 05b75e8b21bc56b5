import IngotKernels
import Testing

@Suite struct GPTQTests {
  /// Inputs with a few strong directions, and Σ x xᵀ of them.
  static func correlated(_ columns: Int, tokens: Int, _ random: inout SeededGenerator) -> [Float] {
    let directions = (0..<4).map { _ in random.normals(columns) }
    var hessian = [Float](repeating: 0, count: columns * columns)
    for _ in 0..<tokens {
      var x = random.normals(columns)
      for direction in directions {
        let strength = 2 * random.normal()
        for column in 0..<columns { x[column] += strength * direction[column] }
      }
      for i in 0..<columns { for j in 0..<columns { hessian[i * columns + j] += x[i] * x[j] } }
    }
    return hessian
  }

  /// Grids of every kind, with steps that about fit normal weights.
  static func grids(rows: Int, columns: Int) -> [(name: String, grid: CodeGrid)] {
    func filled(_ count: Int, _ value: (Int) -> Float) -> [Float] { (0..<count).map(value) }
    var zeroPoint = CodeGrid(rows: rows, columns: columns, part: 32, values: 0...15)
    zeroPoint.d = filled(zeroPoint.d.count) { 0.4 + 0.01 * Float($0 % 7) }
    zeroPoint.zeros = filled(zeroPoint.d.count) { Float(7 + $0 % 2) }
    zeroPoint.storage = .f16
    var bias = CodeGrid(rows: rows, columns: columns, part: 32, values: 0...7)
    bias.d = filled(bias.d.count) { _ in 0.75 }
    bias.m = filled(bias.d.count) { _ in -2.5 }
    bias.storage = .bf16
    var table = CodeGrid(rows: rows, columns: columns, part: 16, values: -12...12)
    table.d = filled(table.d.count) { $0 % 2 == 0 ? 0.25 : 0.5 }
    table.table = [-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12]
    table.isFixed = true
    var powers = table
    powers.hasPowers = true
    powers.d = filled(powers.d.count) { $0 % 2 == 0 ? 0.25 : 1 }
    var levels = CodeGrid(rows: rows, columns: columns, part: 16, superPart: 64, values: 0...15)
    levels.d = filled(levels.d.count) { _ in 0.0125 }
    levels.m = filled(levels.d.count) { _ in 0.1 }
    levels.scales = filled(levels.parts * levels.stride) { Float(28 + $0 % 9) }
    levels.minima = filled(levels.parts * levels.stride) { Float(-28 - $0 % 5) }
    levels.multiples = 0...63
    levels.leastMinimum = -63
    levels.storage = .f16
    return [
      ("zero point", zeroPoint), ("bias", bias), ("table", table), ("powers", powers), ("levels", levels),
    ]
  }

  @Test(arguments: vectorSets)
  func vectorsGiveTheScalarsCodes(isa: InstructionSet) {
    for (rows, columns) in [(5, 64), (33, 136)] {
      var random = SeededGenerator(rows)
      let weights = random.normals(rows * columns)
      let hessian = Self.correlated(columns, tokens: 2 * columns, &random)
      for (name, start) in Self.grids(rows: rows, columns: columns) {
        var (one, other) = (start, start)
        let expected = chooseCodes(weights.span, hessian: hessian.span, grid: &one, using: .scalar)
        let found = chooseCodes(weights.span, hessian: hessian.span, grid: &other, using: isa)
        #expect(bitPatterns(found.values) == bitPatterns(expected.values), "\(isa) \(name)")
        #expect(bitPatterns(other.d) == bitPatterns(one.d) && bitPatterns(other.m) == bitPatterns(one.m))
        #expect(other.scales == one.scales && other.minima == one.minima, "\(isa) \(name)")
      }
    }
  }

  /// GPTQ in F64 as its authors derive it: quantize a column, make up for it by the inverse Hessian's row, remove the
  /// column from the inverse.
  static func reference(
    _ weights: [Float], _ hessian: [Float], rows: Int, columns n: Int, damping: Double, step: Double
  )
    -> [Double]
  {
    let order = (0..<n).sorted { (hessian[$1 * n + $1], $0) < (hessian[$0 * n + $0], $1) }
    var h = (0..<n).map { i in
      (0..<n).map { j in
        Double(hessian[order[i] * n + order[j]]) * (i == j ? 1 + damping : 1)
      }
    }
    var inverse = (0..<n).map { i in (0..<n).map { $0 == i ? 1.0 : 0.0 } }
    for i in 0..<n {
      let pivot = h[i][i]
      for j in 0..<n {
        h[i][j] /= pivot
        inverse[i][j] /= pivot
      }
      for k in 0..<n where k != i {
        let factor = h[k][i]
        for j in 0..<n {
          h[k][j] -= factor * h[i][j]
          inverse[k][j] -= factor * inverse[i][j]
        }
      }
    }
    var w = (0..<rows).map { row in order.map { Double(weights[row * n + $0]) } }
    var values = [Double](repeating: 0, count: rows * n)
    for i in 0..<n {
      for row in 0..<rows {
        let value = min(max((w[row][i] / step).rounded(.toNearestOrEven), -8), 7)
        values[row * n + order[i]] = value
        let error = (w[row][i] - step * value) / inverse[i][i]
        for j in i..<n { w[row][j] -= error * inverse[i][j] }
      }
      let line = inverse[i]
      for j in i..<n { for k in i..<n { inverse[j][k] -= line[j] * line[k] / line[i] } }
    }
    return values
  }

  @Test func codesAreThoseOfAnIndependentImplementation() {
    let (rows, columns) = (24, 96)
    var random = SeededGenerator(7)
    let weights = random.normals(rows * columns)
    let hessian = Self.correlated(columns, tokens: 300, &random)
    var grid = CodeGrid(rows: rows, columns: columns, part: 32, values: -8...7)
    for index in grid.d.indices { grid.d[index] = 0.375 }
    var options = GPTQOptions()
    options.sweeps = 0
    let found = chooseCodes(weights.span, hessian: hessian.span, grid: &grid, options)
    let wanted = Self.reference(
      weights, hessian, rows: rows, columns: columns, damping: Double(options.damping), step: 0.375)
    var different = 0
    for row in 0..<rows {
      for column in 0..<columns
      where Double(found.values[column * grid.stride + row]) != wanted[row * columns + column] {
        different += 1
      }
    }
    // Where F32 and F64 round a near tie differently, what follows in the row may differ too.
    #expect(different <= rows * columns / 50, "\(different) of \(rows * columns)")
  }

  @Test func withoutCorrelationsCodesAreTheNearest() {
    let (rows, columns) = (16, 64)
    var random = SeededGenerator(3)
    let weights = random.normals(rows * columns)
    var identity = [Float](repeating: 0, count: columns * columns)
    for column in 0..<columns { identity[column * columns + column] = 1 }
    var options = GPTQOptions()
    options.sweeps = 0
    var grid = CodeGrid(rows: rows, columns: columns, part: 32, values: -8...7)
    for index in grid.d.indices { grid.d[index] = 0.25 }
    let result = chooseCodes(weights.span, hessian: identity.span, grid: &grid, options)
    for row in 0..<rows {
      for column in 0..<columns {
        let nearest = min(max((weights[row * columns + column] / 0.25).rounded(.toNearestOrEven), -8), 7)
        #expect(result.values[column * grid.stride + row] == nearest)
      }
    }
  }

  @Test func eachStageLowersTheError() {
    let (rows, columns) = (32, 128)
    var random = SeededGenerator(11)
    let weights = random.normals(rows * columns)
    let hessian = Self.correlated(columns, tokens: 400, &random)
    var identity = [Float](repeating: 0, count: columns * columns)
    for column in 0..<columns { identity[column * columns + column] = hessian[column * columns + column] }
    for (name, start) in Self.grids(rows: rows, columns: columns) {
      var plain = start
      var options = GPTQOptions()
      options.sweeps = 0
      // On the diagonal alone, codes are the nearest on the grid.
      let nearest = chooseCodes(weights.span, hessian: identity.span, grid: &plain, options)
      let nearestError = Self.error(weights, nearest.values, plain, hessian)
      var errors: [Double] = []
      for sweeps in [0, 1, 4] {
        options.sweeps = sweeps
        var grid = start
        let result = chooseCodes(weights.span, hessian: hessian.span, grid: &grid, options)
        #expect(abs(result.error / Self.error(weights, result.values, grid, hessian) - 1) < 1e-3, "\(name)")
        errors.append(result.error)
      }
      #expect(errors[0] < 0.7 * nearestError, "\(name): \(errors[0]) of \(nearestError)")
      #expect(errors[1] < errors[0] && errors[2] < 1.001 * errors[1], "\(name): \(errors)")
    }
  }

  /// Columns that nothing was seen of cost nothing, and the reported error is what is left by the Hessian as it was given.
  @Test func theErrorIsThatOfTheHessianAsGiven() {
    let (rows, columns) = (16, 512)
    var random = SeededGenerator(12)
    let weights = random.normals(rows * columns)
    var hessian = Self.correlated(columns, tokens: 600, &random)
    for unseen in [3, 200, 511] {
      for other in 0..<columns {
        (hessian[unseen * columns + other], hessian[other * columns + unseen]) = (0, 0)
      }
    }
    for (name, start) in Self.grids(rows: rows, columns: columns) {
      for sweeps in 0...3 {
        var options = GPTQOptions()
        options.sweeps = sweeps
        var grid = start
        let result = chooseCodes(weights.span, hessian: hessian.span, grid: &grid, options)
        let exact = Self.error(weights, result.values, grid, hessian)
        #expect(abs(result.error / exact - 1) < 1e-4, "\(name), \(sweeps) sweeps: \(result.error), \(exact)")
      }
    }
  }

  /// Σ (w − ŵ)H(w − ŵ)ᵀ in F64.
  static func error(_ weights: [Float], _ values: [Float], _ grid: CodeGrid, _ hessian: [Float]) -> Double {
    let n = grid.columns
    var sum = 0.0
    for row in 0..<grid.rows {
      let difference = (0..<n).map { column -> Double in
        let part = column / grid.part * grid.stride + row
        let top = column / grid.superPart * grid.stride + row
        let step = Double(grid.d[top]) * (grid.scales.isEmpty ? 1 : Double(grid.scales[part]))
        let bias =
          grid.m.isEmpty ? 0 : Double(grid.m[top]) * (grid.minima.isEmpty ? 1 : Double(grid.minima[part]))
        let zero = grid.zeros.isEmpty ? 0 : Double(grid.zeros[part])
        return Double(weights[row * n + column])
          - (step * (Double(values[column * grid.stride + row]) - zero) + bias)
      }
      for i in 0..<n { for j in 0..<n { sum += difference[i] * Double(hessian[i * n + j]) * difference[j] } }
    }
    return sum
  }

  @Test func theFactorIsOfTheInverse() {
    let n = 40
    var random = SeededGenerator(5)
    let hessian = Self.correlated(n, tokens: 200, &random)
    let order = (0..<n).map { UInt32(($0 * 7) % n) }
    var factor: [Float] = []
    let damping = gptqFactor(hessian.span, order: order, damping: 0.01, into: &factor)
    #expect(damping == 0.01)
    // H · F · Fᵀ… with H⁻¹ = UᵀU = F Fᵀ.
    for i in 0..<n {
      for j in 0..<n {
        var sum = 0.0
        for k in 0..<n {
          let h = Double(hessian[Int(order[i]) * n + Int(order[k])]) * (i == k ? 1.01 : 1)
          var inverse = 0.0
          for l in 0...min(k, j) { inverse += Double(factor[k * n + l]) * Double(factor[j * n + l]) }
          sum += h * inverse
        }
        #expect(abs(sum - (i == j ? 1 : 0)) < 2e-2, "\(i), \(j): \(sum)")
      }
    }
  }

  @Test func noHessianLeavesItWithoutAFactor() {
    let n = 32
    let ones = [Float](repeating: 1, count: n * n)
    var indefinite = ones
    for i in 0..<n { for j in 0..<n where i != j { indefinite[i * n + j] = -1 } }
    for (name, hessian) in [
      ("zeros", [Float](repeating: 0, count: n * n)), ("ones", ones), ("indefinite", indefinite),
    ] {
      var factor: [Float] = []
      let damping = gptqFactor(hessian.span, order: (0..<n).map { UInt32($0) }, damping: 0.01, into: &factor)
      #expect(factor.allSatisfy { $0.isFinite }, "\(name), damping \(damping)")
      #expect((0..<n).allSatisfy { factor[$0 * n + $0] > 0 }, "\(name)")
    }
  }

  @Test func blocksAreTakenApartAndPutTogether() {
    for type in [2, 3, 6, 7, 10, 11, 12, 13, 14, 20, 23, 39] + LatticeTests.types {
      var random = SeededGenerator(type)
      let (rows, columns) = (3, 512)
      let block = ggmlBlock(type: type)!
      let weights = random.normals(rows * columns)
      var blocks = [UInt8](repeating: 0, count: rows * columns / block.weights * block.bytes)
      var blockSpan = blocks.mutableSpan
      var bytes = blockSpan.mutableRaw
      quantizeGGML(type: type, weights.span, rows: rows, method: .search, blocks: &bytes)
      var decoded = [Float](repeating: 0, count: rows * columns)
      var span = decoded.mutableSpan
      decodeGGML(type: type, blocks.span.raw, into: &span)
      var grid = CodeGrid(ggml: type, blocks.span.raw, rows: rows, columns: columns)
      var values = [Float](repeating: 0, count: columns * grid.stride)
      for row in 0..<rows {
        for column in 0..<columns {
          let part = column / grid.part * grid.stride + row
          let top = column / grid.superPart * grid.stride + row
          let step = grid.d[top] * (grid.scales.isEmpty ? 1 : grid.scales[part])
          let bias = grid.m.isEmpty ? 0 : grid.m[top] * (grid.minima.isEmpty ? 1 : grid.minima[part])
          let value = step == 0 ? 0 : (decoded[row * columns + column] - bias) / step
          // Entries of lattices are eighths, and whole numbers where a part has its shift.
          let zero = grid.zeros.isEmpty ? 0 : grid.zeros[part]
          let unit: Float = grid.together == 1 ? 1 : 8
          values[column * grid.stride + row] = ((value + zero) * unit).rounded() / unit
        }
      }
      var again = [UInt8](repeating: 0xAA, count: blocks.count)
      var againSpan = again.mutableSpan
      var out = againSpan.mutableRaw
      grid.ggml(type: type, values, into: &out)
      var decodedAgain = [Float](repeating: 0, count: rows * columns)
      var spanAgain = decodedAgain.mutableSpan
      decodeGGML(type: type, again.span.raw, into: &spanAgain)
      #expect(decodedAgain == decoded, "type \(type)")
    }
  }
}
