import IngotKernels
import IngotModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What causal attention goes by.
package struct AttentionShape: Sendable {
  package var heads: Int
  package var keyValueHeads: Int
  /// Dimensions of a query or key, and of a value.
  package var headDim: Int
  package var valueDim: Int
  package var scale: Float
  package var window: Int?
  package var chunk: Int?
  package var softcap: Float?

  package init(
    heads: Int, keyValueHeads: Int, headDim: Int, valueDim: Int, scale: Float, window: Int? = nil,
    chunk: Int? = nil, softcap: Float? = nil
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDim = headDim
    self.valueDim = valueDim
    self.scale = scale
    self.window = window
    self.chunk = chunk
    self.softcap = softcap
  }

  package init(_ block: GroupedQueryAttention) {
    self.init(
      heads: block.heads, keyValueHeads: block.keyValueHeads, headDim: block.headDim, valueDim: block.headDim,
      scale: block.scale, window: block.window, chunk: block.chunk, softcap: block.softcap)
  }

  /// The first key that a query sees.
  func firstSeen(by query: Int) -> Int {
    max(window.map { query + 1 - $0 } ?? 0, chunk.map { query / $0 * $0 } ?? 0, 0)
  }
}

/// The keys that the last queries of one context see, of those before them.
package struct KeyChoice: Hashable, Sendable {
  /// Heads that choose for as many heads each.
  package let heads: Int
  /// Queries, of which the last is the last of the context.
  package let tokens: Int
  /// Tokens before the first query.
  package let past: Int
  /// (heads, queries, keys), a bit each; the keys of a query begin with a word.
  private(set) var words: [UInt16]

  /// Words of a query's keys.
  private var width: Int { (past + tokens + 15) / 16 }

  /// Words of a choice by one head for a whole context.
  static func count(tokens: Int) -> Int { tokens * ((tokens + 15) / 16) }

  /// Nothing chosen yet.
  package init(heads: Int, tokens: Int, past: Int = 0) {
    self.heads = heads
    self.tokens = tokens
    self.past = past
    words = []
    words = [UInt16](repeating: 0, count: heads * tokens * width)
  }

  /// One head's choice for a whole context by its words.
  init(tokens: Int, words: [UInt16]) {
    precondition(words.count == KeyChoice.count(tokens: tokens), "(queries, words)")
    (heads, self.tokens, past, self.words) = (1, tokens, 0, words)
  }

  private func first(head: Int, query: Int) -> Int { (head * tokens + query) * width }

  /// - Parameters:
  ///   - keys: positions in the context; later ones than the query's are left out.
  ///   - query: its number among the queries.
  package mutating func see(_ keys: some Sequence<Int>, head: Int, query: Int) {
    let first = first(head: head, query: query)
    for key in keys where key <= past + query { words[first + key >> 4] |= 1 << UInt16(key & 15) }
  }

  /// Lowers scores of keys that are not seen: `scores` are of keys from position `key` on.
  func mask(_ scores: inout MutableSpan<Float>, from key: Int, head: Int, of all: Int, query: Int) {
    let first = first(head: head / (all / heads), query: query)
    for index in 0..<scores.count
    where words[first + (key + index) >> 4] & 1 << UInt16((key + index) & 15) == 0 {
      scores[index] = -.infinity
    }
  }
}

/// Causal attention of one context: each token sees itself and the tokens before it, as many as the sliding
/// window or its chunk allows. Head h of the queries reads key/value head h / (heads / keyValueHeads).
///
/// Scores are q·k · scale, capped where the block says so, their softmax in F32 with F64 sums. A head's sink is one more score,
/// which takes a share and has no value. Queries are taken in blocks, so that the scores held
/// at once grow with the context, not with its square.
/// - Parameters:
///   - queries: (tokens, heads · headDim), normalized and rotated.
///   - keys: (keys, keyValueHeads · headDim), normalized and rotated, the last one that of the last query.
///   - values: (keys, keyValueHeads · valueDim)
///   - past: tokens of the context before the first query.
///   - dropped: of these, how many at the context's beginning no query sees: keys and values begin behind them.
///   - sinks: (heads), or empty.
///   - choice: the keys that queries see; nil for all that window and order allow.
///   - scores: memory to work in.
///   - out: (tokens, heads · valueDim), made large enough.
///
/// The arrays may be larger; what they hold is at their beginning.
package func attend(
  queries: [Float], keys: [Float], values: [Float], tokens: Int, past: Int = 0, dropped: Int = 0,
  _ attention: AttentionShape, sinks: [Float] = [], choice: KeyChoice? = nil, scores: inout [Float],
  into out: inout [Float]
) {
  let (heads, sharedHeads, dim) = (attention.heads, attention.keyValueHeads, attention.headDim)
  let valueDim = attention.valueDim
  let (width, sharedWidth) = (heads * dim, sharedHeads * dim)
  let (outWidth, valueWidth) = (heads * valueDim, sharedHeads * valueDim)
  precondition(queries.count >= tokens * width, "queries are (tokens, heads · headDim)")
  let kept = past - dropped + tokens
  precondition(keys.count >= kept * sharedWidth, "keys are (keys, keyValueHeads · headDim)")
  precondition(values.count >= kept * valueWidth, "values are (keys, keyValueHeads · valueDim)")
  precondition(dropped <= attention.firstSeen(by: past), "dropped keys are seen by no query")
  precondition(heads % sharedHeads == 0, "key heads are shared evenly")
  let block = 256
  scores.provide(min(block, tokens) * (past + tokens + 1))
  var scores = scores.mutableSpan
  out.provide(tokens * outWidth)
  var out = out.mutableSpan
  for first in stride(from: 0, to: tokens, by: block) {
    let rows = min(block, tokens - first)
    // Keys that some query of the block sees: those at positions from `start` to before `position + rows`.
    let position = past + first
    let start = attention.firstSeen(by: position)
    let seen = position + rows - start
    for head in 0..<heads {
      let shared = head / (heads / sharedHeads)
      gemm(
        m: rows, n: seen, k: dim, alpha: attention.scale,
        a: queries.span, aOffset: first * width + head * dim, lda: width,
        b: keys.span, bOffset: (start - dropped) * sharedWidth + shared * dim, ldb: sharedWidth,
        bTransposed: true,
        c: &scores, ldc: seen)
      for row in 0..<rows {
        let end = position + row + 1 - start
        let begin = attention.firstSeen(by: position + row) - start
        var line = scores._mutatingExtracting(row * seen..<(row + 1) * seen)
        var visible = line._mutatingExtracting(begin..<end)
        if let cap = attention.softcap {
          for key in 0..<visible.count { visible[key] = cap * hyperbolicTangent(visible[key] / cap) }
        }
        if let choice {
          choice.mask(&visible, from: start + begin, head: head, of: heads, query: first + row)
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
        m: rows, n: valueDim, k: seen,
        a: scores.span, lda: seen,
        b: values.span, bOffset: (start - dropped) * valueWidth + shared * valueDim, ldb: valueWidth,
        bTransposed: false,
        c: &out, cOffset: first * outWidth + head * valueDim, ldc: outWidth)
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
