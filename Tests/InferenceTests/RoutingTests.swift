import Foundation
import IngotInference
import Testing

@Suite struct RoutingTests {
  @Test func largestTakesTheLowerIndexOfEqualValues() {
    #expect(largest(2, of: [1, 3, 3, 3, 0]) == [1, 2])
    #expect(largest(3, of: [0, 0, 0, 0]) == [0, 1, 2])
    #expect(largest(1, of: [-1, -1]) == [0])
    #expect(largest(4, of: [2, 4, 1, 3]) == [1, 3, 0, 2])
    #expect(largest(2, of: [5, 7, 5, 7]) == [1, 3])
    #expect(largest(0, of: [1]) == [])
  }

  @Test func biasChoosesButDoesNotWeigh() {
    // p = σ(0), σ(1), σ(2), σ(−1); the bias lifts expert 3 above all others.
    let routing = Routing(logits: [0, 1, 2, -1].span, experts: 4, active: 2, bias: [0, 0, 0, 10])
    #expect(routing.experts == [2, 3])
    let (p2, p3) = (1 / (1 + exp(-2.0)), 1 / (1 + exp(1.0)))
    #expect(abs(Double(routing.weights[0]) - p2 / (p2 + p3)) < 1e-7)
    #expect(abs(Double(routing.weights[1]) - p3 / (p2 + p3)) < 1e-7)
  }

  @Test func equalScoresGoToTheFirstExperts() {
    let routing = Routing(
      logits: [Float](repeating: 0.5, count: 16).span, experts: 8, active: 3, bias: nil)
    #expect(routing.experts == [0, 1, 2, 0, 1, 2])
    #expect(routing.weights == [Float](repeating: 1.0 / 3, count: 6))
    #expect(routing.tokens == 2)
  }

  @Test func differenceOfTwoRoutings() {
    let a = Routing(active: 2, experts: [0, 1, 2, 5, 3, 4], weights: [0.5, 0.5, 0.25, 0.75, 0.5, 0.5])
    let b = Routing(active: 2, experts: [0, 1, 2, 3, 6, 7], weights: [0.75, 0.25, 0.5, 0.5, 0.5, 0.5])
    var difference = RoutingDifference(experts: 8)
    difference.add(a, b)
    #expect(difference.tokens == 3)
    #expect(difference.changed == 2)
    #expect(abs(difference.overlap - (1 + 1.0 / 3 + 0)) < 1e-15)
    // 0.25 for the first token; ½ (0.25 + 0.75 + 0.5) for the second; all of it for the third.
    #expect(difference.routingWeightShift == 0.25 + 0.75 + 1)
  }
}
