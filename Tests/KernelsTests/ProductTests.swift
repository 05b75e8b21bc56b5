import IngotKernels
import Testing

#if INGOT_BLAS && os(Linux)
  import COpenBLAS
#endif

/// What a product is, element by element: see `gemm`.
@Suite struct ProductTests {
  struct Shape: CustomTestStringConvertible, Sendable {
    let m: Int
    let n: Int
    let k: Int
    var testDescription: String { "\(m) × \(n) × \(k)" }
  }

  static let shapes: [Shape] = [
    Shape(m: 1, n: 1, k: 1), Shape(m: 1, n: 16, k: 256), Shape(m: 1, n: 37, k: 700),
    Shape(m: 2, n: 15, k: 257),
    Shape(m: 3, n: 64, k: 40), Shape(m: 5, n: 33, k: 512), Shape(m: 6, n: 16, k: 255),
    Shape(m: 7, n: 17, k: 300),
    Shape(m: 12, n: 32, k: 8), Shape(m: 13, n: 47, k: 513), Shape(m: 25, n: 100, k: 31),
    Shape(m: 64, n: 48, k: 64),
    Shape(m: 265, n: 50, k: 270), Shape(m: 530, n: 20, k: 9), Shape(m: 9, n: 1050, k: 20),
    Shape(m: 270, n: 1030, k: 3),
    Shape(m: 4, n: 9, k: 0),
  ]

  /// By the definition alone.
  private static func product(
    _ s: Shape, alpha: Float, _ a: (Int, Int) -> Float, _ b: (Int, Int) -> Float, beta: Float, _ old: [Float],
    ldc: Int,
    isWanted: (Int, Int) -> Bool = { _, _ in true }
  ) -> [Float] {
    var c = old
    for i in 0..<s.m {
      for j in 0..<s.n where isWanted(i, j) {
        var value = beta == 0 ? 0 : beta * old[i * ldc + j]
        for first in stride(from: 0, to: s.k, by: 256) {
          var sum: Float = 0
          for l in first..<min(first + 256, s.k) { sum.addProduct(a(i, l), b(j, l)) }
          value = value.addingProduct(alpha, sum)
        }
        c[i * ldc + j] = value
      }
    }
    return c
  }

  @Test(arguments: shapes) func bitsAreThoseOfTheDefinition(_ s: Shape) {
    var random = SeededGenerator(s.m * 31 + s.n * 7 + s.k)
    for kind in 0..<4 {
      let (aTransposed, bTransposed) = (kind % 2 == 1, kind / 2 == 1)
      let lda = (aTransposed ? s.m : s.k) + kind
      let ldb = (bTransposed ? s.k : s.n) + 3 * kind
      let ldc = s.n + kind
      let a = random.normals((aTransposed ? s.k : s.m) * lda + kind)
      let b = random.normals((bTransposed ? s.n : s.k) * ldb + 1)
      let (alpha, beta): (Float, Float) = [(1, 0), (-1, 1), (0.3, 0.7), (1, 1)][kind]
      let old =
        beta == 0 ? [Float](repeating: .nan, count: s.m * ldc + 2) : random.normals(s.m * ldc + 2)
      let wanted = Self.product(
        s, alpha: alpha, { a[kind + (aTransposed ? $1 * lda + $0 : $0 * lda + $1)] },
        { b[1 + (bTransposed ? $0 * ldb + $1 : $1 * ldb + $0)] }, beta: beta, old, ldc: ldc)
      for isa in InstructionSet.supported {
        var c = old
        var span = c.mutableSpan
        gemm(
          m: s.m, n: s.n, k: s.k, alpha: alpha, a: a.span, aOffset: kind, lda: lda, aTransposed: aTransposed,
          b: b.span, bOffset: 1, ldb: ldb, bTransposed: bTransposed, beta: beta, c: &span, ldc: ldc,
          using: isa)
        #expect(bitPatterns(c) == bitPatterns(wanted), "kind \(kind), \(isa)")
      }
    }
  }

  @Test(arguments: [(1, 1), (15, 3), (16, 300), (65, 20), (300, 257)])
  func outerProductsFillTheLowerTriangle(_ columns: Int, _ tokens: Int) {
    var random = SeededGenerator(columns)
    let x = random.normals(tokens * columns)
    let old = random.normals(columns * columns)
    let wanted = Self.product(
      Shape(m: columns, n: columns, k: tokens), alpha: 0.5, { x[$1 * columns + $0] },
      { x[$1 * columns + $0] },
      beta: 1, old, ldc: columns, isWanted: { $1 <= $0 })
    for isa in InstructionSet.supported {
      var sum = old
      var span = sum.mutableSpan
      addOuterProducts(x.span, tokens: tokens, columns: columns, alpha: 0.5, to: &span, using: isa)
      #expect(bitPatterns(sum) == bitPatterns(wanted), "\(isa)")
    }
  }

  /// Rows of weights shared out among threads, as many as one likes.
  @Test func bitsDoNotDependOnThreads() async {
    var random = SeededGenerator(12)
    let (tokens, outputs, inputs) = (70, 131, 600)
    let x = random.normals(tokens * inputs)
    let w = random.normals(outputs * inputs)
    var whole = [Float](repeating: 0, count: tokens * outputs)
    var span = whole.mutableSpan
    matmul(x.span, w.span, tokens: tokens, inputs: inputs, outputs: outputs, into: &span)
    for threads in [1, 2, 3] {
      let parts = await withTaskGroup(of: (Int, [Float]).self) { group in
        for thread in 0..<threads {
          group.addTask {
            let (first, last) = (outputs * thread / threads, outputs * (thread + 1) / threads)
            var part = [Float](repeating: 0, count: tokens * (last - first))
            var span = part.mutableSpan
            matmul(
              x.span, w.span.extracting(first * inputs..<last * inputs), tokens: tokens, inputs: inputs,
              outputs: last - first, into: &span)
            return (first, part)
          }
        }
        return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
      }
      for (first, part) in parts {
        let width = part.count / tokens
        for token in 0..<tokens {
          let wanted = whole[token * outputs + first..<token * outputs + first + width]
          #expect(part[token * width..<(token + 1) * width] == wanted, "\(threads) threads, token \(token)")
        }
      }
    }
  }

  @Test func valuesThatAreNotFiniteStayInTheirElements() {
    let (m, n, k) = (7, 20, 300)
    var random = SeededGenerator(4)
    var a = random.normals(m * k)
    var b = random.normals(n * k)
    a[3 * k + 290] = .infinity
    b[18 * k + 1] = .nan
    for isa in InstructionSet.supported {
      var c = [Float](repeating: 0, count: m * n)
      var span = c.mutableSpan
      gemm(
        m: m, n: n, k: k, a: a.span, lda: k, b: b.span, ldb: k, bTransposed: true, c: &span, ldc: n,
        using: isa)
      for i in 0..<m {
        for j in 0..<n {
          #expect(c[i * n + j].isFinite == (i != 3 && j != 18), "\(i), \(j), \(isa)")
          #expect(c[i * n + j].isNaN == (j == 18), "\(i), \(j), \(isa)")
        }
      }
    }
  }

  @Test(arguments: [1, 2, 17, 63, 64, 65, 128, 200, 321, 385])
  func inverseOfACholeskyFactor(_ n: Int) {
    var random = SeededGenerator(n)
    let x = random.normals((n + 30) * n)
    var matrix = [Float](repeating: 0, count: n * n)
    var span = matrix.mutableSpan
    addOuterProducts(x.span, tokens: n + 30, columns: n, to: &span)
    for i in 0..<n { for j in i + 1..<max(n, i + 1) { matrix[i * n + j] = .nan } }
    func inverse(_ isa: InstructionSet) -> [Float] {
      var out = matrix
      var span = out.mutableSpan
      #expect(invertCholesky(&span, n: n, using: isa), "\(isa)")
      return out
    }
    let wanted = inverse(.scalar)
    for isa in vectorSets { #expect(bitPatterns(inverse(isa)) == bitPatterns(wanted), "\(isa)") }
    // M A Mᵀ = 1
    let whole = { (i: Int, j: Int) in Double(matrix[max(i, j) * n + min(i, j)]) }
    var moved = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for l in 0...i where wanted[i * n + l] != 0 {
        let factor = Double(wanted[i * n + l])
        for j in 0..<n { moved[i * n + j] += factor * whole(l, j) }
      }
    }
    var worst = 0.0
    for i in 0..<n {
      for j in 0..<n {
        if j > i { #expect(wanted[i * n + j] == 0, "above the diagonal: \(i), \(j)") }
        var sum = i == j ? -1.0 : 0
        for l in 0...j { sum += moved[i * n + l] * Double(wanted[j * n + l]) }
        worst = max(worst, abs(sum))
      }
    }
    #expect(worst < 1e-4)
  }

  @Test(arguments: [5, 64, 100, 200]) func noFactorOfAnIndefiniteMatrix(_ n: Int) {
    for place in [0, n / 2, n - 1] {
      for bad: Float in [-1, 0, .nan] {
        for isa in InstructionSet.supported {
          var matrix = [Float](repeating: 0, count: n * n)
          for i in 0..<n { matrix[i * n + i] = i == place ? bad : 1 }
          var span = matrix.mutableSpan
          #expect(!invertCholesky(&span, n: n, using: isa), "\(bad) at \(place), \(isa)")
        }
      }
    }
  }

  #if INGOT_BLAS && os(Linux)
    /// OpenBLAS as a yardstick: within what two orders of summation differ by.
    @Test(arguments: shapes) func closeToOpenBLAS(_ s: Shape) {
      if s.k == 0 { return }
      var random = SeededGenerator(s.m + s.n)
      let (a, b) = (random.normals(s.m * s.k), random.normals(s.n * s.k))
      var ours = [Float](repeating: 0, count: s.m * s.n)
      var theirs = ours
      var span = ours.mutableSpan
      matmul(a.span, b.span, tokens: s.m, inputs: s.k, outputs: s.n, into: &span)
      unsafe cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, blasint(s.m), blasint(s.n), blasint(s.k), 1, a, blasint(s.k),
        b,
        blasint(s.k), 0, &theirs, blasint(s.n))
      for index in ours.indices {
        #expect(abs(ours[index] - theirs[index]) <= 1e-5 * Float(s.k).squareRoot() * 4, "\(index)")
      }
    }
  #endif
}
