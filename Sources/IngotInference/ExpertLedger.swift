import IngotKernels
import IngotModels

/// How much a text says about each expert.
public struct ExpertLedger: Sendable {
  /// One expert's line.
  public struct Entry: Sendable {
    public var layer: Int
    public var expert: Int
    /// Tokens that the router sent to it, n.
    public var tokens: Int
    /// Σ g over them, g being the weight of the expert's output in the token's sum.
    public var gateMass: Double
    /// Tokens that were sent to it by force, to be looked at only.
    public var forced: Int
    /// (Σλ)² / Σλ² = (tr H)² / tr H² over the eigenvalues λ of its inputs' second moments H = xᵀx / n, forced tokens among
    /// them: along how many directions they spread.
    public var effectiveRank: Double
    /// ε tr(A (H + εI)⁻¹) / tr A, A being the second moments of all tokens' inputs in this layer and ε a hundredth of A's mean
    /// diagonal: the share of what all tokens carry that lies where this expert has seen nothing. 1 for no tokens.
    public var unseenEnergy: Double
    /// Largest magnitude that its up projection gave or that went into its down projection.
    public var innerPeak: Float
    /// Largest magnitude that its down projection gave.
    public var outputPeak: Float

    public init(
      layer: Int, expert: Int, tokens: Int, gateMass: Double, forced: Int, effectiveRank: Double,
      unseenEnergy: Double, innerPeak: Float, outputPeak: Float
    ) {
      self.layer = layer
      self.expert = expert
      self.tokens = tokens
      self.gateMass = gateMass
      self.forced = forced
      self.effectiveRank = effectiveRank
      self.unseenEnergy = unseenEnergy
      self.innerPeak = innerPeak
      self.outputPeak = outputPeak
    }
  }

  public var entries: [Entry] = []
  private let blueprint: Blueprint

  /// Most tokens of an expert that rank and unseen energy are computed from, evenly spread over all it has.
  public static let sample = 512

  public init(_ blueprint: Blueprint) { self.blueprint = blueprint }

  public mutating func add(_ statistics: LayerStatistics) {
    let hidden = blueprint.hiddenSize
    let all = statistics.floats(.expertInput)
    let (peaks, outputPeaks) = (statistics.floats(.innerPeaks), statistics.floats(.outputPeaks))
    for (expert, load) in statistics.load(experts: blueprint.layers[statistics.layer].feedForward.count)
      .enumerated()
    {
      let routedTokens = statistics.routedTokens(of: expert)
      let count = min(routedTokens.count, ExpertLedger.sample)
      var inputs: [Float] = []
      for index in 0..<count {
        let token = routedTokens[index * routedTokens.count / count].token
        inputs += statistics.floats(.inputs, token * hidden..<(token + 1) * hidden)
      }
      let (rank, unseen) = ExpertLedger.spread(inputs, tokens: count, hidden, all)
      entries.append(
        Entry(
          layer: statistics.layer, expert: expert, tokens: load.tokens, gateMass: load.mass,
          forced: load.forced, effectiveRank: rank, unseenEnergy: unseen, innerPeak: peaks[expert],
          outputPeak: outputPeaks[expert]))
    }
  }

  /// Effective rank of rows x (tokens, hidden), and ε tr(A (H + εI)⁻¹) / tr A for their second moments H = xᵀx / tokens,
  /// those of all tokens A, and ε a hundredth of A's mean diagonal: 1 for no rows, near 0 when they cover A.
  ///
  /// Computed from products of rows (Woodbury's identity), so that no matrix of the hidden size is factored.
  static func spread(_ x: [Float], tokens n: Int, _ hidden: Int, _ all: [Float]) -> (
    rank: Double, unseen: Double
  ) {
    let energy = (0..<hidden).reduce(0.0) { $0 + Double(all[$1 * hidden + $1]) }
    guard n > 0, energy > 0 else { return (0, 1) }
    var gram = [Float](repeating: 0, count: n * n)
    var gramSpan = gram.mutableSpan
    gemm(
      m: n, n: n, k: hidden, alpha: 1 / Float(n), a: x.span, lda: hidden, b: x.span, ldb: hidden,
      bTransposed: true,
      c: &gramSpan, ldc: n)
    let trace = (0..<n).reduce(0.0) { $0 + Double(gram[$1 * n + $1]) }
    let squares = gram.reduce(0.0) { $0 + Double($1) * Double($1) }
    let rank = squares > 0 ? trace * trace / squares : 0
    var moved = [Float](repeating: 0, count: n * hidden)
    var movedSpan = moved.mutableSpan
    gemm(
      m: n, n: hidden, k: hidden, a: x.span, lda: hidden, b: all.span, ldb: hidden, bTransposed: true,
      c: &movedSpan,
      ldc: hidden)
    var covered = [Float](repeating: 0, count: n * n)
    var coveredSpan = covered.mutableSpan
    gemm(
      m: n, n: n, k: hidden, alpha: 1 / Float(n), a: moved.span, lda: hidden, b: x.span, ldb: hidden,
      bTransposed: true, c: &coveredSpan, ldc: n)
    let epsilon = 0.01 * energy / Double(hidden)
    for index in 0..<n { gram[index * n + index] += Float(epsilon) }
    var factor = gram.mutableSpan
    guard invertCholesky(&factor, n: n) else { return (rank, 1) }
    var product = [Float](repeating: 0, count: n * n)
    var productSpan = product.mutableSpan
    gemm(
      m: n, n: n, k: n, a: gram.span, lda: n, b: covered.span, ldb: n, bTransposed: true, c: &productSpan,
      ldc: n)
    let seen = zip(product, gram).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    return (rank, min(max(1 - seen / energy, 0), 1))
  }
}
