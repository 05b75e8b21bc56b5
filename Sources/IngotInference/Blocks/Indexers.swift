import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Rows of scores that are held at once.
private let rowsAtOnce = 256

extension TokenIndexer {
  /// The keys that each query sees; nil where they are all that come before it.
  ///
  /// - Parameters:
  ///   - queries: (tokens, heads · dim), before rotation.
  ///   - keys: (tokens, dim), before norm and rotation.
  ///   - weights: (tokens, heads), as the projection gives them.
  ///   - norm: weight and bias of the LayerNorm of keys.
  ///   - earlier: keys of the tokens before, normalized and rotated; these ones are added to them.
  func choice(
    queries: [Float], keys: [Float], weights: [Float], norm: (weight: [Float], bias: [Float]), tokens: Int,
    _ rotation: Rotation, earlier: inout [Float]
  ) -> KeyChoice? {
    let past = earlier.count / dim
    var (queries, keys) = (queries, keys)
    layerNormalize(&keys, tokens: tokens, norm)
    rotation.apply(to: &queries, tokens: tokens, heads: heads, headDim: dim, at: past)
    rotation.apply(to: &keys, tokens: tokens, heads: 1, headDim: dim, at: past)
    earlier += keys.prefix(tokens * dim)
    guard past + tokens > kept else { return nil }
    let share = 1 / Float(heads).squareRoot()
    var choice = KeyChoice(heads: 1, tokens: tokens, past: past)
    for first in stride(from: 0, to: tokens, by: rowsAtOnce) {
      let rows = min(rowsAtOnce, tokens - first)
      let seen = past + first + rows
      var sums = [Float](repeating: 0, count: rows * seen)
      var products = sums
      for head in 0..<heads {
        var span = products.mutableSpan
        gemm(
          m: rows, n: seen, k: dim, alpha: 1 / Float(dim).squareRoot(), a: queries.span,
          aOffset: first * heads * dim + head * dim, lda: heads * dim, b: earlier.span, ldb: dim,
          bTransposed: true, c: &span, ldc: seen)
        for row in 0..<rows {
          let weight = weights[(first + row) * heads + head] * share
          for key in 0...past + first + row {
            sums[row * seen + key] += weight * max(products[row * seen + key], 0)
          }
        }
      }
      for row in 0..<rows {
        let scores = Array(sums[row * seen...row * seen + past + first + row])
        choice.see(topIndices(kept, of: scores), head: 0, query: first + row)
      }
    }
    return choice
  }

  private func layerNormalize(_ x: inout [Float], tokens: Int, _ norm: (weight: [Float], bias: [Float])) {
    for token in 0..<tokens {
      let range = token * dim..<(token + 1) * dim
      let mean = range.reduce(0.0) { $0 + Double(x[$1]) } / Double(dim)
      let variance =
        range.reduce(0.0) { $0 + (Double(x[$1]) - mean) * (Double(x[$1]) - mean) } / Double(dim)
      let factor = 1 / (variance + Double(epsilon)).squareRoot()
      for (column, index) in range.enumerated() {
        x[index] = Float((Double(x[index]) - mean) * factor) * norm.weight[column] + norm.bias[column]
      }
    }
  }
}

extension BlockIndexer {
  /// The keys that each query sees; nil where they are all that come before it.
  ///
  /// - Parameters:
  ///   - queries: (tokens, heads · dim), normalized and rotated.
  ///   - keys: (past + tokens, dim), normalized and rotated.
  ///   - past: tokens before the first query.
  func choice(queries: [Float], keys: [Float], tokens: Int, past: Int) -> KeyChoice? {
    guard past + tokens > kept * blockSize else { return nil }
    var choice = KeyChoice(heads: heads, tokens: tokens, past: past)
    for first in stride(from: 0, to: tokens, by: rowsAtOnce) {
      let rows = min(rowsAtOnce, tokens - first)
      let seen = past + first + rows
      var products = [Float](repeating: 0, count: rows * seen)
      for head in 0..<heads {
        var span = products.mutableSpan
        gemm(
          m: rows, n: seen, k: dim, a: queries.span, aOffset: first * heads * dim + head * dim,
          lda: heads * dim,
          b: keys.span, ldb: dim, bTransposed: true, c: &span, ldc: seen)
        for row in 0..<rows {
          let position = past + first + row
          let own = position / blockSize
          var best = [Float](repeating: -.infinity, count: own + 1)
          for key in 0...position {
            best[key / blockSize] = max(best[key / blockSize], products[row * seen + key])
          }
          for block in max(0, own + 1 - localBlocks)...own { best[block] = .infinity }
          for block in topIndices(kept, of: best) {
            choice.see(block * blockSize..<(block + 1) * blockSize, head: head, query: first + row)
          }
        }
      }
    }
    return choice
  }
}

/// Indices of the `count` largest values, or of all; of equal ones those of the lower index.
private func topIndices(_ count: Int, of values: [Float]) -> ArraySlice<Int> {
  if values.count <= count { return values.indices[...].map { $0 }[...] }
  return values.indices.sorted { (values[$0], $1) > (values[$1], $0) }.prefix(count)
}
