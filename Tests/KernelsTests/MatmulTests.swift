import IngotKernels
import Testing

@Suite struct MatmulTests {
  @Test func gemmMatchesPlainLoops() {
    for seed in 0..<200 {
      var random = SeededGenerator(seed)
      let size = { (random: inout SeededGenerator) in Int.random(in: 0...40, using: &random) }
      let (m, n, k) = (size(&random), size(&random), size(&random))
      let bTransposed = seed % 2 == 0
      let (lda, ldc) = (k + seed % 3, n + seed % 5)
      let ldb = (bTransposed ? k : n) + seed % 4
      let offsets = (seed % 7, seed % 11, seed % 13)
      let a = random.normals(offsets.0 + m * lda)
      let b = random.normals(offsets.1 + (bTransposed ? n : k) * ldb)
      let alpha: Float = seed % 3 == 0 ? 1 : 0.25
      let beta: Float = [0, 1, -0.5][seed % 3]
      let start =
        beta == 0 ? [Float](repeating: .nan, count: offsets.2 + m * ldc) : random.normals(offsets.2 + m * ldc)
      var (got, wanted) = (start, start)
      do {
        var c = got.mutableSpan
        gemm(
          m: m, n: n, k: k, alpha: alpha, a: a.span, aOffset: offsets.0, lda: lda, b: b.span,
          bOffset: offsets.1, ldb: ldb, bTransposed: bTransposed, beta: beta, c: &c, cOffset: offsets.2,
          ldc: ldc)
      }
      do {
        var c = wanted.mutableSpan
        referenceGemm(
          m: m, n: n, k: k, alpha: alpha, a: a.span, aOffset: offsets.0, lda: lda, b: b.span,
          bOffset: offsets.1, ldb: ldb, bTransposed: bTransposed, beta: beta, c: &c, cOffset: offsets.2,
          ldc: ldc)
      }
      for j in got.indices {
        let equal =
          wanted[j].isNaN ? got[j].isNaN : abs(got[j] - wanted[j]) <= 1e-5 * (1 + abs(wanted[j])) * 8
        if !equal { Issue.record("seed \(seed) m \(m) n \(n) k \(k) at \(j): \(got[j]), not \(wanted[j])") }
      }
    }
  }

  @Test func matmulIsALinearLayer() {
    var random = SeededGenerator(3)
    let (tokens, inputs, outputs) = (5, 96, 33)
    let x = random.normals(tokens * inputs)
    let w = random.normals(outputs * inputs)
    var y = random.normals(tokens * outputs)
    let before = y
    for accumulate in [false, true] {
      y = before
      var span = y.mutableSpan
      matmul(
        x.span, w.span, tokens: tokens, inputs: inputs, outputs: outputs, into: &span, accumulate: accumulate)
      for t in 0..<tokens {
        for o in 0..<outputs {
          let sum = (0..<inputs).reduce(accumulate ? Double(before[t * outputs + o]) : 0) {
            $0 + Double(x[t * inputs + $1]) * Double(w[o * inputs + $1])
          }
          #expect(abs(Double(y[t * outputs + o]) - sum) < 1e-4, "token \(t) output \(o) \(accumulate)")
        }
      }
    }
  }
}
