import IngotKernels
import IngotSystem
import IngotTensors

/// What trellis codes would do to the outputs of a matrix, without choosing them: the search for all codes takes hours where a
/// look at the weights takes minutes.
///
/// Next to its row's and its column's scale a weight is much like any other, so that the mean square error of codes is nearly
/// the same for all columns: it is measured on a sample of them, under the scales of the whole matrix, columns being drawn by what
/// their errors cost. Codes without feedback err independently of each other, so that the outputs' errors add up:
/// Σ h c² · e, h being a channel's energy, c its column's scale and e the mean error of the sampled columns, each over its c². At 1.5
/// bits errors go with the weights to some degree, so that this is up to a tenth too low where tokens' outputs have much in common.
package struct TrellisEstimate {
  /// Weights that are tried, at least, where the matrix has as many.
  private static let sample = 8192
  private static let fewest = 8

  /// Weights of a matrix that are tried, at most.
  package static func weights(rows: Int) -> Int { rows * max(fewest, sample / max(rows, 1)) }

  /// Of the sampled columns: weights (rows, columns), scales, and how often each was drawn.
  private var sampled: [Float] = []
  private var columnScales: [Float] = []
  private var draws: [Double] = []
  /// Root mean squares of the rows, each column divided by its scale.
  private var rowScales: [Double] = []
  /// Σ h c²
  private var energy = 0.0

  /// - Parameters:
  ///   - energies: (columns), Σ x² of what each column is multiplied by.
  ///   - chunks: ranges of rows that are read one after the other, twice.
  ///   - values: the weights of some rows, (rows, columns).
  init(
    rows: Int, energies: [Double], chunks: [Range<Int>],
    values: (Range<Int>) throws(FormatError) -> [Float]
  ) throws(FormatError) {
    let columns = energies.count
    if rows == 0 || columns == 0 { return }
    var squares = [Double](repeating: 0, count: columns)
    for chunk in chunks {
      let values = try values(chunk)
      for row in chunk.indices {
        let first = (row - chunk.lowerBound) * columns
        for column in 0..<columns {
          squares[column] += Double(values[first + column]) * Double(values[first + column])
        }
      }
    }
    let norms = squares.map { $0.squareRoot() }
    let mean = norms.reduce(0, +) / Double(columns)
    guard mean > 0 else { return }
    let scales = norms.map { Float(max($0 / mean, 0x1p-10)) }
    let places = draw(energies, scales, count: TrellisEstimate.weights(rows: rows) / rows)
    columnScales = places.map { scales[$0] }
    let inverses = scales.map { 1 / $0 }
    for chunk in chunks {
      let values = try values(chunk)
      for row in chunk.indices {
        let first = (row - chunk.lowerBound) * columns
        var sum = 0.0
        for column in 0..<columns {
          let weight = Double(values[first + column] * inverses[column])
          sum += weight * weight
        }
        rowScales.append((sum / Double(columns)).squareRoot())
        for column in places { sampled.append(values[first + column]) }
      }
    }
  }

  /// Draws columns, those that cost more more often, at equal steps along the sum of what they cost.
  ///
  /// - Returns: the columns, each once, rising.
  private mutating func draw(_ energies: [Double], _ scales: [Float], count: Int) -> [Int] {
    let costs = zip(energies, scales).map { $0 * Double($1) * Double($1) }
    energy = costs.reduce(0, +)
    var places: [Int] = []
    var (sum, taken) = (0.0, 0)
    for (column, cost) in costs.enumerated() {
      sum += cost
      var drawn = 0
      while taken < count, (Double(taken) + 0.5) / Double(count) * energy < sum {
        drawn += 1
        taken += 1
      }
      guard drawn > 0 else { continue }
      places.append(column)
      draws.append(Double(drawn))
    }
    return places
  }

  /// Σ‖(Ŵ − W) x‖² with codes that are searched for; nil for an encoding of another kind.
  func error(_ encoding: Encoding) -> Double? {
    guard case .trellis(let scheme) = encoding else { return nil }
    guard energy > 0, !columnScales.isEmpty else { return 0 }
    let errors = trellisErrors(
      sampled.span, rowScales: rowScales, columnScales: columnScales, scheme.shape)
    var (sum, count) = (0.0, 0.0)
    for (index, error) in errors.enumerated() {
      let scale = Double(columnScales[index])
      sum += draws[index] * error / (scale * scale)
      count += draws[index]
    }
    return energy * sum / count
  }
}

extension Encoding {
  /// Whether `TrellisEstimate` is for it.
  var isEstimated: Bool {
    if case .trellis = self { return true }
    return false
  }

  /// Floating-point operations of a matrix product that take as long as the search does for the code of a weight; nil where no path is
  /// searched for. By docs/results/trellis.md, at 107 GFLOP/s.
  package var pathOperations: Double? {
    guard case .trellis(let scheme) = self else { return nil }
    return 8e3 + 10 * Double(1 << scheme.shape.window)
  }

  /// The same codes with few states, which are found in a fraction of the time, for trellis codes: what is quantized whole only to be
  /// measured. The encoding itself otherwise.
  package var quick: Encoding {
    guard case .trellis(let scheme) = self,
      let quick = Trellis(halves: scheme.shape.halves, window: min(scheme.shape.window, Trellis.quickWindow))
    else { return self }
    return .trellis(quick)
  }

  /// The error of `quick` over that of this encoding, for normal weights; it is much the same for all others.
  package var quickErrorRatio: Double {
    guard case .trellis(let scheme) = self, case .trellis(let quick) = quick, quick != scheme else {
      return 1
    }
    let (rows, columns) = (256, 64)
    var state: UInt64 = 1
    let weights = (0..<rows * columns).map { _ -> Float in
      // A sum of twelve uniform values has a variance of 1.
      (0..<12).reduce(Float(-6)) { sum, _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return sum + Float(state >> 40) * 0x1p-24
      }
    }
    func error(_ scheme: Trellis) -> Double {
      trellisErrors(
        weights.span, rowScales: [Double](repeating: 1, count: rows),
        columnScales: [Float](repeating: 1, count: columns), scheme.shape
      ).reduce(0, +)
    }
    return error(quick) / error(scheme)
  }
}

extension Trellis {
  /// Bits of a state that are enough to measure by.
  fileprivate static let quickWindow = 9
}
