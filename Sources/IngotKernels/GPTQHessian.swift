/// A Hessian with what GPTQ derives from it, which is the same for all weights that see these inputs.
///
/// One of MiniMax-M2's largest takes 151 MB and its factor as much: nothing here is kept twice.
public struct GPTQHessian: Sendable {
  public let columns: Int
  /// (columns): the diagonal as it was given.
  public let diagonal: [Float]
  /// (columns, columns), symmetric: a multiple of Σ x xᵀ over the layer's inputs, the diagonal enlarged by `damping` of itself.
  let damped: [Float]
  /// Columns whose codes are chosen together, one after the other in `order`.
  public let together: Int
  /// Columns, or runs of them, in falling order of the diagonal.
  let order: [UInt32]
  /// Uᵀ with H⁻¹ = UᵀU of the ordered, damped Hessian: (columns, columns).
  let factor: [Float]
  /// By what share of itself the diagonal is enlarged: `options.damping` or, where that leaves no factor, more.
  let damping: Float

  /// - Parameter together: columns whose codes are chosen together, as `CodeGrid.together` says; a divisor of `columns`.
  public init(
    _ matrix: consuming [Float], columns: Int, together: Int = 1, _ options: GPTQOptions = .init()
  ) {
    precondition(matrix.count == columns * columns, "(columns, columns)")
    precondition(together > 0 && columns % together == 0, "whole runs of columns")
    self.together = together
    self.columns = columns
    let diagonal = (0..<columns).map { [span = matrix.span] in span[$0 * columns + $0] }
    order = GPTQHessian.order(columns, together) { diagonal[$0] }
    var factor: [Float] = []
    damping = gptqFactor(matrix.span, order: order, damping: options.damping, into: &factor)
    for column in 0..<columns { matrix[column * columns + column] *= 1 + damping }
    self.diagonal = diagonal
    self.factor = factor
    damped = matrix
  }

  /// (columns, columns): the matrix as it was given, a copy.
  public var matrix: [Float] {
    var matrix = damped
    for column in 0..<columns { matrix[column * columns + column] = diagonal[column] }
    return matrix
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
