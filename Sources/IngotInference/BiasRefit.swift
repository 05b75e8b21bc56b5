import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A router's correction bias, chosen anew so that inputs which quantized layers give go to the experts that the original's
/// inputs go to; and what came of it on contexts that the fit has not seen.
public struct BiasRefit: Sendable {
  public var layer: Int
  /// Tokens of the contexts that were held back: every fourth.
  public internal(set) var tokens = 0
  /// Those of them whose set of experts is not the original's: with the bias as it was, with the fitted one.
  public internal(set) var changedBefore = 0
  public internal(set) var changedAfter = 0
  /// Those whose set is right with one of the two biases only: with the fitted one, with the old one.
  public internal(set) var mended = 0
  public internal(set) var broken = 0
  /// The fitted bias as its type stores it: (experts). What the layer gets if it `wins`.
  public internal(set) var bias: [Float]

  /// Whether sets come back by more than chance gives: sets that a bias of no worth mends or breaks do so as coins fall,
  /// with a standard deviation of the square root of their number.
  public var wins: Bool { Double(mended - broken) > 2 * Double(mended + broken).squareRoot() }

  /// Steps of the descent, and the first one's length for a token that is wrong of each that there is.
  private static let steps = 40
  private static let length = 0.1

  /// Fits a bias to the contexts but every fourth, and looks at these.
  ///
  /// With r = gates + bias and S a token's experts in the original, the sum over tokens of the largest `active` of r less
  /// those of S is 0 where all choices agree, and convex in the bias. Its gradient is by how many tokens more each expert gets
  /// than in the original. Steps along it shrink, and the mean of the second half of them is taken.
  /// - Parameters:
  ///   - routed: by context, the quantized model's routing with its gates, and the original's.
  ///   - rounded: gives values as the bias's type stores them.
  package init(
    layer: Int, _ routed: [(own: Routing, original: Routing)], bias: [Float], rounded: ([Float]) -> [Float]
  ) {
    self.layer = layer
    let experts = bias.count
    let fitted = routed.enumerated().filter { $0.offset % 4 != 3 }.map(\.element)
    let held = routed.enumerated().filter { $0.offset % 4 == 3 }.map(\.element)
    let count = fitted.reduce(0) { $0 + $1.own.tokens }
    var current = bias.map(Double.init)
    var sum = [Double](repeating: 0, count: experts)
    var taken = 0
    if count > 0 && !held.isEmpty {
      for step in 0..<BiasRefit.steps {
        var excess = [Int](repeating: 0, count: experts)
        let now = current.map { Float($0) }
        for (own, original) in fitted {
          let routing = Routing(gates: own.gates, experts: experts, active: own.active, bias: now)
          for expert in routing.experts { excess[Int(expert)] += 1 }
          for expert in original.experts { excess[Int(expert)] -= 1 }
        }
        let length = BiasRefit.length / (1 + Double(step) / 10) / Double(count)
        for expert in 0..<experts { current[expert] -= length * Double(excess[expert]) }
        if step >= BiasRefit.steps / 2 {
          for expert in 0..<experts { sum[expert] += current[expert] }
          taken += 1
        }
      }
    }
    self.bias = taken == 0 ? bias : rounded(sum.map { Float($0 / Double(taken)) })
    for (own, original) in held {
      let after = Routing(gates: own.gates, experts: experts, active: own.active, bias: self.bias)
      for token in 0..<own.tokens {
        let range = token * own.active..<(token + 1) * own.active
        let wanted = original.experts[range]
        let (before, now) = (own.experts[range] == wanted, after.experts[range] == wanted)
        tokens += 1
        if !before { changedBefore += 1 }
        if !now { changedAfter += 1 }
        if now && !before { mended += 1 }
        if before && !now { broken += 1 }
      }
    }
  }
}
