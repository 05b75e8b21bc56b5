import IngotModels
import IngotSystem
import IngotTensors

/// What leaving experts out of one layer does to its outputs.
///
/// The router then chooses among the experts that are left, as it would in a model without them: a token that loses one goes to the
/// next best, and the weights are divided by the new sum.
public struct DroppedOutputs: Sendable, Hashable {
  /// By expert: mean over its tokens of weight × L2 norm of its output (Lasby et al., "REAP the Experts", 2025); 0 without tokens.
  public var scores: [Double]
  /// By expert: Σ weight² × squared norm over its tokens.
  public var squares: [Double]
  /// Numbers of experts left out, rising: those of least score, of equal ones the lower number first.
  public var counts: [Int]
  /// For each of them Σ ‖ŷ − y‖² over the tokens' sums.
  public var errors: [Double]
  /// The one of `counts` whose states go on; 0 when no expert can be spared.
  public var carried: Int

  /// Numbers of experts to leave out: sixteenths of all, as long as those left are as many as a token goes to.
  static func counts(_ experts: Blueprint.ExpertSummary) -> [Int] {
    var counts: [Int] = []
    for sixteenths in [1, 2, 4, 6, 8, 12] {
      let count = max(experts.count * sixteenths / 16, 1)
      if count > counts.last ?? 0, count <= experts.count - experts.perToken { counts.append(count) }
    }
    return counts
  }
}

extension Lane {
  /// Takes the states through a layer without some of its experts, in several numbers.
  ///
  /// The lane goes on with `carried` of them left out.
  /// - Returns: what that does.
  mutating func dropExperts(layer: Int, _ workers: Workers) async throws(FormatError) -> DroppedOutputs {
    let block = blueprint.layers[layer].feedForward
    var runner = LayerRunner(layer: layer, [hand()], workers)
    try await runner.advance(to: .feedForwardInput)
    guard block.isMixture else {
      try await runner.feed()
      self = runner.lanes[0]
      return DroppedOutputs(scores: [], squares: [], counts: [], errors: [], carried: 0)
    }
    let routings = runner.routings(lane: 0)
    var scores: [Double] = []
    var squares: [Double] = []
    _ = try await runner.sums(
      [source], [routings], isSummed: [false], reading: OutputNorms(block.projections)
    ) { reader, expert in
      guard expert < block.count else { return }
      scores.append(reader.score)
      squares.append(reader.square)
    }
    let counts = DroppedOutputs.counts(blueprint.experts)
    // A quarter: enough to tell from noise, and about what plans leave out.
    let carried = counts.min { abs(16 * $0 - 4 * scores.count) < abs(16 * $1 - 4 * scores.count) }
    let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
    var variants = [routings]
    for count in counts {
      variants.append(try runner.routings(lane: 0, without: Array(order.prefix(count))))
    }
    let sums = try await runner.sums([source], variants, isSummed: [true], reading: NoReader()) { _, _ in }
    var errors: [Double] = []
    for sum in sums.dropFirst() {
      errors.append(
        zip(sum, sums[0]).reduce(0.0) { total, pair in
          total
            + zip(pair.0, pair.1).reduce(0.0) {
              $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
            }
        })
    }
    let chosen = carried.map { counts.firstIndex(of: $0)! + 1 } ?? 0
    self = try runner.lane(adding: sums[chosen])
    return DroppedOutputs(
      scores: scores, squares: squares, counts: counts, errors: errors, carried: carried ?? 0)
  }
}

/// Norms of the outputs of one expert.
private struct OutputNorms: TapReader {
  private let output: TensorKind
  /// Mean of weight × norm over its tokens, 0 without tokens; and sum of their squares.
  private(set) var score = 0.0
  private(set) var square = 0.0

  init(_ projections: Projections) { output = projections.lowering }

  mutating func read(_ activation: Activation) {
    guard case .output(output) = activation.kind else { return }
    let (values, columns) = (activation.rows, activation.columns)
    var (sum, square) = (0.0, 0.0)
    for (row, routedToken) in activation.routedTokens.enumerated() {
      var norm = 0.0
      for index in row * columns..<(row + 1) * columns {
        norm += Double(values[index]) * Double(values[index])
      }
      sum += Double(routedToken.weight) * norm.squareRoot()
      square += Double(routedToken.weight) * Double(routedToken.weight) * norm
    }
    score = sum / Double(max(activation.count, 1))
    self.square = square
  }
}
