import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What quantizing one tensor, or the experts' tensors of one part of a layer, does to a model's output: a copy of the
/// hidden states begins where the group stands, with the error that quantizing it makes, and goes on beside the original's
/// through the layers that follow, all of which are exact, to the logits. So the sum of all groups takes one pass through the
/// model's weights, and half as much arithmetic as a pass for each group.
///
/// Beside the groups go models that are quantized throughout, to see what the parts' sum leaves out.
///
/// A pass may measure some layers only: then it has the copies that begin there, and takes the original alone through the others. The
/// pass that measures the last layer has the embedding, the head and the uniform models too. No copy knows of the others, so what passes
/// measure of all layers together has the bits of one pass.
///
/// Results do not depend on the number of workers.
public struct SensitivityPass: Sendable {
  /// KL divergence from the original over scored positions, in nats.
  public struct Divergence: Sendable, Hashable {
    public var mean: Double
    /// Over contexts; nil for fewer than two.
    public var standardError: Double?
    /// Mean over the same positions of how unsure the original is of the next token (`TokenComparison.uncertainty`).
    public var uncertainty: Double
    /// The same for each text that contexts come from, in order of appearance.
    public var texts: [Text]

    public struct Text: Sendable, Hashable {
      public var name: String
      public var mean: Double
      public var uncertainty: Double
    }
  }

  /// Kinds of a layer that are groups of their own, in the order in which copies of their states begin: the linear
  /// layers that every token goes through, then those of the gated MLPs, each of all experts.
  public static func kinds(_ blueprint: Blueprint, layer: Int) -> [TensorKind] {
    let layer = blueprint.layers[layer]
    return layer.observedTaps.flatMap(\.linears) + layer.feedForward.projections.all
  }

  private var original: Lane
  private var uniform: [Lane]
  /// Perturbed runs, which go by the original's weights.
  private var perturbedRuns: [Lane]
  /// What each of them is of.
  public private(set) var groups: [Role] = []
  private let contexts: [Context]
  private let workers: Workers
  /// Layers that are measured.
  private let measured: Range<Int>
  /// The layer that comes next.
  public private(set) var layer: Int

  /// - Parameters:
  ///   - reference: the model with every tensor as groups are quantized; of each layer it is asked while the pass is there.
  ///   - uniform: models that are quantized throughout, likewise; none where the last layer is not measured.
  ///   - measured: layers whose copies the pass has; nil for all.
  ///   - states: where an earlier pass ended (`states`), after `layer` layers; nil to begin.
  public init(
    _ model: Model, reference: Model, uniform: [Model], _ contexts: [Context], workers count: Int,
    measuring measured: Range<Int>? = nil, layer: Int = 0, states: [[Float]]? = nil
  ) throws(FormatError) {
    workers = Workers(count)
    self.contexts = contexts
    self.layer = layer
    let measured = measured ?? model.blueprint.layers.indices
    self.measured = measured
    groups = SensitivityPass.groups(model.blueprint, before: layer, measured)
    let isLast = SensitivityPass.isLast(measured, model.blueprint)
    precondition(uniform.isEmpty || isLast, "uniform models are of the pass with the last layer")
    func some(_ first: Int, _ count: Int) -> [[Float]]? {
      states.map { Array($0[first * contexts.count..<(first + count) * contexts.count]) }
    }
    let models = 1 + uniform.count
    original = try Lane(model, contexts, snapshot: some(0, 1))
    var lanes: [Lane] = []
    for (index, quantized) in uniform.enumerated() {
      lanes.append(try Lane(quantized, contexts, snapshot: some(1 + index, 1)))
    }
    self.uniform = lanes
    if let states {
      precondition(states.count == (models + groups.count) * contexts.count, "copies × contexts")
      perturbedRuns = []
      for index in groups.indices {
        perturbedRuns.append(try Lane(original.source, contexts, snapshot: some(models + index, 1)!))
      }
    } else if isLast {
      let embedded = try Lane(try model.replacing(reference) { $0.kind == .embedding }, contexts)
      perturbedRuns = [try Lane(original.source, contexts, snapshot: embedded.snapshot)]
    } else {
      perturbedRuns = []
    }
  }

  /// Whether embedding, head and uniform models are measured with these layers: the head's inputs are known behind the last one.
  private static func isLast(_ measured: Range<Int>, _ blueprint: Blueprint) -> Bool {
    measured.upperBound == blueprint.layerCount
  }

  /// Groups whose copies have begun before a layer. That of a router stands for the layer without some experts.
  private static func groups(_ blueprint: Blueprint, before layer: Int, _ measured: Range<Int>) -> [Role] {
    (isLast(measured, blueprint) ? [Role(.embedding)] : [])
      + measured.clamped(to: 0..<layer).flatMap { layer in
        (kinds(blueprint, layer: layer) + [.router]).map { Role($0, layer: layer) }
      }
  }

  /// All states, to go on from: (1 + uniform + groups) × contexts.
  public var states: [[Float]] { original.snapshot + (uniform + perturbedRuns).flatMap(\.snapshot) }

  /// Values of each of the states after so many layers.
  public static func counts(
    _ model: Model, _ contexts: [Context], uniform: Int, measuring measured: Range<Int>? = nil, layer: Int
  ) -> [Int] {
    let each = passStateCounts(model, contexts)
    let groups = groups(model.blueprint, before: layer, measured ?? model.blueprint.layers.indices)
    return (0..<1 + uniform + groups.count).flatMap { _ in each }
  }

  /// Takes everything through the next layer, which is none of those that are measured.
  public mutating func advance() async throws(FormatError) {
    precondition(!measured.contains(layer), "a measured layer is observed")
    // In one go, so that the layer's weights are decoded once for all.
    var runner = LayerRunner(
      layer: layer, [original.hand()] + perturbedRuns.indices.map { perturbedRuns[$0].hand() }, workers)
    try await runner.advance(to: .feedForwardInput)
    try await runner.feed()
    original = runner.lanes[0]
    perturbedRuns = Array(runner.lanes.dropFirst())
    for index in uniform.indices { try await uniform[index].run(layer: layer, workers) }
    layer += 1
  }

  /// Takes the original through the next layer, one that is measured, without the copies, and says what went into it.
  ///
  /// `finish` must follow, with the layer's tensors of the reference and the uniform models at hand.
  public mutating func observe() async throws(FormatError) -> LayerStatistics {
    precondition(measured.contains(layer), "a layer that is measured")
    begun = original.snapshot
    return try await original.observe(layer: layer, workers)
  }

  /// The original before the layer that was observed.
  private var begun: [[Float]] = []

  /// Takes everything else through the layer that was observed, and begins the copies of its groups.
  ///
  /// - Returns: errors of the experts' outputs, by part and expert, and what leaving experts out does.
  public mutating func finish(reference: Model) async throws(FormatError) -> (
    experts: [TensorKind: [Double]], dropped: DroppedOutputs
  ) {
    precondition(!begun.isEmpty || contexts.isEmpty, "a layer is observed first")
    if !perturbedRuns.isEmpty {
      // In one go, so that the layer's weights are decoded once for all.
      var runner = LayerRunner(layer: layer, perturbedRuns.indices.map { perturbedRuns[$0].hand() }, workers)
      try await runner.advance(to: .feedForwardInput)
      try await runner.feed()
      perturbedRuns = runner.lanes
    }
    for index in uniform.indices { try await uniform[index].run(layer: layer, workers) }
    let (source, description) = (original.source, original.blueprint.layers[layer])
    for kind in description.observedTaps.flatMap(\.linears) {
      let role = Role(kind, layer: layer)
      let perturbed = try original.model.replacing(reference) { $0 == role }
      var lane = try Lane(perturbed, contexts, snapshot: begun)
      try await lane.run(layer: layer, workers)
      perturbedRuns.append(try Lane(source, contexts, snapshot: lane.snapshot))
    }
    let (runs, errors) = try await Lane(source, contexts, snapshot: begun).perturbExperts(
      layer: layer, reference, workers)
    perturbedRuns += runs
    var whole = try Lane(source, contexts, snapshot: begun)
    begun = []
    let dropped = try await whole.dropExperts(layer: layer, workers)
    perturbedRuns.append(whole)
    layer += 1
    groups = SensitivityPass.groups(original.blueprint, before: layer, measured)
    return (errors, dropped)
  }

  /// Divergences of all groups that were measured, the head's last, and of the uniform models, once all layers have been passed.
  public func divergences(reference: Model) async throws(FormatError) -> (
    groups: [(group: Role, divergence: Divergence)], uniform: [Divergence]
  ) {
    precondition(layer == original.blueprint.layerCount, "all layers are passed first")
    var found: [(group: Role, divergence: Divergence)] = []
    for (group, divergence) in zip(groups, try await original.divergences(of: perturbedRuns, workers)) {
      found.append((group, divergence))
    }
    guard SensitivityPass.isLast(measured, original.blueprint) else { return (found, []) }
    let head = try Lane(
      try original.model.replacing(reference) { $0 == original.model.blueprint.headRole }, contexts,
      snapshot: original.snapshot)
    let divergence = try await original.divergence(of: head, workers)
    if original.blueprint.isHeadTied, let place = found.firstIndex(where: { $0.group == Role(.embedding) }) {
      // One tensor does both: what it costs as the embedding and as the head.
      let embedding = found[place].divergence
      let errors = [embedding.standardError, divergence.standardError].compactMap { $0 }
      found[place].divergence.mean = embedding.mean + divergence.mean
      found[place].divergence.standardError =
        errors.count == 2 ? (errors[0] * errors[0] + errors[1] * errors[1]).squareRoot() : nil
    } else {
      found.append((original.blueprint.headRole, divergence))
    }
    var others: [Divergence] = []
    for lane in uniform { others.append(try await original.divergence(of: lane, workers)) }
    return (found, others)
  }
}

extension Model {
  /// The model with some tensors as another one has them.
  func replacing(_ other: Model, _ isReplaced: (Role) -> Bool) throws(FormatError) -> Model {
    try mapTensors { tensor throws(FormatError) in
      guard isReplaced(tensor.role) else { return tensor }
      guard let replacement = other[tensor.role] else {
        throw tensor.error("the tensor of \(tensor.role) in \(other.path)", found: "none")
      }
      return replacement
    }
  }
}

extension Lane {
  /// What the lane's states become after a layer with the experts' gate, up or down projections as `other` has them.
  ///
  /// - Returns: a lane of each kind, and by kind and expert Σ g² ‖z − ẑ‖² over the expert's tokens.
  fileprivate func perturbExperts(layer: Int, _ other: Model, _ workers: Workers) async throws(FormatError)
    -> (
      runs: [Lane], errors: [TensorKind: [Double]]
    )
  {
    let projections = blueprint.layers[layer].feedForward.projections
    let kinds = projections.all
    var runner = LayerRunner(layer: layer, [self], workers)
    try await runner.advance(to: .feedForwardInput)
    var models = [source]
    for kind in kinds {
      models.append(
        try LaneModel(try model.replacing(other) { $0.kind == kind && $0.layer == layer }, contexts))
    }
    var errors: [TensorKind: [Double]] = [:]
    let sums = try await runner.sums(
      models, [runner.routings(lane: 0)], isSummed: [false] + kinds.map { _ in true },
      reading: OutputErrors(projections, lanes: models.count)
    ) { reader, expert in
      guard expert < blueprint.layers[layer].feedForward.count else { return }
      for (index, kind) in kinds.enumerated() {
        errors[kind, default: []].append(reader.errors.isEmpty ? 0 : reader.errors[index])
      }
    }
    var runs: [Lane] = []
    for sums in sums.dropFirst() { runs.append(try runner.lane(adding: sums)) }
    return (runs, errors)
  }
}

/// What an expert's outputs in other lanes differ by from those in the first: Σ g² ‖z − ẑ‖² over its tokens, by lane.
private struct OutputErrors: TapReader {
  private let output: TensorKind
  private let lanes: Int
  private var exact: [Float] = []
  private(set) var errors: [Double] = []

  init(_ projections: Projections, lanes: Int) {
    output = projections.lowering
    self.lanes = lanes
  }

  mutating func read(_ activation: Activation) {
    guard case .output(output) = activation.kind else { return }
    if activation.lane == 0 {
      exact = activation.rows
      return
    }
    let (values, columns) = (activation.rows, activation.columns)
    var error = 0.0
    for (row, routedToken) in activation.routedTokens.enumerated() {
      var sum = 0.0
      for index in row * columns..<(row + 1) * columns {
        let value = Double(values[index]) - Double(exact[index])
        sum += value * value
      }
      error += Double(routedToken.weight) * Double(routedToken.weight) * sum
    }
    errors.append(error)
    if activation.lane == lanes - 1 { exact = [] }
  }
}
