import CIngotKernels

/// How codes are chosen by what they do to a layer's outputs.
public struct GPTQOptions: Sendable {
  /// By what share of itself the Hessian's diagonal is enlarged, at least.
  public var damping: Float = GPTQOptions.defaultDamping

  public static let defaultDamping: Float = 0.01

  /// By how much damping is larger than the default: 1 for that.
  var dampingRatio: Double { Double(damping / GPTQOptions.defaultDamping) }

  /// Passes of coordinate descent after GPTQ; each refits scales and offsets, then every code. In all but the first, blocks
  /// are chosen anew on neighbouring grids before that.
  public var sweeps = 2

  public init() {}
}

/// Codes and the error they leave.
public struct GPTQResult: Sendable {
  /// Values of the codes: (columns, stride).
  public var values: [Float]
  /// Σ over rows of (w − ŵ)H(w − ŵ)ᵀ, H without damping.
  public var error: Double
  /// The same of a row of zeros: what the layer's outputs amount to; 0 where nobody asked.
  public var power: Double
}

/// Chooses codes for rows of weights on a grid so that (w − ŵ)H(w − ŵ)ᵀ is small, and moves the grid's scales and
/// offsets to where it is smaller still.
///
/// GPTQ takes the columns in falling order of the Hessian's diagonal, the grid being given; each rounding is made up for
/// by the columns that follow. Where a code stands for eight columns, they are taken together, in the metric that the
/// factor leaves for them (block LDLQ, Tseng et al., "QuIP#", 2024). Coordinate descent then takes one group of columns after
/// the other: scale and offset by least squares against the outputs as they are, rounded as stored, then every code to its own
/// optimum. In all passes but the first, codes of each part are before that chosen as a block by GPTQ once more, on the part's
/// grid and its neighbours: steps, zero points, exponents, multiples. No step of these makes the damped error larger.
///
/// Rows know nothing of each other: pieces of a matrix get the codes that the whole gets.
/// - Parameters:
///   - weights: (rows, columns), finite.
///   - measuresPower: whether the result has its `power`.
public func chooseCodes(
  _ weights: Span<Float>, hessian: GPTQHessian, grid: inout CodeGrid, _ options: GPTQOptions = .init(),
  measuresPower: Bool = true, using isa: InstructionSet = .best
) -> GPTQResult {
  let (rows, columns, stride) = (grid.rows, grid.columns, grid.stride)
  precondition(weights.count == rows * columns && hessian.columns == columns, "(rows, columns)")
  precondition(hessian.together % grid.together == 0, "columns in an order that the grid allows")
  if rows == 0 || columns == 0 { return GPTQResult(values: [], error: 0, power: 0) }
  let isa = isa.checked
  let transposed = transposedRows(weights, rows: rows, columns: columns, stride: stride)
  var values = [Float](repeating: 0, count: columns * stride)
  let damping = hessian.damping
  var error = roundInOrder(transposed, hessian, &grid, &values, isa)
  var difference = differences(transposed, values, grid, 0..<columns)
  let hasDescended = grid.canDescend && options.sweeps > 0
  if hasDescended {
    // Columns that nothing was seen of: GPTQ takes H_jj = 1 for them, the descent 0.
    for column in 0..<columns where !hasStatistics(hessian.diagonal[column]) {
      error -= (1 + Double(damping)) * sumOfSquares(difference, column * stride..<(column + 1) * stride)
    }
    for sweep in 0..<options.sweeps {
      error -= improve(
        hessian.damped, transposed, &difference, &grid, &values, searches: sweep > 0, isa)
    }
  }
  // What was damped stands in the error so far: d H_jj e² for every weight's difference e. GPTQ takes a column without
  // statistics for one with H_jj = 1.
  for column in 0..<columns {
    let squares = sumOfSquares(difference, column * stride..<(column + 1) * stride)
    let diagonal = hessian.diagonal[column]
    let isSeen = hasDescended || hasStatistics(diagonal)
    error -= (isSeen ? Double(damping) * Double(diagonal) : 1 + Double(damping)) * squares
  }
  return GPTQResult(
    values: values, error: max(error, 0),
    power: measuresPower ? outputPower(weights, hessian, rows: rows) : 0)
}

/// The same for a Hessian, (columns, columns), that no other weights share.
public func chooseCodes(
  _ weights: Span<Float>, hessian: Span<Float>, grid: inout CodeGrid, _ options: GPTQOptions = .init(),
  using isa: InstructionSet = .best
) -> GPTQResult {
  var matrix = [Float](repeating: 0, count: hessian.count)
  for index in matrix.indices { matrix[index] = hessian[index] }
  return chooseCodes(
    weights, hessian: GPTQHessian(matrix, columns: grid.columns, together: grid.together, options),
    grid: &grid,
    options, using: isa)
}

/// The rows of so many whose power stands for all: at most 64, evenly spread.
public func powerRows(_ rows: Int) -> [Int] {
  let count = min(rows, 64)
  return (0..<count).map { $0 * rows / count }
}

/// Σ w H wᵀ, of some rows (`powerRows`) in proportion: it is reported and decides nothing.
///
/// - Parameters:
///   - weights: all rows, or those of `powerRows`: (count, columns).
///   - rows: how many there are in all.
public func outputPower(_ weights: Span<Float>, _ hessian: GPTQHessian, rows: Int) -> Double {
  let (columns, chosen) = (hessian.columns, powerRows(rows))
  if columns == 0 || chosen.isEmpty { return 0 }
  var some = [Float](repeating: 0, count: chosen.count * columns)
  let isWhole = weights.count == rows * columns
  precondition(isWhole || weights.count == some.count, "(rows, columns)")
  for (index, row) in chosen.enumerated() {
    let from = (isWhole ? row : index) * columns
    for column in 0..<columns { some[index * columns + column] = weights[from + column] }
  }
  var moved = [Float](repeating: 0, count: some.count)
  var span = moved.mutableSpan
  gemm(
    m: chosen.count, n: columns, k: columns, a: some.span, lda: columns, b: hessian.damped.span, ldb: columns,
    bTransposed: false,
    c: &span, ldc: columns)
  var power = product(some, moved)
  for column in 0..<columns {
    let excess = Double(hessian.damped[column * columns + column]) - Double(hessian.diagonal[column])
    for index in chosen.indices {
      let weight = Double(some[index * columns + column])
      power -= excess * weight * weight
    }
  }
  return power * Double(rows) / Double(chosen.count)
}

/// What codes of these values on the grid stand for, subtracted from weights, in some columns: (these, stride) of (columns, stride).
///
/// - Parameter range: begins with a part.
func differences(
  _ weights: [Float], _ values: [Float], _ grid: CodeGrid, _ range: Range<Int>
) -> [Float] {
  let stride = grid.stride
  var (steps, zeros, biases) = (
    [Float](repeating: 0, count: stride), [Float](repeating: 0, count: stride),
    [Float](repeating: 0, count: stride)
  )
  return unsafe [Float](unsafeUninitializedCapacity: range.count * stride) { out, count in
    for column in range {
      if column % grid.part == 0 {
        for row in 0..<stride { (steps[row], zeros[row], biases[row]) = grid.meaning(column, row) }
      }
      let (first, target) = (column * stride, (column - range.lowerBound) * stride)
      unsafe weights.withUnsafeBufferPointer { weights in
        unsafe values.withUnsafeBufferPointer { values in
          for row in 0..<stride {
            let meant = steps[row] * (unsafe values[first + row] - zeros[row]) + biases[row]
            unsafe (out.baseAddress! + target + row).initialize(to: weights[first + row] - meant)
          }
        }
      }
    }
    count = range.count * stride
  }
}

/// (columns, stride) of weights (rows, columns); rows beyond the last are zeros.
func transposedRows(_ weights: Span<Float>, rows: Int, columns: Int, stride: Int) -> [Float] {
  var out = [Float](repeating: 0, count: columns * stride)
  var target = out.mutableSpan
  let block = 32
  for top in Swift.stride(from: 0, to: rows, by: block) {
    for left in Swift.stride(from: 0, to: columns, by: block) {
      for column in left..<min(left + block, columns) {
        for row in top..<min(top + block, rows) {
          target[column * stride + row] = weights[row * columns + column]
        }
      }
    }
  }
  return out
}

func sumOfSquares(_ values: [Float], _ range: Range<Int>) -> Double {
  unsafe values.withUnsafeBufferPointer { values in
    let first = unsafe values.baseAddress! + range.lowerBound
    return unsafe ingot_dot(first, first, range.count)
  }
}

func product(_ a: [Float], _ b: [Float]) -> Double {
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in unsafe ingot_dot(a.baseAddress!, b.baseAddress!, a.count) }
  }
}

/// GPTQ: columns in order, in blocks whose errors the columns after them get all at once: those of the same four blocks
/// after each, the others after all four, since a product of few columns is a slow one.
///
/// - Returns: Σ (w − ŵ)H(w − ŵ)ᵀ with H damped: the sum of the errors' squares.
private func roundInOrder(
  _ transposed: [Float], _ hessian: GPTQHessian, _ grid: inout CodeGrid, _ values: inout [Float],
  _ isa: ingot_isa
) -> Double {
  let (columns, stride) = (grid.columns, grid.stride)
  let (order, factor) = (hessian.order, hessian.factor)
  var squares = 0.0
  var weights = unsafe [Float](unsafeUninitializedCapacity: columns * stride) { weights, count in
    for (place, column) in order.enumerated() {
      unsafe transposed.withUnsafeBufferPointer { transposed in
        unsafe (weights.baseAddress! + place * stride).initialize(
          from: transposed.baseAddress! + Int(column) * stride, count: stride)
      }
    }
    count = columns * stride
  }
  let (block, wide) = (64, 256)
  var errors = [Float](repeating: 0, count: min(wide, columns) * stride)

  /// Takes what columns from `first` on cost from those in `later`.
  func update(_ later: Range<Int>, from first: Int, count: Int, errorsAt offset: Int) {
    var rest = weights.mutableSpan
    gemm(
      m: later.count, n: stride, k: count, alpha: -1, a: factor.span,
      aOffset: later.lowerBound * columns + first,
      lda: columns, b: errors.span, bOffset: offset * stride, ldb: stride, bTransposed: false, beta: 1,
      c: &rest, cOffset: later.lowerBound * stride, ldc: stride)
  }

  for start in Swift.stride(from: 0, to: columns, by: wide) {
    let end = min(start + wide, columns)
    for first in Swift.stride(from: start, to: end, by: block) {
      let count = min(block, end - first)
      unsafe grid.withNative { native in
        unsafe weights.withUnsafeMutableBufferPointer { weights in
          unsafe factor.withUnsafeBufferPointer { factor in
            unsafe values.withUnsafeMutableBufferPointer { values in
              unsafe errors.withUnsafeMutableBufferPointer { errors in
                unsafe order.withUnsafeBufferPointer { order in
                  unsafe ingot_gptq_columns(
                    isa, native, order.baseAddress! + first, count, weights.baseAddress! + first * stride,
                    factor.baseAddress! + first * columns + first, columns, values.baseAddress!,
                    errors.baseAddress! + (first - start) * stride)
                }
              }
            }
          }
        }
      }
      squares += sumOfSquares(errors, (first - start) * stride..<(first - start + count) * stride)
      update(first + count..<end, from: first, count: count, errorsAt: first - start)
    }
    update(end..<columns, from: start, count: end - start, errorsAt: 0)
  }
  return squares
}
