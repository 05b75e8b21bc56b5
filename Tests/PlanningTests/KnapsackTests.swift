import IngotPlanning
import Testing

@Suite struct KnapsackTests {
  /// Numbers that are the same on every machine.
  private struct Random {
    var state: UInt64

    mutating func next() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 11) / Double(1 << 53)
    }
  }

  /// Least cost by trying everything.
  private func bruteForce(_ items: [[Knapsack.Choice]], _ budget: Int) -> Double? {
    var best: Double?
    func go(_ item: Int, _ bytes: Int, _ cost: Double) {
      if bytes > budget { return }
      if item == items.count {
        best = min(best ?? cost, cost)
        return
      }
      for choice in items[item] { go(item + 1, bytes + choice.bytes, cost + choice.cost) }
    }
    go(0, 0, 0)
    return best
  }

  @Test func bestOfSmallInstances() throws {
    var random = Random(state: 7)
    for _ in 0..<300 {
      let items = (0..<5).map { _ in
        (0..<4).map { _ in Knapsack.Choice(bytes: Int(random.next() * 50), cost: random.next() * 10) }
      }
      var knapsack = Knapsack(items)
      knapsack.tolerance = 1e-9
      let budget = Int(random.next() * 150)
      let best = bruteForce(items, budget)
      let solution = knapsack.solved(budget: budget)
      #expect((solution == nil) == (best == nil))
      guard let solution, let best else { continue }
      #expect(abs(solution.cost - best) < 1e-6 * max(best, 1), "\(solution.cost), best \(best)")
      #expect(solution.bound <= best + 1e-9)
      #expect(solution.bytes <= budget)
      let sums = solution.chosen.enumerated().map { items[$0][$1] }
      #expect(sums.reduce(0) { $0 + $1.bytes } == solution.bytes)
      #expect(abs(sums.reduce(0) { $0 + $1.cost } - solution.cost) < 1e-9)
    }
  }

  @Test func smallestChoicesWhereNothingElseFits() throws {
    let items = [[Knapsack.Choice(bytes: 3, cost: 9), .init(bytes: 5, cost: 1)], [.init(bytes: 2, cost: 0)]]
    let knapsack = Knapsack(items)
    #expect(knapsack.leastBytes == 5)
    #expect(knapsack.solved(budget: 4) == nil)
    #expect(knapsack.solved(budget: 5)?.cost == 9)
    #expect(knapsack.solved(budget: 6)?.cost == 9)
    let all = try #require(knapsack.solved(budget: 7))
    #expect(all.cost == 1 && all.gap == 0)
  }

  /// As many tensors as MiniMax-M2 has, with errors that fall by about a quarter a bit and differ by factors of thousands.
  @Test func tensorsOfMiniMaxM2InSeconds() throws {
    var random = Random(state: 3)
    let bits = [2.25, 2.5, 3.25, 3.5, 4.25, 5.25, 6.25, 8.25]
    let items = (0..<47_864).map { index -> [Knapsack.Choice] in
      let weights = index % 193 == 0 ? 18_874_368 : 4_718_592
      let scale = 1e-6 * (0.01 + random.next() * random.next() * random.next() * 100)
      return bits.map { bits in
        let error =
          scale * Double(sign: .plus, exponent: -2 * Int(bits), significand: 1) * (1 + random.next())
        return Knapsack.Choice(bytes: Int(Double(weights) * bits / 8), cost: error)
      }
    }
    let knapsack = Knapsack(items)
    let weights = items.reduce(0) { $0 + Int(Double($1[0].bytes) * 8 / 2.25) }
    let clock = ContinuousClock()
    for budget in [3.0, 4.0, 5.0] {
      var solution: Knapsack.Solution?
      let time = clock.measure { solution = knapsack.solved(budget: Int(Double(weights) * budget / 8)) }
      let found = try #require(solution)
      #expect(found.gap <= 0.005, "gap \(found.gap) at \(budget) bits")
      #expect(found.bytes <= Int(Double(weights) * budget / 8))
      #expect(time < .seconds(10), "\(time)")
    }
  }

  @Test func sameAnswerWhateverTheOrder() throws {
    var random = Random(state: 11)
    let items = (0..<60).map { _ in
      (0..<6).map { Knapsack.Choice(bytes: 100 + 37 * $0, cost: random.next() / Double($0 + 1)) }
    }
    let one = try #require(Knapsack(items).solved(budget: 12_000))
    let other = try #require(Knapsack(items.reversed()).solved(budget: 12_000))
    #expect(abs(one.cost - other.cost) <= 2e-4 * one.cost)
    #expect(one.gap <= 1.1e-4 && other.gap <= 1.1e-4)
  }
}
