import IngotSystem
import IngotTensors

extension TensorKind {
  public static let embedding = TensorKind(rawValue: "embedding")
  public static let head = TensorKind(rawValue: "head")
  public static let finalNorm = TensorKind(rawValue: "final_norm")
  public static let attentionNorm = TensorKind(rawValue: "attention_norm")
  public static let feedForwardNorm = TensorKind(rawValue: "feed_forward_norm")

  public static let attentionOutputNorm = TensorKind(rawValue: "attention_output_norm")
  public static let feedForwardOutputNorm = TensorKind(rawValue: "feed_forward_output_norm")

  /// Of inputs that each layer has of its own: the token's part in one table for all layers, the part of the first state with its
  /// norm, and in each layer a gate, a projection and a norm.
  public static let layerInputEmbedding = TensorKind(rawValue: "layer_input_embedding")
  public static let layerInputStateProjection = TensorKind(rawValue: "layer_input_state_projection")
  public static let layerInputStateNorm = TensorKind(rawValue: "layer_input_state_norm")
  public static let layerInputGate = TensorKind(rawValue: "layer_input_gate")
  public static let layerInputProjection = TensorKind(rawValue: "layer_input_projection")
  public static let layerInputNorm = TensorKind(rawValue: "layer_input_norm")
  /// A factor on the residual stream behind a layer.
  public static let layerScale = TensorKind(rawValue: "layer_scale")

  /// The kind of the bias of a linear layer.
  public var bias: TensorKind { TensorKind(rawValue: rawValue + "_bias") }

  /// Every kind that a block of this build has, in the order of tables.
  public static let known: [TensorKind] = [
    .embedding, .head, .finalNorm, .attentionNorm, .feedForwardNorm, .query, .key, .value, .attentionOutput,
    .queryNorm, .keyNorm, .router, .routerBias, .gate, .up, .down, .queryBias, .keyBias, .valueBias,
    .attentionOutputBias, .sinks, .gateBias, .upBias, .downBias, .attentionOutputNorm, .feedForwardOutputNorm,
    .queryA, .queryB, .keyValueA, .keyValueB, .queryANorm, .keyValueANorm, .queryABias, .keyValueABias,
    .deltaQKV, .deltaGate, .deltaBeta, .deltaAlpha, .deltaQKVGate, .deltaBetaAlpha, .deltaConvolution,
    .deltaDecay, .deltaTimeBias, .deltaNorm, .deltaOutput, .lightningQKV, .lightningGate, .lightningNorm,
    .lightningOutput, .indexerQuery, .indexerKey, .indexerQueryNorm, .indexerKeyNorm, .indexerKeyNormBias,
    .indexerWeights, .sharedGate, .sharedUp, .sharedDown, .sharedRouter, .routerLogitBias,
    .attentionNorm.bias, .feedForwardNorm.bias, .finalNorm.bias, .head.bias, .routerScale,
    .routerExpertScales, .sharedNorm, .sharedOutputNorm, .expertsOutputNorm, .layerScale,
    .layerInputEmbedding, .layerInputStateProjection, .layerInputStateNorm, .layerInputGate,
    .layerInputProjection, .layerInputNorm, .auxiliary, .unknown, .activationScale,
  ]

  /// Whether a block of this build can have it. Files may hold other kinds, written by a build that knows more.
  public var hasBlock: Bool {
    TensorKind.known.contains(self) && ![.auxiliary, .unknown, .activationScale].contains(self)
  }

  /// Groups that recipes name.
  public static let attentionLinears: [TensorKind] = [
    .query, .queryA, .queryB, .key, .keyValueA, .keyValueB, .value, .attentionOutput, .deltaQKV, .deltaGate,
    .deltaQKVGate, .deltaOutput, .lightningQKV, .lightningGate, .lightningOutput, .indexerQuery, .indexerKey,
  ]
  public static let sharedLinears: [TensorKind] = Projections.shared.all
  public static let mlpLinears: [TensorKind] = [.gate, .up, .down]
  /// Linear layers and the embedding, in the order of the forward pass.
  public static let linears: [TensorKind] =
    [.embedding] + attentionLinears + sharedLinears + mlpLinears + [.head]
  public static let norms: [TensorKind] = [
    .attentionNorm, .feedForwardNorm, .finalNorm, .queryNorm, .keyNorm, .attentionOutputNorm,
    .feedForwardOutputNorm, .queryANorm, .keyValueANorm, .deltaNorm, .lightningNorm, .indexerQueryNorm,
    .indexerKeyNorm, .sharedNorm, .sharedOutputNorm, .expertsOutputNorm,
    .layerInputStateNorm, .layerInputNorm,
  ]

  /// Kinds of the whole model that may be quantized.
  public static let ends: Set<TensorKind> = [.embedding, .head]
  /// Kinds of which a token looks up a row, and the head.
  public static let tables = ends.union([.layerInputEmbedding])
}

extension TensorKind {
  /// What a tensor belongs to in tables of bytes: `attention`, `router`, `experts: gate`, `norms`.
  public var group: String {
    switch self {
    case .router, .routerBias, .routerLogitBias, .sharedRouter, .routerScale, .routerExpertScales: "router"
    case .embedding, .head: rawValue
    case _ where TensorKind.mlpLinears.contains(self): "experts: \(rawValue)"
    case _ where TensorKind.sharedLinears.contains(self): "shared experts"
    case _ where TensorKind.attentionLinears.contains(self): "attention"
    case _ where TensorKind.norms.contains(self): "norms"
    case _ where rawValue.hasSuffix("_bias") || self == .sinks: "biases"
    default: "other"
    }
  }
}
