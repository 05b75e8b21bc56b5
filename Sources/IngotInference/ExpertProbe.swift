import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Some tokens for each expert of a layer, on which the outputs of two models' experts are compared. Both get the
/// original's inputs, so that an error is the expert's own and not of what came before it.
struct ExpertProbe: Sendable {
  /// Most tokens that an expert is looked at with: so few that no weights are decoded for them alone.
  static let tokens = 8

  /// For each of the original's experts, what it gets from some of its tokens, evenly spread over them:
  /// (tokens, hidden); empty for an expert that gets none.
  let inputs: [[Float]]

  /// - Parameter inputs: what the experts of the layer get from each context, (tokens, hidden).
  init(_ inputs: [[Float]], _ routings: [Routing], experts: Int, hidden: Int) {
    self.inputs = RoutedToken.byExpert(routings, experts: experts).map { routedTokens in
      let count = min(routedTokens.count, ExpertProbe.tokens)
      var rows = [Float](repeating: 0, count: count * hidden)
      for row in 0..<count {
        let routedToken = routedTokens[row * routedTokens.count / count]
        copyRow(inputs[routedToken.context], routedToken.token, width: hidden, to: &rows, row)
        scaleRow(&rows, row, width: hidden, routedToken.inputScale)
      }
      return rows
    }
  }

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

  /// ‖candidate − original‖ / ‖original‖ of each expert's outputs, by the original's numbers; nil for an expert without
  /// tokens, without an output, or that the candidate lacks.
  func errors(original: [[Float]], candidate: [[Float]], kept: [Int]?) -> [Double?] {
    var errors = [Double?](repeating: nil, count: original.count)
    for (index, outputs) in candidate.enumerated() {
      let expert = kept?[index] ?? index
      guard original[expert].contains(where: { $0 != 0 }) else { continue }
      errors[expert] = relativeError(of: [outputs], to: [original[expert]])
    }
    return errors
  }
}
