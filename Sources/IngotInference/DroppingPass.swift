import IngotModels
import IngotSystem
import IngotTensors

/// What leaving experts out of one layer does to its outputs.
///
/// The router then chooses among the experts that are left, as it would in a model without them: a token that loses one goes to the
/// next best, and the weights are divided by the new sum.
public struct DroppedOutputs: Sendable, Hashable {
  /// By expert: mean over its tokens of weight × L2 norm of its output (Lasby et al., "REAP the Experts", 2025); 0 without tokens.
  public var scores: [Double]
  /// By expert: Σ weight² × squared norm over its tokens.
  public var squares: [Double]
  /// Numbers of experts left out, rising: those of least score, of equal ones the lower number first.
  public var counts: [Int]
  /// For each of them Σ ‖ŷ − y‖² over the tokens' sums.
  public var errors: [Double]
  /// The one of `counts` whose states go on; 0 when no expert can be spared.
  public var carried: Int

  /// Numbers of experts to leave out: sixteenths of all, as long as those left are as many as a token goes to.
  static func counts(_ experts: Blueprint.ExpertSummary) -> [Int] {
    var counts: [Int] = []
    for sixteenths in [1, 2, 4, 6, 8, 12] {
      let count = max(experts.count * sixteenths / 16, 1)
      if count > counts.last ?? 0, count <= experts.count - experts.perToken { counts.append(count) }
    }
    return counts
  }
}

extension ForwardPass {
  /// Takes the states through a layer without some of its experts, in several numbers.
  ///
  /// - Returns: what that does, and the states with `carried` experts left out.
  mutating func dropExperts(layer: Int) async throws(FormatError) -> (
    found: DroppedOutputs, states: [[Float]]
  ) {
    var nobody: LayerObserver?
    let (inputs, routings) = try await runAttention(layer: layer, observer: &nobody, passed: { _ in })
    guard blueprint.layers[layer].feedForward.isMixture else {
      try await runExperts(layer: layer, inputs, routings, observer: &nobody, passed: { _ in })
      return (DroppedOutputs(scores: [], squares: [], counts: [], errors: [], carried: 0), states)
    }
    let (scores, squares) = try await norms(layer: layer, inputs, routings)
    let counts = DroppedOutputs.counts(blueprint.experts)
    // A quarter: enough to tell from noise, and about what plans leave out.
    let carried = counts.min { abs(16 * $0 - 4 * scores.count) < abs(16 * $1 - 4 * scores.count) }
    let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
    let weights = try await LayerWeights(model, layer: layer, tables, workers)
    var variants = [routings]
    for count in counts {
      variants.append(try routed(inputs, weights, layer: layer, without: order.prefix(count)))
    }
    let sums = try await sums(layer: layer, inputs, variants)
    var errors: [Double] = []
    for sum in sums.dropFirst() {
      errors.append(
        zip(sum, sums[0]).reduce(0.0) { total, pair in
          total
            + zip(pair.0, pair.1).reduce(0.0) {
              $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
            }
        })
    }
    var states = states
    let chosen = carried.map { counts.firstIndex(of: $0)! + 1 } ?? 0
    for index in states.indices {
      var state = states[index]
      add(sums[chosen][index], to: &state)
      try check(state.span, context: index, "a finite hidden state after layer \(layer)")
      states[index] = state
    }
    return (
      DroppedOutputs(
        scores: scores, squares: squares, counts: counts, errors: errors, carried: carried ?? 0), states
    )
  }

  /// Means of weight × norm of each expert's outputs, and sums of their squares.
  private func norms(layer: Int, _ inputs: [[Float]], _ routings: [Routing]) async throws(FormatError) -> (
    scores: [Double], squares: [Double]
  ) {
    let visits = Visit.byExpert(routings, experts: blueprint.experts.count)
    let (pass, hidden) = (self, blueprint.hiddenSize)
    var scores: [Double] = []
    var squares: [Double] = []
    try await workers.inOrder(visits.count) { expert, buffers throws(FormatError) in
      var nothing: SeenByExpert?
      let outputs = try pass.output(
        of: expert, layer: layer, visits[expert], forced: [], inputs, &buffers, &nothing)
      var (sum, square) = (0.0, 0.0)
      for (row, visit) in visits[expert].enumerated() {
        var norm = 0.0
        for index in row * hidden..<(row + 1) * hidden {
          norm += Double(outputs[index]) * Double(outputs[index])
        }
        sum += Double(visit.weight) * norm.squareRoot()
        square += Double(visit.weight) * Double(visit.weight) * norm
      }
      return (sum / Double(max(visits[expert].count, 1)), square)
    } deliver: { _, found in
      scores.append(found.0)
      squares.append(found.1)
    }
    return (scores, squares)
  }

  /// Where the router of a layer sends the tokens of each context when it cannot choose some experts.
  private func routed(
    _ inputs: [[Float]], _ weights: LayerWeights, layer: Int, without dropped: some Sequence<Int>
  ) throws(FormatError) -> [Routing] {
    guard let experts = blueprint.layers[layer].feedForward as? Mixture else {
      preconditionFailure("layer \(layer) has no experts")
    }
    var bias = weights.routerBias ?? [Float](repeating: 0, count: experts.count)
    for expert in dropped { bias[expert] = -.infinity }
    var routings: [Routing] = []
    for (context, own) in inputs.enumerated() {
      let tokens = contexts[context].tokens.count
      var logits: [Float] = []  // (tokens, experts)
      linear(
        own, weights.router, tokens: tokens, inputs: blueprint.hiddenSize, outputs: experts.count,
        into: &logits
      )
      for row in 0..<tokens { for expert in dropped { logits[row * experts.count + expert] = -.infinity } }
      let routing = Routing(
        logits: logits.span, experts.routing, experts: experts.count, active: experts.perToken, bias: bias)
      try check(
        routing.weights.span, columns: experts.perToken, context: context,
        "finite weights of the experts in layer \(layer)")
      routings.append(routing)
    }
    return routings
  }

  /// What the experts add to each state by several routings: routings × contexts × (tokens, hidden). An expert is decoded once, for
  /// all tokens that any routing sends to it.
  private func sums(layer: Int, _ inputs: [[Float]], _ variants: [[Routing]]) async throws(FormatError)
    -> [[[Float]]]
  {
    let count = blueprint.experts.count
    let (pass, hidden) = (self, blueprint.hiddenSize)
    let byVariant = variants.map { Visit.byExpert($0, experts: count) }
    // For each expert the tokens of all routings, and by routing the place and weight of its own among them.
    let all = (0..<count).map { expert -> (visits: [Visit], own: [[(place: Int, visit: Visit)]]) in
      var visits: [Visit] = []
      var places: [[Int: Int]] = contexts.map { _ in [:] }
      let own = byVariant.map { variant in
        variant[expert].map { visit -> (place: Int, visit: Visit) in
          let place = places[visit.context][visit.token] ?? visits.count
          if place == visits.count {
            places[visit.context][visit.token] = place
            visits.append(visit)
          }
          return (place, visit)
        }
      }
      return (visits, own)
    }
    var sums = variants.map { _ in states.map { [Float](repeating: 0, count: $0.count) } }
    try await workers.inOrder(count) { expert, buffers throws(FormatError) in
      var nothing: SeenByExpert?
      return try pass.output(
        of: expert, layer: layer, all[expert].visits, forced: [], inputs, &buffers, &nothing)
    } deliver: { expert, outputs in
      for (variant, own) in all[expert].own.enumerated() {
        for (place, visit) in own {
          addRow(
            outputs, place, width: hidden, to: &sums[variant][visit.context], visit.token, scale: visit.weight
          )
        }
      }
    }
    return sums
  }
}
