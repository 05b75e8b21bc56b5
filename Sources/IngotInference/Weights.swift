import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Model {
  /// The tensor of a role that the forward pass needs.
  func required(_ kind: TensorKind, layer: Int? = nil, expert: Int? = nil) throws(FormatError) -> Tensor {
    try required(Role(kind, layer: layer, expert: expert))
  }

  func required(_ role: Role) throws(FormatError) -> Tensor {
    guard let tensor = self[role] else {
      throw FormatError(path: path, expected: "the tensor of \(role)", found: "none")
    }
    return tensor
  }

  /// The whole of a tensor in F32.
  func values(_ kind: TensorKind, layer: Int? = nil) throws(FormatError) -> [Float] {
    let tensor = try required(kind, layer: layer)
    var values = [Float](repeating: 0, count: tensor.count)
    try tensor.decode(into: &values)
    return values
  }

  /// The same of a tensor whose values may not show in any that is looked at later, such as a router's bias.
  ///
  /// - Parameter entry: what a value belongs to, for messages.
  func finiteValues(_ kind: TensorKind, layer: Int, of entry: String = "entry") throws(FormatError) -> [Float]
  {
    let values = try values(kind, layer: layer)
    if let index = firstNonFinite(values.span) {
      throw try required(kind, layer: layer).error(
        "finite values", found: "\(values[index]) for \(entry) \(index) of layer \(layer)")
    }
    return values
  }

  /// The factors of a norm.
  func normWeights(_ kind: TensorKind, layer: Int? = nil, _ norm: Norm) throws(FormatError) -> [Float] {
    let values = try values(kind, layer: layer)
    return norm.addsOne ? values.map { 1 + $0 } : values
  }

  /// A norm of the residual stream.
  func norm(_ kind: TensorKind, layer: Int? = nil, _ norm: Norm) throws(FormatError) -> DecodedNorm {
    DecodedNorm(
      norm: norm, weight: try normWeights(kind, layer: layer, norm),
      bias: norm.isCentered ? try values(kind.bias, layer: layer) : [])
  }
}

/// A norm, its tensors decoded.
struct DecodedNorm: Sendable {
  let norm: Norm
  let weight: [Float]
  /// Empty where it has none.
  let bias: [Float]

  /// Each row of (tokens, width) by the norm. Mean and variance of a LayerNorm are F64 sums.
  func rows(_ x: [Float]) -> [Float] {
    let width = weight.count
    var out = x
    guard norm.isCentered else {
      normalizeRows(&out, tokens: x.count / width, weight: weight, eps: norm.epsilon)
      return out
    }
    for first in stride(from: 0, to: x.count, by: width) {
      let row = x[first..<first + width]
      let mean = row.reduce(0.0) { $0 + Double($1) } / Double(width)
      let variance = row.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(width)
      let factor = 1 / (variance + Double(norm.epsilon)).squareRoot()
      for column in 0..<width {
        out[first + column] =
          Float((Double(x[first + column]) - mean) * factor) * weight[column] + bias[column]
      }
    }
    return out
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

extension Tensor {
  /// Whether products with any of these numbers of tokens want the decoded weights, since `multiply` does not take the
  /// encoding.
  func wantsDecoding(_ tokens: Int...) -> Bool {
    !encoding.isMultipliedFromCodes && tokens.contains { $0 > 0 }
  }

  func decode(into buffer: inout [Float], if wanted: Bool) throws(FormatError) {
    if wanted { try decode(into: &buffer) }
  }

  /// `out` (tokens, rows) = x · wᵀ, straight from the weights as they are stored, or by `weights`, which are this tensor's: the
  /// bits are the same.
  ///
  /// - Parameter products: for one straight from the stored weights, whatever their encoding; nil for none.
  func linear(
    _ x: [Float], tokens: Int, _ weights: [Float], _ products: StoredProducts?, into out: inout [Float]
  )
    throws(FormatError)
  {
    if let products { return try product(x, tokens: tokens, products, into: &out) }
    if try multiply(x, tokens: tokens, into: &out) { return }
    IngotInference.linear(x, weights, tokens: tokens, inputs: columns, outputs: rows, into: &out)
  }

  /// `out` (tokens, rows) = x (tokens, columns) · wᵀ, straight from the weights as they are stored, which are let go of then.
  ///
  /// - Returns: false, and nothing done, for an encoding that is to be decoded.
  func multiply(_ x: [Float], tokens: Int, into out: inout [Float]) throws(FormatError) -> Bool {
    guard encoding.isMultipliedFromCodes else { return false }
    if tokens == 0 { return true }
    let (rows, columns) = (rows, columns)
    out.provide(tokens * rows)
    let fetched = try sources(rows: 0..<rows).map { bytes throws(FormatError) in try bytes.fetched() }
    let planes = try planes(rows: 0..<rows, from: fetched)
    var all = out.mutableSpan
    var y = all._mutatingExtracting(0..<tokens * rows)
    encoding.multiply(
      planes, rows: rows, columns: columns, by: x.span.extracting(0..<tokens * columns), tokens: tokens,
      into: &y)
    for plane in planes { plane.release() }
    return true
  }
}
