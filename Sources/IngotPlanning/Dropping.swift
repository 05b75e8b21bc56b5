import IngotModels
import IngotSystem
import IngotTensors

extension Sensitivity {
  /// What leaving experts out of a layer costs, the least important ones first.
  public struct Drops: Hashable, Sendable {
    /// By expert: mean over its tokens of its weight in their sum times the L2 norm of its output; 0 where there are no tokens.
    ///
    /// Source: Lasby et al., "REAP the Experts" (2025).
    public var scores: [Double]
    /// By expert: Σ g² ‖f‖² over its tokens, what it adds to the layer's outputs.
    public var squares: [Double]
    /// Numbers of experts left out, rising; never so many that fewer stay than a token goes to.
    public var counts: [Int]
    /// The share of the KL divergence that leaving so many out makes.
    public var errors: [Double]
    /// How many were left out of this layer alone of a model that was taken to the logits, and what that did.
    public var measured: Anchor

    /// How many experts were left out, and what that did.
    public struct Anchor: Hashable, Sendable {
      public var count: Int
      public var divergence: Measure

      public init(count: Int, divergence: Measure) {
        self.count = count
        self.divergence = divergence
      }
    }

    public init(
      scores: [Double], squares: [Double], counts: [Int], errors: [Double], measured: Anchor
    ) {
      self.scores = scores
      self.squares = squares
      self.counts = counts
      self.errors = errors
      self.measured = measured
    }

    /// Experts by rising score; of equal ones the lower number first.
    public var order: [Int] { scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) } }

    /// The share of leaving out the first `count` of `order`: between counts that were measured on a line, beyond the last on the one
    /// through the last two.
    public func error(_ count: Int) -> Double {
      guard count > 0, !counts.isEmpty else { return 0 }
      let points = [(0, 0.0)] + zip(counts, errors)
      let next = points.firstIndex { $0.0 >= count } ?? points.count - 1
      let (a, b) = (points[next - 1], points[next])
      return max(a.1 + (b.1 - a.1) * Double(count - a.0) / Double(b.0 - a.0), 0)
    }

    /// The share of leaving out these: that of as many by score, and what they add to the outputs more than those do.
    public func error(_ experts: [Int]) -> Double {
      let first = order.prefix(experts.count)
      func sum(_ experts: some Sequence<Int>) -> Double { experts.reduce(0) { $0 + squares[$1] } }
      let known = sum(order.prefix(counts.last ?? 0))
      let rate = known > 0 ? (errors.last ?? 0) / known : 0
      return max(error(experts.count) + rate * (sum(experts) - sum(first)), 0)
    }
  }

  /// The experts of least score of every layer.
  ///
  /// - Returns: nil where scores were not measured.
  public func least(_ count: Int) -> DroppedExperts? {
    guard let drops, drops.allSatisfy({ $0.scores.count == model.experts }) else { return nil }
    return DroppedExperts(
      experts: model.experts, layers: drops.map { $0.order.prefix(count).sorted() })
  }

  /// By what layers without experts do more, or less, together than the sum of each alone has it: so that the prediction for that
  /// sum is what was found of the whole model without them.
  private func interactionFactor(format: String) -> Double {
    guard let drops, let dropped, dropped.divergence.mean > 0 else { return 1 }
    let sum = drops.reduce(0) { $0 + $1.error(dropped.count) }
    guard sum > 0 else { return 1 }
    let known = Prediction(self, format: format).sum(divergence: dropped.divergence.mean)
    // More than this would be noise.
    return min(max(known / sum, 0.125), 8)
  }

  /// The sensitivity of the model that is left without some experts: `bases` are what leaving them out costs, the others are
  /// renumbered, and their errors grow as the weights of the tokens that they take over.
  ///
  /// - Parameters:
  ///   - left: the model that is left.
  ///   - format: of the plans that this is for.
  /// - Returns: nil where scores were not measured.
  public func without(_ dropped: DroppedExperts, left: Model, format: String) -> Sensitivity? {
    guard let drops else { return nil }
    var found = self
    found.model = ModelName(left, name: model.name)
    let factor = interactionFactor(format: format)
    found.bases = zip(drops, dropped.layers).map { factor * $0.error($1) }
    found.drops = nil
    found.loads = []
    var growth: [Double] = []
    for (layer, loads) in loads.enumerated() {
      let kept = dropped.kept(layer).map { loads[$0] }
      found.loads.append(kept)
      let (all, some) = (loads.reduce(0) { $0 + $1.mass }, kept.reduce(0) { $0 + $1.mass })
      growth.append(some > 0 ? all / some : 1)
    }
    found.errors = [:]
    found.errors.reserveCapacity(errors.count)
    for (role, values) in errors {
      guard let left = dropped.role(role) else { continue }
      let factor = role.expert == nil ? 1 : growth[role.layer!]
      found.errors[left] = values.map { $0.map { $0 * factor } }
    }
    return found
  }
}

extension Sensitivity.Drops {
  /// The lines of a file.
  var json: JSON {
    [
      "scores": .array(scores.map { JSON(rounded($0)) }),
      "squares": .array(squares.map { JSON(rounded($0)) }),
      "counts": .array(counts.map { JSON($0) }), "errors": .array(errors.map { JSON(rounded($0)) }),
      "measured": measured.json,
    ]
  }

  /// - Returns: nil for lines of another form.
  init?(_ json: JSON?, experts: Int) {
    func numbers(_ key: String) -> [Double]? {
      guard let values = json?[key]?.array?.map(\.double) else { return nil }
      let found = values.compactMap { $0 }.filter { $0 >= 0 && $0.isFinite }
      return found.count == values.count ? found : nil
    }
    guard let scores = numbers("scores"), let squares = numbers("squares"), let errors = numbers("errors"),
      scores.count == experts, squares.count == experts, let listed = json?["counts"]?.array?.map(\.int)
    else { return nil }
    let counts = listed.compactMap { $0 }
    guard counts.count == listed.count, counts.count == errors.count,
      counts.isEmpty || zip([0] + counts, counts + [experts]).allSatisfy({ $0 < $1 }),
      let measured = json?["measured"].flatMap(Anchor.init)
    else { return nil }
    self.init(scores: scores, squares: squares, counts: counts, errors: errors, measured: measured)
  }
}

extension Sensitivity.Drops.Anchor {
  var json: JSON {
    [
      "count": JSON(count), "klDivergence": JSON(rounded(divergence.mean)),
      "standardError": divergence.standardError.map { JSON(rounded($0)) } ?? .null,
    ]
  }

  init?(_ json: JSON) {
    guard let count = json["count"]?.int, count >= 0, let mean = json["klDivergence"]?.double, mean >= 0,
      mean.isFinite
    else { return nil }
    self.init(count: count, divergence: .init(mean: mean, standardError: json["standardError"]?.double))
  }
}
