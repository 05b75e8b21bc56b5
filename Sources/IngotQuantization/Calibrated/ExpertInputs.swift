import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What went into one expert: the tokens routed to it, each weighted by the square of its weight in the token's sum, which
/// is how much an error of the expert there costs.
///
/// An expert that few tokens reached would be fitted to these alone. So statistics of the layer's tokens at large is
/// added, as if `pseudoTokens` more had come: to its inputs by the layer's Hessian over all tokens, to its inner
/// activations by sending it a sample of tokens that it did not get.
package struct ExpertInputs {
  private let statistics: LayerStatistics
  private let hidden: Int
  private let divisors: [Float]
  private let routedTokens: [LayerStatistics.RoutedToken]
  /// Mean square of the routed tokens' weights; 1 for none.
  private let meanWeight: Float
  private let pseudoTokens: Int
  private let biases: MLPBiases
  private let activation: GatedActivation
  /// Whether weights multiply what goes into the expert, so that its outputs count as they are.
  private let scalesInputs: Bool

  /// Tokens that its Hessians are of: its own, and those of the layer at large.
  var tokens: Int { routedTokens.count + pseudoTokens }

  private static let chunk = 1024
  /// Tokens that an expert's output error is measured on, at most.
  private static let sample = 128

  /// - Parameter pseudoTokens: tokens of the layer at large; nil for a sixteenth of `hidden`.
  package init(
    _ statistics: LayerStatistics, expert: Int, hidden: Int, divisors: [Float],
    biases: MLPBiases = MLPBiases(), activation: GatedActivation = .silu,
    scalesInputs: Bool = false, pseudoTokens: Int? = nil
  ) {
    self.scalesInputs = scalesInputs
    self.biases = biases
    self.activation = activation
    self.statistics = statistics
    self.hidden = hidden
    self.divisors = divisors
    routedTokens = statistics.routedTokens(of: expert)
    let squares = routedTokens.reduce(0.0) { $0 + Double($1.weight) * Double($1.weight) }
    meanWeight = routedTokens.isEmpty ? 1 : Float(squares / Double(routedTokens.count))
    self.pseudoTokens = pseudoTokens ?? max(hidden / 16, 1)
  }

  /// Inputs of tokens as the scaled layer has them: (tokens, hidden)
  private func rows(_ tokens: [Int]) -> [Float] { rows(tokens, of: statistics.fields[.inputs]!, divisors) }

  /// What the original model has in their place.
  private func trueRows(_ tokens: [Int]) -> [Float] {
    guard let targets = statistics.targets else { return rows(tokens) }
    return rows(tokens, of: targets.inputs, divisors)
  }

  private func rows(_ tokens: [Int], of bytes: Bytes, _ divisors: [Float]) -> [Float] {
    var out = [Float](repeating: 0, count: tokens.count * hidden)
    for (row, token) in tokens.enumerated() {
      let line = bytes[2 * token * hidden..<2 * (token + 1) * hidden]
      var all = out.mutableSpan
      var target = all._mutatingExtracting(row * hidden..<(row + 1) * hidden)
      decode(.bf16, line.span, into: &target)
      if !divisors.isEmpty { for column in 0..<hidden { target[column] /= divisors[column] } }
    }
    return out
  }

  /// Σ g² x xᵀ over its tokens, and the layer's: (hidden, hidden)
  package func hessian() -> [Float] {
    var sum = statistics.floats(.expertInput)
    if !divisors.isEmpty {
      for row in 0..<hidden {
        for column in 0..<hidden { sum[row * hidden + column] /= divisors[row] * divisors[column] }
      }
    }
    let share = meanWeight * Float(pseudoTokens)
    for index in sum.indices { sum[index] *= share }
    var span = sum.mutableSpan
    for first in stride(from: 0, to: routedTokens.count, by: ExpertInputs.chunk) {
      let some = routedTokens[first..<min(first + ExpertInputs.chunk, routedTokens.count)]
      var x = rows(some.map(\.token))
      scaleRows(&x, hidden, some.map(\.weight))
      addOuterProducts(x.span, tokens: some.count, columns: hidden, to: &span)
    }
    mirrorLowerTriangle(&span, n: hidden)
    return sum
  }

  /// Σ g² (x − x̂) x̂ᵀ over its tokens, x being the original's inputs: (hidden, hidden)
  func cross() -> [Float] {
    var sum = [Float](repeating: 0, count: hidden * hidden)
    for first in stride(from: 0, to: routedTokens.count, by: ExpertInputs.chunk) {
      let some = routedTokens[first..<min(first + ExpertInputs.chunk, routedTokens.count)]
      var x = rows(some.map(\.token))
      var difference = trueRows(some.map(\.token))
      scaleRows(&x, hidden, some.map(\.weight))
      scaleRows(&difference, hidden, some.map(\.weight))
      for index in x.indices { difference[index] -= x[index] }
      ExpertInputs.addProducts(difference, hidden, x, hidden, to: &sum)
    }
    return sum
  }

  /// sum += aᵀ b for rows a (tokens, rows) and b (tokens, columns).
  private static func addProducts(
    _ a: [Float], _ rows: Int, _ b: [Float], _ columns: Int, to sum: inout [Float]
  ) {
    var span = sum.mutableSpan
    gemm(
      m: rows, n: columns, k: a.count / rows, a: a.span, lda: rows, aTransposed: true, b: b.span,
      ldb: columns, bTransposed: false, beta: 1, c: &span, ldc: columns)
  }

  private func scaleRows(_ x: inout [Float], _ columns: Int, _ factors: [Float]) {
    for (row, factor) in factors.enumerated() {
      for column in 0..<columns { x[row * columns + column] *= factor }
    }
  }

  /// act(gate x) ∘ up x, times the tokens' weights: (tokens, width). Where these multiply inputs, of x times them.
  private func weighed(_ x: [Float], _ weights: [Float], gate: WeightRows, up: WeightRows)
    throws(FormatError) -> [Float]
  {
    var x = x
    if scalesInputs { scaleRows(&x, hidden, weights) }
    var y = try inner(x, tokens: weights.count, gate: gate, up: up)
    if !scalesInputs { scaleRows(&y, gate.rows, weights) }
    return y
  }

  /// act(gate x) ∘ up x: (tokens, width)
  private func inner(_ x: [Float], tokens: Int, gate: WeightRows, up: WeightRows) throws(FormatError)
    -> [Float]
  {
    var gateActivations = try products(x, tokens: tokens, gate)
    var upActivations = try products(x, tokens: tokens, up)
    var gatedSpan = gateActivations.mutableSpan
    var upSpan = upActivations.mutableSpan
    addBias(biases.gate, to: &gatedSpan)
    addBias(biases.up, to: &upSpan)
    activation.apply(&gatedSpan, up: upSpan.span)
    return gateActivations
  }

  /// x wᵀ: (tokens, rows of w).
  private func products(_ x: [Float], tokens: Int, _ w: WeightRows) throws(FormatError) -> [Float] {
    var y = [Float](repeating: 0, count: tokens * w.rows)
    var span = y.mutableSpan
    for rows in w.ranges {
      let weights = try w(rows)
      gemm(
        m: tokens, n: rows.count, k: w.columns, a: x.span, lda: w.columns, b: weights.span, ldb: w.columns,
        bTransposed: true, c: &span, cOffset: rows.lowerBound, ldc: w.rows)
    }
    return y
  }

  /// Σ g² ŷ ŷᵀ over what gate and up give, and Σ g² (y − ŷ) ŷᵀ when the true ones are given, (width, width) each; Σ g² r ŷᵀ
  /// when there are residuals r that the outputs should make up for: (hidden, width).
  func inner(
    gate: WeightRows, up: WeightRows, exact: (gate: WeightRows, up: WeightRows)?
  ) throws(FormatError) -> (hessian: [Float], cross: [Float]?, residual: [Float]?) {
    let width = gate.rows
    var sum = [Float](repeating: 0, count: width * width)
    var cross: [Float]? = exact == nil ? nil : sum
    let residuals = exact == nil ? nil : statistics.targets?.residuals
    var wanted = residuals.map { _ in [Float](repeating: 0, count: hidden * width) }
    var all = routedTokens
    let others = statistics.tokens
    let extra = min(pseudoTokens, others)
    for index in 0..<extra {
      all.append(.init(token: index * others / extra, weight: meanWeight.squareRoot()))
    }
    for first in stride(from: 0, to: all.count, by: ExpertInputs.chunk) {
      let some = all[first..<min(first + ExpertInputs.chunk, all.count)]
      let x = rows(some.map(\.token))
      let weights = some.map(\.weight)
      let y = try weighed(x, weights, gate: gate, up: up)
      var span = sum.mutableSpan
      addOuterProducts(y.span, tokens: some.count, columns: width, to: &span)
      guard let exact else { continue }
      if let residuals {
        var missing = rows(some.map(\.token), of: residuals, [])
        if !scalesInputs { scaleRows(&missing, hidden, weights) }
        ExpertInputs.addProducts(missing, hidden, y, width, to: &wanted!)
      }
      var difference = try weighed(trueRows(some.map(\.token)), weights, gate: exact.gate, up: exact.up)
      for index in difference.indices { difference[index] -= y[index] }
      ExpertInputs.addProducts(difference, width, y, width, to: &cross!)
    }
    var span = sum.mutableSpan
    mirrorLowerTriangle(&span, n: width)
    return (sum, cross, wanted)
  }

  /// What goes into gate and up, and into down, for at most `sample` of its tokens and some of the layer's at large, each row
  /// times the token's weight: (tokens, hidden) and (tokens, width).
  func samples(gate: WeightRows, up: WeightRows) throws(FormatError) -> (inputs: [Float], inner: [Float]) {
    let count = min(routedTokens.count, ExpertInputs.sample)
    var some = (0..<count).map { routedTokens[$0 * routedTokens.count / count] }
    let extra = min(pseudoTokens, statistics.tokens)
    // A sample stands for all of its tokens; those at large count as often as in Hessians.
    let share = Float(Double(max(count, 1)) / Double(max(routedTokens.count, 1))).squareRoot()
    for index in 0..<extra {
      some.append(.init(token: index * statistics.tokens / extra, weight: share * meanWeight.squareRoot()))
    }
    var x = rows(some.map(\.token))
    var weights = some.map(\.weight)
    // Inputs are multiplied by what the router gives alone, not by what a token counts.
    if scalesInputs { for index in count..<some.count { weights[index] = meanWeight.squareRoot() } }
    var y = try weighed(x, weights, gate: gate, up: up)
    if scalesInputs { scaleRows(&y, gate.rows, some.indices.map { $0 < count ? 1 : share }) }
    scaleRows(&x, hidden, some.map(\.weight))
    return (x, y)
  }

  /// Tokens of its own, and Σ g²‖z − ẑ‖² / Σ g²‖z‖² over at most `sample` of them, z being what the true projections (gate,
  /// up, down) give; 0 for no tokens.
  func outputError(_ projections: [WeightRows], _ quantized: [WeightRows]) throws(FormatError) -> (
    tokens: Int, share: Double
  ) {
    let count = min(routedTokens.count, ExpertInputs.sample)
    let some = (0..<count).map { routedTokens[$0 * routedTokens.count / count] }
    func outputs(_ x: [Float], _ w: [WeightRows]) throws(FormatError) -> [Float] {
      var x = x
      if scalesInputs { scaleRows(&x, hidden, some.map(\.weight)) }
      return try products(inner(x, tokens: count, gate: w[0], up: w[1]), tokens: count, w[2])
    }
    let z = try outputs(trueRows(some.map(\.token)), projections)
    let own = try outputs(rows(some.map(\.token)), quantized)
    var (error, power) = (0.0, 0.0)
    for (row, routedToken) in some.enumerated() {
      let weight = scalesInputs ? 1 : Double(routedToken.weight) * Double(routedToken.weight)
      for index in row * hidden..<(row + 1) * hidden {
        let difference = Double(z[index]) - Double(own[index])
        error += weight * difference * difference
        power += weight * Double(z[index]) * Double(z[index])
      }
    }
    return (routedTokens.count, power > 0 ? error / power : 0)
  }
}

/// Adds a bias to each row of x, which has as many columns as there are biases; nothing for none.
private func addBias(_ bias: [Float], to x: inout MutableSpan<Float>) {
  if bias.isEmpty { return }
  for index in 0..<x.count { x[index] += bias[index % bias.count] }
}
