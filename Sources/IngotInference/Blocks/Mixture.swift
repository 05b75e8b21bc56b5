import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Mixture: ExecutableFeedForward {
  func router(_ model: Model, layer: Int) throws(FormatError) -> any TokenRouter {
    try MixtureRouter(self, model, layer: layer)
  }

  func executor(_ model: Model, layer: Int, _ site: RowSite, _ workers: Workers, decodesOnce: Bool)
    throws(FormatError) -> any FeedForwardExecutor
  {
    try GatedMLPs(self, model, layer: layer, site)
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

  init(_ mixture: Mixture, _ model: Model, layer: Int) throws(FormatError) {
    self.mixture = mixture
    self.layer = layer
    weights = try model.values(.router, layer: layer)
    // It is in no value that is looked at later: an expert that NaN or infinity ranks would just be chosen or not.
    if mixture.routing.hasCorrectionBias {
      bias = try model.finiteValues(.routerBias, layer: layer, of: "expert")
    }
  }

  func route(
    _ inputs: [Float], tokens: Int, keepsGates: Bool, without dropped: [Int],
    _ site: (rows: RowSite, context: Int)?
  ) throws(FormatError) -> Routing {
    let count = mixture.count
    var logits: [Float] = []  // (tokens, experts)
    linear(inputs, weights, tokens: tokens, inputs: mixture.hiddenSize, outputs: count, into: &logits)
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
    let routing = Routing(
      logits: logits.span, mixture.routing, experts: count, active: mixture.perToken, bias: bias,
      keepsGates: keepsGates)
    try site?.rows.check(
      routing.weights.span, columns: mixture.perToken, context: site!.context,
      "finite weights of the experts in layer \(layer)")
    return routing
  }
}

/// Gated MLPs side by side, of which one projection at a time is decoded. A unit of work is an expert with all its tokens.
struct GatedMLPs: FeedForwardExecutor {
  private let block: any FeedForward
  private let model: Model
  private let layer: Int
  private let site: RowSite
  private let biases: MLPBiases

  init(_ block: any FeedForward, _ model: Model, layer: Int, _ site: RowSite) throws(FormatError) {
    self.block = block
    self.model = model
    self.layer = layer
    self.site = site
    biases = try MLPBiases(model, layer: layer)
  }

  var sumsOutputs: Bool { true }

  func batches(_ routings: [Routing], _ aside: Aside) -> [ExpertBatch] {
    RoutedToken.byExpert(routings, experts: block.count).enumerated().map { expert, routedTokens in
      var batch = ExpertBatch(expert: expert, routedTokens: routedTokens)
      switch aside {
      case .none: break
      case .forced(let routedTokens): batch.forced = routedTokens[expert]
      case .probe(let inputs): batch.probe = inputs[expert]
      }
      batch.finishes = block.projections.all.map { block.role($0, layer: layer, expert: expert) }
      return batch
    }
  }

  /// down(silu(gate x) ∘ up x)
  func outputs(
    of batch: ExpertBatch, _ inputs: [[Float]], readsWeights: Bool, _ buffers: inout Buffers,
    read: (Activation) -> Void
  ) throws(FormatError) -> [Float] {
    let routedTokens = batch.routedTokens
    // An expert without tokens still has weights whose columns count.
    if routedTokens.isEmpty && !readsWeights && batch.probe.isEmpty { return [] }
    let (count, hidden, width) = (routedTokens.count, model.blueprint.hiddenSize, block.intermediateSize)
    let projections = block.projections
    func projection(_ kind: TensorKind) throws(FormatError) -> Tensor {
      try model.required(block.role(kind, layer: layer, expert: batch.expert))
    }
    func show(
      _ kind: Activation.Kind, _ rows: [Float], _ count: Int, _ columns: Int, _ routedTokens: [RoutedToken]
    ) {
      read(
        Activation(
          kind: kind, lane: 0, rows: rows, count: count, columns: columns, routedTokens: routedTokens))
    }
    gather(routedTokens, inputs, hidden, into: &buffers.gathered)
    precondition(batch.forced.isEmpty || batch.probe.isEmpty, "one or the other stands aside")
    let probes = batch.probe.count / hidden
    let aside = max(batch.forced.count, probes)
    if probes > 0 {
      buffers.forced.gathered = batch.probe
    } else {
      gather(batch.forced, inputs, hidden, into: &buffers.forced.gathered)
    }
    // Rows aside apart from the others, so that these have the same bits with and without them.
    let gate = try projection(projections.gating)
    try gate.decode(into: &buffers.weights, if: readsWeights || gate.wantsDecoding(count, aside))
    if readsWeights { show(.weights(projections.gating), buffers.weights, width, hidden, []) }
    try gate.linear(buffers.gathered, tokens: count, buffers.weights, into: &buffers.gateActivations)
    try gate.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, into: &buffers.forced.gateActivations)
    let up = try projection(projections.lifting)
    try up.decode(into: &buffers.weights, if: readsWeights || up.wantsDecoding(count, aside))
    if readsWeights { show(.weights(projections.lifting), buffers.weights, width, hidden, []) }
    try up.linear(buffers.gathered, tokens: count, buffers.weights, into: &buffers.upActivations)
    try up.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, into: &buffers.forced.upActivations)
    addBias(biases.gate, to: &buffers.gateActivations, tokens: count)
    addBias(biases.up, to: &buffers.upActivations, tokens: count)
    activate(&buffers.gateActivations, buffers.upActivations, count: count * width)
    activate(&buffers.forced.gateActivations, buffers.forced.upActivations, count: aside * width)
    show(.input(.feedForwardInput), buffers.gathered, count, hidden, routedTokens)
    show(.output(projections.lifting), buffers.upActivations, count, width, routedTokens)
    show(.input(.feedForwardInner), buffers.gateActivations, count, width, routedTokens)
    if !batch.forced.isEmpty {
      show(.input(.feedForwardInput), buffers.forced.gathered, aside, hidden, batch.forced)
      show(.output(projections.lifting), buffers.forced.upActivations, aside, width, batch.forced)
      show(.input(.feedForwardInner), buffers.forced.gateActivations, aside, width, batch.forced)
    }
    let down = try projection(projections.lowering)
    try down.decode(into: &buffers.weights, if: readsWeights || down.wantsDecoding(count, probes))
    if readsWeights { show(.weights(projections.lowering), buffers.weights, hidden, width, []) }
    var outputs: [Float] = []  // (routed tokens, hidden)
    try down.linear(buffers.gateActivations, tokens: count, buffers.weights, into: &outputs)
    try down.linear(buffers.forced.gateActivations, tokens: probes, buffers.weights, into: &buffers.probed)
    addBias(biases.down, to: &outputs, tokens: count)
    if let index = firstNonFinite(outputs.span) {
      let routedToken = routedTokens[index / hidden]
      throw FormatError(
        path: model.path, tensor: down.name,
        expected: "finite outputs of expert \(batch.expert) of layer \(layer)",
        found: "\(outputs[index]) for token \(routedToken.token) of \(site.name(routedToken.context))")
    }
    show(.output(projections.lowering), outputs, count, hidden, routedTokens)
    return outputs
  }

  /// What an expert gets for some routed tokens: (routed tokens, hidden).
  private func gather(
    _ routedTokens: [RoutedToken], _ inputs: [[Float]], _ hidden: Int, into rows: inout [Float]
  ) {
    rows.provide(routedTokens.count * hidden)
    for (index, routedToken) in routedTokens.enumerated() {
      copyRow(inputs[routedToken.context], routedToken.token, width: hidden, to: &rows, index)
    }
  }
}
