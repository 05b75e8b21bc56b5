import CIngotKernels

#if !canImport(Accelerate)
  import COpenBLAS
#endif

/// General matrix product on strided row-major matrices inside larger buffers:
/// `c (m, n) = alpha * a (m, k) · b + beta * c`, b being (k, n), or (n, k) when `bTransposed`.
///
/// Row i of `a` begins at `aOffset + i * lda`, likewise b and c; so a head inside a (tokens, heads * dim) buffer
/// is `offset: head * dim, ld: heads * dim`. With `beta` 0 what stands in c is not read. Single threaded
/// (OpenBLAS; Accelerate on macOS); the order of its sums, and so the last bits, depend on the processor.
///
/// - Precondition: every addressed element lies inside its span; leading dimensions are at least the row length.
public func gemm(
  m: Int, n: Int, k: Int, alpha: Float = 1,
  a: Span<Float>, aOffset: Int = 0, lda: Int,
  b: Span<Float>, bOffset: Int = 0, ldb: Int, bTransposed: Bool,
  beta: Float = 0, c: inout MutableSpan<Float>, cOffset: Int = 0, ldc: Int
) {
  checkMatrix(count: a.count, offset: aOffset, rows: m, columns: k, leading: lda)
  let (rows, columns) = bTransposed ? (n, k) : (k, n)
  checkMatrix(count: b.count, offset: bOffset, rows: rows, columns: columns, leading: ldb)
  checkMatrix(count: c.count, offset: cOffset, rows: m, columns: n, leading: ldc)
  if m == 0 || n == 0 { return }
  if k == 0 {
    // Null pointers and leading dimensions of 0 are nothing for a BLAS.
    for i in 0..<m {
      for j in cOffset + i * ldc..<cOffset + i * ldc + n { c[j] = beta == 0 ? 0 : beta * c[j] }
    }
    return
  }
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      unsafe c.withUnsafeMutableBufferPointer { c in
        let a = unsafe a.baseAddress! + aOffset
        let b = unsafe b.baseAddress! + bOffset
        let c = unsafe c.baseAddress! + cOffset
        #if canImport(Accelerate)
          unsafe ingot_gemm_accelerate(m, n, k, alpha, a, lda, b, ldb, bTransposed, beta, c, ldc)
        #else
          _ = oneThread
          unsafe cblas_sgemm(
            CblasRowMajor, CblasNoTrans, bTransposed ? CblasTrans : CblasNoTrans, blasint(m), blasint(n),
            blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
        #endif
      }
    }
  }
}

/// `y (tokens, outputs) = x (tokens, inputs) · wᵀ`, w being (outputs, inputs) as checkpoints store a linear layer;
/// with `accumulate`, added to y.
///
/// - Precondition: the spans have exactly these sizes.
public func matmul(
  _ x: Span<Float>, _ w: Span<Float>, tokens: Int, inputs: Int, outputs: Int,
  into y: inout MutableSpan<Float>, accumulate: Bool = false
) {
  precondition(x.count == tokens * inputs, "x is (tokens, inputs)")
  precondition(w.count == outputs * inputs, "w is (outputs, inputs)")
  precondition(y.count == tokens * outputs, "y is (tokens, outputs)")
  gemm(
    m: tokens, n: outputs, k: inputs, a: x, lda: inputs, b: w, ldb: inputs, bTransposed: true,
    beta: accumulate ? 1 : 0, c: &y, ldc: outputs)
}

/// `gemm` by plain loops with F64 sums: slow, what the tests hold `gemm` against.
public func referenceGemm(
  m: Int, n: Int, k: Int, alpha: Float = 1,
  a: Span<Float>, aOffset: Int = 0, lda: Int,
  b: Span<Float>, bOffset: Int = 0, ldb: Int, bTransposed: Bool,
  beta: Float = 0, c: inout MutableSpan<Float>, cOffset: Int = 0, ldc: Int
) {
  checkMatrix(count: a.count, offset: aOffset, rows: m, columns: k, leading: lda)
  let (rows, columns) = bTransposed ? (n, k) : (k, n)
  checkMatrix(count: b.count, offset: bOffset, rows: rows, columns: columns, leading: ldb)
  checkMatrix(count: c.count, offset: cOffset, rows: m, columns: n, leading: ldc)
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      unsafe c.withUnsafeMutableBufferPointer { c in
        guard let c = c.baseAddress else { return }
        unsafe ingot_gemm_reference(
          m, n, k, alpha, a.baseAddress.map { unsafe $0 + aOffset }, lda,
          b.baseAddress.map { unsafe $0 + bOffset }, ldb, bTransposed, beta, c + cOffset, ldc)
      }
    }
  }
}

private func checkMatrix(count: Int, offset: Int, rows: Int, columns: Int, leading: Int) {
  precondition(rows >= 0 && columns >= 0 && offset >= 0, "sizes and offsets are not negative")
  precondition(max(rows, columns, leading) <= Int(Int32.max), "a BLAS counts in 32 bits")
  precondition(leading >= columns, "rows would overlap")
  if rows == 0 || columns == 0 { return }
  precondition(offset + (rows - 1) * leading + columns <= count, "the matrix reaches beyond its buffer")
}

#if !canImport(Accelerate)
  /// Tasks run side by side; a BLAS with threads of its own would only contend with them.
  let oneThread: Void = openblas_set_num_threads(1)
#endif
