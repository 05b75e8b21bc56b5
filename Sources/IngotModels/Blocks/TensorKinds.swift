import IngotSystem
import IngotTensors

extension TensorKind {
  public static let embedding = TensorKind(rawValue: "embedding")
  public static let head = TensorKind(rawValue: "head")
  public static let finalNorm = TensorKind(rawValue: "final_norm")
  public static let attentionNorm = TensorKind(rawValue: "attention_norm")
  public static let feedForwardNorm = TensorKind(rawValue: "feed_forward_norm")

  /// Every kind that a block of this build has, in the order of tables.
  public static let known: [TensorKind] = [
    .embedding, .head, .finalNorm, .attentionNorm, .feedForwardNorm, .query, .key, .value, .attentionOutput,
    .queryNorm, .keyNorm, .router, .routerBias, .gate, .up, .down, .queryBias, .keyBias, .valueBias,
    .attentionOutputBias, .sinks, .gateBias, .upBias, .downBias, .auxiliary, .unknown,
  ]

  /// Whether a block of this build can have it. Files may hold other kinds, written by a build that knows more.
  public var hasBlock: Bool {
    TensorKind.known.contains(self) && self != .auxiliary && self != .unknown
  }

  /// Groups that recipes name.
  public static let attentionLinears: [TensorKind] = [.query, .key, .value, .attentionOutput]
  public static let mlpLinears: [TensorKind] = [.gate, .up, .down]
  /// Linear layers and the embedding, in the order of the forward pass.
  public static let linears: [TensorKind] = [.embedding] + attentionLinears + mlpLinears + [.head]
  public static let norms: [TensorKind] = [
    .attentionNorm, .feedForwardNorm, .finalNorm, .queryNorm, .keyNorm,
  ]

  /// Kinds of the whole model that may be quantized.
  public static let ends: Set<TensorKind> = [.embedding, .head]
}

extension TensorKind {
  /// What a tensor belongs to in tables of bytes: `attention`, `router`, `experts: gate`, `norms`.
  public var group: String {
    switch self {
    case .router, .routerBias: "router"
    case .embedding, .head: rawValue
    case _ where TensorKind.mlpLinears.contains(self): "experts: \(rawValue)"
    case _ where TensorKind.attentionLinears.contains(self): "attention"
    case _ where TensorKind.norms.contains(self): "norms"
    case _ where rawValue.hasSuffix("_bias") || self == .sinks: "biases"
    default: "other"
    }
  }
}
