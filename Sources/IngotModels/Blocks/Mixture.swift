import IngotSystem
import IngotTensors

extension TensorKind {
  public static let router = TensorKind(rawValue: "router")
  public static let routerBias = TensorKind(rawValue: "router_bias")
  public static let routerLogitBias = TensorKind(rawValue: "router_logit_bias")
  public static let sharedGate = TensorKind(rawValue: "shared_gate")
  public static let sharedUp = TensorKind(rawValue: "shared_up")
  public static let sharedDown = TensorKind(rawValue: "shared_down")
  public static let sharedRouter = TensorKind(rawValue: "shared_router")
  public static let routerScale = TensorKind(rawValue: "router_scale")
  public static let routerExpertScales = TensorKind(rawValue: "router_expert_scales")
  public static let sharedNorm = TensorKind(rawValue: "shared_norm")
  public static let sharedOutputNorm = TensorKind(rawValue: "shared_output_norm")
  public static let expertsOutputNorm = TensorKind(rawValue: "experts_output_norm")
}

/// A mixture of experts: a router sends each token to some gated MLPs, whose outputs are summed by weight; beside them there
/// may be a gated MLP that every token sees.
public struct Mixture: FeedForward, Hashable {
  public var hiddenSize: Int
  /// Experts, and how many of them a token goes to.
  public var count: Int
  public var perToken: Int
  public var intermediateSize: Int
  public var routing: Routing
  public var hasBias: Bool
  public var activation: GatedActivation
  public var shared: SharedMLP?
  /// The norm before the layer's experts, where router and shared MLP read the residual stream by norms of their own, and the
  /// outputs of both, the experts' sum and the shared MLP's, have a norm each (Gemma 4); nil where all read the same.
  public var ownNorms: Norm?
  public var hasOwnNorms: Bool { ownNorms != nil }
  public var scalesInputs: Bool { routing.scalesInputs }

  /// How the router's logits become a choice and weights.
  public struct Routing: Hashable, Sendable {
    public var scoring: Scoring
    /// Whether a correction bias is added to the scores for the choice alone.
    public var hasCorrectionBias: Bool
    /// Whether the logits have a bias.
    public var hasLogitBias: Bool
    /// Whether the weights of the chosen experts are divided by their sum.
    public var normalizesWeights: Bool
    /// Factor on the weights, after that.
    public var scale: Float
    /// Groups that experts are chosen by first; nil where all are one.
    public var groups: Groups?

    /// Whether each expert has a factor on its weight, after all that (Gemma 4).
    public var hasExpertScales = false
    /// What an expert's weight multiplies: its outputs, or its inputs (Llama 4).
    public var scalesInputs = false
    /// Of `sparseMixer`, how far below the largest logit others still share in an expert's weight.
    public var jitter: Float = 0

    public enum Scoring: String, Hashable, Sendable {
      case softmax, sigmoid
      /// Two experts, one after the other by their logits; the weight of each is its softmax among the experts that were left
      /// and have about as large a logit (Liu et al., "Sparse Backpropagation for MoE Training", arXiv:2310.00811;
      /// Phi-3.5-MoE).
      case sparseMixer
    }

    /// Of equal groups of experts side by side, those with the best scores are kept, and experts are chosen among theirs.
    public struct Groups: Hashable, Sendable {
      public var count: Int
      public var kept: Int
      /// A group's score: the sum of its two largest scores (DeepSeek-V3), or its largest (DeepSeek-V2).
      public var sumsTwo: Bool

      public init(count: Int, kept: Int, sumsTwo: Bool) {
        self.count = count
        self.kept = kept
        self.sumsTwo = sumsTwo
      }
    }

    public init(
      scoring: Scoring, hasCorrectionBias: Bool = false, hasLogitBias: Bool = false, normalizesWeights: Bool,
      scale: Float = 1, groups: Groups? = nil
    ) {
      self.scoring = scoring
      self.hasCorrectionBias = hasCorrectionBias
      self.hasLogitBias = hasLogitBias
      self.normalizesWeights = normalizesWeights
      self.scale = scale
      self.groups = groups
    }
  }

  public init(
    hiddenSize: Int, count: Int, perToken: Int, intermediateSize: Int, routing: Routing,
    hasBias: Bool = false,
    activation: GatedActivation = .silu, shared: SharedMLP? = nil
  ) {
    self.hiddenSize = hiddenSize
    self.count = count
    self.perToken = perToken
    self.intermediateSize = intermediateSize
    self.routing = routing
    self.hasBias = hasBias
    self.activation = activation
    self.shared = shared
  }

  public var name: String { "experts" }
  public var isMixture: Bool { true }

  public var projections: Projections { .gatedMLP }

  public var tensors: [TensorSpec] {
    var tensors = [TensorSpec(.router, [count, hiddenSize])]
    if routing.hasCorrectionBias { tensors.append(TensorSpec(.routerBias, [count])) }
    if routing.hasLogitBias { tensors.append(TensorSpec(.routerLogitBias, [count])) }
    if routing.hasExpertScales { tensors.append(TensorSpec(.routerExpertScales, [count])) }
    if hasOwnNorms {
      tensors += [
        TensorSpec(.routerScale, [hiddenSize]), TensorSpec(.sharedNorm, [hiddenSize]),
        TensorSpec(.sharedOutputNorm, [hiddenSize]), TensorSpec(.expertsOutputNorm, [hiddenSize]),
      ]
    }
    if let shared {
      tensors += Projections.shared.tensors(hiddenSize, shared.intermediateSize, experts: nil)
      if shared.isGated { tensors.append(TensorSpec(.sharedRouter, [1, hiddenSize])) }
    }
    return tensors
      + Projections.gatedMLP.tensors(hiddenSize, intermediateSize, experts: count, hasBias: hasBias)
  }

  public var taps: [Tap] {
    let all = Projections.taps(
      hiddenSize, intermediateSize, activation,
      readers: hasOwnNorms ? [] : [.router] + (shared?.isGated ?? false ? [.sharedRouter] : []),
      beside: shared == nil || hasOwnNorms ? [] : Projections.shared.inputs)
    guard let shared else { return all }
    let inner = Tap(
      Mixture.sharedInnerTap, columns: shared.intermediateSize, linears: [.sharedDown],
      source: activation.isLinearInUp ? .linear(.sharedUp, rows: nil) : .none)
    guard hasOwnNorms else { return [all[0], inner, all[1]] }
    let input = Tap(
      Mixture.sharedInputTap, columns: hiddenSize, linears: Projections.shared.inputs,
      source: .norm(.sharedNorm))
    return [all[0], input, inner, all[1]]
  }

  /// Name of the tap of what the shared MLP reads, where that is not what the experts read.
  public static let sharedInputTap = "shared.input"

  /// Name of the tap of what goes into the last projection of the shared MLP.
  public static let sharedInnerTap = "shared.inner"

  /// Tensors with a row or value for each expert: what leaving experts out selects from.
  public static let perExpertRows: Set<TensorKind> = [
    .router, .routerBias, .routerLogitBias, .routerExpertScales,
  ]
}

extension Projections {
  /// Those of the gated MLP that every token sees beside its experts.
  public static let shared = Projections(gating: .sharedGate, lifting: .sharedUp, lowering: .sharedDown)
}
