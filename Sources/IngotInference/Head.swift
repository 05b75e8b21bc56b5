import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Rows of the head that are decoded and multiplied at once, rounded up to what the encodings can decode alone.
let headRowsAtOnce = 512

extension Lane {
  /// Logits of chosen positions of each context, a range of the vocabulary after the other: each row of the head
  /// is decoded once, and no more logits are held than one context has for `headRowsAtOnce` tokens, for each worker.
  ///
  /// - Parameters:
  ///   - positions: of each context.
  ///   - other: a second lane on the same contexts, or nil.
  ///   - measure: makes what is kept of one context's logits for a range of the vocabulary: (positions, rows) of
  ///     this model, and of the other one; empty when there is none.
  ///   - deliver: gets these for all contexts, ranges ascending.
  func head<Output: Sendable>(
    _ positions: [[Int]], with other: Lane? = nil, _ workers: Workers,
    measure:
      @escaping @Sendable (_ context: Int, _ rows: Range<Int>, _ logits: Span<Float>, _ other: Span<Float>)
      -> Output,
    deliver: (_ rows: Range<Int>, [Output]) throws(FormatError) -> Void
  ) async throws(FormatError) {
    let inputs = try headInputs(positions)
    let otherInputs = try other?.headInputs(positions)
    let step = leastCommonMultiple(
      try head.rowStep, try other?.head.rowStep ?? 1)
    let stride = (headRowsAtOnce + step - 1) / step * step
    let chunks = (blueprint.vocabulary + stride - 1) / stride
    let ranges = (0..<chunks).map { $0 * stride..<min(($0 + 1) * stride, blueprint.vocabulary) }
    let lane = self
    try await workers.inOrder(ranges.count) { index, buffers throws(FormatError) in
      let rows = ranges[index]
      try lane.decodeHead(rows, into: &buffers.weights)
      if let other { try other.decodeHead(rows, into: &buffers.otherWeights) }
      var outputs: [Output] = []
      for context in inputs.indices {
        let count = positions[context].count * rows.count
        try lane.logits(
          inputs[context], context, positions[context], rows, buffers.weights, into: &buffers.logits)
        if let other, let otherInputs {
          try other.logits(
            otherInputs[context], context, positions[context], rows, buffers.otherWeights,
            into: &buffers.otherLogits)
        }
        outputs.append(
          measure(
            context, rows, buffers.logits.span.extracting(0..<count),
            buffers.otherLogits.span.extracting(0..<(other == nil ? 0 : count))))
      }
      return outputs
    } deliver: { index, outputs throws(FormatError) in
      try deliver(ranges[index], outputs)
    }
  }

  /// The tensor that states are multiplied with into logits.
  var head: Tensor { get throws(FormatError) { try model.required(blueprint.headRole) } }

  /// States at the positions by the final norm: contexts × (positions, hidden).
  func headInputs(_ positions: [[Int]]) throws(FormatError) -> [[Float]] {
    let norm = try model.norm(.finalNorm, blueprint.finalNorm)
    let hidden = blueprint.hiddenSize
    var inputs: [[Float]] = []
    for (context, chosen) in positions.enumerated() {
      var rows: [Float] = []
      rows.reserveCapacity(chosen.count * hidden)
      for position in chosen { rows += states[context][position * hidden..<(position + 1) * hidden] }
      let normalized = norm.rows(rows)
      if let index = firstNonFinite(normalized.span) {
        throw FormatError(
          path: model.path, expected: "finite inputs to the head",
          found: "\(normalized[index]) at token \(chosen[index / hidden]) of \(contexts.name(context))")
      }
      inputs.append(normalized)
    }
    return inputs
  }

  /// Rows of the head in F32, where products want them so.
  private func decodeHead(_ rows: Range<Int>, into weights: inout [Float]) throws(FormatError) {
    if source.products == nil { try head.decode(rows: rows, into: &weights) }
  }

  /// Logits of one context for rows of the head: (positions, rows), all finite.
  ///
  /// - Parameter weights: these rows, unless products take them as they are stored.
  func logits(
    _ inputs: [Float], _ context: Int, _ positions: [Int], _ rows: Range<Int>, _ weights: [Float],
    into buffer: inout [Float]
  ) throws(FormatError) {
    let (hidden, count) = (blueprint.hiddenSize, positions.count * rows.count)
    if let products = source.products {
      buffer = try head.part(
        rows, inputs, tokens: positions.count, rounded: products.roundsActivations)
    } else {
      linear(
        inputs, weights, tokens: positions.count, inputs: hidden, outputs: rows.count, into: &buffer)
    }
    try source.finish(&buffer, rows: rows, count: count) {
      "token \(positions[$0]) of \(contexts.name(context))"
    }
  }
}

extension LaneModel {
  /// Makes logits of products with rows of the head: bias, scale and cap.
  ///
  /// - Parameters:
  ///   - buffer: (positions, rows), at the beginning.
  ///   - count: of all of them.
  ///   - place: names a position for messages.
  func finish(_ buffer: inout [Float], rows: Range<Int>, count: Int, place: (Int) -> String)
    throws(FormatError)
  {
    if blueprint.hasHeadBias {
      let bias = try model.required(.head.bias).floats(rows: 0..<1)
      for index in 0..<count { buffer[index] += bias[rows.lowerBound + index % rows.count] }
    }
    if blueprint.logitScale != 1 { for index in 0..<count { buffer[index] *= blueprint.logitScale } }
    if let cap = blueprint.logitSoftcap {
      for index in 0..<count { buffer[index] = cap * Float(tanh(Double(buffer[index] / cap))) }
    }
    if let index = firstNonFinite(buffer.span.extracting(0..<count)) {
      throw FormatError(
        path: model.path, tensor: try model.required(blueprint.headRole).name, expected: "finite logits",
        found: "\(buffer[index]) for entry \(rows.lowerBound + index % rows.count) at "
          + place(index / rows.count))
    }
  }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (x, y) = (a, b)
  while y != 0 { (x, y) = (y, x % y) }
  return a / x * b
}

/// Logits of every position of some contexts: for each context (tokens, vocabulary). Held all at once, so for
/// tests and small models; perplexities and comparisons never hold them.
///
/// - Throws: FormatError for tokens and contexts that the model cannot take, and for NaN or infinities, naming where.
public func logits(of model: Model, _ contexts: [Context], workers: Int = 1) async throws(FormatError)
  -> [[Float]]
{
  var lane = try Lane(model, contexts)
  let workers = Workers(workers)
  for layer in model.blueprint.layers.indices { try await lane.run(layer: layer, workers) }
  let vocabulary = model.blueprint.vocabulary
  var results = contexts.map { [Float](repeating: 0, count: $0.tokens.count * vocabulary) }
  try await lane.head(contexts.map { Array($0.tokens.indices) }, workers) { _, _, logits, _ in
    (0..<logits.count).map { logits[$0] }
  } deliver: { rows, outputs in
    for (context, chunk) in outputs.enumerated() {
      for position in contexts[context].tokens.indices {
        for (column, row) in rows.enumerated() {
          results[context][position * vocabulary + row] = chunk[position * rows.count + column]
        }
      }
    }
  }
  return results
}
