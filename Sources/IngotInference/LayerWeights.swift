import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What every token needs of a layer's weights, as far as lanes have come: the first norm, then the mixer, then
/// its output projection with the second norm and the router. The feed-forward's own weights come later, with its executor.
struct LayerWeights: Sendable {
  /// Unowned: it may keep these weights itself.
  private unowned let source: LaneModel
  private let layer: Int
  private let site: RowSite
  private let mixerNorm: DecodedNorm?
  private var mixer: (any MixerExecutor)?
  private var hasOutput = false
  private var outputNorm: DecodedNorm?
  private var feedForwardNorm: DecodedNorm?
  private var router: (any TokenRouter)?

  private var description: Blueprint.Layer { source.blueprint.layers[layer] }
  private var hidden: Int { source.blueprint.hiddenSize }

  init(_ source: LaneModel, layer: Int, _ site: RowSite) throws(FormatError) {
    self.source = source
    self.layer = layer
    self.site = site
    mixerNorm = try source.model.norm(
      .attentionNorm, layer: layer, source.blueprint.layers[layer].mixerNorm)
  }

  /// The router alone, for tokens that are at the feed-forward's input already.
  init(routerOf source: LaneModel, layer: Int, _ site: RowSite) throws(FormatError) {
    self.source = source
    self.layer = layer
    self.site = site
    mixerNorm = nil
    router = try source.blueprint.executableFeedForward(layer: layer, of: source.model).router(
      source.model, layer: layer)
  }

  /// Decodes what takes lanes to a place.
  mutating func load(_ place: LayerPlace, _ workers: Workers) async throws(FormatError) {
    guard place > .mixerInput else { return }
    let withOutput = place > .mixerOutput
    let model = source.model
    if mixer == nil {
      mixer = try await source.blueprint.executable(layer: layer, of: model).executor(
        source, layer: layer, workers, withOutput: withOutput)
      hasOutput = withOutput
      if let norm = description.mixerResidual.outputNorm {
        outputNorm = try model.norm(.attentionOutputNorm, layer: layer, norm)
      }
      feedForwardNorm = try model.norm(
        .feedForwardNorm, layer: layer, description.feedForwardNorm)
      router = try source.blueprint.executableFeedForward(layer: layer, of: model).router(model, layer: layer)
    }
    if withOutput && !hasOutput {
      mixer!.output = .decoded(try model.values(description.mixerOutput.linears[0], layer: layer))
      hasOutput = true
    }
  }

  /// Takes a passage from the place before to a place.
  ///
  /// - Parameters:
  ///   - context: its number, for messages.
  ///   - products: of the passage's rows, as `products(of:to:)` gives them; empty for none.
  func advance(
    _ passage: inout Passage, to place: LayerPlace, context: Int, keepsGates: Bool,
    products: [Role: [Float]] = [:], _ buffers: inout Buffers,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) throws(FormatError) {
    let tokens = passage.state.count / hidden
    switch place {
    case .mixerInput:
      passage.rows = mixerNorm!.rows(passage.state)
      description.mixerResidual.takeNorm(passage.rows, &passage.state)
    case .mixerOutput:
      try mixer!.run(
        InputRows(passage.rows, products), tokens: tokens, &buffers, &passage.carried, show: show)
      passage.rows = Array(buffers.attended.prefix(tokens * mixer!.outputInputs))
    case .feedForwardInput:
      let mixer = mixer!
      let rows = InputRows(passage.rows, products)
      if description.mixerResidual.addsPlainly {
        try linear(
          rows, mixer.output, tokens: tokens, inputs: mixer.outputInputs, outputs: hidden,
          into: &passage.state, accumulate: true)
        addBias(mixer.outputBias, to: &passage.state, tokens: tokens)
      } else {
        var outputs: [Float] = []
        try linear(
          rows, mixer.output, tokens: tokens, inputs: mixer.outputInputs, outputs: hidden,
          into: &outputs)
        addBias(mixer.outputBias, to: &outputs, tokens: tokens)
        description.mixerResidual.add(outputs, outputNorm, to: &passage.state)
      }
      try site.check(
        passage.state.span, context: context, "a finite hidden state after the attention of layer \(layer)")
      passage.rows = feedForwardNorm!.rows(passage.state)
      description.feedForwardResidual.takeNorm(passage.rows, &passage.state)
      try site.check(
        passage.rows.span, context: context, "finite inputs to the experts of layer \(layer)")
      passage.routing = try route(passage.rows, context: context, keepsGates: keepsGates)
    case .feedForwardInner: preconditionFailure("an executor of the feed-forward goes there")
    }
  }

  /// Products of sequences' rows with the stored weights that read them on the way to a place: a matrix is read once for the tokens
  /// of all, and gives the same bits as for each alone.
  ///
  /// - Parameter rows: by sequence, (tokens, columns).
  /// - Returns: by sequence, (tokens, outputs) of each tensor.
  func products(of rows: [[Float]], to place: LayerPlace) throws(FormatError) -> [[Role: [Float]]] {
    let weights = place == .mixerOutput ? mixer!.inputWeights : [mixer!.output]
    let all = Array(rows.joined())
    var products = [[Role: [Float]]](repeating: [:], count: rows.count)
    for case .stored(let tensor, let stored) in weights {
      let outputs = tensor.rows
      var product: [Float] = []
      try tensor.product(all, tokens: all.count / tensor.columns, stored, into: &product)
      var first = 0
      for index in rows.indices {
        let count = rows[index].count / tensor.columns * outputs
        products[index][tensor.role] = Array(product[first..<first + count])
        first += count
      }
    }
    return products
  }

  /// Where the router sends the tokens of a context.
  ///
  /// - Parameter dropped: experts that it cannot choose.
  func route(_ inputs: [Float], context: Int, keepsGates: Bool = false, without dropped: [Int] = [])
    throws(FormatError) -> Routing
  {
    try router!.route(
      inputs, tokens: inputs.count / hidden, keepsGates: keepsGates, without: dropped, (site, context))
  }
}

/// One context of a lane inside a layer.
struct Passage: Sendable {
  /// The residual stream: (tokens, hidden).
  var state: [Float] = []
  /// The activation at the place where the lane is: (tokens, columns).
  var rows: [Float] = []
  /// From the feed-forward's input on.
  var routing: Routing?
  /// What layers before left, and from the mixer's output on what the layer leaves.
  var carried = Carried()
}

extension Residual {
  /// Puts the norm's output in the place of the residual stream, where the block has it so.
  func takeNorm(_ rows: [Float], _ state: inout [Float]) {
    guard let normScale else { return }
    for index in state.indices { state[index] = normScale * rows[index] }
  }

  /// Adds what the block gives to the residual stream: (tokens, hidden).
  ///
  /// - Parameter norm: the norm of outputs; nil for none.
  func add(_ outputs: [Float], _ norm: DecodedNorm?, to state: inout [Float]) {
    let rows = norm?.rows(outputs) ?? outputs
    var all = state.mutableSpan
    addScaled(&all, rows.span, scale)
  }
}
