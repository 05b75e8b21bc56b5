/// A token on its way to one of its experts.
struct RoutedToken: Sendable {
  var context: Int
  var token: Int
  /// Weight of the expert's output in the token's sum.
  var weight: Float
  /// Factor on what goes into the expert.
  var inputScale: Float = 1
  /// What the router weighs the expert with: one of both.
  var gate: Float { weight * inputScale }

  /// The tokens of all contexts that each expert gets, in order.
  static func byExpert(_ routings: [Routing], experts: Int) -> [[RoutedToken]] {
    var routedTokens = [[RoutedToken]](repeating: [], count: experts)
    for (context, routing) in routings.enumerated() {
      for (index, expert) in routing.experts.enumerated() {
        routedTokens[Int(expert)].append(
          routing.scalesInputs
            ? RoutedToken(
              context: context, token: index / routing.active, weight: 1, inputScale: routing.weights[index])
            : RoutedToken(context: context, token: index / routing.active, weight: routing.weights[index]))
      }
    }
    return routedTokens
  }

  /// For each expert with fewer than `wanted` routed tokens, as many more as are missing: of the tokens that it does not get,
  /// those with its highest gate values, earlier ones first among equals; in the order of the tokens.
  ///
  /// Their weight is the gate's value over the sum of the chosen experts' values; the gate's value where it
  /// scales inputs.
  static func forced(_ routings: [Routing], _ routedTokens: [[RoutedToken]], wanted: Int) -> [[RoutedToken]] {
    routedTokens.enumerated().map { expert, own in
      let missing = wanted - own.count
      guard missing > 0 else { return [] }
      var candidates: [(gate: Float, routedToken: RoutedToken)] = []
      for (context, routing) in routings.enumerated() {
        let (active, count) = (routing.active, routedTokens.count)
        for token in 0..<routing.tokens {
          let chosen = routing.experts[token * active..<(token + 1) * active]
          if chosen.contains(Int32(expert)) { continue }
          let gate = routing.gates[token * count + expert]
          let sum = chosen.reduce(0.0) { $0 + Double(routing.gates[token * count + Int($1)]) }
          if routing.scalesInputs {
            candidates.append(
              (gate, RoutedToken(context: context, token: token, weight: 1, inputScale: gate)))
            continue
          }
          candidates.append(
            (gate, RoutedToken(context: context, token: token, weight: Float(Double(gate) / max(sum, 1e-30))))
          )
        }
      }
      let best = largest(min(missing, candidates.count), of: candidates.map(\.gate)).sorted()
      return best.map { candidates[$0].routedToken }
    }
  }
}
