import IngotModels
import IngotSystem
import IngotTensors

extension Model {
  /// Which of an original's experts this model lacks: as its config.json says, or else by the rows of its routers. Tools that
  /// prune experts keep these rows and rarely say which they kept.
  ///
  /// - Throws: FormatError where config.json speaks of another original, and where it says nothing and a router has a row that is
  ///   none of the original's, or has them in another order.
  public func droppedExperts(of original: Model) throws(FormatError) -> DroppedExperts {
    let (own, all) = (blueprint.experts.count, original.blueprint.experts.count)
    if let said = try droppedExperts() {
      guard said.experts == all else {
        throw FormatError(
          path: path, expected: "\(DroppedExperts.key) of the \(all) experts that \(original.path) has",
          found: "of \(said.experts)")
      }
      return said
    }
    var layers: [[Int]] = []
    for layer in 0..<blueprint.layerCount {
      guard blueprint.layers[layer].feedForward.isMixture else {
        layers.append([])
        continue
      }
      let kept = try keptExperts(of: original, layer: layer)
      precondition(kept.count == own, "one for each row")
      layers.append((0..<all).filter { !kept.contains($0) })
    }
    return DroppedExperts(experts: all, layers: layers)
  }

  /// For each row of a layer's router the original's expert whose row it is.
  private func keptExperts(of original: Model, layer: Int) throws(FormatError) -> [Int] {
    let (mine, other) = (try routerRows(layer), try original.routerRows(layer))
    let hidden = blueprint.hiddenSize
    var kept: [Int] = []
    var next = 0
    for row in 0..<blueprint.experts.count {
      let values = Array(mine[row * hidden..<(row + 1) * hidden])
      guard
        let expert = (next..<other.count / hidden).first(where: {
          relativeError(of: [values], to: [Array(other[$0 * hidden..<($0 + 1) * hidden])])
            < MatchedExperts.tolerance
        })
      else {
        throw FormatError(
          path: path, tensor: try required(.router, layer: layer).name,
          expected:
            "rows of some of the experts of \(original.path), in their order, or \"\(DroppedExperts.key)\" in "
            + "config.json that says which are left out",
          found: "row \(row), which is none of \(next)…\(other.count / hidden - 1)")
      }
      kept.append(expert)
      next = expert + 1
    }
    return kept
  }

  /// A layer's router with the weights of the norm before it, so that scaled channels make no difference: (experts, hidden).
  private func routerRows(_ layer: Int) throws(FormatError) -> [Float] {
    var rows = try values(.router, layer: layer)
    if (blueprint.layers[layer].feedForward as? Mixture)?.hasOwnNorms ?? false { return rows }
    let norm = try values(.feedForwardNorm, layer: layer)
    for index in rows.indices { rows[index] *= norm[index % norm.count] }
    return rows
  }
}

private enum MatchedExperts {
  /// Relative error up to which two rows are the same: far above what 8 bits do to one, or 6 by groups; far below what two
  /// experts differ by.
  static let tolerance = 0.1
}
