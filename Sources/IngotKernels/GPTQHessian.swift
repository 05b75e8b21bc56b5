/// A Hessian with what GPTQ derives from it, which is the same for all weights that see these inputs.
public struct GPTQHessian: Sendable {
  public let columns: Int
  /// (columns, columns), symmetric: a multiple of Σ x xᵀ over the layer's inputs.
  public let matrix: [Float]
  /// Columns whose codes are chosen together, one after the other in `order`.
  public let together: Int
  /// Columns, or runs of them, in falling order of the diagonal.
  let order: [UInt32]
  /// Uᵀ with H⁻¹ = UᵀU of the ordered, damped Hessian: (columns, columns).
  let factor: [Float]
  /// By what share of itself the diagonal is enlarged in `factor`: `options.damping` or, where that leaves no factor, more.
  let damping: Float

  /// - Parameter together: columns whose codes are chosen together, as `CodeGrid.together` says; a divisor of `columns`.
  public init(_ matrix: [Float], columns: Int, together: Int = 1, _ options: GPTQOptions = .init()) {
    precondition(matrix.count == columns * columns, "(columns, columns)")
    precondition(together > 0 && columns % together == 0, "whole runs of columns")
    self.together = together
    self.columns = columns
    self.matrix = matrix
    order = GPTQHessian.order(columns, together) { matrix[$0 * columns + $0] }
    var factor: [Float] = []
    damping = gptqFactor(matrix.span, order: order, damping: options.damping, into: &factor)
    self.factor = factor
  }

  /// Runs of `together` columns in falling order of what `diagonal` sums to in them, those that come first at equal sums.
  static func order(_ columns: Int, _ together: Int, _ diagonal: (Int) -> Float) -> [UInt32] {
    let sums = (0..<columns / together).map { run in
      (0..<together).reduce(Float(0)) { $0 + diagonal(run * together + $1) }
    }
    let runs = sums.indices.sorted { (sums[$1], $0) < (sums[$0], $1) }
    return runs.flatMap { run in (0..<together).map { UInt32(run * together + $0) } }
  }
}
