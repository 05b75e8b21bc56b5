import IngotModels
import IngotSystem
import IngotTensors

extension Sensitivity {
  /// What was measured of a model's tensors, before it is put together.
  public struct Measurements: Sendable {
    /// By stack: the whole model's KL divergence with it alone at the reference.
    public var groups: [Role: Measure] = [:]
    /// By tensor and candidate: the error of its own outputs; nil where a candidate does not fit.
    public var outputs: [Role: [Double?]] = [:]
    /// The same where codes are searched for, as those of the reference's copies are.
    public var searched: [Role: [Double?]] = [:]
    /// By stack and expert: the error of the experts' outputs, weighted, with the stack at the reference.
    public var experts: [Role: [Double]] = [:]
    public var loads: [[Load]] = []
    /// By layer: what leaving experts out does to its outputs.
    public var dropped: [Dropped] = []

    public init() {}
  }

  /// What leaving experts out of a layer, those of least score first, does to its outputs, and to those of the model.
  public struct Dropped: Hashable, Sendable {
    /// By expert, as `Drops` has them.
    public var scores: [Double]
    public var squares: [Double]
    /// Numbers of experts left out, and Σ‖ŷ − y‖² over the tokens' sums that this makes.
    public var counts: [Int]
    public var outputs: [Double]
    /// One of `counts`, and the whole model's KL divergence with so many left out.
    public var carried: Int
    public var divergence = Measure(mean: 0, standardError: nil)

    public init(scores: [Double], squares: [Double], counts: [Int], outputs: [Double], carried: Int) {
      self.scores = scores
      self.squares = squares
      self.counts = counts
      self.outputs = outputs
      self.carried = carried
    }
  }

  /// Shares of the KL divergence that leaving experts out makes: it goes as the square error of the layer's outputs, from the number
  /// that was measured; where that did nothing to them, as in the experts' stacks at the reference.
  public static func drops(_ measured: Measurements) -> [Drops] {
    measured.dropped.enumerated().map { layer, found in
      let stacks = measured.experts.keys.filter { $0.layer == layer }.sorted {
        Sensitivity.order($0) < Sensitivity.order($1)
      }
      var (divergence, error) = (found.divergence.mean, 0.0)
      if let place = found.counts.firstIndex(of: found.carried) { error = found.outputs[place] }
      if error == 0 {
        divergence = stacks.reduce(0) { $0 + (measured.groups[$1]?.mean ?? 0) }
        error = stacks.reduce(0) { $0 + (measured.experts[$1] ?? []).reduce(0, +) }
      }
      let rate = error > 0 ? divergence / error : 0
      return Drops(
        scores: found.scores, squares: found.squares, counts: found.counts,
        errors: found.outputs.map { rate * $0 },
        measured: .init(count: found.carried, divergence: found.divergence))
    }
  }

  /// Shares of the KL divergence, by tensor and candidate.
  ///
  /// - Parameter searched: of codes that are searched for, instead of as tensors would be made.
  ///
  /// A stack's divergence is shared out among its experts by what they do to the layer's outputs, as if each had got some
  /// average tokens more, since other texts will send tokens to those that had none. From the reference to another candidate a
  /// tensor's share goes as the square error of its outputs does: a divergence is quadratic in small errors.
  public static func errors(
    _ measured: Measurements, reference: Int, searched: Bool = false
  ) -> [Role: [Double?]] {
    var errors: [Role: [Double?]] = [:]
    for (role, outputs) in searched ? measured.searched : measured.outputs {
      let divergence = measured.groups[role.stack]?.mean ?? 0
      var share = 1.0
      if let expert = role.expert, let layer = role.layer, let all = measured.experts[role.stack] {
        let loads = measured.loads[layer]
        let tokens = Double(max(loads.reduce(0) { $0 + $1.tokens }, 1))
        let total = all.reduce(0, +)
        let more = max(tokens / Double(loads.count) / 32, 4)
        let average = total / tokens
        let sum = total + more * average * Double(loads.count)
        share = sum > 0 ? (all[expert] + more * average) / sum : 1 / Double(loads.count)
      }
      let base = measured.searched[role].flatMap { $0[reference] } ?? 0
      errors[role] = outputs.map { output in
        guard let output else { return nil }
        return base > 0 ? divergence * share * output / base : 0
      }
    }
    return errors
  }
}
