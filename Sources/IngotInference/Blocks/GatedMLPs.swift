import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Gated MLPs side by side, of which one projection at a time is decoded. A unit of work is an expert with all its tokens.
struct GatedMLPs: FeedForwardExecutor {
  private let block: any FeedForward
  private let model: Model
  private let layer: Int
  private let site: RowSite
  private var own: OwnNorms?
  /// For products straight from stored weights; nil where they may be decoded.
  private let products: StoredProducts?
  private let continues: Bool
  private let experts: ExpertMemory?

  init(_ block: any FeedForward, _ source: LaneModel, layer: Int, _ site: RowSite) throws(FormatError) {
    self.block = block
    (model, products, continues) = (source.model, source.products, source.continues)
    experts = source.experts
    self.layer = layer
    self.site = site
    if let mixture = block as? Mixture { own = try OwnNorms(mixture, model, layer: layer) }
  }

  func endExperts(_ sum: inout [Float]) { own?.endExperts(&sum) }

  var sumsOutputs: Bool { true }

  /// Tokens that go through the shared MLP at once, at least, but for the last of them.
  private static let sharedTokens = 512

  func batches(_ routings: [Routing], _ aside: Aside) -> [ExpertBatch] {
    let experts = RoutedToken.byExpert(routings, experts: block.count).enumerated().map {
      expert, routedTokens in
      var batch = ExpertBatch(expert: expert, routedTokens: routedTokens)
      switch aside {
      case .none: break
      case .forced(let routedTokens): batch.forced = routedTokens[expert]
      case .probe(let inputs): batch.probe = inputs[expert]
      }
      batch.finishes = block.projections.all.map { block.role($0, layer: layer, expert: expert) }
      return batch
    }
    let all = block.shared == nil ? experts : experts + sharedBatches(routings)
    // Of many experts a sequence that is continued goes to few, and nobody reads of the others.
    guard continues else { return all }
    let chosen = all.filter { !$0.routedTokens.isEmpty }
    self.experts?.want(chosen.map(\.expert).filter { $0 < block.count }, layer: layer)
    return chosen
  }

  /// Units of work of the shared MLP, which stands behind the experts: some contexts each.
  private func sharedBatches(_ routings: [Routing]) -> [ExpertBatch] {
    var batches: [ExpertBatch] = []
    var routedTokens: [RoutedToken] = []
    for (context, routing) in routings.enumerated() {
      for token in 0..<routing.tokens {
        let weight = routing.sharedWeights.isEmpty ? 1 : routing.sharedWeights[token]
        routedTokens.append(RoutedToken(context: context, token: token, weight: weight))
      }
      guard routedTokens.count >= GatedMLPs.sharedTokens || context == routings.count - 1 else { continue }
      var batch = ExpertBatch(expert: block.count, routedTokens: routedTokens)
      batch.isFirst = batches.isEmpty
      if context == routings.count - 1 {
        batch.finishes = Projections.shared.all.map { Role($0, layer: layer) }
      }
      batches.append(batch)
      routedTokens = []
    }
    return batches
  }

  /// down(act(gate x) ∘ up x)
  func outputs(
    of batch: ExpertBatch, _ inputs: [[Float]], readsWeights: Bool, _ buffers: inout Buffers,
    read: (Activation) -> Void
  ) throws(FormatError) -> [Float] {
    let routedTokens = batch.routedTokens
    // An expert without tokens still has weights whose columns count.
    if routedTokens.isEmpty && !readsWeights && batch.probe.isEmpty { return [] }
    let isShared = batch.expert == block.count
    let (count, hidden) = (routedTokens.count, model.blueprint.hiddenSize)
    let width = isShared ? block.shared!.intermediateSize : block.intermediateSize
    let projections = isShared ? Projections.shared : block.projections
    let readsWeights = readsWeights && !isShared
    let biases =
      isShared
      ? MLPBiases() : try MLPBiases(model, layer: layer, expert: block.isMixture ? batch.expert : nil)
    func projection(_ kind: TensorKind) throws(FormatError) -> Tensor {
      try model.required(
        isShared ? Role(kind, layer: layer) : block.role(kind, layer: layer, expert: batch.expert))
    }
    func show(
      _ kind: Activation.Kind, _ rows: [Float], _ count: Int, _ columns: Int, _ routedTokens: [RoutedToken]
    ) {
      read(
        Activation(
          kind: kind, lane: 0, rows: rows, count: count, columns: columns, routedTokens: routedTokens))
    }
    gather(routedTokens, inputs, hidden, into: &buffers.gathered)
    if isShared, let own { own.makeSharedInputs(&buffers.gathered, tokens: count) }
    precondition(batch.forced.isEmpty || batch.probe.isEmpty, "tokens aside or a probe, not both")
    let probes = batch.probe.count / hidden
    let aside = max(batch.forced.count, probes)
    if probes > 0 {
      buffers.forced.gathered = batch.probe
    } else {
      gather(batch.forced, inputs, hidden, into: &buffers.forced.gathered)
    }
    let decodes = products == nil
    // Rows aside apart from the others, which are shown without them.
    let gate = try projection(projections.gating)
    try gate.decode(into: &buffers.weights, if: readsWeights || decodes && gate.wantsDecoding(count, aside))
    if readsWeights { show(.weights(projections.gating), buffers.weights, width, hidden, []) }
    try gate.linear(
      buffers.gathered, tokens: count, buffers.weights, products, into: &buffers.gateActivations)
    try gate.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, products, into: &buffers.forced.gateActivations
    )
    let up = try projection(projections.lifting)
    try up.decode(into: &buffers.weights, if: readsWeights || decodes && up.wantsDecoding(count, aside))
    if readsWeights { show(.weights(projections.lifting), buffers.weights, width, hidden, []) }
    try up.linear(
      buffers.gathered, tokens: count, buffers.weights, products, into: &buffers.upActivations)
    try up.linear(
      buffers.forced.gathered, tokens: aside, buffers.weights, products, into: &buffers.forced.upActivations)
    addBias(biases.gate, to: &buffers.gateActivations, tokens: count)
    addBias(biases.up, to: &buffers.upActivations, tokens: count)
    addBias(biases.gate, to: &buffers.forced.gateActivations, tokens: aside)
    addBias(biases.up, to: &buffers.forced.upActivations, tokens: aside)
    let activation = block.activation
    activate(&buffers.gateActivations, buffers.upActivations, count: count * width, activation)
    activate(
      &buffers.forced.gateActivations, buffers.forced.upActivations, count: aside * width, activation)
    if isShared {
      if own != nil { show(.inner(Mixture.sharedInputTap), buffers.gathered, count, hidden, routedTokens) }
      show(.inner(Mixture.sharedInnerTap), buffers.gateActivations, count, width, routedTokens)
    } else {
      show(.input(.feedForwardInput), buffers.gathered, count, hidden, routedTokens)
      show(.output(projections.lifting), buffers.upActivations, count, width, routedTokens)
      show(.input(.feedForwardInner), buffers.gateActivations, count, width, routedTokens)
    }
    if !batch.forced.isEmpty {
      show(.input(.feedForwardInput), buffers.forced.gathered, aside, hidden, batch.forced)
      show(.output(projections.lifting), buffers.forced.upActivations, aside, width, batch.forced)
      show(.input(.feedForwardInner), buffers.forced.gateActivations, aside, width, batch.forced)
    }
    let down = try projection(projections.lowering)
    try down.decode(into: &buffers.weights, if: readsWeights || decodes && down.wantsDecoding(count, probes))
    if readsWeights { show(.weights(projections.lowering), buffers.weights, hidden, width, []) }
    var outputs: [Float] = []  // (routed tokens, hidden)
    try down.linear(buffers.gateActivations, tokens: count, buffers.weights, products, into: &outputs)
    try down.linear(
      buffers.forced.gateActivations, tokens: probes, buffers.weights, products, into: &buffers.probed)
    addBias(biases.down, to: &outputs, tokens: count)
    addBias(biases.down, to: &buffers.probed, tokens: probes)
    if let index = firstNonFinite(outputs.span) {
      let routedToken = routedTokens[index / hidden]
      throw FormatError(
        path: model.path, tensor: down.name,
        expected:
          "finite outputs of \(isShared ? "the shared MLP" : "expert \(batch.expert)") of layer \(layer)",
        found: "\(outputs[index]) for token \(routedToken.token) of \(site.name(routedToken.context))")
    }
    show(.output(projections.lowering), outputs, count, hidden, routedTokens)
    if isShared, let own { return own.sharedOutputs(outputs) }
    return outputs
  }

  func sharedRows(of tap: Tap, _ inputs: [Float], _ buffers: inout Buffers) throws(FormatError) -> [Float] {
    let hidden = model.blueprint.hiddenSize
    let (tokens, width) = (inputs.count / hidden, block.shared!.intermediateSize)
    var x = inputs
    if let own { own.makeSharedInputs(&x, tokens: tokens) }
    if tap.name == Mixture.sharedInputTap { return x }
    let gate = try model.values(Projections.shared.gating, layer: layer)
    linear(x, gate, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.gateActivations)
    let up = try model.values(Projections.shared.lifting, layer: layer)
    linear(x, up, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.upActivations)
    activate(&buffers.gateActivations, buffers.upActivations, count: tokens * width, block.activation)
    return Array(buffers.gateActivations.prefix(tokens * width))
  }

  /// What an expert gets for some routed tokens: (routed tokens, hidden).
  private func gather(
    _ routedTokens: [RoutedToken], _ inputs: [[Float]], _ hidden: Int, into rows: inout [Float]
  ) {
    rows.provide(routedTokens.count * hidden)
    for (index, routedToken) in routedTokens.enumerated() {
      copyRow(inputs[routedToken.context], routedToken.token, width: hidden, to: &rows, index)
      scaleRow(&rows, index, width: hidden, routedToken.inputScale)
    }
  }
}
