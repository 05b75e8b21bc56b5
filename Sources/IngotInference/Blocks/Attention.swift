import IngotKernels
import IngotModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Causal attention of one context: each token sees itself and the tokens before it, as many as the sliding
/// window allows. Head h of the queries reads key/value head h / (heads / keyValueHeads).
///
/// Scores are q·k · scale, capped where the block says so, their softmax in F32 with F64 sums. A head's sink is one more score,
/// which takes a share and has no value. Queries are taken in blocks, so that the scores held
/// at once grow with the context, not with its square.
/// - Parameters:
///   - queries: (tokens, heads · headDim), normalized and rotated.
///   - keys: (tokens, keyValueHeads · headDim), normalized and rotated.
///   - values: (tokens, keyValueHeads · headDim)
///   - sinks: (heads), or empty.
///   - scores: memory to work in.
///   - out: (tokens, heads · headDim), made large enough.
///
/// The arrays may be larger; what they hold is at their beginning.
package func attend(
  queries: [Float], keys: [Float], values: [Float], tokens: Int,
  _ attention: GroupedQueryAttention, sinks: [Float] = [], scores: inout [Float], into out: inout [Float]
) {
  let (heads, sharedHeads, dim) = (attention.heads, attention.keyValueHeads, attention.headDim)
  let (width, sharedWidth) = (heads * dim, sharedHeads * dim)
  precondition(queries.count >= tokens * width, "queries are (tokens, heads · headDim)")
  precondition(min(keys.count, values.count) >= tokens * sharedWidth, "(tokens, keyValueHeads · headDim)")
  precondition(heads % sharedHeads == 0, "key heads are shared evenly")
  let block = 256
  scores.provide(min(block, tokens) * (tokens + 1))
  var scores = scores.mutableSpan
  out.provide(tokens * width)
  var out = out.mutableSpan
  for first in stride(from: 0, to: tokens, by: block) {
    let rows = min(block, tokens - first)
    // Keys that some query of the block sees: those from `start` to before `first + rows`.
    let start = attention.window.map { max(0, first + 1 - $0) } ?? 0
    let seen = first + rows - start
    for head in 0..<heads {
      let shared = head / (heads / sharedHeads) * dim
      gemm(
        m: rows, n: seen, k: dim, alpha: attention.scale,
        a: queries.span, aOffset: first * width + head * dim, lda: width,
        b: keys.span, bOffset: start * sharedWidth + shared, ldb: sharedWidth, bTransposed: true,
        c: &scores, ldc: seen)
      for row in 0..<rows {
        let end = first + row + 1 - start
        let begin = attention.window.map { max(0, end - $0) } ?? 0
        var line = scores._mutatingExtracting(row * seen..<(row + 1) * seen)
        var visible = line._mutatingExtracting(begin..<end)
        if let cap = attention.softcap {
          for key in 0..<visible.count { visible[key] = cap * hyperbolicTangent(visible[key] / cap) }
        }
        if sinks.isEmpty {
          softmaxRow(&visible)
        } else {
          softmaxRow(&visible, sink: sinks[head])
        }
        for key in 0..<begin { line[key] = 0 }
        for key in end..<seen { line[key] = 0 }
      }
      gemm(
        m: rows, n: dim, k: seen,
        a: scores.span, lda: seen,
        b: values.span, bOffset: start * sharedWidth + shared, ldb: sharedWidth, bTransposed: false,
        c: &out, cOffset: first * width + head * dim, ldc: width)
    }
  }
}

private func hyperbolicTangent(_ x: Float) -> Float { Float(tanh(Double(x))) }

/// Softmax of a row beside one more score, which takes its share and is dropped.
private func softmaxRow(_ row: inout MutableSpan<Float>, sink: Float) {
  var most = sink
  for index in 0..<row.count { most = max(most, row[index]) }
  var sum = exp(Double(sink - most))
  for index in 0..<row.count {
    let value = exp(Double(row[index] - most))
    row[index] = Float(value)
    sum += value
  }
  for index in 0..<row.count { row[index] = Float(Double(row[index]) / sum) }
}
