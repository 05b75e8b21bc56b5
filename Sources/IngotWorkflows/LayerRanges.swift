import IngotModels

/// Layers, divided among shares of a sensitivity measurement.
package enum LayerRanges {
  /// Consecutive ranges of layers, as many as there are shares, none empty: the one with the most work has as little as possible.
  ///
  /// Work is counted in what one perturbed run takes in one layer: of each layer 9 begin, which pass all that follow and the head, and
  /// beginning them and measuring candidates takes as much as 22. Who measures the last layer has, in every layer, the run of the
  /// embedding and the uniform models, each of which is quantized on the way.
  ///
  /// - Returns: nil for more shares than layers.
  static func shares(_ count: Int, of model: Model, uniform: Int) -> [Range<Int>]? {
    let summary = ModelSummary(model)
    let layer = max(summary.active / max(summary.blueprint.layerCount, 1), 1)
    return shares(
      count, layers: summary.blueprint.layerCount, uniform: uniform,
      head: (summary.activeWithHead - summary.active + layer / 2) / layer)
  }

  /// - Parameter head: what a run takes in the head.
  package static func shares(_ count: Int, layers: Int, uniform: Int, head: Int) -> [Range<Int>]? {
    cut(
      (0..<layers).map { 22 + 9 * (layers - 1 - $0 + head) },
      last: layers * (1 + 2 * uniform) + head * (1 + uniform), into: count)
  }

  /// - Parameters:
  ///   - costs: of each layer, at least 0.
  ///   - last: what the last range costs beside its layers.
  package static func cut(_ costs: [Int], last: Int, into count: Int) -> [Range<Int>]? {
    guard count > 0, count <= costs.count else { return nil }
    var (limit, enough) = (0, costs.reduce(last, +))
    while limit < enough {
      let middle = (limit + enough) / 2
      if ranges(costs, last: last, count, limit: middle) == nil {
        limit = middle + 1
      } else {
        enough = middle
      }
    }
    return ranges(costs, last: last, count, limit: limit)
  }

  /// From the last one on as long as a limit allows; nil where it is too low.
  private static func ranges(_ costs: [Int], last: Int, _ count: Int, limit: Int) -> [Range<Int>]? {
    var ranges: [Range<Int>] = []
    var end = costs.count
    for before in (0..<count).reversed() {
      var start = end - 1
      var cost = costs[start] + (ranges.isEmpty ? last : 0)
      guard cost <= limit else { return nil }
      // Each share before has at least one layer.
      while start > before, cost + costs[start - 1] <= limit {
        start -= 1
        cost += costs[start]
      }
      ranges.append(start..<end)
      end = start
    }
    return end == 0 ? ranges.reversed() : nil
  }
}
