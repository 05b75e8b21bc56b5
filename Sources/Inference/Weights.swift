import Kernels
import Models
import Tensors

extension Model {
  /// The tensor of a role that the forward pass needs.
  func required(_ part: Role.Part, layer: Int? = nil, expert: Int? = nil) throws(FormatError) -> Tensor {
    let role = Role(part, layer: layer, expert: expert)
    guard let tensor = self[role] else {
      throw FormatError(path: path, expected: "the tensor of \(role)", found: "none")
    }
    return tensor
  }

  /// The whole of a tensor in F32.
  func values(_ part: Role.Part, layer: Int? = nil) throws(FormatError) -> [Float] {
    let tensor = try required(part, layer: layer)
    var values = [Float](repeating: 0, count: tensor.count)
    try tensor.decode(into: &values)
    return values
  }
}

extension Tensor {
  /// Decodes all rows or a range of them to the beginning of `buffer` (rows, columns), which is made large enough,
  /// and lets go of the mapped bytes: what a forward pass has used it does not need again soon.
  func decode(rows range: Range<Int>? = nil, into buffer: inout [Float]) throws(FormatError) {
    guard encoding.isDecodable else {
      throw error("values that can be decoded to F32", found: "\(encoding)")
    }
    let range = range ?? 0..<rows
    buffer.provide(range.count * columns)
    var all = buffer.mutableSpan
    var out = all._mutatingExtracting(0..<range.count * columns)
    let fetched = try sources(rows: range).map { bytes throws(FormatError) in try bytes.fetched() }
    let planes = try planes(rows: range, from: fetched)
    encoding.decode(planes, rows: range.count, columns: columns, into: &out)
    for plane in planes { plane.release() }
  }
}

/// The weights of a layer that every token needs, decoded to F32.
struct LayerWeights: Sendable {
  var attentionNorm: [Float]
  /// (heads · headDim, hidden)
  var query: [Float]
  /// (keyValueHeads · headDim, hidden)
  var key: [Float]
  /// (keyValueHeads · headDim, hidden)
  var value: [Float]
  /// (hidden, heads · headDim)
  var attentionOutput: [Float]
  /// (heads · headDim); nil when queries and keys are not normalized.
  var queryNorm: [Float]?
  /// (keyValueHeads · headDim)
  var keyNorm: [Float]?
  var feedForwardNorm: [Float]
  /// (experts, hidden)
  var router: [Float]
  /// (experts); nil when the router has no correction bias.
  var routerBias: [Float]?

  /// - Parameter withOutput: whether the attention's output projection is wanted; else it is empty.
  init(_ model: Model, layer: Int, _ workers: Workers, withOutput: Bool = true) async throws(FormatError) {
    var large: [[Float]] = []
    let parts: [Role.Part] = [.query, .key, .value] + (withOutput ? [.attentionOutput] : [])
    try await workers.inOrder(parts.count) { index, _ throws(FormatError) in
      try model.values(parts[index], layer: layer)
    } deliver: { _, values in
      large.append(values)
    }
    (query, key, value, attentionOutput) = (large[0], large[1], large[2], withOutput ? large[3] : [])
    attentionNorm = try model.values(.attentionNorm, layer: layer)
    if model.hyperparameters.attention.queryKeyNorm == .perLayer {
      queryNorm = try model.values(.queryNorm, layer: layer)
      keyNorm = try model.values(.keyNorm, layer: layer)
    }
    feedForwardNorm = try model.values(.feedForwardNorm, layer: layer)
    router = try model.values(.router, layer: layer)
    if model.hyperparameters.experts.correctionBias {
      let bias = try model.values(.routerBias, layer: layer)
      // It is in no value that is looked at later: an expert that NaN or infinity ranks would just be chosen or not.
      if let index = firstNonFinite(bias.span) {
        throw try model.required(.routerBias, layer: layer).error(
          "finite values", found: "\(bias[index]) for expert \(index) of layer \(layer)")
      }
      routerBias = bias
    }
  }
}
