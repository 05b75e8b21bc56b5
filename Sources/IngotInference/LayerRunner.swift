import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Lanes inside one layer. A pass lets them `advance` from tap to tap up to the feed-forward's input, and then through the
/// feed-forward; readers see what they come by. The only place that knows how a layer's blocks follow each other.
///
/// Of each model one layer's mixer is held decoded while lanes advance, and of the feed-forward what its executor decodes for a
/// unit of work: one projection of one expert for each worker. Lanes of one model go together, so each tensor is decoded
/// once for all of them.
struct LayerRunner: Sendable {
  let layer: Int
  /// As they were before the layer, without states until they have passed it.
  private(set) var lanes: [Lane]
  private let workers: Workers
  private let isAbreast: Bool
  /// The models of the lanes, each once, and the place of each lane's among them.
  private let sources: [LaneModel]
  private let sourceOfLane: [Int]
  /// By source; empty before lanes advance and after they have.
  private var weights: [LayerWeights] = []
  /// Lanes × contexts.
  private var passages: [Passage]
  private var reached: LayerPlace?

  private var contexts: [Context] { lanes[0].contexts }
  private var blueprint: Blueprint { lanes[0].blueprint }

  /// - Parameters:
  ///   - lanes: of the same contexts, at least one.
  ///   - isAbreast: whether all lanes of a context are one unit of work, so that a reader sees them together.
  init(layer: Int, _ lanes: [Lane], _ workers: Workers, isAbreast: Bool = false) {
    self.layer = layer
    self.workers = workers
    self.isAbreast = isAbreast
    var sources: [LaneModel] = []
    var places: [Int] = []
    var passages: [Passage] = []
    var lanes = lanes
    for index in lanes.indices {
      let source = lanes[index].source
      if !sources.contains(where: { $0 === source }) { sources.append(source) }
      places.append(sources.firstIndex { $0 === source }!)
      for (state, carried) in zip(lanes[index].takeStates(), lanes[index].takeCarried()) {
        passages.append(Passage(state: state, carried: carried))
      }
    }
    self.lanes = lanes
    self.sources = sources
    self.passages = passages
    sourceOfLane = places
  }

  /// Where the router sent the tokens of each context.
  func routings(lane: Int) -> [Routing] { own(lane).map { $0.routing! } }

  /// What goes into the feed-forward, by context: (tokens, hidden).
  func feedForwardInputs(lane: Int) -> [[Float]] { own(lane).map(\.rows) }

  private func own(_ lane: Int) -> ArraySlice<Passage> {
    passages[lane * contexts.count..<(lane + 1) * contexts.count]
  }

  /// Sends tokens elsewhere than the router did.
  mutating func reroute(lane: Int, _ routings: [Routing]) {
    for (context, routing) in routings.enumerated() {
      passages[lane * contexts.count + context].routing = routing
    }
  }

  // ---- to the feed-forward's input ------------------------------------------------------------------------------------

  /// Takes all lanes to a place, unread.
  mutating func advance(to place: LayerPlace, passed: (Int) -> Void = { _ in }) async throws(FormatError) {
    try await advance(to: place, reading: NoReader(), passed: passed) { _ in }
  }

  /// Takes all lanes to a place. Only then are the weights of the linear layers that read its tap asked for.
  ///
  /// - Parameters:
  ///   - gated: a lane whose routings keep the scores of all experts.
  ///   - blank: a reader for each unit of work: a context of a lane, or of all where they go abreast.
  ///   - passed: is told of bytes of the models' tensors as they have been used.
  ///   - take: gets the readers in the order of lanes and contexts.
  mutating func advance<Reader: TapReader>(
    to place: LayerPlace, keepingGatesOf gated: Int? = nil, reading blank: Reader,
    passed: (Int) -> Void = { _ in },
    take: (Reader) -> Void
  ) async throws(FormatError) {
    if weights.isEmpty {
      for (index, source) in sources.enumerated() {
        let site = lanes[sourceOfLane.firstIndex(of: index)!].site
        weights.append(try source.weights(layer: layer, site))
      }
    }
    for index in weights.indices {
      try await weights[index].load(place, workers)
      if place == .feedForwardInput { sources[index].keep(weights[index], layer: layer) }
    }
    let first = reached.map { $0.rawValue + 1 } ?? 0
    let steps = LayerPlace.allCases[first...place.rawValue]
    if Reader.self == NoReader.self, sources.count == 1, sources[0].continues,
      let team = sources[0].products?.team, passages.count > 1
    {
      try weights[0].advanceTogether(&passages, steps, team, contexts: contexts.count)
      return try finishAdvance(to: place, passed: passed)
    }
    let (weights, sourceOfLane, isAbreast) = (weights, sourceOfLane, isAbreast)
    let (lanes, texts) = (lanes.indices, contexts)
    let slots = Slots(passages)
    passages = [Passage](repeating: Passage(), count: passages.count)
    try await workers.inOrder(isAbreast ? texts.count : lanes.count * texts.count) {
      unit, buffers throws(FormatError) in
      let context = unit % texts.count
      let members = isAbreast ? lanes : unit / texts.count..<unit / texts.count + 1
      let tokens = texts[context].tokens.count
      var own = members.map { slots.take($0 * texts.count + context) }
      var reader = blank
      for step in steps {
        for (index, lane) in members.enumerated() {
          try weights[sourceOfLane[lane]].advance(
            &own[index], to: step, context: context, keepsGates: lane == gated, &buffers
          ) { tap, rows, columns in
            reader.read(
              Activation(kind: .inner(tap), lane: lane, rows: rows, count: tokens, columns: columns))
          }
        }
        for (index, lane) in members.enumerated() {
          let passage = own[index]
          reader.read(
            Activation(
              kind: .input(step), lane: lane, rows: passage.rows, count: tokens,
              columns: passage.rows.count / tokens, state: passage.state))
        }
      }
      return (own, reader)
    } deliver: { unit, result in
      for (index, passage) in result.0.enumerated() {
        passages[isAbreast ? index * texts.count + unit : unit] = passage
      }
      take(result.1)
    }
    try finishAdvance(to: place, passed: passed)
  }

  private mutating func finishAdvance(to place: LayerPlace, passed: (Int) -> Void) throws(FormatError) {
    reached = place
    guard place == .feedForwardInput else { return }
    weights = []
    for source in sources {
      for kind in blueprint.layers[layer].mixer.taps.flatMap(\.linears) {
        passed(try source.model.required(kind, layer: layer).bytes)
      }
    }
  }

  /// Lower triangles of Σ x xᵀ over what taps within the mixer would have of a lane's inputs by the weights of some model, by
  /// field; lanes are at the mixer's input and stay there.
  func innerProducts(of source: LaneModel, lane: Int) async throws(FormatError)
    -> [LayerStatistics.Field: [Float]]
  {
    precondition(reached == .mixerInput, "lanes are at the mixer's input")
    let layer = blueprint.layers[layer]
    guard layer.mixer.taps.count > 2 else { return [:] }
    var own = try LayerWeights(source, layer: self.layer, lanes[lane].site)
    try await own.load(.mixerOutput, workers)
    let (weights, passages) = (own, Array(self.own(lane)))
    var sums: [LayerStatistics.Field: [Float]] = [:]
    try await workers.inOrder(passages.count) { context, buffers throws(FormatError) in
      var (passage, reader) = (passages[context], MixerReader(layer))
      let tokens = passage.rows.count / layer.hiddenSize
      try weights.advance(&passage, to: .mixerOutput, context: context, keepsGates: false, &buffers) {
        reader.read(Activation(kind: .inner($0), lane: lane, rows: $1, count: tokens, columns: $2))
      }
      return reader.products
    } deliver: { _, products in
      for (field, product) in products {
        if sums[field] == nil {
          sums[field] = product
        } else {
          IngotInference.add(product, to: &sums[field]!)
        }
      }
    }
    return sums
  }

  /// Lower triangle of Σ x xᵀ over what a tap of the shared MLP shows, by a lane's own weights before that tap; lanes are at the
  /// feed-forward's input and stay there.
  func sharedProducts(_ tap: Tap, lane: Int) async throws(FormatError) -> [Float] {
    let executor = try await executor(lanes[lane].source, lanes[lane].site, decodesOnce: false)
    let inputs = feedForwardInputs(lane: lane)
    var sum = [Float](repeating: 0, count: tap.columns * tap.columns)
    try await workers.inOrder(inputs.count) { context, buffers throws(FormatError) in
      let rows = try executor.sharedRows(of: tap, inputs[context], &buffers)
      return Activation(
        kind: .inner(tap.name), lane: lane, rows: rows, count: rows.count / tap.columns, columns: tap.columns
      ).outerProducts
    } deliver: { _, products in
      IngotInference.add(products, to: &sum)
    }
    return sum
  }

  /// Where the router of a lane would send its tokens if it could not choose some experts: by context.
  func routings(lane: Int, without dropped: [Int]) throws(FormatError) -> [Routing] {
    let weights = try LayerWeights(routerOf: lanes[lane].source, layer: layer, lanes[lane].site)
    var routings: [Routing] = []
    for (context, passage) in own(lane).enumerated() {
      routings.append(try weights.route(passage.rows, context: context, without: dropped))
    }
    return routings
  }

  // ---- through the feed-forward ---------------------------------------------------------------------------------------

  /// Takes all lanes through the feed-forward, unread.
  @discardableResult
  mutating func feed(aside: Aside = .none, passed: (Int) -> Void = { _ in }) async throws(FormatError)
    -> [[Float]]
  {
    try await feed(reading: NoReader(), aside: aside, passed: passed) { _, _ in }
  }

  /// Adds to every state what the layer's feed-forward makes of its tokens; after that the lanes have passed the layer.
  ///
  /// Each expert is decoded once for the tokens of all lanes of a model. A token's experts are summed in ascending order,
  /// then added to its state.
  /// - Parameters:
  ///   - aside: rows that go through experts beside the lanes' tokens.
  ///   - take: gets the reader of each unit of work and its expert, experts ascending.
  /// - Returns: by expert, the outputs of rows from outside: (rows, hidden).
  @discardableResult
  mutating func feed<Reader: TapReader>(
    reading blank: Reader, aside: Aside = .none, passed: (Int) -> Void = { _ in },
    take: (Reader, Int) -> Void
  ) async throws(FormatError) -> [[Float]] {
    precondition(reached == .feedForwardInput, "lanes advance to the feed-forward first")
    if case .none = aside {} else { precondition(sources.count == 1, "experts of one model") }
    var probed: [[Float]] = []
    for (index, source) in sources.enumerated() {
      let members = lanes.indices.filter { sourceOfLane[$0] == index }
      let places = members.flatMap { $0 * contexts.count..<($0 + 1) * contexts.count }
      let site = lanes[members[0]].site
      let inputs = places.map { passages[$0].rows }
      let routings = places.map { passages[$0].routing! }
      var states = places.map { passages[$0].state }
      let carried = places.map { passages[$0].carried }
      for place in places { passages[place] = Passage() }
      let executor = try await executor(source, site, decodesOnce: true)
      let addsSums = executor.sumsOutputs || !residual.addsPlainly
      var targets = [addsSums ? zeros(states) : states]
      if !addsSums { states = [] }
      probed = try await passExperts(
        [executor], inputs, executor.batches(routings, aside), reading: blank, into: &targets, take: take
      ) { role throws(FormatError) in passed(try source.model.required(role).bytes) }
      if addsSums {
        try add(targets[0], to: &states, of: source)
      } else {
        states = targets[0]
      }
      targets = []
      if let tail = try LayerTail(source, layer: layer, contexts) {
        for index in states.indices {
          tail.apply(to: &states[index], carried[index], contexts[index % contexts.count])
        }
      }
      for (context, state) in states.enumerated() {
        try site.check(state.span, context: context, "a finite hidden state after layer \(layer)")
      }
      for (number, lane) in members.enumerated() {
        let range = number * contexts.count..<(number + 1) * contexts.count
        lanes[lane].put(Array(states[range]), Array(carried[range]))
      }
    }
    return probed
  }

  /// What the feed-forward would add to the first lane's states by other weights or other routings, which stay as they are.
  /// An expert's weights are decoded once for all tokens that any routing sends to it.
  ///
  /// - Parameters:
  ///   - models: whose weights are taken, each with each of the routings. Readers know them by the number as lane.
  ///   - variants: routings by context.
  ///   - isSummed: whether the sums of each model are wanted.
  /// - Returns: models × variants × contexts of (tokens, hidden); no contexts where sums are not wanted.
  func sums<Reader: TapReader>(
    _ models: [LaneModel], _ variants: [[Routing]], isSummed: [Bool], reading blank: Reader,
    take: (Reader, Int) -> Void
  ) async throws(FormatError) -> [[[Float]]] {
    let site = lanes[0].site
    var executors: [any FeedForwardExecutor] = []
    for model in models { executors.append(try await executor(model, site, decodesOnce: false)) }
    let inputs = feedForwardInputs(lane: 0)
    var targets = isSummed.flatMap { isSummed in
      variants.map { _ in isSummed ? zeros(inputs) : [] }
    }
    let batches = ExpertBatch.shared(variants.map { executors[0].batches($0, .none) })
    _ = try await passExperts(
      executors, inputs, batches, reading: blank, into: &targets, take: take, finished: { _ in })
    return targets
  }

  /// The first lane behind the layer, its states with sums added.
  func lane(adding sums: [[Float]]) throws(FormatError) -> Lane {
    var lane = lanes[0]
    var states = own(0).map(\.state)
    try add(sums, to: &states, of: lanes[0].source)
    let carried = own(0).map(\.carried)
    if let tail = try LayerTail(lane.source, layer: layer, contexts) {
      for index in states.indices { tail.apply(to: &states[index], carried[index], contexts[index]) }
    }
    for (context, state) in states.enumerated() {
      try lane.site.check(state.span, context: context, "a finite hidden state after layer \(layer)")
    }
    lane.put(states, carried)
    return lane
  }

  private func executor(_ source: LaneModel, _ site: RowSite, decodesOnce: Bool) async throws(FormatError)
    -> any FeedForwardExecutor
  {
    try await source.executor(layer: layer, site, workers, decodesOnce: decodesOnce)
  }

  private func zeros(_ like: [[Float]]) -> [[Float]] { like.map { [Float](repeating: 0, count: $0.count) } }

  private var residual: Residual { blueprint.layers[layer].feedForwardResidual }

  private func add(_ sums: [[Float]], to states: inout [[Float]], of source: LaneModel)
    throws(FormatError)
  {
    if residual.addsPlainly {
      for index in states.indices { IngotInference.add(sums[index], to: &states[index]) }
      return
    }
    let norm = try residual.outputNorm.map { norm throws(FormatError) in
      try source.model.norm(.feedForwardOutputNorm, layer: layer, norm)
    }
    for index in states.indices { residual.add(sums[index], norm, to: &states[index]) }
  }

  /// Goes through all batches, each by every executor, and adds outputs to executors × variants × contexts of
  /// (tokens, hidden), where they are wanted.
  private func passExperts<Reader: TapReader>(
    _ executors: [any FeedForwardExecutor], _ inputs: [[Float]], _ batches: [ExpertBatch],
    reading blank: Reader, into targets: inout [[[Float]]], take: (Reader, Int) -> Void,
    finished: (Role) throws(FormatError) -> Void
  ) async throws(FormatError) -> [[Float]] {
    let (hidden, variants) = (blueprint.hiddenSize, targets.count / executors.count)
    let isWanted = targets.map { !$0.isEmpty }
    var probed: [[Float]] = []
    try await workers.inOrder(batches.count) { index, buffers throws(FormatError) in
      let batch = batches[index]
      var reader = blank
      var outputs: [[Float]] = []
      for (place, executor) in executors.enumerated() {
        let rows = try executor.outputs(of: batch, inputs, readsWeights: Reader.readsWeights, &buffers) {
          var activation = $0
          activation.lane = place
          reader.read(activation)
        }
        outputs.append(isWanted[place * variants] ? rows : [])
      }
      return (outputs, reader, Array(buffers.probed.prefix(batch.probe.count)))
    } deliver: { index, result throws(FormatError) in
      let batch = batches[index]
      take(result.1, batch.expert)
      if batch.expert == blueprint.layers[layer].feedForward.count && batch.isFirst {
        for target in targets.indices where isWanted[target] {
          for context in targets[target].indices {
            executors[target / variants].endExperts(&targets[target][context])
          }
        }
      }
      // The shared MLP stands behind the experts.
      if batch.expert < blueprint.layers[layer].feedForward.count { probed.append(result.2) }
      for target in targets.indices where isWanted[target] {
        batch.forEachRow(of: target % variants) { row, routedToken in
          addRow(
            result.0[target / variants], row, width: hidden, to: &targets[target][routedToken.context],
            routedToken.token,
            scale: routedToken.weight)
        }
      }
      for role in batch.finishes { try finished(role) }
    }
    return probed
  }
}
