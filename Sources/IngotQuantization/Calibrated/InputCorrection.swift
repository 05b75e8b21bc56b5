import IngotKernels

/// What makes weights W give the outputs that were meant, by inputs as they are: W + (W C + R)(H + λ)⁻¹, R being a wish beside
/// that the outputs should make up for.
///
/// λ is a tenth of the diagonal: the correction is small, and statistics for it should be good.
struct InputCorrection: Sendable {
  private let width: Int
  /// L⁻¹ of H + λ = LLᵀ, lower triangular; empty where there is none, and weights stay.
  private let inverse: [Float]
  /// C, or C(H + λ)⁻¹.
  private let cross: [Float]
  private let isSolved: Bool
  private let wanted: [Float]?

  /// - Parameters:
  ///   - hessian: H, (width, width).
  ///   - cross: C, (width, width).
  ///   - wanted: R, (rows, width); nil for none.
  ///   - rows: how many will be corrected.
  init(_ hessian: [Float], _ cross: [Float], _ wanted: [Float]? = nil, rows: Int, width: Int) {
    self.width = width
    self.wanted = wanted
    var inverse = hessian
    let mean = (0..<width).reduce(0.0) { $0 + Double(hessian[$1 * width + $1]) } / Double(max(width, 1))
    for index in 0..<width {
      inverse[index * width + index] += 0.1 * inverse[index * width + index] + Float(1e-6 * mean) + 1e-30
    }
    var span = inverse.mutableSpan
    self.inverse = invertCholesky(&span, n: width) ? inverse : []
    // Of C there are fewer rows than of W then.
    isSolved = rows > width && !self.inverse.isEmpty
    guard isSolved else {
      self.cross = cross
      return
    }
    var solved = [Float](repeating: 0, count: cross.count)
    InputCorrection.solve(cross, self.inverse, width, addingTo: &solved)
    self.cross = solved
  }

  /// Corrects the weights of some rows: (rows, width).
  func apply(_ w: inout [Float], rows: Range<Int>) {
    if inverse.isEmpty { return }
    let wish = wanted.map { Array($0[rows.lowerBound * width..<rows.upperBound * width]) }
    var moved = [Float](repeating: 0, count: rows.count * width)
    if let wish {
      if isSolved { InputCorrection.solve(wish, inverse, width, addingTo: &moved) } else { moved = wish }
    }
    var span = moved.mutableSpan
    gemm(
      m: rows.count, n: width, k: width, a: w.span, lda: width, b: cross.span, ldb: width, bTransposed: false,
      beta: 1, c: &span, ldc: width)
    if isSolved {
      for index in w.indices { w[index] += moved[index] }
    } else {
      InputCorrection.solve(moved, inverse, width, addingTo: &w)
    }
  }

  /// Adds x (H + λ)⁻¹ = x L⁻ᵀ L⁻¹, for x (rows, width). Products leave out what is zero in the triangle, a run of columns at a time.
  private static func solve(_ x: [Float], _ inverse: [Float], _ width: Int, addingTo out: inout [Float]) {
    let rows = x.count / max(width, 1)
    var half = [Float](repeating: 0, count: x.count)
    var halfSpan = half.mutableSpan
    for first in stride(from: 0, to: width, by: 512) {
      let count = min(512, width - first)
      gemm(
        m: rows, n: count, k: first + count, a: x.span, lda: width, b: inverse.span, bOffset: first * width,
        ldb: width, bTransposed: true, c: &halfSpan, cOffset: first, ldc: width)
    }
    var outSpan = out.mutableSpan
    for first in stride(from: 0, to: width, by: 512) {
      gemm(
        m: rows, n: min(512, width - first), k: width - first, a: half.span, aOffset: first, lda: width,
        b: inverse.span, bOffset: first * width + first, ldb: width, bTransposed: false, beta: 1,
        c: &outSpan, cOffset: first, ldc: width)
    }
  }
}
