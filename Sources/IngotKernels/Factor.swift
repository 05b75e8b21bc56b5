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
