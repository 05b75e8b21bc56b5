import IngotSystem
import IngotTensors
import Synchronization

/// Weights that a thread multiplies at least before another helps.
private let leastWeights = 1 << 16

/// How products with weights as they are stored are made.
struct StoredProducts: Sendable {
  let team: ThreadTeam
  /// Whether activations are rounded to 8 bits where the encoding allows that.
  var roundsActivations = false
}

extension Tensor {
  /// `out` (tokens, rows) = x (tokens, columns) · wᵀ, straight from the bytes as they are stored, which stay mapped. Rows are shared
  /// out over threads.
  ///
  /// - Throws: FormatError for bytes that cannot be had, and for an encoding without values in F32.
  func product(_ x: [Float], tokens: Int, _ products: StoredProducts, into out: inout [Float])
    throws(FormatError)
  {
    guard encoding.isDecodable else {
      throw error("values that can be decoded to F32", found: "\(encoding)")
    }
    let rows = rows
    out.provide(tokens * rows)
    guard tokens > 0, rows > 0, columns > 0 else { return }
    if let (base, selection) = reordered {
      // Outputs change places more easily than rows of weights.
      var outputs: [Float] = []
      try base.product(x, tokens: tokens, products, into: &outputs)
      out.replaceRows(with: outputs, selection, base.rows, tokens: tokens)
      return
    }
    let slices = rowSlices(products.team.count)
    if slices.count == 1 {
      let all = try part(slices[0], x, tokens: tokens, rounded: products.roundsActivations)
      out.replaceRows(with: all, slices[0], width: rows, tokens: tokens)
      return
    }
    let parts = Parts(slices.count)
    products.team.perform(slices.count) { index in
      let result: Result<[Float], FormatError>
      do throws(FormatError) {
        result = .success(try part(slices[index], x, tokens: tokens, rounded: products.roundsActivations))
      } catch {
        result = .failure(error)
      }
      parts.results.withLock { $0[index] = result }
    }
    for (index, result) in parts.results.withLock({ $0 }).enumerated() {
      out.replaceRows(with: try result!.get(), slices[index], width: rows, tokens: tokens)
    }
  }

  /// Ranges of rows, about as long as each other, that can be had alone: two for each thread, so that one that is late does not
  /// keep the others.
  private func rowSlices(_ threads: Int) -> [Range<Int>] {
    let rows = rows
    // Sixteen rows are multiplied together.
    let step = rowStep % 16 == 0 ? rowStep : rowStep * 16
    let steps = (rows + step - 1) / step
    let slices = threads == 1 ? 1 : min(2 * threads, max(rows * columns / leastWeights, 1), steps)
    let ends = (0...slices).map { min(steps * $0 / slices * step, rows) }
    return (0..<slices).map { ends[$0]..<ends[$0 + 1] }
  }

  /// The product of some rows: (tokens, rows).
  func part(_ slice: Range<Int>, _ x: [Float], tokens: Int, rounded: Bool) throws(FormatError) -> [Float] {
    var out = [Float](repeating: 0, count: tokens * slice.count)
    var target = out.mutableSpan
    encoding.multiply(
      try planes(rows: slice), rows: slice.count, columns: columns,
      by: x.span.extracting(0..<tokens * columns),
      tokens: tokens, into: &target, rounded: rounded)
    return out
  }
}

/// Products of ranges of rows.
private final class Parts: Sendable {
  let results: Mutex<[Result<[Float], FormatError>?]>

  init(_ count: Int) { results = Mutex([Result<[Float], FormatError>?](repeating: nil, count: count)) }
}

extension [Float] {
  /// Puts products with some rows of weights, (tokens, rows), into their places among those with all: (tokens, width).
  fileprivate mutating func replaceRows(with part: [Float], _ rows: Range<Int>, width: Int, tokens: Int) {
    let source = part.span
    var target = mutableSpan
    for token in 0..<tokens {
      for row in 0..<rows.count {
        target[token * width + rows.lowerBound + row] = source[token * rows.count + row]
      }
    }
  }

  /// Takes selected ones of products with all rows of weights, (tokens, width).
  fileprivate mutating func replaceRows(
    with all: [Float], _ selection: RowSelection, _ width: Int, tokens: Int
  ) {
    let source = all.span
    let count = selection.count
    var target = mutableSpan
    for row in 0..<count {
      let place = selection[row]
      for token in 0..<tokens { target[token * count + row] = source[token * width + place] }
    }
  }
}

/// The weights of a linear layer at work.
enum LinearWeights: Sendable {
  /// (outputs, inputs) in F32.
  case decoded([Float])
  /// As they are stored.
  case stored(Tensor, StoredProducts)

  static let none = LinearWeights.decoded([])

  /// (outputs, inputs) in F32, decoded anew where they are stored.
  func values() throws(FormatError) -> [Float] {
    switch self {
    case .decoded(let values): values
    case .stored(let tensor, _): try tensor.floats()
    }
  }
}

/// Rows that go into linear layers: (tokens, columns).
struct InputRows {
  let rows: [Float]
  /// Products that were taken already, together with other sequences': (tokens, outputs) of each tensor.
  let products: [Role: [Float]]

  init(_ rows: [Float], _ products: [Role: [Float]] = [:]) { (self.rows, self.products) = (rows, products) }
}

func linear(
  _ x: InputRows, _ weights: LinearWeights, tokens: Int, inputs: Int, outputs: Int, into out: inout [Float],
  accumulate: Bool = false
) throws(FormatError) {
  guard case .stored(let tensor, _) = weights, let product = x.products[tensor.role] else {
    return try linear(
      x.rows, weights, tokens: tokens, inputs: inputs, outputs: outputs, into: &out, accumulate: accumulate)
  }
  guard accumulate else {
    out = product
    return
  }
  for index in 0..<tokens * outputs { out[index] += product[index] }
}

/// `linear` by weights that are decoded or stored.
func linear(
  _ x: [Float], _ weights: LinearWeights, tokens: Int, inputs: Int, outputs: Int, into out: inout [Float],
  accumulate: Bool = false
) throws(FormatError) {
  switch weights {
  case .decoded(let values):
    linear(
      x, values, tokens: tokens, inputs: inputs, outputs: outputs, into: &out, accumulate: accumulate)
  case .stored(let tensor, let products):
    precondition(tensor.rows == outputs && tensor.columns == inputs, "\(tensor.name): (outputs, inputs)")
    guard accumulate else { return try tensor.product(x, tokens: tokens, products, into: &out) }
    var sums: [Float] = []
    try tensor.product(x, tokens: tokens, products, into: &sums)
    for index in 0..<tokens * outputs { out[index] += sums[index] }
  }
}
