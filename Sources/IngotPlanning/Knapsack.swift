/// One choice for each item, so that their bytes stay within a budget and their costs are least: the multiple-choice
/// knapsack problem.
///
/// Lower convex hulls of the items' choices, taken by falling gain a byte until the budget is spent, solve the problem's
/// linear relaxation (Sinha and Zoltners, 1979), whose value no solution can pass. What is left is filled greedily; where
/// that leaves more than `tolerance` to the bound, and items are few, dynamic programming over Pareto-optimal partial
/// solutions, pruned by the Lagrangian bound, settles it.
public struct Knapsack: Sendable {
  public struct Choice: Hashable, Sendable {
    public var bytes: Int
    /// At least 0.
    public var cost: Double

    public init(bytes: Int, cost: Double) {
      self.bytes = bytes
      self.cost = cost
    }
  }

  public struct Solution: Sendable {
    /// Index of each item's choice.
    public var chosen: [Int]
    public var bytes: Int
    public var cost: Double
    /// No solution costs less.
    public var bound: Double

    /// (cost − bound) / cost
    public var gap: Double { cost > 0 ? max(cost - bound, 0) / cost : 0 }
  }

  public var items: [[Choice]]
  /// The gap that is good enough.
  public var tolerance = 1e-4
  /// Partial solutions that are held at most, and items that are settled by them.
  private static let states = 1 << 16
  private static let settled = 4096

  public init(_ items: [[Choice]]) {
    precondition(items.allSatisfy { !$0.isEmpty }, "an item has choices")
    self.items = items
  }

  /// Bytes of the smallest solution.
  public var leastBytes: Int { items.reduce(0) { $0 + $1.map(\.bytes).min()! } }

  /// - Returns: nil when the smallest choices pass the budget.
  public func solved(budget: Int) -> Solution? {
    let hulls = items.map(Knapsack.hull)
    var solution = Solution(chosen: hulls.map { $0[0] }, bytes: 0, cost: 0, bound: 0)
    for (item, choice) in solution.chosen.enumerated() {
      solution.bytes += items[item][choice].bytes
      solution.cost += items[item][choice].cost
    }
    guard solution.bytes <= budget else { return nil }
    let (bound, price) = relax(hulls, &solution, budget)
    solution.bound = bound
    fill(&solution, budget)
    if solution.gap > tolerance { settle(&solution, price, budget) }
    return solution
  }

  /// Indices of the choices on the lower convex hull, by rising bytes and falling cost.
  static func hull(_ choices: [Choice]) -> [Int] {
    let order = choices.indices.sorted {
      (choices[$0].bytes, choices[$0].cost, $0) < (choices[$1].bytes, choices[$1].cost, $1)
    }
    var hull: [Int] = []
    for index in order {
      if let last = hull.last, choices[index].cost >= choices[last].cost { continue }
      while hull.count >= 2 {
        let (a, b) = (choices[hull[hull.count - 2]], choices[hull[hull.count - 1]])
        let (c, steps) = (choices[index], Double(choices[index].bytes - a.bytes))
        // b lies on or above the line from a to c.
        if (b.cost - a.cost) * steps >= (c.cost - a.cost) * Double(b.bytes - a.bytes) {
          hull.removeLast()
        } else {
          break
        }
      }
      hull.append(index)
    }
    return hull
  }

  /// A step from one choice on an item's hull to the next.
  private struct Step {
    var item: Int
    var place: Int
    var bytes: Int
    var gain: Double
    var rate: Double { gain / Double(bytes) }
  }

  /// Takes steps while they fit.
  ///
  /// - Returns: the relaxation's value, and the gain of a byte where it ends.
  private func relax(_ hulls: [[Int]], _ solution: inout Solution, _ budget: Int) -> (
    bound: Double, price: Double
  ) {
    var steps: [Step] = []
    for (item, hull) in hulls.enumerated() {
      for place in 1..<max(hull.count, 1) {
        let (a, b) = (items[item][hull[place - 1]], items[item][hull[place]])
        steps.append(Step(item: item, place: place, bytes: b.bytes - a.bytes, gain: a.cost - b.cost))
      }
    }
    let rates = steps.map(\.rate)
    let order = steps.indices.sorted { rates[$0] != rates[$1] ? rates[$0] > rates[$1] : $0 < $1 }
    var bound: Double?
    var price = 0.0
    var places = [Int](repeating: 0, count: items.count)
    for index in order {
      let step = steps[index]
      let left = budget - solution.bytes
      if step.bytes > left, bound == nil {
        bound = solution.cost - step.rate * Double(left)
        price = step.rate
      }
      // Behind the first that does not fit, steps of other items may.
      guard step.bytes <= left, places[step.item] == step.place - 1 else { continue }
      places[step.item] = step.place
      solution.chosen[step.item] = hulls[step.item][step.place]
      solution.bytes += step.bytes
      solution.cost -= step.gain
    }
    return (bound ?? solution.cost, price)
  }

  /// Spends what is left: the single change that gains most, again and again.
  private func fill(_ solution: inout Solution, _ budget: Int) {
    for _ in 0..<64 {
      var best: (gain: Double, item: Int, choice: Int)?
      for (item, choices) in items.enumerated() {
        let now = choices[solution.chosen[item]]
        for (index, choice) in choices.enumerated() {
          let gain = now.cost - choice.cost
          guard gain > 0, choice.bytes - now.bytes <= budget - solution.bytes, gain > best?.gain ?? 0 else {
            continue
          }
          best = (gain, item, index)
        }
      }
      guard let best else { return }
      solution.bytes +=
        items[best.item][best.choice].bytes - items[best.item][solution.chosen[best.item]].bytes
      solution.cost -= best.gain
      solution.chosen[best.item] = best.choice
    }
  }

  /// A partial solution: choices for the first items of an order.
  private struct State {
    var bytes: Int
    var cost: Double
    /// Place of the one it was made from, in the list before.
    var parent: Int32
    var choice: Int32
  }

  /// Searches for a better solution among all, or shows that there is none by more than `tolerance`.
  private func settle(_ solution: inout Solution, _ price: Double, _ budget: Int) {
    func reduced(_ choice: Choice) -> Double { choice.cost + price * Double(choice.bytes) }
    let least = items.map { $0.map(reduced).min()! }
    let floor = least.reduce(0, +) - price * Double(budget)
    // A choice that is dearer than this by itself is in no solution that is better by `tolerance`.
    let limit = solution.cost * (1 - tolerance)
    var open: [(item: Int, choices: [Int], spread: Double)] = []
    var (fixedBytes, fixedCost) = (0, 0.0)
    var chosen = solution.chosen
    for (item, choices) in items.enumerated() {
      let kept = choices.indices.filter { floor + reduced(choices[$0]) - least[item] < limit }
      if kept.count == 1 {
        chosen[item] = kept[0]
        fixedBytes += choices[kept[0]].bytes
        fixedCost += choices[kept[0]].cost
      } else if kept.isEmpty {
        solution.bound = max(solution.bound, limit)
        return
      } else {
        let second = kept.map { reduced(choices[$0]) - least[item] }.sorted()[1]
        open.append((item, kept, second))
      }
    }
    guard open.count <= Knapsack.settled else { return }
    open.sort { $0.spread != $1.spread ? $0.spread > $1.spread : $0.item < $1.item }
    var rest = [Double](repeating: 0, count: open.count + 1)
    for place in open.indices.reversed() { rest[place] = rest[place + 1] + least[open[place].item] }
    var lists: [[State]] = [[State(bytes: fixedBytes, cost: fixedCost, parent: -1, choice: -1)]]
    for (place, entry) in open.enumerated() {
      var next: [State] = []
      for (parent, state) in lists[place].enumerated() {
        for choice in entry.choices {
          let option = items[entry.item][choice]
          let (bytes, cost) = (state.bytes + option.bytes, state.cost + option.cost)
          guard bytes <= budget, cost + rest[place + 1] - price * Double(budget - bytes) < limit else {
            continue
          }
          next.append(State(bytes: bytes, cost: cost, parent: Int32(parent), choice: Int32(choice)))
        }
      }
      next.sort { ($0.bytes, $0.cost, $0.parent, $0.choice) < ($1.bytes, $1.cost, $1.parent, $1.choice) }
      var pareto: [State] = []
      for state in next where pareto.isEmpty || state.cost < pareto[pareto.count - 1].cost {
        pareto.append(state)
      }
      // None left: nothing is better than what was found by more than the tolerance.
      if pareto.isEmpty {
        solution.bound = max(solution.bound, limit)
        return
      }
      guard pareto.count <= Knapsack.states else { return }
      lists.append(pareto)
    }
    guard var place = lists[open.count].indices.last else { return }
    let best = lists[open.count][place]
    // Bounds of partial solutions count bytes that are left as spent.
    guard best.bytes <= budget, best.cost < limit else {
      solution.bound = max(solution.bound, limit)
      return
    }
    for level in open.indices.reversed() {
      let state = lists[level + 1][place]
      chosen[open[level].item] = Int(state.choice)
      place = Int(state.parent)
    }
    solution.chosen = chosen
    solution.bytes = chosen.indices.reduce(0) { $0 + items[$1][chosen[$1]].bytes }
    solution.cost = chosen.indices.reduce(0) { $0 + items[$1][chosen[$1]].cost }
    solution.bound = max(solution.bound, min(best.cost, limit) * (1 - 1e-12))
  }
}
