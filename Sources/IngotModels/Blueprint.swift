import IngotSystem
import IngotTensors

/// What a model is made of, as its config says: embedding, layers of blocks, final norm, head. What the forward pass
/// interprets, and what names, shapes, statistics and tables follow from.
public struct Blueprint: Sendable {
  /// Width of the residual stream.
  public var hiddenSize: Int
  public var vocabulary: Int
  /// Longest context, in tokens.
  public var contextLength: Int
  public var layers: [Layer]
  public var finalNorm: Norm
  /// Whether the embedding is the head too; then there is no tensor for the head.
  public var isHeadTied: Bool
  /// Factor on the embedding's rows.
  public var embeddingScale: Float
  /// Factor on logits.
  public var logitScale: Float
  /// Logits become c·tanh(logits / c).
  public var logitSoftcap: Float?
  /// Whether logits have a bias.
  public var hasHeadBias: Bool
  /// Width of the inputs that each layer has of its own, made of the token and the first state (Gemma 4); nil for none.
  public var layerInputWidth: Int? {
    didSet {
      for index in layers.indices { layers[index].inputWidth = layerInputWidth }
    }
  }
  /// Layers of multi-token prediction that the config announces; they may or may not be in the files.
  public var predictionLayers: Int
  /// Whether anything but tensors' names is known of the model; without that nothing else here means anything.
  public let isKnown: Bool

  public init(
    hiddenSize: Int, vocabulary: Int, contextLength: Int, layers: [Layer], finalNorm: Norm,
    isHeadTied: Bool = false, embeddingScale: Float = 1, logitScale: Float = 1,
    logitSoftcap: Float? = nil, hasHeadBias: Bool = false, predictionLayers: Int = 0, isKnown: Bool = true
  ) {
    self.hiddenSize = hiddenSize
    self.vocabulary = vocabulary
    self.contextLength = contextLength
    self.layers = layers
    self.finalNorm = finalNorm
    self.isHeadTied = isHeadTied
    self.embeddingScale = embeddingScale
    self.logitScale = logitScale
    self.logitSoftcap = logitSoftcap
    self.hasHeadBias = hasHeadBias
    self.predictionLayers = predictionLayers
    self.isKnown = isKnown
  }

  /// A layer: x + mixer(norm x), then x + feedForward(norm x), each as its `Residual` says.
  public struct Layer: Sendable {
    /// Width of the residual stream.
    public let hiddenSize: Int
    public let mixer: any Mixer
    public let mixerNorm: Norm
    public let mixerResidual: Residual
    public var feedForward: any FeedForward {
      didSet { derive() }
    }
    public let feedForwardNorm: Norm
    public let feedForwardResidual: Residual
    /// Width of an input of its own, which is added behind the feed-forward; nil for none.
    public fileprivate(set) var inputWidth: Int? {
      didSet { derive() }
    }
    /// Whether the residual stream is multiplied by a stored number behind it (Gemma 4).
    public var hasScale = false {
      didSet { derive() }
    }
    /// Its tensors: norms of the residual stream, then those of the blocks that a layer has once, then those of experts.
    public private(set) var tensors: [TensorSpec] = []
    /// The activations that feed its linear layers.
    public private(set) var taps: [Tap] = []
    private var specs: [TensorKind: (spec: TensorSpec, tap: Int?)] = [:]

    public init(
      hiddenSize: Int, mixer: any Mixer, mixerNorm: Norm, mixerResidual: Residual = Residual(),
      feedForward: any FeedForward, feedForwardNorm: Norm, feedForwardResidual: Residual = Residual()
    ) {
      self.hiddenSize = hiddenSize
      self.mixer = mixer
      self.mixerNorm = mixerNorm
      self.mixerResidual = mixerResidual
      self.feedForward = feedForward
      self.feedForwardNorm = feedForwardNorm
      self.feedForwardResidual = feedForwardResidual
      derive()
    }

    private mutating func derive() {
      var all =
        mixerNorm.tensors(.attentionNorm, hiddenSize)
        + feedForwardNorm.tensors(.feedForwardNorm, hiddenSize)
      if mixerResidual.outputNorm != nil { all.append(TensorSpec(.attentionOutputNorm, [hiddenSize])) }
      if feedForwardResidual.outputNorm != nil {
        all.append(TensorSpec(.feedForwardOutputNorm, [hiddenSize]))
      }
      if let inputWidth {
        all += [
          TensorSpec(.layerInputGate, [inputWidth, hiddenSize]),
          TensorSpec(.layerInputProjection, [hiddenSize, inputWidth]),
          TensorSpec(.layerInputNorm, [hiddenSize]),
        ]
      }
      if hasScale { all.append(TensorSpec(.layerScale, [1])) }
      all += mixer.tensors + feedForward.tensors
      taps = mixer.taps + feedForward.taps
      specs = [:]
      for spec in all { specs[spec.kind] = (spec, taps.firstIndex { $0.linears.contains(spec.kind) }) }
      tensors = all.filter { $0.experts == nil } + all.filter { $0.experts != nil }
    }

    public var blocks: [any Block] { [mixer, feedForward] }

    /// The tensor of a kind; nil for one that the layer has not.
    public func spec(_ kind: TensorKind) -> TensorSpec? { specs[kind]?.spec }

    /// The tap that a linear layer reads.
    public func tap(of kind: TensorKind) -> Tap? { specs[kind]?.tap.map { taps[$0] } }
  }
}

extension Blueprint {
  public var layerCount: Int { layers.count }

  /// The tensors of a layer.
  public func tensors(layer: Int) -> [TensorSpec] { layers[layer].tensors }

  /// Tensors of the whole model before the layers, and after them.
  private var first: [TensorSpec] {
    var first = [TensorSpec(.embedding, [vocabulary, hiddenSize], isLinear: true)]
    if let layerInputWidth {
      let width = layers.count * layerInputWidth
      first += [
        TensorSpec(.layerInputEmbedding, [vocabulary, width]),
        TensorSpec(.layerInputStateProjection, [width, hiddenSize]),
        TensorSpec(.layerInputStateNorm, [layerInputWidth]),
      ]
    }
    return first
  }
  private var last: [TensorSpec] {
    var last = finalNorm.tensors(.finalNorm, hiddenSize)
    if !isHeadTied { last.append(TensorSpec(.head, [vocabulary, hiddenSize], isLinear: true)) }
    if hasHeadBias { last.append(TensorSpec(.head.bias, [vocabulary])) }
    return last
  }

  /// The tensor whose rows are multiplied into logits.
  public var headRole: Role { Role(isHeadTied ? .embedding : .head) }

  /// All roles and shapes a model must have, in the order of the forward pass: embedding, layers with their experts, final
  /// norm, head.
  public func forEachTensor(_ body: (Role, TensorSpec) throws(FormatError) -> Void) throws(FormatError) {
    guard isKnown else { return }
    for spec in first { try body(Role(spec.kind), spec) }
    for layer in layers.indices {
      let specs = tensors(layer: layer)
      for spec in specs where spec.experts == nil { try body(Role(spec.kind, layer: layer), spec) }
      let stacked = specs.filter { $0.experts != nil }
      for expert in 0..<(stacked.map { $0.experts! }.max() ?? 0) {
        for spec in stacked where expert < spec.experts! {
          try body(Role(spec.kind, layer: layer, expert: expert), spec)
        }
      }
    }
    for spec in last { try body(Role(spec.kind), spec) }
  }

  /// The tensor of a role, as the config says; nil for a role that this model has not.
  public func spec(of role: Role) -> TensorSpec? {
    guard role.name == nil, isKnown else { return nil }
    guard let layer = role.layer else { return (first + last).first { $0.kind == role.kind } }
    guard layers.indices.contains(layer), let spec = layers[layer].spec(role.kind) else { return nil }
    if let expert = role.expert {
      return spec.experts.map { (0..<$0).contains(expert) } ?? false ? spec : nil
    }
    return spec.experts == nil ? spec : nil
  }

  /// The norm that a tensor is the weight of; nil for another tensor.
  public func norm(of role: Role) -> Norm? {
    if role.kind == .finalNorm { return finalNorm }
    guard let index = role.layer, layers.indices.contains(index) else { return nil }
    let layer = layers[index]
    switch role.kind {
    case .attentionNorm: return layer.mixerNorm
    case .feedForwardNorm: return layer.feedForwardNorm
    case .attentionOutputNorm: return layer.mixerResidual.outputNorm
    case .feedForwardOutputNorm: return layer.feedForwardResidual.outputNorm
    default: return (layer.mixer as? GroupedQueryAttention)?.norm(of: role.kind)
    }
  }

  /// Whether a tensor is the weight of a linear layer or of the embedding, whose encoding may be chosen.
  public func isLinear(_ role: Role) -> Bool {
    guard let layer = role.layer else { return TensorKind.ends.contains(role.kind) }
    return layers.indices.contains(layer) && layers[layer].tap(of: role.kind) != nil
  }

  /// Layers that are mixtures of experts.
  public var mixtures: [Int] { layers.indices.filter { layers[$0].feedForward.isMixture } }

  /// The experts of the layers that have some; zeros for a model without.
  public var experts: ExpertSummary {
    guard let layer = mixtures.first else {
      return ExpertSummary(count: 0, perToken: 0, intermediateSize: 0, shared: 0)
    }
    let block = layers[layer].feedForward
    return ExpertSummary(
      count: block.count, perToken: block.perToken, intermediateSize: block.intermediateSize,
      shared: block.shared?.count ?? 0)
  }

  public struct ExpertSummary: Hashable, Sendable {
    public var count: Int
    /// Experts that a token goes to.
    public var perToken: Int
    public var intermediateSize: Int
    /// Experts that see every token.
    public var shared: Int
  }

  /// The first layer's attention, by which tables describe the model; nil where it is of another kind.
  public var attention: GroupedQueryAttention? {
    layers.lazy.compactMap { $0.mixer as? GroupedQueryAttention }.first
  }

  /// The first layer's latent attention; nil where attention is of another kind.
  public var latentAttention: LatentAttention? {
    layers.lazy.compactMap { $0.mixer as? LatentAttention }.first
  }

  /// The first layer with heads, by which tables say how the model attends; nil where no layer has any.
  public var headed: (any HeadedAttention)? {
    layers.lazy.compactMap { $0.mixer as? any HeadedAttention }.first
  }

  /// Values that one token adds to the cache, of all layers.
  public var cachedValuesPerToken: Int { layers.reduce(0) { $0 + $1.mixer.cachedValuesPerToken } }

  /// Keys and values that one token adds, at 16 bits a value, in bytes.
  public var keyValueCacheBytesPerToken: Int { 2 * cachedValuesPerToken }

  /// The window that some layers have; nil when all see everything before a token.
  public var slidingWindow: Int? { layers.compactMap(\.mixer.window).max() }
}
