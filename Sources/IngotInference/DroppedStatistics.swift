import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension CalibrationStatistics {
  /// What the experts that are left get when others are left out of a model: tokens of these go where its routers send them then.
  ///
  /// Statistics of attention stay as they are, as if earlier layers gave the same.
  /// - Parameters:
  ///   - dropped: nil for none.
  ///   - model: that the statistics are of, with all its experts.
  public func dropping(_ dropped: DroppedExperts?, of model: Model) -> CalibrationStatistics {
    guard let dropped else { return self }
    let (all, latest) = (layer, LoadedStatistics())
    return CalibrationStatistics(tokens: tokens, layers: layers, texts: texts, contexts: contexts) {
      layer throws(FormatError) in
      try latest.layer(layer) { () throws(FormatError) in
        try all(layer).dropping(dropped, of: model)
      }
    }
  }
}

extension LayerStatistics {
  fileprivate func dropping(_ dropped: DroppedExperts, of model: Model) throws(FormatError) -> LayerStatistics
  {
    let blueprint = model.blueprint
    guard !dropped.layers[layer].isEmpty else { return self }
    let kept = dropped.kept(layer)
    var places = [Int32](repeating: -1, count: blueprint.experts.count)
    for (place, expert) in kept.enumerated() { places[expert] = Int32(place) }
    var found = self
    let (chosen, weights, changed) = try rerouted(places, model)
    found.fields[.chosen] = LayerStatistics.bytes(chosen)
    found.fields[.weights] = LayerStatistics.bytes(weights)
    for field in [Field.inputSquares, .innerSquares, .innerPeaks, .outputPeaks, .downSquares] {
      guard let bytes = fields[field] else { continue }
      let row = bytes.count / blueprint.experts.count
      found.fields[field] = Bytes(kept.flatMap { bytes[$0 * row..<($0 + 1) * row].array })
    }
    found.keepForced(of: self, places, chosen, active: blueprint.experts.perToken)
    found.renewSquares(of: changed, blueprint, count: kept.count)
    return found
  }

  /// Where tokens go by the numbers of the experts that are left, and which of these get others than before.
  private func rerouted(_ places: [Int32], _ model: Model) throws(FormatError) -> (
    chosen: [Int32], weights: [Float], changed: Set<Int>
  ) {
    let (blueprint, hidden) = (model.blueprint, model.blueprint.hiddenSize)
    let router = try blueprint.executableFeedForward(layer: layer, of: model).router(model, layer: layer)
    let dropped = places.indices.filter { places[$0] < 0 }
    let bytes = fields[.chosen]!
    let (active, span) = (blueprint.layers[layer].feedForward.perToken, bytes.span)
    var chosen = (0..<tokens * active).map { span.littleEndian(Int32.self, at: 4 * $0) }
    var weights = floats(.weights)
    var changed: Set<Int> = []
    for token in 0..<tokens {
      let range = token * active..<(token + 1) * active
      let before = Set(chosen[range])
      if before.contains(where: { places[Int($0)] < 0 }) {
        let routing = try router.route(
          floats(.inputs, token * hidden..<(token + 1) * hidden), tokens: 1, keepsGates: false,
          without: dropped, nil)
        chosen.replaceSubrange(range, with: routing.experts)
        weights.replaceSubrange(range, with: routing.weights)
        for expert in routing.experts where !before.contains(expert) {
          changed.insert(Int(places[Int(expert)]))
        }
      }
      for index in range { chosen[index] = places[Int(chosen[index])] }
    }
    return (chosen, weights, changed)
  }

  /// Forced tokens of experts that are left, but for those that come by themselves now.
  private mutating func keepForced(
    of old: LayerStatistics, _ places: [Int32], _ chosen: [Int32], active: Int
  ) {
    guard let bytes = old.fields[.forced] else { return }
    let (span, weights) = (bytes.span, old.floats(.forcedWeights))
    var (routedTokens, kept): ([Int32], [Float]) = ([], [])
    for (index, weight) in weights.enumerated() {
      let place = places[Int(span.littleEndian(Int32.self, at: 8 * index))]
      let token = span.littleEndian(Int32.self, at: 8 * index + 4)
      let range = Int(token) * active..<(Int(token) + 1) * active
      guard place >= 0, !chosen[range].contains(place) else { continue }
      routedTokens += [place, token]
      kept.append(weight)
    }
    fields[.forced] = routedTokens.isEmpty ? nil : LayerStatistics.bytes(routedTokens)
    fields[.forcedWeights] = routedTokens.isEmpty ? nil : LayerStatistics.bytes(kept)
  }

  /// Means of squares of what experts take in that get other tokens than before. What goes into the down projection of one that
  /// had none is not known: its columns count the same.
  private mutating func renewSquares(of changed: Set<Int>, _ blueprint: Blueprint, count: Int) {
    let (hidden, width) = (blueprint.hiddenSize, blueprint.experts.intermediateSize)
    var inputs = floats(.inputSquares)
    var inner = floats(.innerSquares)
    for expert in changed.sorted() {
      var sums = [Double](repeating: 0, count: hidden)
      let routedTokens = routedTokens(of: expert)
      for routedToken in routedTokens {
        let row = floats(.inputs, routedToken.token * hidden..<(routedToken.token + 1) * hidden)
        for (column, value) in row.enumerated() { sums[column] += Double(value) * Double(value) }
      }
      for column in 0..<hidden {
        inputs[expert * hidden + column] = Float(sums[column] / Double(max(routedTokens.count, 1)))
      }
      let own = expert * width..<(expert + 1) * width
      if inner[own].allSatisfy({ $0 == 0 }) {
        inner.replaceSubrange(own, with: repeatElement(1, count: width))
      }
    }
    fields[.inputSquares] = LayerStatistics.bytes(inputs)
    fields[.innerSquares] = LayerStatistics.bytes(inner)
  }

  private static func bytes(_ values: [Float]) -> Bytes {
    Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }
  }

  private static func bytes(_ values: [Int32]) -> Bytes {
    Bytes(count: 4 * values.count) { out in
      for (index, value) in values.enumerated() {
        out.storeBytes(of: value.littleEndian, toByteOffset: 4 * index, as: Int32.self)
      }
    }
  }
}
