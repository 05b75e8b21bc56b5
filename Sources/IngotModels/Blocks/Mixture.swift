import IngotSystem
import IngotTensors

extension TensorKind {
  public static let router = TensorKind(rawValue: "router")
  public static let routerBias = TensorKind(rawValue: "router_bias")
}

/// A mixture of experts: a router sends each token to some gated MLPs, whose outputs are summed by weight.
public struct Mixture: FeedForward, Hashable {
  public var hiddenSize: Int
  /// Experts, and how many of them a token goes to.
  public var count: Int
  public var perToken: Int
  public var intermediateSize: Int
  public var routing: Routing

  /// How the router's logits become a choice and weights.
  public struct Routing: Hashable, Sendable {
    public var scoring: Scoring
    /// Whether a correction bias is added to the scores for the choice alone.
    public var hasCorrectionBias: Bool
    /// Whether the weights of the chosen experts are divided by their sum.
    public var normalizesWeights: Bool

    public enum Scoring: String, Hashable, Sendable {
      case softmax, sigmoid
    }

    public init(scoring: Scoring, hasCorrectionBias: Bool = false, normalizesWeights: Bool) {
      self.scoring = scoring
      self.hasCorrectionBias = hasCorrectionBias
      self.normalizesWeights = normalizesWeights
    }
  }

  public init(hiddenSize: Int, count: Int, perToken: Int, intermediateSize: Int, routing: Routing) {
    self.hiddenSize = hiddenSize
    self.count = count
    self.perToken = perToken
    self.intermediateSize = intermediateSize
    self.routing = routing
  }

  public var name: String { "experts" }
  public var isMixture: Bool { true }

  public var projections: Projections { .gatedMLP }

  public var tensors: [TensorSpec] {
    var tensors = [TensorSpec(.router, [count, hiddenSize])]
    if routing.hasCorrectionBias { tensors.append(TensorSpec(.routerBias, [count])) }
    return tensors + Projections.tensors(hiddenSize, intermediateSize, experts: count)
  }

  public var taps: [Tap] { Projections.taps(hiddenSize, intermediateSize, readers: [.router]) }

  /// Tensors with a row or value for each expert: what leaving experts out selects from.
  public static let perExpertRows: Set<TensorKind> = [.router, .routerBias]
}
