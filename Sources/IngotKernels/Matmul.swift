import CIngotKernels

/// General matrix product on strided row-major matrices inside larger buffers:
/// `c (m, n) = alpha * a (m, k) · b + beta * c`, b being (k, n), or (n, k) when `bTransposed`; a being (k, m) when
/// `aTransposed`.
///
/// Row i of `a` begins at `aOffset + i * lda`, likewise b and c; so a head inside a (tokens, heads * dim) buffer
/// is `offset: head * dim, ld: heads * dim`. With `beta` 0 the contents of c are not read. Single threaded.
///
/// The bits are the same on every machine: products are added in ascending order by fused multiply-adds, from 0 for
/// every 256 of them, and these sums, times alpha, to what stands in c. An element of c depends on its row of a and its
/// row of b alone, so a product may be cut along m and n.
///
/// - Precondition: every addressed element lies inside its span; leading dimensions are at least the row length.
public func gemm(
  m: Int, n: Int, k: Int, alpha: Float = 1,
  a: Span<Float>, aOffset: Int = 0, lda: Int, aTransposed: Bool = false,
  b: Span<Float>, bOffset: Int = 0, ldb: Int, bTransposed: Bool,
  beta: Float = 0, c: inout MutableSpan<Float>, cOffset: Int = 0, ldc: Int,
  using isa: InstructionSet = .best
) {
  let (aRows, aColumns) = aTransposed ? (k, m) : (m, k)
  checkMatrix(count: a.count, offset: aOffset, rows: aRows, columns: aColumns, leading: lda)
  let (bRows, bColumns) = bTransposed ? (n, k) : (k, n)
  checkMatrix(count: b.count, offset: bOffset, rows: bRows, columns: bColumns, leading: ldb)
  checkMatrix(count: c.count, offset: cOffset, rows: m, columns: n, leading: ldc)
  if m == 0 || n == 0 { return }
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      unsafe c.withUnsafeMutableBufferPointer { c in
        var product = unsafe ingot_product()
        unsafe (product.m, product.n, product.k) = (m, n, k)
        unsafe product.a = a.baseAddress.map { unsafe $0 + aOffset }
        unsafe (product.lda, product.a_turned) = (lda, aTransposed)
        unsafe product.b = UnsafeRawPointer(b.baseAddress.map { unsafe $0 + bOffset })
        unsafe (product.ldb, product.b_turned) = (ldb, !bTransposed)
        unsafe (product.alpha, product.beta) = (alpha, beta)
        unsafe (product.c, product.ldc) = (c.baseAddress! + cOffset, ldc)
        unsafe multiply(&product, isa)
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

/// Adds `alpha · xᵀx` to the lower triangle of `sum`: x (tokens, columns), sum (columns, columns), in the order of `gemm`.
///
/// - Precondition: the spans have exactly these sizes.
public func addOuterProducts(
  _ x: Span<Float>, tokens: Int, columns: Int, alpha: Float = 1, to sum: inout MutableSpan<Float>,
  using isa: InstructionSet = .best
) {
  precondition(x.count == tokens * columns && sum.count == columns * columns, "(tokens, columns)")
  if tokens == 0 || columns == 0 { return }
  unsafe x.withUnsafeBufferPointer { x in
    unsafe sum.withUnsafeMutableBufferPointer { sum in
      var product = unsafe ingot_product()
      unsafe (product.m, product.n, product.k) = (columns, columns, tokens)
      unsafe (product.a, product.lda, product.a_turned) = (x.baseAddress, columns, true)
      unsafe (product.b, product.ldb, product.b_turned) = (UnsafeRawPointer(x.baseAddress), columns, true)
      unsafe (product.alpha, product.beta, product.lower) = (alpha, 1, true)
      unsafe (product.c, product.ldc) = (sum.baseAddress, columns)
      unsafe multiply(&product, isa)
    }
  }
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

@unsafe
private func multiply(_ product: inout ingot_product, _ isa: InstructionSet) {
  let native = isa.checked
  unsafe withAlignedFloats(ingot_product_floats(native, &product)) { scratch in
    unsafe ingot_multiply(native, &product, scratch)
  }
}

/// Memory for so many floats, aligned as vectors like it, while `body` runs.
@unsafe
func withAlignedFloats<Result>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Result) -> Result {
  let memory = UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64)
  defer { unsafe memory.deallocate() }
  return unsafe body(memory.bindMemory(to: Float.self, capacity: count))
}

private func checkMatrix(count: Int, offset: Int, rows: Int, columns: Int, leading: Int) {
  precondition(rows >= 0 && columns >= 0 && offset >= 0, "sizes and offsets are not negative")
  precondition(leading >= columns, "rows would overlap")
  if rows == 0 || columns == 0 { return }
  precondition(offset + (rows - 1) * leading + columns <= count, "the matrix reaches beyond its buffer")
}
