import IngotSystem
import IngotTensors

/// A part of a layer that reads the residual stream and adds to it: attention, a gated MLP, a mixture of experts.
///
/// A block only describes: its configuration, its tensors, and which of them are linear layers fed by what. Names, shapes,
/// calibration statistics, places for channel scales, stacks and tables follow from that. How it is computed is
/// `IngotInference`'s part of the block.
public protocol Block: Sendable {
  /// What reports call it: `attention`, `mlp`, `experts`.
  var name: String { get }
  /// Its tensors in the order of storage: those that a layer has once, then those of each expert.
  var tensors: [TensorSpec] { get }
  /// The activations that feed its linear layers, in the order in which they are computed.
  var taps: [Tap] { get }
}

/// A tensor that a block has.
public struct TensorSpec: Hashable, Sendable {
  public var kind: TensorKind
  /// Extents of one of them, [outputs, inputs] for a linear layer.
  public var shape: [Int]
  /// How many experts have one each; nil for a tensor that a layer has once.
  public var experts: Int?
  /// Whether it is the weight of a linear layer, which may be quantized. Others stay exact: quantizing them moves the
  /// choice of experts or scales everything.
  public var isLinear: Bool

  public init(_ kind: TensorKind, _ shape: [Int], experts: Int? = nil, isLinear: Bool = false) {
    self.kind = kind
    self.shape = shape
    self.experts = experts
    self.isLinear = isLinear
  }

  /// Values of all of them together.
  public var parameters: Int { shape.reduce(1, *) * (experts ?? 1) }
}

/// An activation of a block that linear layers read.
public struct Tap: Hashable, Sendable {
  /// Name in calibration files.
  public var name: String
  /// Values of one token.
  public var columns: Int
  /// The linear layers that read it: they share one Hessian and one scale for each channel.
  public var linears: [TensorKind]
  /// Other tensors that read it, which stay exact and take a channel's scale too (the router).
  public var readers: [TensorKind]
  public var source: Source

  /// What a channel's scale can be taken out of again, so that the function stays as it is.
  public enum Source: Hashable, Sendable {
    /// The weight of a norm.
    case norm(TensorKind)
    /// The rows of another linear layer; `rows` says which of them each channel reads.
    case linear(TensorKind, rows: [Int]?)
    /// Nothing.
    case none
  }

  public init(
    _ name: String, columns: Int, linears: [TensorKind], readers: [TensorKind] = [], source: Source
  ) {
    self.name = name
    self.columns = columns
    self.linears = linears
    self.readers = readers
    self.source = source
  }
}

/// A block that mixes tokens.
public protocol Mixer: Block {
  /// Values that one token adds to the cache.
  var cachedValuesPerToken: Int { get }
  /// Tokens each one sees, itself among them; nil when it sees all before it.
  var window: Int? { get }
  /// Values of one token that the block holds at once beside the residual stream: queries, keys, values, outputs.
  var activationsPerToken: Int { get }
  /// What tables call it, such as `full causal, grouped-query`.
  var summary: String { get }
}

/// A mixer with heads whose queries are held against keys of all tokens before: what tables say of attention.
public protocol HeadedAttention: Mixer {
  /// Query heads.
  var heads: Int { get }
  /// Heads of keys and values.
  var keyValueHeads: Int { get }
  /// Values of a query or key head.
  var headDim: Int { get }
  /// How positions turn queries and keys; nil for not at all.
  var rotation: RotaryEmbedding? { get }
  var queryKeyNorm: GroupedQueryAttention.QueryKeyNorm { get }
}

/// A block that treats each token alone: gated MLPs side by side, of which a token sees some. A dense layer has one.
public protocol FeedForward: Block {
  /// Gated MLPs: experts, or 1 for a dense layer.
  var count: Int { get }
  /// Of these, how many a token goes to.
  var perToken: Int { get }
  /// Values between the projections of one of them.
  var intermediateSize: Int { get }
  /// Whether a router chooses.
  var isMixture: Bool { get }
  var projections: Projections { get }
  /// What comes between the projections.
  var activation: GatedActivation { get }
  /// A gated MLP beside the others that every token sees; nil for none.
  var shared: SharedMLP? { get }
  /// Whether a token's weight for a gated MLP multiplies what goes into it, not what comes out.
  var scalesInputs: Bool { get }
}

extension FeedForward {
  public var shared: SharedMLP? { nil }
  public var scalesInputs: Bool { false }
}

/// A gated MLP that every token sees beside the experts it is sent to: shared experts, all of them as one.
public struct SharedMLP: Hashable, Sendable {
  /// Shared experts, and the values between the projections of all of them together.
  public var count: Int
  public var intermediateSize: Int
  /// Whether its outputs are multiplied by the sigmoid of one more product with the input (Qwen).
  public var isGated: Bool

  public init(count: Int, intermediateSize: Int, isGated: Bool = false) {
    self.count = count
    self.intermediateSize = intermediateSize
    self.isGated = isGated
  }
}

/// The linear layers of a gated MLP: down(act(gate x) ∘ up x).
public struct Projections: Hashable, Sendable {
  public var gating: TensorKind
  public var lifting: TensorKind
  public var lowering: TensorKind

  public var all: [TensorKind] { [gating, lifting, lowering] }
  /// Those that read the block's input.
  public var inputs: [TensorKind] { [gating, lifting] }
}

extension FeedForward {
  /// The role of a projection of an expert; a dense layer's has no expert.
  public func role(_ kind: TensorKind, layer: Int, expert: Int) -> Role {
    Role(kind, layer: layer, expert: isMixture ? expert : nil)
  }
}

/// How what a block gives gets into the residual stream h: h + scale · block(norm h).
public struct Residual: Hashable, Sendable {
  /// Factor on what the block gives.
  public var scale: Float
  /// Where the norm's output takes the place of h: the factor on it (MiniMax-01); nil where h stays.
  public var normScale: Float?
  /// Norm of what the block gives (Gemma); nil for none.
  public var outputNorm: Norm?

  public init(scale: Float = 1, normScale: Float? = nil, outputNorm: Norm? = nil) {
    self.scale = scale
    self.normScale = normScale
    self.outputNorm = outputNorm
  }

  /// Whether what the block gives is added as it is.
  public var addsPlainly: Bool { scale == 1 && outputNorm == nil }
}

/// RMSNorm: x · rsqrt(mean x² + ε) · w, or · (1 + w); or LayerNorm, which takes the mean off x first and adds a bias behind.
public struct Norm: Hashable, Sendable {
  public var epsilon: Float
  /// Whether the stored weight is the factor less 1 (Gemma, Qwen3-Next).
  public var addsOne: Bool
  /// Whether it is a LayerNorm, with a bias (Phi-3.5-MoE).
  public var isCentered: Bool

  public init(epsilon: Float, addsOne: Bool = false, isCentered: Bool = false) {
    self.epsilon = epsilon
    self.addsOne = addsOne
    self.isCentered = isCentered
  }

  /// The tensors of a norm of the residual stream.
  func tensors(_ kind: TensorKind, _ hidden: Int) -> [TensorSpec] {
    [TensorSpec(kind, [hidden])] + (isCentered ? [TensorSpec(kind.bias, [hidden])] : [])
  }
}
