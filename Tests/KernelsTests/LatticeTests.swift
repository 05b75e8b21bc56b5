import IngotKernels
import Testing

/// GGML's types whose codes number points of a lattice: IQ1, IQ2 and IQ3.
@Suite struct LatticeTests {
  static let types = [16, 17, 18, 19, 21, 22, 29]

  /// Where the number of a point stands, bit by bit, and its signs: (byte of the block, bit), the lowest first. Signs of
  /// eight weights; nil where there are none.
  static func places(_ type: Int, group: Int) -> (
    number: [(byte: Int, bit: Int)], signs: [(byte: Int, bit: Int)]
  ) {
    func bits(_ byte: Int, from bit: Int = 0, _ count: Int) -> [(byte: Int, bit: Int)] {
      (0..<count).map { (byte + (bit + $0) / 8, (bit + $0) % 8) }
    }
    switch type {
    case 16:
      let part = 2 + group / 4 * 8
      return (bits(part + group % 4, 8), bits(part + 4, from: 7 * (group % 4), 7))
    case 17: return (bits(2 + 2 * group, 9), bits(2 + 2 * group, from: 9, 7))
    case 22:
      return (bits(2 + group, 8) + bits(66 + group / 4, from: 2 * (group % 4), 2), bits(34 + group, 8))
    case 19: return (bits(2 + group, 8) + bits(34 + group / 4 * 2, from: 3 * (group % 4), 3), [])
    default: preconditionFailure("type \(type)")
    }
  }

  /// Block with the bits at these places set to a number.
  static func set(_ block: inout [UInt8], _ places: [(byte: Int, bit: Int)], to number: Int) {
    for (index, place) in places.enumerated() {
      let mask = UInt8(1) << UInt8(place.bit)
      if number >> index & 1 == 1 { block[place.byte] |= mask } else { block[place.byte] &= ~mask }
    }
  }

  /// No point, with any signs, comes closer to eight weights than the one that was chosen for them.
  @Test(arguments: [(16, false), (17, true), (22, false), (19, true)])
  func pointsAreTheBestOnes(_ type: Int, _ isWeighted: Bool) {
    var random = SeededGenerator(type)
    let weights = random.normals(256)
    let importance = (0..<256).map { _ in isWeighted ? random.unit() + 0.01 : 1 }
    let blocks = GGMLTests.quantize(type, weights, rows: 1, isWeighted ? importance : nil)
    for group in [0, 5, 31] {
      let (number, signs) = Self.places(type, group: group)
      let columns = 8 * group..<8 * group + 8
      func error(_ block: [UInt8]) -> Double {
        let values = GGMLTests.decode(type, block)
        return columns.reduce(0) { sum, column in
          let rest = Double(weights[column]) - Double(values[column])
          return sum + Double(importance[column]) * rest * rest
        }
      }
      let own = error(blocks)
      var tried = blocks
      var least = Double.infinity
      for point in 0..<1 << number.count {
        Self.set(&tried, number, to: point)
        for sign in 0..<1 << signs.count {
          // All signs of free ones are too many; each weight has its own best.
          if signs.count == 8, sign > 0 { break }
          if signs.count == 8 {
            let wanted = columns.enumerated().reduce(0) { $0 | (weights[$1.1] < 0 ? 1 << $1.0 : 0) }
            Self.set(&tried, signs, to: wanted)
          } else {
            // Signs far from the weights' cannot be best: at most two of seven differ.
            let wanted = columns.prefix(7).enumerated().reduce(0) { $0 | (weights[$1.1] < 0 ? 1 << $1.0 : 0) }
            if (sign ^ wanted).nonzeroBitCount > 2 { continue }
            Self.set(&tried, signs, to: sign)
          }
          least = min(least, error(tried))
        }
      }
      #expect(own <= least * (1 + 1e-5), "group \(group): \(own), \(least)")
    }
  }

  /// A grid, the search's, for weights.
  static func start(_ type: Int, _ weights: [Float], rows: Int, columns: Int, _ hessian: [Float]) -> CodeGrid
  {
    let importance = (0..<columns).map { hessian[$0 * columns + $0] }
    let blocks = GGMLTests.quantize(type, weights, rows: rows, importance)
    return CodeGrid(ggml: type, blocks.span.raw, rows: rows, columns: columns)
  }

  /// Values as blocks hold them, so that none is chosen that no point has.
  static func decoded(_ type: Int, _ values: [Float], _ grid: CodeGrid) -> [Float] {
    var grid = grid
    let block = ggmlBlock(type: type)!
    var blocks = [UInt8](repeating: 0xAA, count: grid.rows * grid.columns / block.weights * block.bytes)
    var span = blocks.mutableSpan
    var bytes = span.mutableRaw
    grid.ggml(type: type, values, into: &bytes)
    return GGMLTests.decode(type, blocks)
  }

  @Test(arguments: types) func vectorsGiveTheScalarsCodes(_ type: Int) {
    let (rows, columns) = (19, 256)
    var random = SeededGenerator(type)
    let weights = random.normals(rows * columns)
    let hessian = GPTQTests.correlated(columns, tokens: 300, &random)
    let start = Self.start(type, weights, rows: rows, columns: columns, hessian)
    var one = start
    let expected = chooseCodes(weights.span, hessian: hessian.span, grid: &one, using: .scalar)
    for isa in vectorSets {
      var other = start
      let found = chooseCodes(weights.span, hessian: hessian.span, grid: &other, using: isa)
      #expect(bitPatterns(found.values) == bitPatterns(expected.values), "\(isa)")
      #expect(
        bitPatterns(other.d) == bitPatterns(one.d) && other.scales == one.scales && other.zeros == one.zeros)
    }
  }

  @Test(arguments: types) func eachStageLowersTheError(_ type: Int) {
    let (rows, columns) = (16, 256)
    var random = SeededGenerator(type)
    let weights = random.normals(rows * columns)
    let hessian = GPTQTests.correlated(columns, tokens: 600, &random)
    let start = Self.start(type, weights, rows: rows, columns: columns, hessian)
    let importance = (0..<columns).map { hessian[$0 * columns + $0] }
    let nearest = GGMLTests.decode(type, GGMLTests.quantize(type, weights, rows: rows, importance))
    var errors = [Self.error(weights, nearest, hessian, columns)]
    for sweeps in [0, 1, 3] {
      var options = GPTQOptions()
      options.sweeps = sweeps
      var grid = start
      let result = chooseCodes(weights.span, hessian: hessian.span, grid: &grid, options)
      let values = Self.decoded(type, result.values, grid)
      let error = Self.error(weights, values, hessian, columns)
      #expect(abs(result.error / error - 1) < 1e-3, "what is written is what was chosen")
      errors.append(error)
    }
    #expect(errors[1] < 0.8 * errors[0], "\(errors)")
    #expect(errors[2] < errors[1] && errors[3] < errors[2], "\(errors)")
  }

  /// Σ (w − ŵ)H(w − ŵ)ᵀ in F64.
  static func error(_ weights: [Float], _ values: [Float], _ hessian: [Float], _ n: Int) -> Double {
    var sum = 0.0
    for row in 0..<weights.count / n {
      let rest = (0..<n).map { Double(weights[row * n + $0]) - Double(values[row * n + $0]) }
      for i in 0..<n {
        var product = 0.0
        for j in 0..<n { product += Double(hessian[i * n + j]) * rest[j] }
        sum += rest[i] * product
      }
    }
    return sum
  }

  /// The error of independent normal weights, next to what the best scales leave.
  @Test(arguments: [
    (16, 0.1075), (17, 0.0815), (22, 0.0575), (18, 0.0318), (21, 0.0171), (19, 0.2), (29, 0.175),
  ])
  func normalWeightsLoseLittle(_ type: Int, _ most: Double) {
    var random = SeededGenerator(3)
    let weights = random.normals(64 * 256)
    let values = GGMLTests.decode(type, GGMLTests.quantize(type, weights, rows: 64))
    let loss = GGMLTests.error(weights, values, nil) / GGMLTests.error(weights, weights.map { _ in 0 }, nil)
    #expect(loss < most)
  }
}
