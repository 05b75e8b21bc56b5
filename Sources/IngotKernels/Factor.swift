import CIngotKernels

#if !canImport(Accelerate)
  import COpenBLAS
#endif

/// Adds `alpha · xᵀx` to the lower triangle of `sum`: x (tokens, columns), sum (columns, columns).
///
/// Single threaded; the order of its sums, and so the last bits, depend on the processor.
/// - Precondition: the spans have exactly these sizes.
public func addOuterProducts(
  _ x: Span<Float>, tokens: Int, columns: Int, alpha: Float = 1, to sum: inout MutableSpan<Float>
) {
  precondition(x.count == tokens * columns && sum.count == columns * columns, "(tokens, columns)")
  precondition(max(tokens, columns) <= Int(Int32.max), "a BLAS counts in 32 bits")
  if tokens == 0 || columns == 0 { return }
  unsafe x.withUnsafeBufferPointer { x in
    unsafe sum.withUnsafeMutableBufferPointer { sum in
      let x = x.baseAddress!
      let sum = sum.baseAddress!
      #if canImport(Accelerate)
        unsafe ingot_ssyrk_accelerate(columns, tokens, alpha, x, columns, 1, sum, columns)
      #else
        _ = oneThread
        unsafe cblas_ssyrk(
          CblasRowMajor, CblasLower, CblasTrans, blasint(columns), blasint(tokens), alpha, x,
          blasint(columns), 1, sum, blasint(columns))
      #endif
    }
  }
}

/// Makes a matrix (n, n) symmetric: what stands below the diagonal is copied above it.
public func mirrorLowerTriangle(_ matrix: inout MutableSpan<Float>, n: Int) {
  precondition(matrix.count == n * n, "(n, n)")
  unsafe matrix.withUnsafeMutableBufferPointer { buffer in
    guard let matrix = buffer.baseAddress else { return }
    let block = 64
    for top in stride(from: 0, to: n, by: block) {
      for left in stride(from: 0, through: top, by: block) {
        for row in top..<min(top + block, n) {
          for column in left..<min(left + block, row) {
            unsafe matrix[column * n + row] = unsafe matrix[row * n + column]
          }
        }
      }
    }
  }
}

/// The factor that GPTQ needs: F = Uᵀ, lower triangular, with H⁻¹ = UᵀU for the Hessian whose columns are taken in
/// `order` and whose diagonal is enlarged by `damping` of itself.
///
/// By the Cholesky factor of the index-reversed Hessian and its inverse, which is half the work of inverting first.
/// The Hessian is scaled to a diagonal of ones beforehand; columns without statistics stand alone. Where rounding leaves
/// no Cholesky factor, the damping is multiplied by ten until there is one: from `damping` = n on, the matrix is
/// diagonally dominant.
/// - Parameters:
///   - hessian: (n, n), symmetric, positive semidefinite but for rounding.
///   - factor: (n, n); made by this function.
/// - Returns: the damping that was used.
public func gptqFactor(
  _ hessian: Span<Float>, order: [UInt32], damping: Float, into factor: inout [Float]
) -> Float {
  let n = order.count
  precondition(hessian.count == n * n, "(n, n)")
  if n == 0 { return damping }
  // 1 / √ of the diagonal, in order; 0 for a column without statistics.
  let scales = order.map { column -> Float in
    let own = hessian[Int(column) * n + Int(column)]
    return hasStatistics(own) ? 1 / own.squareRoot() : 0
  }
  let reversed = (0..<n).map { (column: order[n - 1 - $0], scale: scales[n - 1 - $0]) }
  var inverse = [Float](repeating: 0, count: n * n)
  var damping = max(damping, 1e-4)
  while true {
    unsafe hessian.withUnsafeBufferPointer { hessian in
      unsafe inverse.withUnsafeMutableBufferPointer { inverse in
        unsafe reversed.withUnsafeBufferPointer { reversed in
          for i in 0..<n {
            let (row, own) = (Int(order[n - 1 - i]) * n, scales[n - 1 - i])
            for j in 0..<i {
              let (column, scale) = unsafe reversed[j]
              unsafe inverse[i * n + j] = unsafe hessian[row + Int(column)] * own * scale
            }
            unsafe inverse[i * n + i] = 1 + damping
          }
        }
      }
    }
    var span = inverse.mutableSpan
    if invertCholesky(&span, n: n) { break }
    damping *= 10
  }
  if factor.count < n * n { factor = [Float](repeating: 0, count: n * n) }
  let block = 32
  unsafe inverse.withUnsafeBufferPointer { source in
    unsafe factor.withUnsafeMutableBufferPointer { out in
      for top in stride(from: 0, to: n, by: block) {
        for left in stride(from: 0, through: top, by: block) {
          for k in top..<min(top + block, n) {
            let scale = scales[k] > 0 ? scales[k] : 1
            for j in left...min(left + block - 1, k) {
              unsafe out[k * n + j] = unsafe source[(n - 1 - j) * n + (n - 1 - k)] * scale
            }
          }
        }
      }
    }
  }
  return damping
}

/// Whether a column whose diagonal value this is was seen at all.
func hasStatistics(_ diagonal: Float) -> Bool { diagonal > 0x1p-100 && diagonal.isFinite }

/// L⁻¹ in the lower triangle for A = LLᵀ, of which the lower triangle is given; false when there is no such L. What
/// stands above the diagonal is left.
public func invertCholesky(_ matrix: inout MutableSpan<Float>, n: Int) -> Bool {
  precondition(matrix.count == n * n && n <= Int(Int32.max), "(n, n)")
  return unsafe matrix.withUnsafeMutableBufferPointer { matrix in
    let a = matrix.baseAddress!
    #if canImport(Accelerate)
      return unsafe ingot_spotrf_accelerate(n, a) == 0 && ingot_strtri_accelerate(n, a) == 0
    #else
      _ = oneThread
      // Columns first, as LAPACK sees it, the lower triangle is the upper one.
      var size = blasint(n)
      var info: blasint = 0
      var leading = size
      unsafe spotrf_("U", &size, a, &leading, &info, 1)
      guard info == 0 else { return false }
      unsafe strtri_("U", "N", &size, a, &leading, &info, 1, 1)
      return info == 0
    #endif
  }
}
