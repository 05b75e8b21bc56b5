import CIngotKernels

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
///   - factor: (n, n); made by this function, in its own memory where it has that size.
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
  if factor.count != n * n { factor = [Float](repeating: 0, count: n * n) }
  var damping = max(damping, 1e-4)
  while true {
    unsafe hessian.withUnsafeBufferPointer { hessian in
      unsafe factor.withUnsafeMutableBufferPointer { scaled in
        unsafe reversed.withUnsafeBufferPointer { reversed in
          for i in 0..<n {
            let (row, own) = (Int(order[n - 1 - i]) * n, scales[n - 1 - i])
            for j in 0..<i {
              let (column, scale) = unsafe reversed[j]
              unsafe scaled[i * n + j] = unsafe hessian[row + Int(column)] * own * scale
            }
            unsafe scaled[i * n + i] = 1 + damping
          }
        }
      }
    }
    var span = factor.mutableSpan
    if invertCholesky(&span, n: n) { break }
    damping *= 10
  }
  reverse(&factor, n: n, rowScales: scales.map { $0 > 0 ? $0 : 1 })
  return damping
}

/// Reflects a lower triangle (n, n) in its other diagonal, in place, and multiplies its rows: what stands in row k and column j
/// is what stood in row n − 1 − j and column n − 1 − k.
private func reverse(_ matrix: inout [Float], n: Int, rowScales: [Float]) {
  let block = 32
  unsafe matrix.withUnsafeMutableBufferPointer { matrix in
    for top in stride(from: 0, to: n, by: block) {
      for left in stride(from: 0, through: min(top, n - 1 - top), by: block) {
        for k in top..<min(top + block, n) {
          for j in left..<max(min(left + block, k + 1, n - k), left) {
            let (one, other) = (k * n + j, (n - 1 - j) * n + n - 1 - k)
            let value = unsafe matrix[one] * rowScales[n - 1 - j]
            unsafe matrix[one] = unsafe matrix[other] * rowScales[k]
            if one != other { unsafe matrix[other] = value }
          }
        }
      }
    }
  }
}

/// Whether a column whose diagonal value this is was seen at all.
func hasStatistics(_ diagonal: Float) -> Bool { diagonal > 0x1p-100 && diagonal.isFinite }

/// L⁻¹ in place of A = LLᵀ, of which the lower triangle is given, and zeros above the diagonal; false when there is no
/// such L. By halves on products in the order of `gemm`, so that the bits are the same on every machine.
public func invertCholesky(
  _ matrix: inout MutableSpan<Float>, n: Int, using isa: InstructionSet = .best
) -> Bool {
  precondition(matrix.count == n * n, "(n, n)")
  if n == 0 { return true }
  let native = isa.checked
  return unsafe matrix.withUnsafeMutableBufferPointer { matrix in
    unsafe withAlignedFloats(ingot_factor_floats(n)) { scratch in
      unsafe ingot_invert_cholesky(native, n, matrix.baseAddress!, scratch)
    }
  }
}
