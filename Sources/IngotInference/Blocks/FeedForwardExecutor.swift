import IngotModels
import IngotSystem
import IngotTensors

/// A feed-forward that this build can run. A kind of block conforms in its own file.
protocol ExecutableFeedForward: FeedForward {
  /// What sends a layer's tokens to its gated MLPs, decoded.
  func router(_ model: Model, layer: Int) throws(FormatError) -> any TokenRouter
  /// What computes these of a layer.
  ///
  /// - Parameter decodesOnce: whether weights that every token needs may be held decoded; else one projection at a time is.
  func executor(_ source: LaneModel, layer: Int, _ site: RowSite, _ workers: Workers, decodesOnce: Bool)
    async throws(FormatError) -> any FeedForwardExecutor
}

/// Chooses the gated MLPs that tokens go to.
protocol TokenRouter: Sendable {
  /// - Parameters:
  ///   - inputs: (tokens, hidden)
  ///   - keepsGates: whether the routing keeps the scores of all experts.
  ///   - dropped: experts that cannot be chosen.
  ///   - site: whose tokens they are, for messages; nil to take what comes.
  func route(
    _ inputs: [Float], tokens: Int, keepsGates: Bool, without dropped: [Int],
    _ site: (rows: RowSite, context: Int)?
  ) throws(FormatError) -> Routing
}

/// Gated MLPs of a layer at work.
protocol FeedForwardExecutor: Sendable {
  /// Whether a token's outputs are summed before they are added to its state; else there is but one.
  var sumsOutputs: Bool { get }
  /// Units of work, experts ascending.
  func batches(_ routings: [Routing], _ aside: Aside) -> [ExpertBatch]
  /// What an expert makes of the tokens of a batch: (routed tokens, hidden). Outputs of `probe` are left in `buffers.probed`.
  ///
  /// - Parameters:
  ///   - inputs: contexts × (tokens, hidden)
  ///   - readsWeights: whether `read` is to see weights, even of an expert without tokens.
  ///   - read: is shown activations on the way.
  func outputs(
    of batch: ExpertBatch, _ inputs: [[Float]], readsWeights: Bool, _ buffers: inout Buffers,
    read: (Activation) -> Void
  ) throws(FormatError) -> [Float]
  /// What a tap of the shared MLP shows of a context: (tokens, columns). No weights behind the tap are asked for.
  ///
  /// - Parameter inputs: of the feed-forward, (tokens, hidden).
  func sharedRows(of tap: Tap, _ inputs: [Float], _ buffers: inout Buffers) throws(FormatError) -> [Float]
  /// What the sum of the experts' outputs becomes before the shared MLP's are added: (tokens, hidden).
  func endExperts(_ sum: inout [Float])
}

extension FeedForwardExecutor {
  func sharedRows(of tap: Tap, _ inputs: [Float], _ buffers: inout Buffers) throws(FormatError) -> [Float] {
    preconditionFailure("there is no shared MLP")
  }

  func endExperts(_ sum: inout [Float]) {}
}

/// Rows that go through experts beside the lanes' tokens, and get into no state.
enum Aside: Sendable {
  case none
  /// By expert, tokens of the lanes that its router did not send there: they go as far as readers look, to the inner tap.
  case forced([[RoutedToken]])
  /// By expert, inputs from outside, (rows, hidden), whose outputs are handed back.
  case probe([[Float]])
}

/// Tokens that go through an expert at once.
struct ExpertBatch: Sendable {
  var expert: Int
  var routedTokens: [RoutedToken]
  var forced: [RoutedToken] = []
  var probe: [Float] = []
  /// The tensors that are used for the last time.
  var finishes: [Role] = []
  /// Whether it is the first of its expert.
  var isFirst = true
  /// Where batches of several routings are one: for each, its routed tokens and their rows.
  private var shares: [[(row: Int, routedToken: RoutedToken)]] = []

  init(expert: Int, routedTokens: [RoutedToken]) {
    self.expert = expert
    self.routedTokens = routedTokens
  }

  /// Goes through the rows of outputs that a routing adds.
  func forEachRow(of variant: Int, _ body: (_ row: Int, RoutedToken) -> Void) {
    if shares.isEmpty {
      for (row, routedToken) in routedTokens.enumerated() { body(row, routedToken) }
    } else {
      for (row, routedToken) in shares[variant] { body(row, routedToken) }
    }
  }

  /// Makes one of the batches that several routings of the same inputs have for an expert: tokens that they share go through
  /// it once.
  static func shared(_ variants: [[ExpertBatch]]) -> [ExpertBatch] {
    if variants.count == 1 { return variants[0] }
    return variants[0].indices.map { index in
      var batch = variants[0][index]
      batch.routedTokens = []
      var rows: [Int: [Int: Int]] = [:]
      batch.shares = variants.map { variant in
        variant[index].routedTokens.map { routedToken in
          let row = rows[routedToken.context]?[routedToken.token] ?? batch.routedTokens.count
          if row == batch.routedTokens.count {
            rows[routedToken.context, default: [:]][routedToken.token] = row
            batch.routedTokens.append(routedToken)
          }
          return (row, routedToken)
        }
      }
      return batch
    }
  }
}

extension Blueprint {
  /// The feed-forward of a layer to run.
  func executableFeedForward(layer: Int, of model: Model) throws(FormatError) -> any ExecutableFeedForward {
    guard let block = layers[layer].feedForward as? any ExecutableFeedForward else {
      throw FormatError(
        path: model.path, expected: "a kind of feed-forward that can be run",
        found: "'\(layers[layer].feedForward.name)' in layer \(layer)")
    }
    return block
  }
}
