import IngotSystem
import IngotTensors

/// The embedding's rows of each context's tokens, times a factor: contexts × (tokens, hidden). Only rows that occur are decoded.
func embed(_ contexts: [[Int]], _ embedding: Tensor, scale: Float) throws(FormatError) -> [[Float]] {
  let (width, step) = (embedding.columns, embedding.rowStep)
  // Row ranges that are decoded alone, by their number, and the tokens in each.
  let groups = Dictionary(grouping: Set(contexts.joined()).sorted()) { $0 / step }
  var places: [Int: Int] = [:]
  var rows: [Float] = []
  var buffer: [Float] = []
  for (group, tokens) in groups.sorted(by: { $0.key < $1.key }) {
    try embedding.decode(rows: group * step..<min((group + 1) * step, embedding.rows), into: &buffer)
    for token in tokens {
      places[token] = places.count
      let first = (token - group * step) * width
      rows.append(contentsOf: buffer[first..<first + width])
    }
  }
  return contexts.map { tokens in
    var state = [Float](repeating: 0, count: tokens.count * width)
    for (position, token) in tokens.enumerated() {
      copyRow(rows, places[token]!, width: width, to: &state, position)
    }
    if scale != 1 { for index in state.indices { state[index] *= scale } }
    return state
  }
}
