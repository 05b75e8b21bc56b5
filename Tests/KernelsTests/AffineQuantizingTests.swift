import IngotKernels
import Testing

enum Scheme: String, CaseIterable, Sendable { case symmetric, zeroPoint, bias }

/// One call of a quantizer and what it gave.
struct QuantizedRows: Equatable {
  var codes: [UInt8]
  var scales: [UInt8]
  var zeros: [UInt8]
  var biases: [UInt8]

  init(
    _ weights: [Float], importance: [Float]? = nil, rows: Int = 1, scheme: Scheme, bits: Int, group: Int,
    storage: FloatFormat, method: AffineMethod, using isa: InstructionSet = .best
  ) {
    let groups = rows * ((weights.count / rows + group - 1) / group)
    // Locals, since spans of two properties at once would be two accesses to self.
    var codes = [UInt8](repeating: 0xFF, count: weights.count)
    var scales = [UInt8](repeating: 0xFF, count: groups * storage.byteCount)
    var zeros = [UInt8](repeating: 0xFF, count: scheme == .zeroPoint ? groups : 0)
    var biases = scheme == .bias ? scales : []
    var codesSpan = codes.mutableSpan
    var scalesSpan = scales.mutableSpan
    var zerosSpan = zeros.mutableSpan
    var biasesSpan = biases.mutableSpan
    var scalesRaw = scalesSpan.mutableRaw
    var biasesRaw = biasesSpan.mutableRaw
    let importance = importance ?? []
    let h = importance.isEmpty ? nil : importance.span
    switch scheme {
    case .symmetric:
      quantizeAffineSymmetric(
        weights.span, importance: h, rows: rows, bits: bits, group: group, storage: storage, method: method,
        codes: &codesSpan, scales: &scalesRaw, using: isa)
    case .zeroPoint:
      quantizeAffineZeroPoint(
        weights.span, importance: h, rows: rows, bits: bits, group: group, storage: storage, method: method,
        codes: &codesSpan, scales: &scalesRaw, zeros: &zerosSpan, using: isa)
    case .bias:
      quantizeAffineBias(
        weights.span, importance: h, rows: rows, bits: bits, group: group, storage: storage, method: method,
        codes: &codesSpan, scales: &scalesRaw, biases: &biasesRaw, using: isa)
    }
    (self.codes, self.scales, self.zeros, self.biases) = (codes, scales, zeros, biases)
  }

  /// Row by row, from the definitions of the schemes.
  func values(rows: Int = 1, scheme: Scheme, bits: Int, group: Int, storage: FloatFormat) -> [Float] {
    let scales = decoded(storage, scales)
    let biases = decoded(storage, biases)
    let columns = codes.count / rows
    let groups = (columns + group - 1) / group
    return codes.indices.map { j in
      let g = j / max(columns, 1) * groups + j % max(columns, 1) / group
      switch scheme {
      case .symmetric: return scales[g] * Float(Int(codes[j]) - 1 << (bits - 1))
      case .zeroPoint: return scales[g] * Float(Int(codes[j]) - Int(zeros[g]))
      case .bias:
        let product = scales[g] * Float(codes[j])
        return product + biases[g]
      }
    }
  }
}

@Suite struct AffineQuantizingTests {
  /// Groups of several characters: normal, heavy tails, off-centre, FP8-like steps, tiny, huge, sparse, constant.
  static func weights(_ kind: Int, _ count: Int, _ random: inout SeededGenerator) -> [Float] {
    (0..<count).map { j in
      let x = random.normal()
      switch kind % 10 {
      case 0: return x * 0.02
      case 1: return x * x * x * (random.next() % 40 == 0 ? 30 : 1)
      case 2: return 5 + x
      case 3: return (x * 16).rounded() / 1024
      case 4: return x * 1e-38
      case 5: return x * 2.5e37
      case 6: return random.next() % 8 == 0 ? x : 0
      case 7: return abs(x) * 1e-6
      case 8: return j % 48 < 24 ? 0 : -0.375
      default: return x * Float(1 << (random.next() % 20))
      }
    }
  }

  static func importance(_ kind: Int, _ count: Int, _ random: inout SeededGenerator) -> [Float]? {
    switch kind % 5 {
    case 0: nil
    case 1: (0..<count).map { _ in random.unit() }
    case 2: (0..<count).map { _ in random.unit() * random.unit() * 1e30 }
    case 3: (0..<count).map { _ in random.next() % 4 == 0 ? 0 : random.unit() * 1e-30 }
    default: (0..<count).map { $0 % 100 < 40 ? 0 : 1 }
    }
  }

  struct Case: CustomStringConvertible {
    var seed: Int
    var kind: Int
    var rows: Int
    var columns: Int
    var group: Int
    var bits: Int
    var storage: FloatFormat
    var scheme: Scheme
    var weights: [Float]
    var importance: [Float]?

    init(seed: Int, scheme: Scheme) {
      var random = SeededGenerator(seed)
      self.seed = seed
      self.scheme = scheme
      kind = Int(random.next() % 10)
      rows = [1, 1, 1, 2, 5][Int(random.next() % 5)]
      columns = [1, 15, 16, 17, 48, 64, 100, 128, 130, 768, 1000, 1536, 3000][Int(random.next() % 13)]
      group = [16, 32, 48, 64, 96, 128, 256, 272, columns][Int(random.next() % 9)]
      bits = [2, 3, 4, 5, 6, 7, 8][Int(random.next() % 7)]
      storage = [.f16, .bf16, .f32][Int(random.next() % 3)]
      weights = AffineQuantizingTests.weights(kind, rows * columns, &random)
      importance = AffineQuantizingTests.importance(Int(random.next() % 5), columns, &random)
    }

    func quantized(_ method: AffineMethod, using isa: InstructionSet = .best) -> QuantizedRows {
      QuantizedRows(
        weights, importance: importance, rows: rows, scheme: scheme, bits: bits, group: group,
        storage: storage, method: method, using: isa)
    }

    func values(_ result: QuantizedRows) -> [Float] {
      result.values(rows: rows, scheme: scheme, bits: bits, group: group, storage: storage)
    }

    /// Weighted squared error of each group, in F64.
    func errors(_ result: QuantizedRows) -> [Double] {
      let values = values(result)
      let groups = (columns + group - 1) / group
      return (0..<rows * groups).map { g in
        let (row, first) = (g / groups, g % groups * group)
        let part = first..<min(first + group, columns)
        let heard = importance.map { h in part.contains { h[$0] > 0 } } ?? false
        return part.reduce(0) { sum, j in
          let difference = Double(values[row * columns + j]) - Double(weights[row * columns + j])
          return sum + (heard ? Double(importance![j]) : 1) * difference * difference
        }
      }
    }

    var description: String {
      "seed \(seed): \(scheme) \(bits) bits, kind \(kind), (\(rows), \(columns)), group \(group), \(storage), "
        + (importance == nil ? "equal importance" : "with importance")
    }
  }

  static let seeds = 0..<600

  @Test(arguments: Scheme.allCases)
  func searchIsNeverWorseThanRoundToNearest(scheme: Scheme) {
    for seed in Self.seeds {
      let test = Case(seed: seed, scheme: scheme)
      let nearest = test.errors(test.quantized(.roundToNearest))
      let searched = test.errors(test.quantized(.search))
      for g in nearest.indices where searched[g] > nearest[g] {
        Issue.record("\(test): group \(g): \(searched[g]) above \(nearest[g])")
      }
    }
  }

  @Test(arguments: Scheme.allCases)
  func resultsAreFiniteAndInRange(scheme: Scheme) {
    for seed in Self.seeds {
      let test = Case(seed: seed, scheme: scheme)
      for method in AffineMethod.allCases {
        let result = test.quantized(method)
        let most = UInt8(1 << test.bits - 1)
        #expect(result.codes.allSatisfy { $0 <= most }, "\(test) \(method)")
        #expect(result.zeros.allSatisfy { $0 <= most }, "\(test) \(method)")
        #expect(decoded(test.storage, result.scales).allSatisfy { $0.isFinite }, "\(test) \(method)")
        #expect(decoded(test.storage, result.biases).allSatisfy { $0.isFinite }, "\(test) \(method)")
      }
    }
  }

  /// Every code is the nearest for the stored scale and offset.
  @Test(arguments: Scheme.allCases)
  func codesAreNearestForWhatIsStored(scheme: Scheme) {
    for seed in Self.seeds {
      let test = Case(seed: seed, scheme: scheme)
      let groups = (test.columns + test.group - 1) / test.group
      for method in AffineMethod.allCases {
        let result = test.quantized(method)
        let scales = decoded(test.storage, result.scales).map { Double($0) }
        let biases = decoded(test.storage, result.biases).map { Double($0) }
        for j in test.weights.indices {
          let g = j / test.columns * groups + j % test.columns / test.group
          if scales[g] == 0 { continue }
          let offset: Double =
            switch scheme {
            case .symmetric: Double(1 << (test.bits - 1))
            case .zeroPoint: Double(result.zeros[g])
            case .bias: 0
            }
          let exact = (Double(test.weights[j]) - (scheme == .bias ? biases[g] : 0)) / scales[g] + offset
          let clamped = min(max(exact, 0), Double(1 << test.bits - 1))
          // The quotient is an F32 (the residual of a bias likewise): two of its roundings.
          let size = abs(exact - offset) + (scheme == .bias ? abs(biases[g] / scales[g]) : 0)
          let slack = 0.5 + 0x1p-22 * size
          if abs(clamped - Double(result.codes[j])) > slack {
            Issue.record("\(test) \(method) [\(j)]: \(result.codes[j]) for \(exact)")
          }
        }
      }
    }
  }

  @Test(arguments: vectorSets, Scheme.allCases)
  func everyInstructionSetQuantizesAlike(isa: InstructionSet, scheme: Scheme) {
    for seed in Self.seeds {
      let test = Case(seed: seed, scheme: scheme)
      for method in AffineMethod.allCases {
        let (reference, result) = (test.quantized(method, using: .scalar), test.quantized(method, using: isa))
        #expect(reference == result, "\(test) \(method) \(isa)")
      }
    }
  }

  @Test(arguments: Scheme.allCases)
  func rowsAreIndependent(scheme: Scheme) {
    for seed in 0..<100 {
      let test = Case(seed: seed, scheme: scheme)
      for method in AffineMethod.allCases {
        var codes: [UInt8] = []
        var scales: [UInt8] = []
        for row in 0..<test.rows {
          var one = test
          one.rows = 1
          one.weights = Array(test.weights[row * test.columns..<(row + 1) * test.columns])
          let result = one.quantized(method)
          codes += result.codes
          scales += result.scales
        }
        let whole = test.quantized(method)
        #expect(whole.codes == codes && whole.scales == scales, "\(test) \(method)")
      }
    }
  }

  @Test(arguments: Scheme.allCases, AffineMethod.allCases)
  func zerosDecodeToZeros(scheme: Scheme, method: AffineMethod) {
    for bits in 2...8 {
      for isa in InstructionSet.supported {
        for storage in [FloatFormat.f16, .bf16, .f32] {
          let zero = QuantizedRows(
            [Float](repeating: 0, count: 64), scheme: scheme, bits: bits, group: 32, storage: storage,
            method: method, using: isa)
          let values = zero.values(scheme: scheme, bits: bits, group: 32, storage: storage)
          #expect(values.allSatisfy { $0 == 0 }, "\(scheme) \(bits) \(storage) \(method) \(isa)")
          #expect(zero.scales.allSatisfy { $0 == 0 }, "\(scheme) \(bits) \(storage) \(method) \(isa)")
        }
      }
    }
  }

  /// Weights should be finite; others give meaningless codes, but codes.
  @Test(arguments: Scheme.allCases, InstructionSet.supported)
  func nonFiniteWeightsGiveCodesInRange(scheme: Scheme, isa: InstructionSet) {
    for seed in 0..<60 {
      for bad in [Float.nan, -.nan, .infinity, -.infinity] {
        var test = Case(seed: seed, scheme: scheme)
        var random = SeededGenerator(seed)
        for j in test.weights.indices where random.next() % 4 < UInt64(seed % 5) { test.weights[j] = bad }
        for method in AffineMethod.allCases {
          let result = test.quantized(method, using: isa)
          let most = UInt8(1 << test.bits - 1)
          #expect(result.codes.allSatisfy { $0 <= most }, "\(test) \(method) \(isa) \(bad)")
          #expect(result.zeros.allSatisfy { $0 <= most }, "\(test) \(method) \(isa) \(bad)")
        }
      }
    }
  }

  /// Weights that the codes can represent come back exactly.
  @Test(arguments: Scheme.allCases, AffineMethod.allCases)
  func representableWeightsAreKept(scheme: Scheme, method: AffineMethod) {
    for bits in 2...8 {
      var random = SeededGenerator(bits)
      let most = 1 << bits - 1
      var weights = (0..<64).map { _ in Float(Int(random.next() % UInt64(most + 1)) - most / 3) * 0.125 }
      (weights[3], weights[4]) = (Float(-(most / 3)) * 0.125, Float(most - most / 3) * 0.125)
      if scheme == .symmetric {
        if method == .roundToNearest { continue }
        weights = weights.map { $0 - Float(1 << (bits - 1) - most / 3) * 0.125 }
      }
      let result = QuantizedRows(
        weights, scheme: scheme, bits: bits, group: 64, storage: .f16, method: method)
      let values = result.values(scheme: scheme, bits: bits, group: 64, storage: .f16)
      #expect(values == weights, "\(scheme) \(bits) bits \(method) seed \(bits)")
    }
  }

  @Test(arguments: InstructionSet.supported)
  func squaredErrorIsTheSum(isa: InstructionSet) {
    for count in lengths {
      var random = SeededGenerator(count)
      let (a, b, h) = (random.normals(count), random.normals(count), random.normals(count).map(abs))
      let wanted = a.indices.reduce(0) {
        $0 + Double(h[$1]) * (Double(a[$1]) - Double(b[$1])) * (Double(a[$1]) - Double(b[$1]))
      }
      let got = squaredError(a.span, b.span, importance: h.span, using: isa)
      #expect(abs(got - wanted) <= 1e-12 * wanted, "\(isa) count \(count)")
      #expect(
        got == squaredError(a.span, b.span, importance: h.span, using: .scalar), "\(isa) count \(count)")
      let ones = [Float](repeating: 1, count: count)
      let plain = squaredError(a.span, b.span, using: isa)
      #expect(plain == squaredError(a.span, b.span, importance: ones.span, using: .scalar), "\(isa) \(count)")
    }
  }
}
