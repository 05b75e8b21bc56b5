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
/// Results do not depend on the number of workers.
public struct SensitivityPass: Sendable {
  /// KL divergence from the original over scored positions, in nats.
  public struct Divergence: Sendable, Hashable {
    public var mean: Double
    /// Over contexts; nil for fewer than two.
    public var standardError: Double?

    public init(mean: Double, standardError: Double?) {
      self.mean = mean
      self.standardError = standardError
    }
  }

  /// Kinds of a layer that are groups of their own, in the order in which copies of their states begin: the mixer's linear
  /// layers, then those of the gated MLPs, each of all experts.
  public static func kinds(_ blueprint: Blueprint, layer: Int) -> [TensorKind] {
    blueprint.layers[layer].taps.flatMap(\.linears)
  }

  private var original: ForwardPass
  private var uniform: [ForwardPass]
  /// States of all copies, one after the other: copies × contexts.
  private var copies: ForwardPass
  /// What each copy is of.
  public private(set) var groups: [Role] = []
  private let contexts: [Context]
  private let workers: Workers
  /// The layer that comes next.
  public private(set) var layer: Int

  /// - Parameters:
  ///   - reference: the model with every tensor as groups are quantized; of each layer it is asked while the pass is there.
  ///   - uniform: models that are quantized throughout, likewise.
  ///   - states: where an earlier pass ended (`states`), after `layer` layers; nil to begin.
  public init(
    _ model: Model, reference: Model, uniform: [Model], _ contexts: [Context], workers count: Int,
    layer: Int = 0, states: [[Float]]? = nil
  ) throws(FormatError) {
    workers = Workers(count)
    self.contexts = contexts
    self.layer = layer
    groups = SensitivityPass.groups(model.blueprint, before: layer)
    func some(_ first: Int, _ count: Int) -> [[Float]]? {
      states.map { Array($0[first * contexts.count..<(first + count) * contexts.count]) }
    }
    let models = 1 + uniform.count
    original = try ForwardPass(model, contexts, workers, states: some(0, 1))
    var passes: [ForwardPass] = []
    for (index, quantized) in uniform.enumerated() {
      passes.append(try ForwardPass(quantized, contexts, workers, states: some(1 + index, 1)))
    }
    self.uniform = passes
    let all = SensitivityPass.repeated(contexts, groups.count)
    if let states {
      precondition(states.count == (models + groups.count) * contexts.count, "copies × contexts")
      copies = try ForwardPass(model, all, workers, states: some(models, groups.count))
    } else {
      copies = try ForwardPass(
        try model.replacing(reference) { $0.kind == .embedding }, contexts, workers)
      copies = try ForwardPass(model, contexts, workers, states: copies.states)
    }
  }

  private static func repeated(_ contexts: [Context], _ count: Int) -> [Context] {
    (0..<count).flatMap { _ in contexts }
  }

  /// Groups whose copies have begun before a layer. That of a router stands for the layer without some experts.
  private static func groups(_ blueprint: Blueprint, before layer: Int) -> [Role] {
    [Role(.embedding)]
      + (0..<layer).flatMap { layer in
        (kinds(blueprint, layer: layer) + [.router]).map { Role($0, layer: layer) }
      }
  }

  /// All states, to go on from: (1 + uniform + groups) × contexts.
  public var states: [[Float]] { original.states + uniform.flatMap(\.states) + copies.states }

  /// Values of each of the states after so many layers.
  public static func counts(_ model: Model, _ contexts: [Context], uniform: Int, layer: Int) -> [Int] {
    let each = contexts.map { $0.tokens.count * model.blueprint.hiddenSize }
    return (0..<1 + uniform + groups(model.blueprint, before: layer).count).flatMap { _ in each }
  }

  /// Takes the original through the next layer, without the copies, and says what went into it.
  ///
  /// `finish` must follow, with the layer's tensors of the reference and the uniform models at hand.
  public mutating func observe() async throws(FormatError) -> LayerEvidence {
    var observer: LayerObserver? = LayerObserver(layer: layer, original.blueprint)
    begun = original.states
    _ = try await original.run(layer: layer, observer: &observer)
    var evidence = observer!.evidence()
    if layer == original.blueprint.layerCount - 1 { evidence.fields[.headInput] = try original.headInput() }
    return evidence
  }

  /// States of the original before the layer that was observed.
  private var begun: [[Float]] = []

  /// Takes everything else through the layer that was observed, and begins the copies of its groups.
  ///
  /// - Returns: errors of the experts' outputs, by part and expert, and what leaving experts out does.
  public mutating func finish(reference: Model) async throws(FormatError) -> (
    experts: [TensorKind: [Double]], dropped: DroppedOutputs
  ) {
    precondition(!begun.isEmpty || contexts.isEmpty, "a layer is observed first")
    let model = original.model
    _ = try await copies.run(layer: layer)
    for index in uniform.indices { _ = try await uniform[index].run(layer: layer) }
    var fresh: [[Float]] = []
    for kind in model.blueprint.layers[layer].mixer.taps.flatMap(\.linears) {
      let role = Role(kind, layer: layer)
      var pass = try ForwardPass(
        try model.replacing(reference) { $0 == role }, contexts, workers, states: begun)
      _ = try await pass.run(layer: layer)
      fresh += pass.states
    }
    var base = try ForwardPass(model, contexts, workers, states: begun)
    let (states, errors) = try await base.perturbExperts(layer: layer, reference)
    fresh += states
    var whole = try ForwardPass(model, contexts, workers, states: begun)
    let dropped = try await whole.dropExperts(layer: layer)
    fresh += dropped.states
    begun = []
    layer += 1
    groups = SensitivityPass.groups(model.blueprint, before: layer)
    copies = try ForwardPass(
      model, SensitivityPass.repeated(contexts, groups.count), workers, states: copies.states + fresh)
    return (errors, dropped.found)
  }

  /// Divergences of all groups, the head's last, and of the uniform models, once all layers have been passed.
  public func divergences(reference: Model) async throws(FormatError) -> (
    groups: [(group: Role, divergence: Divergence)], uniform: [Divergence]
  ) {
    precondition(layer == original.blueprint.layerCount, "all layers are passed first")
    var found: [(group: Role, divergence: Divergence)] = []
    for (group, divergence) in zip(groups, try await original.divergences(of: copies.states)) {
      found.append((group, divergence))
    }
    let head = try ForwardPass(
      try original.model.replacing(reference) { $0 == original.model.blueprint.headRole }, contexts, workers,
      states: original.states)
    let divergence = try await original.divergence(of: head)
    if original.blueprint.isHeadTied, let place = found.firstIndex(where: { $0.group == Role(.embedding) }) {
      // One tensor does both: what it costs as the embedding and as the head.
      let embedding = found[place].divergence
      let errors = [embedding.standardError, divergence.standardError].compactMap { $0 }
      found[place].divergence = .init(
        mean: embedding.mean + divergence.mean,
        standardError: errors.count == 2 ? (errors[0] * errors[0] + errors[1] * errors[1]).squareRoot() : nil)
    } else {
      found.append((original.blueprint.headRole, divergence))
    }
    var others: [Divergence] = []
    for pass in uniform { others.append(try await original.divergence(of: pass)) }
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

extension ForwardPass {
  /// Takes the states through a layer three times, with the experts' gate, up and down projections as `other` has them.
  ///
  /// - Returns: states of these, parts × contexts, and by part and expert Σ g² ‖z − ẑ‖² over the expert's tokens.
  fileprivate mutating func perturbExperts(layer: Int, _ other: Model) async throws(FormatError) -> (
    states: [[Float]], errors: [TensorKind: [Double]]
  ) {
    var nobody: LayerObserver?
    let (inputs, routings) = try await runAttention(layer: layer, observer: &nobody, passed: { _ in })
    let visits = Visit.byExpert(routings, experts: blueprint.layers[layer].feedForward.count)
    let parts = blueprint.layers[layer].feedForward.projections.all
    var variants: [ForwardPass] = []
    for part in parts {
      let changed = try model.replacing(other) { $0.kind == part && $0.layer == layer }
      variants.append(try ForwardPass(changed, contexts, workers, states: states))
    }
    let (pass, passes) = (self, variants)
    var sums = parts.map { _ in states.map { [Float](repeating: 0, count: $0.count) } }
    var errors: [TensorKind: [Double]] = [:]
    let hidden = blueprint.hiddenSize
    try await workers.inOrder(visits.count) { expert, buffers throws(FormatError) in
      var nothing: SeenByExpert?
      let exact = try pass.output(
        of: expert, layer: layer, visits[expert], forced: [], inputs, &buffers, &nothing)
      var outputs: [[Float]] = []
      var differences: [Double] = []
      for variant in passes {
        let output = try variant.output(
          of: expert, layer: layer, visits[expert], forced: [], inputs, &buffers, &nothing)
        var difference = 0.0
        for (row, visit) in visits[expert].enumerated() {
          var sum = 0.0
          for index in row * hidden..<(row + 1) * hidden {
            let value = Double(output[index]) - Double(exact[index])
            sum += value * value
          }
          difference += Double(visit.weight) * Double(visit.weight) * sum
        }
        outputs.append(output)
        differences.append(difference)
      }
      return (outputs, differences)
    } deliver: { expert, result in
      for (place, part) in parts.enumerated() {
        errors[part, default: []].append(result.1[place])
        for (index, visit) in visits[expert].enumerated() {
          addRow(
            result.0[place], index, width: hidden, to: &sums[place][visit.context], visit.token,
            scale: visit.weight)
        }
      }
    }
    var found: [[Float]] = []
    for place in parts.indices {
      for context in states.indices {
        var state = states[context]
        add(sums[place][context], to: &state)
        try check(state.span, context: context, "a finite hidden state after layer \(layer)")
        found.append(state)
      }
    }
    return (found, errors)
  }

  /// Divergence from this model of another one that has passed the same layers.
  func divergence(of other: ForwardPass) async throws(FormatError) -> SensitivityPass.Divergence {
    var scores = emptyScores
    try await head(contexts.map { Array($0.scoredPositions) }, with: other) {
      [contexts] context, rows, logits, others in
      compared(contexts[context], rows, logits, others)
    } deliver: { _, outputs in
      for (context, chunk) in outputs.enumerated() {
        for (row, score) in chunk.enumerated() { scores[context][row].absorb(score) }
      }
    }
    return try SensitivityPass.Divergence(scores, model)
  }

  /// Divergences of copies of this model's states, copies × contexts: each row of the head is decoded once.
  fileprivate func divergences(of copies: [[Float]]) async throws(FormatError) -> [SensitivityPass.Divergence]
  {
    let count = copies.count / max(contexts.count, 1)
    let positions = contexts.map { Array($0.scoredPositions) }
    let inputs = try headInputs(positions)
    var others: [[[Float]]] = []
    for copy in 0..<count {
      let states = Array(copies[copy * contexts.count..<(copy + 1) * contexts.count])
      others.append(try ForwardPass(model, contexts, workers, states: states).headInputs(positions))
    }
    let step = try head.rowStep
    let stride = (headRowsAtOnce + step - 1) / step * step
    let chunks = (blueprint.vocabulary + stride - 1) / stride
    var scores = (0..<count).map { _ in emptyScores }
    let (pass, copied) = (self, others)
    try await workers.inOrder(chunks) { chunk, buffers throws(FormatError) in
      let rows = chunk * stride..<min((chunk + 1) * stride, pass.blueprint.vocabulary)
      try pass.head.decode(rows: rows, into: &buffers.weights)
      var outputs = copied.map { _ in [[TokenComparison]]() }
      for (context, text) in pass.contexts.enumerated() {
        let size = positions[context].count * rows.count
        try pass.logits(
          inputs[context], context, positions[context], rows, buffers.weights, into: &buffers.logits)
        for (copy, other) in copied.enumerated() {
          try pass.logits(
            other[context], context, positions[context], rows, buffers.weights, into: &buffers.otherLogits)
          outputs[copy].append(
            compared(
              text, rows, buffers.logits.span.extracting(0..<size),
              buffers.otherLogits.span.extracting(0..<size)))
        }
      }
      return outputs
    } deliver: { _, outputs in
      for (copy, contexts) in outputs.enumerated() {
        for (context, chunk) in contexts.enumerated() {
          for (row, score) in chunk.enumerated() { scores[copy][context][row].absorb(score) }
        }
      }
    }
    var found: [SensitivityPass.Divergence] = []
    for score in scores { found.append(try .init(score, model)) }
    return found
  }

  private var emptyScores: [[TokenComparison]] {
    contexts.map { [TokenComparison](repeating: TokenComparison(), count: $0.scoredPositions.count) }
  }
}

/// Scores of one context's positions over a range of the vocabulary.
private func compared(_ text: Context, _ rows: Range<Int>, _ logits: Span<Float>, _ others: Span<Float>)
  -> [TokenComparison]
{
  text.scoredPositions.enumerated().map { row, position in
    let range = row * rows.count..<(row + 1) * rows.count
    return TokenComparison(
      logits.extracting(range), others.extracting(range), first: rows.lowerBound,
      next: text.tokens[position + 1])
  }
}

extension SensitivityPass.Divergence {
  /// Mean over all positions, and its error by the spread of contexts.
  fileprivate init(_ scores: [[TokenComparison]], _ model: Model) throws(FormatError) {
    let sums = scores.map { $0.reduce(0.0) { $0 + max($1.divergence, 0) } }
    let count = scores.reduce(0) { $0 + $1.count }
    mean = sums.reduce(0, +) / Double(max(count, 1))
    guard mean.isFinite else { throw unrepresentable("KL divergence", mean, model) }
    guard scores.count > 1 else {
      standardError = nil
      return
    }
    // Of a ratio of sums over contexts.
    let squares = zip(sums, scores).reduce(0.0) { total, pair in
      let difference = pair.0 - mean * Double(pair.1.count)
      return total + difference * difference
    }
    let n = Double(scores.count)
    standardError = (squares * n / (n - 1)).squareRoot() / Double(max(count, 1))
  }
}
