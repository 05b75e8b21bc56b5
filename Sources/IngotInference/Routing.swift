import IngotModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The experts each token of a context goes to, and their weights.
package struct Routing: Sendable {
  /// Experts per token.
  package let active: Int
  /// (tokens, active): indices of the experts, ascending for each token.
  package private(set) var experts: [Int32] = []
  /// (tokens, active): their weights, which sum to 1 for each token where the router normalizes them.
  package private(set) var weights: [Float] = []
  /// (tokens): weights of the shared MLP's outputs; empty where they are 1.
  package var sharedWeights: [Float] = []
  /// (tokens, experts): scores, σ or softmax of the logits, when they are kept.
  package private(set) var gates: [Float] = []

  /// Whether weights multiply what goes into experts, not what comes out.
  package private(set) var scalesInputs = false

  package var tokens: Int { active == 0 ? 0 : experts.count / active }

  /// Routes as the mixture says: p is σ or softmax of the logits; the `active` experts with the largest p + bias
  /// are chosen, of equal ones those of the lower index; weights are the p of the chosen, divided by their sum where
  /// the mixture normalizes them.
  ///
  /// p and the sum are computed in F64 and rounded to F32; p + bias is an F32 sum.
  /// - Parameters:
  ///   - logits: (tokens, experts)
  ///   - bias: (experts), or nil for none.
  package init(
    logits: Span<Float>, _ router: Mixture.Routing = .init(scoring: .sigmoid, normalizesWeights: true),
    experts count: Int, active: Int, bias: [Float]?, keepsGates: Bool = false
  ) {
    precondition(count > 0 && logits.count % count == 0, "(tokens, experts)")
    var gates = [Float](repeating: 0, count: logits.count)
    switch router.scoring {
    case .sigmoid: for index in gates.indices { gates[index] = Float(1 / (1 + exp(-Double(logits[index])))) }
    case .softmax, .sparseMixer:
      for first in stride(from: 0, to: logits.count, by: count) {
        var most = -Float.infinity
        for index in first..<first + count { most = max(most, logits[index]) }
        var sum = 0.0
        for index in first..<first + count { sum += exp(Double(logits[index]) - Double(most)) }
        for index in first..<first + count {
          gates[index] = Float(exp(Double(logits[index]) - Double(most)) / sum)
        }
      }
    }
    self.init(
      gates: gates, router, experts: count, active: active, bias: bias, keepsGates: keepsGates)
    if router.scoring == .sparseMixer { chooseSparsely(logits, router, experts: count, without: bias) }
  }

  /// The same from gates, the scores of the experts: (tokens, experts).
  package init(
    gates: [Float], _ router: Mixture.Routing = .init(scoring: .sigmoid, normalizesWeights: true),
    experts count: Int, active: Int, bias: [Float]?, keepsGates: Bool = false
  ) {
    precondition((1...count).contains(active) && gates.count % count == 0, "(tokens, experts)")
    self.active = active
    scalesInputs = router.scalesInputs
    let tokens = gates.count / count
    experts.reserveCapacity(tokens * active)
    weights.reserveCapacity(tokens * active)
    var ranks = [Float](repeating: 0, count: count)
    for token in 0..<tokens {
      let first = token * count
      for expert in 0..<count { ranks[expert] = gates[first + expert] + (bias?[expert] ?? 0) }
      if let groups = router.groups { Routing.keepGroups(groups, of: &ranks) }
      let chosen = largest(active, of: ranks).sorted()
      let sum = chosen.reduce(0.0) { $0 + Double(gates[first + $1]) }
      for expert in chosen {
        experts.append(Int32(expert))
        let weight =
          router.normalizesWeights ? Float(Double(gates[first + expert]) / sum) : gates[first + expert]
        weights.append(weight * router.scale)
      }
    }
    if keepsGates { self.gates = gates }
  }

  /// Chooses two experts as `sparseMixer` has it. Scores of all experts stay the softmax of the logits.
  ///
  /// - Parameter bias: −∞ for experts that cannot be chosen.
  private mutating func chooseSparsely(
    _ logits: Span<Float>, _ router: Mixture.Routing, experts count: Int, without bias: [Float]?
  ) {
    precondition(active == 2, "two experts, one after the other")
    (experts, weights) = ([], [])
    for first in stride(from: 0, to: logits.count, by: count) {
      var left = (0..<count).filter { bias?[$0] != -.infinity }
      var chosen: [(expert: Int, weight: Float)] = []
      for _ in 0..<2 {
        let best = left.max { (logits[first + $0], $1) < (logits[first + $1], $0) }!
        let most = logits[first + best]
        var sum = 0.0
        for expert in left {
          let logit = logits[first + expert]
          if (most - logit) / max(abs(logit), most) > 2 * router.jitter { continue }
          sum += exp(Double(logit) - Double(most))
        }
        chosen.append((best, Float(1 / sum) * router.scale))
        left.removeAll { $0 == best }
      }
      for (expert, weight) in chosen.sorted(by: { $0.expert < $1.expert }) {
        experts.append(Int32(expert))
        weights.append(weight)
      }
    }
  }

  /// Lowers the ranks of experts outside the groups that are kept below all others.
  private static func keepGroups(_ groups: Mixture.Routing.Groups, of ranks: inout [Float]) {
    let size = ranks.count / groups.count
    let scores = (0..<groups.count).map { group in
      let own = Array(ranks[group * size..<(group + 1) * size])
      return largest(groups.sumsTwo ? min(2, size) : 1, of: own).reduce(Float(0)) { $0 + own[$1] }
    }
    let kept = Set(largest(groups.kept, of: scores))
    for expert in ranks.indices where !kept.contains(expert / size) { ranks[expert] = -.infinity }
  }

  /// A dense layer's: every token goes to the one gated MLP there is.
  package init(tokens: Int) {
    active = 1
    experts = [Int32](repeating: 0, count: tokens)
    weights = [Float](repeating: 1, count: tokens)
  }

  /// For tests and statistics: choices made elsewhere, experts ascending for each token.
  package init(active: Int, experts: [Int32], weights: [Float]) {
    precondition(experts.count == weights.count && experts.count % active == 0, "(tokens, active)")
    self.active = active
    self.experts = experts
    self.weights = weights
  }
}

extension Routing {
  /// Multiplies weights by a factor for each expert.
  mutating func scaleWeights(by factors: [Float]) {
    for index in weights.indices { weights[index] *= factors[Int(experts[index])] }
  }

  /// The same with experts named by other numbers, which rise as theirs do.
  package func numbered(by numbers: [Int]) -> Routing {
    Routing(active: active, experts: experts.map { Int32(numbers[Int($0)]) }, weights: weights)
  }
}

/// Indices of the `count` largest values, largest first; of equal values the one of the lower index comes first.
package func largest(_ count: Int, of values: [Float]) -> [Int] {
  precondition(count <= values.count, "more than there are")
  var best: [Int] = []
  best.reserveCapacity(count + 1)
  for (index, value) in values.enumerated() {
    if best.count == count, let last = best.last, !(value > values[last]) { continue }
    var place = best.count
    while place > 0, value > values[best[place - 1]] { place -= 1 }
    best.insert(index, at: place)
    if best.count > count { best.removeLast() }
  }
  return best
}

/// How two routings of the same tokens differ, in sums over tokens.
package struct RoutingDifference: Sendable {
  package private(set) var tokens = 0
  /// Σ |A ∩ B| / |A ∪ B| over the sets of experts.
  package private(set) var overlap = 0.0
  /// Tokens whose set of experts differs.
  package private(set) var changed = 0
  /// Σ ½ Σ_e |a_e − b_e| over the weights, an expert not chosen having weight 0.
  package private(set) var routingWeightShift = 0.0
  /// For each expert: tokens that go to it by a, by b, and by both.
  package private(set) var choices: ExpertChoices

  /// - Parameter experts: how many there are to choose from.
  package init(experts: Int) { choices = ExpertChoices(experts: experts) }

  package mutating func add(_ a: Routing, _ b: Routing) {
    precondition(a.tokens == b.tokens, "routings of the same tokens")
    for token in 0..<a.tokens {
      var (i, j) = (token * a.active, token * b.active)
      let (iEnd, jEnd) = (i + a.active, j + b.active)
      var common = 0
      var moved = 0.0
      while i < iEnd || j < jEnd {
        let left = i < iEnd ? a.experts[i] : .max
        let right = j < jEnd ? b.experts[j] : .max
        let weight = left <= right ? Double(a.weights[i]) : 0
        let other = right <= left ? Double(b.weights[j]) : 0
        moved += abs(weight - other)
        if left == right {
          common += 1
          choices.both[Int(left)] += 1
        }
        if left <= right {
          choices.original[Int(left)] += 1
          i += 1
        }
        if right <= left {
          choices.candidate[Int(right)] += 1
          j += 1
        }
      }
      let union = a.active + b.active - common
      tokens += 1
      overlap += Double(common) / Double(union)
      if common < union { changed += 1 }
      routingWeightShift += moved / 2
    }
  }
}

/// How many tokens go to each expert of a layer in two models.
public struct ExpertChoices: Hashable, Sendable {
  public var original: [Int]
  public var candidate: [Int]
  /// Tokens that both send to the expert.
  public var both: [Int]

  init(experts: Int) {
    original = [Int](repeating: 0, count: experts)
    candidate = original
    both = original
  }
}
