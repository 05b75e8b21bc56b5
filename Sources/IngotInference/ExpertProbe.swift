import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Some tokens for each expert of a layer, on which the outputs of two models' experts are compared. Both get the
/// original's inputs, so that an error is the expert's own and not of what came before it.
///
/// Which tokens is decided by a number that each token has of its own (`priority`): an expert's are those of the lowest. So the tokens of
/// all contexts are found from those of some contexts each, whatever these are.
package struct ExpertProbe: Sendable {
  /// Most tokens that an expert is looked at with: so few that no weights are decoded for them alone.
  static let tokens = 8

  /// For each of the original's experts, what it gets from some of its tokens: (tokens, hidden); empty for an expert that gets none.
  let inputs: [[Float]]
  /// For each expert, which tokens these are, by the numbers of all contexts.
  private let places: [[(context: Int, token: Int)]]
  private let hidden: Int

  /// - Parameters:
  ///   - inputs: what the experts of the layer get from each context, (tokens, hidden).
  ///   - firstContext: number of the first of these contexts among all.
  init(_ inputs: [[Float]], _ routings: [Routing], experts: Int, hidden: Int, firstContext: Int = 0) {
    let chosen = RoutedToken.byExpert(routings, experts: experts).map { routedTokens in
      ExpertProbe.lowest(routedTokens) { (firstContext + $0.context, $0.token) }
    }
    self.hidden = hidden
    places = chosen.map { $0.map { (firstContext + $0.context, $0.token) } }
    self.inputs = chosen.map { routedTokens in
      var rows = [Float](repeating: 0, count: routedTokens.count * hidden)
      for (row, routedToken) in routedTokens.enumerated() {
        copyRow(inputs[routedToken.context], routedToken.token, width: hidden, to: &rows, row)
        scaleRow(&rows, row, width: hidden, routedToken.inputScale)
      }
      return rows
    }
  }

  /// A token's number in the choice: as good as drawn, and the same whatever contexts are beside its own.
  package static func priority(context: Int, token: Int) -> UInt64 {
    var generator = SplitMix64(
      state: UInt64(truncatingIfNeeded: context) << 32 | UInt64(truncatingIfNeeded: token))
    return generator.next()
  }

  /// The elements of the lowest priority, at most `tokens`, in the order of contexts and tokens.
  private static func lowest<Element>(_ elements: [Element], _ place: (Element) -> (context: Int, token: Int))
    -> [Element]
  {
    guard elements.count > tokens else { return elements }
    let places = elements.map(place)
    let order = places.indices.map { index in
      (priority: priority(context: places[index].context, token: places[index].token), index: index)
    }.sorted { $0 < $1 }
    return order.prefix(tokens).map(\.index).sorted().map { elements[$0] }
  }

  /// The tokens that an expert is looked at with, of those of consecutive contexts.
  static func chosen(_ tokens: [ProbedToken]) -> [ProbedToken] { lowest(tokens) { ($0.context, $0.token) } }

  /// The same for a candidate.
  ///
  /// - Parameters:
  ///   - kept: the original's numbers of the candidate's experts; nil when it has all.
  ///   - norm: the original's weights of the norm before the experts, and the candidate's. Channels that were scaled show
  ///     in them; one that the original's norm silences stays silent.
  func inputs(kept: [Int]?, norm: (original: [Float], candidate: [Float])) -> [[Float]] {
    let own = kept.map { $0.map { inputs[$0] } } ?? inputs
    if norm.original == norm.candidate { return own }
    let factors = zip(norm.original, norm.candidate).map { $0 == 0 ? 0 : $1 / $0 }
    return own.map { rows in
      var scaled = rows
      for index in scaled.indices { scaled[index] *= factors[index % factors.count] }
      return scaled
    }
  }

  /// What the outputs differ by, token by token, by the original's numbers of experts; none for an expert that the candidate lacks.
  func tokens(original: [[Float]], candidate: [[Float]], kept: [Int]?) -> [[ProbedToken]] {
    var tokens = [[ProbedToken]](repeating: [], count: original.count)
    for (index, outputs) in candidate.enumerated() {
      let expert = kept?[index] ?? index
      for (row, place) in places[expert].enumerated() {
        var token = ProbedToken(context: place.context, token: place.token, difference: 0, norm: 0)
        for column in row * hidden..<(row + 1) * hidden {
          let (a, b) = (Double(original[expert][column]), Double(outputs[column]))
          token.difference += (b - a) * (b - a)
          token.norm += a * a
        }
        tokens[expert].append(token)
      }
    }
    return tokens
  }

  /// ‖candidate − original‖ / ‖original‖ of an expert's outputs; nil for one without tokens, or without an output.
  static func error(_ tokens: [ProbedToken]) -> Double? {
    let norm = tokens.reduce(0) { $0 + $1.norm }
    guard norm > 0 || norm.isNaN else { return nil }
    let difference = tokens.reduce(0) { $0 + $1.difference }
    return difference == 0 ? 0 : (difference / norm).squareRoot()
  }
}

/// A token's outputs by an expert of two models.
struct ProbedToken: Hashable, Sendable {
  /// Number of its context among all, and its own in that.
  var context: Int
  var token: Int
  /// Σ (candidate − original)² and Σ original².
  var difference: Double
  var norm: Double
}
