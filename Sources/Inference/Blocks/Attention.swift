import Kernels
import Models

/// Causal attention of one context: each token sees itself and the tokens before it, as many as the sliding
/// window allows. Head h of the queries reads key/value head h / (heads / keyValueHeads).
///
/// Scores are q·k / √headDim, their softmax in F32 with F64 sums. Queries are taken in blocks, so that the scores held
/// at once grow with the context, not with its square.
/// - Parameters:
///   - queries: (tokens, heads · headDim), normalized and rotated.
///   - keys: (tokens, keyValueHeads · headDim), normalized and rotated.
///   - values: (tokens, keyValueHeads · headDim)
///   - scores: memory to work in.
///   - out: (tokens, heads · headDim), made large enough.
///
/// The arrays may be larger; what they hold is at their beginning.
package func attend(
  queries: [Float], keys: [Float], values: [Float], tokens: Int,
  _ attention: Hyperparameters.Attention, scores: inout [Float], into out: inout [Float]
) {
  let (heads, sharedHeads, dim) = (attention.heads, attention.keyValueHeads, attention.headDim)
  let (width, sharedWidth) = (heads * dim, sharedHeads * dim)
  precondition(queries.count >= tokens * width, "queries are (tokens, heads · headDim)")
  precondition(min(keys.count, values.count) >= tokens * sharedWidth, "(tokens, keyValueHeads · headDim)")
  precondition(heads % sharedHeads == 0, "key heads are shared evenly")
  let block = 256
  scores.provide(min(block, tokens) * tokens)
  var scores = scores.mutableSpan
  out.provide(tokens * width)
  var out = out.mutableSpan
  for first in stride(from: 0, to: tokens, by: block) {
    let rows = min(block, tokens - first)
    // Keys that some query of the block sees: those from `start` to before `first + rows`.
    let start = attention.slidingWindow.map { max(0, first + 1 - $0) } ?? 0
    let seen = first + rows - start
    for head in 0..<heads {
      let shared = head / (heads / sharedHeads) * dim
      gemm(
        m: rows, n: seen, k: dim, alpha: 1 / Float(dim).squareRoot(),
        a: queries.span, aOffset: first * width + head * dim, lda: width,
        b: keys.span, bOffset: start * sharedWidth + shared, ldb: sharedWidth, bTransposed: true,
        c: &scores, ldc: seen)
      for row in 0..<rows {
        let end = first + row + 1 - start
        let begin = attention.slidingWindow.map { max(0, end - $0) } ?? 0
        var line = scores._mutatingExtracting(row * seen..<(row + 1) * seen)
        var visible = line._mutatingExtracting(begin..<end)
        softmaxRow(&visible)
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
