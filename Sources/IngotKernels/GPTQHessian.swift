/// A Hessian with what GPTQ derives from it, which is the same for all weights that see these inputs.
public struct GPTQHessian: Sendable {
  public let columns: Int
  /// (columns, columns), symmetric: a multiple of Σ x xᵀ over the layer's inputs.
  public let matrix: [Float]
  /// Columns in falling order of the diagonal.
  let order: [UInt32]
  /// Uᵀ with H⁻¹ = UᵀU of the ordered, damped Hessian: (columns, columns).
  let factor: [Float]
  /// By what share of itself the diagonal is enlarged in `factor`: `options.damping` or, where that leaves no factor, more.
  let damping: Float

  public init(_ matrix: [Float], columns: Int, _ options: GPTQOptions = .init()) {
    precondition(matrix.count == columns * columns, "(columns, columns)")
    self.columns = columns
    self.matrix = matrix
    order = (0..<columns).map { UInt32($0) }.sorted {
      (matrix[Int($1) * columns + Int($1)], $0) < (matrix[Int($0) * columns + Int($0)], $1)
    }
    var factor: [Float] = []
    damping = gptqFactor(matrix.span, order: order, damping: options.damping, into: &factor)
    self.factor = factor
  }
}
