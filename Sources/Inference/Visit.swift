/// A token on its way to one of its experts.
struct Visit: Sendable {
  var context: Int
  var token: Int
  /// Weight of the expert's output in the token's sum.
  var weight: Float

  /// The tokens of all contexts that each expert gets, in order.
  static func byExpert(_ routings: [Routing], experts: Int) -> [[Visit]] {
    var visits = [[Visit]](repeating: [], count: experts)
    for (context, routing) in routings.enumerated() {
      for (index, expert) in routing.experts.enumerated() {
        visits[Int(expert)].append(
          Visit(context: context, token: index / routing.active, weight: routing.weights[index]))
      }
    }
    return visits
  }
}
