import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Mixture: ExecutableFeedForward {
  func router(_ model: Model, layer: Int) throws(FormatError) -> any TokenRouter {
    try MixtureRouter(self, model, layer: layer)
  }

  func executor(_ source: LaneModel, layer: Int, _ site: RowSite, _ workers: Workers, decodesOnce: Bool)
    throws(FormatError) -> any FeedForwardExecutor
  {
    try GatedMLPs(self, source, layer: layer, site)
  }
}

/// A mixture's router, its weights decoded to F32.
private struct MixtureRouter: TokenRouter {
  private let mixture: Mixture
  private let layer: Int
  /// (experts, hidden)
  private let weights: [Float]
  /// (experts); nil when the router has no correction bias.
  private var bias: [Float]?
  /// (experts); empty when its logits have no bias.
  private var logitBias: [Float] = []
  /// (experts): factors on their weights; empty for none.
  private var expertScales: [Float] = []
  /// (hidden) of the shared MLP's gate; empty where there is none.
  private var sharedWeights: [Float] = []

  init(_ mixture: Mixture, _ model: Model, layer: Int) throws(FormatError) {
    self.mixture = mixture
    self.layer = layer
    var weights = try model.values(.router, layer: layer)
    if let own = try OwnNorms(mixture, model, layer: layer) {
      for index in weights.indices { weights[index] *= own.router[index % own.router.count] }
    }
    self.weights = weights
    if mixture.routing.hasExpertScales {
      expertScales = try model.finiteValues(.routerExpertScales, layer: layer, of: "expert")
    }
    // It is in no value that is looked at later: an expert that NaN or infinity ranks would just be chosen or not.
    if mixture.routing.hasCorrectionBias {
      bias = try model.finiteValues(.routerBias, layer: layer, of: "expert")
    }
    if mixture.routing.hasLogitBias {
      logitBias = try model.finiteValues(.routerLogitBias, layer: layer, of: "expert")
    }
    if mixture.shared?.isGated ?? false { sharedWeights = try model.values(.sharedRouter, layer: layer) }
  }

  func route(
    _ inputs: [Float], tokens: Int, keepsGates: Bool, without dropped: [Int],
    _ site: (rows: RowSite, context: Int)?
  ) throws(FormatError) -> Routing {
    let count = mixture.count
    var logits: [Float] = []  // (tokens, experts)
    linear(inputs, weights, tokens: tokens, inputs: mixture.hiddenSize, outputs: count, into: &logits)
    addBias(logitBias, to: &logits, tokens: tokens)
    try site?.rows.check(
      logits.span, columns: count, context: site!.context, "finite router scores in layer \(layer)")
    var bias = bias
    if !dropped.isEmpty {
      var lowered = bias ?? [Float](repeating: 0, count: count)
      for expert in dropped {
        lowered[expert] = -.infinity
        for token in 0..<tokens { logits[token * count + expert] = -.infinity }
      }
      bias = lowered
    }
    var routing = Routing(
      logits: logits.span, mixture.routing, experts: count, active: mixture.perToken, bias: bias,
      keepsGates: keepsGates)
    if !expertScales.isEmpty { routing.scaleWeights(by: expertScales) }
    try site?.rows.check(
      routing.weights.span, columns: mixture.perToken, context: site!.context,
      "finite weights of the experts in layer \(layer)")
    if !sharedWeights.isEmpty {
      var gates: [Float] = []
      linear(
        inputs, sharedWeights, tokens: tokens, inputs: mixture.hiddenSize, outputs: 1, into: &gates)
      try site?.rows.check(
        gates.span.extracting(0..<tokens), columns: 1, context: site!.context,
        "a finite gate of the shared expert in layer \(layer)")
      routing.sharedWeights = (0..<tokens).map { sigmoid(gates[$0]) }
    }
    return routing
  }
}
