import CIngotKernels

/// How codes are chosen by what they do to a layer's outputs.
public struct GPTQOptions: Sendable {
  /// By what share of itself the Hessian's diagonal is enlarged, at least.
  public var damping: Float = 0.01
  /// Passes of coordinate descent after GPTQ; each refits scales and offsets, then every code. Between two of them blocks
  /// are chosen anew on neighbouring grids.
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
/// factor leaves for them (block LDLQ, Tseng et al., "QuIP#", 2024). Coordinate descent then takes one group of columns after the other: scale and offset by
/// least squares against the outputs as they are, rounded as stored, then every code to its own optimum. Between two such
/// passes, codes of each part are chosen as a block by GPTQ once more, on the part's grid and its neighbours: steps, zero
/// points, exponents, multiples. No step of these makes the damped error larger.
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
  var difference = differences(transposed, values, grid)
  let hasDescended = grid.canDescend && options.sweeps > 0
  if hasDescended {
    var gradient = [Float](repeating: 0, count: columns * stride)
    let damped = hessian.damped
    multiply(damped, difference, columns, stride, &gradient)
    for sweep in 0..<options.sweeps {
      if sweep > 0 { search(damped, &gradient, &grid, &values, isa) }
      descend(damped, &gradient, &grid, &values, isa)
    }
    difference = differences(transposed, values, grid)
    error = product(difference, gradient)
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

/// What codes of these values on the grid stand for, subtracted from weights; all (columns, stride).
private func differences(_ weights: [Float], _ values: [Float], _ grid: CodeGrid) -> [Float] {
  let stride = grid.stride
  var (steps, zeros, biases) = (
    [Float](repeating: 0, count: stride), [Float](repeating: 0, count: stride),
    [Float](repeating: 0, count: stride)
  )
  return unsafe [Float](unsafeUninitializedCapacity: weights.count) { out, count in
    for column in 0..<grid.columns {
      if column % grid.part == 0 {
        for row in 0..<stride { (steps[row], zeros[row], biases[row]) = grid.meaning(column, row) }
      }
      let first = column * stride
      unsafe weights.withUnsafeBufferPointer { weights in
        unsafe values.withUnsafeBufferPointer { values in
          for row in 0..<stride {
            let meant = steps[row] * (unsafe values[first + row] - zeros[row]) + biases[row]
            unsafe (out.baseAddress! + first + row).initialize(to: weights[first + row] - meant)
          }
        }
      }
    }
    count = weights.count
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

/// out (columns, stride) = h (columns, columns) · x (columns, stride)
private func multiply(_ h: [Float], _ x: [Float], _ columns: Int, _ stride: Int, _ out: inout [Float]) {
  var target = out.mutableSpan
  gemm(
    m: columns, n: stride, k: columns, a: h.span, lda: columns, b: x.span, ldb: stride, bTransposed: false,
    c: &target, ldc: stride)
}

func sumOfSquares(_ values: [Float], _ range: Range<Int>) -> Double {
  unsafe values.withUnsafeBufferPointer { values in
    let first = unsafe values.baseAddress! + range.lowerBound
    return unsafe ingot_dot(first, first, range.count)
  }
}

private func product(_ a: [Float], _ b: [Float]) -> Double {
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

/// One pass of the descent over all columns. `gradient` (columns, stride) is H(w − ŵ), kept up to date.
private func descend(
  _ hessian: [Float], _ gradient: inout [Float], _ grid: inout CodeGrid, _ values: inout [Float],
  _ isa: ingot_isa
) {
  let (columns, stride) = (grid.columns, grid.stride)
  var changes = [Float](repeating: 0, count: grid.superPart * stride)
  for index in 0..<grid.supers {
    unsafe grid.withNative { native in
      unsafe hessian.withUnsafeBufferPointer { hessian in
        unsafe gradient.withUnsafeMutableBufferPointer { gradient in
          unsafe values.withUnsafeMutableBufferPointer { values in
            unsafe changes.withUnsafeMutableBufferPointer { changes in
              unsafe ingot_descend(
                isa, native, index, hessian.baseAddress!, gradient.baseAddress!, values.baseAddress!,
                changes.baseAddress!)
            }
          }
        }
      }
    }
    let first = index * grid.superPart
    spread(changes, first..<min(first + grid.superPart, columns), hessian, columns, stride, &gradient)
  }
}

/// One pass over all parts, each block of columns against what would be best there: GPTQ within the block on the part's
/// grid and on its neighbours. `gradient` (columns, stride) is H(w − ŵ), kept up to date.
///
/// Within a block, GPTQ's squared errors sum to (t − ŵ)H(t − ŵ)ᵀ, t being the best weights, so a grid's worth is known
/// from choosing its codes.
private func search(
  _ hessian: [Float], _ gradient: inout [Float], _ grid: inout CodeGrid, _ values: inout [Float],
  _ isa: ingot_isa
) {
  let (columns, stride) = (grid.columns, grid.stride)
  let moves = grid.moves
  var changes = [Float](repeating: 0, count: grid.superPart * stride)
  var targets = [Float](repeating: 0, count: grid.part * stride)
  var factor: [Float] = []
  for index in 0..<grid.supers {
    let start = index * grid.superPart
    let end = min(start + grid.superPart, columns)
    for first in Swift.stride(from: start, to: end, by: grid.part) {
      let width = min(grid.part, end - first)
      let order = blockFactor(
        hessian, columns, together: grid.together, first: first, width: width, into: &factor)
      bestWeights(gradient, grid, values, order, factor, first: first, width: width, into: &targets)
      let offset = (first - start) * stride
      unsafe grid.withNative { native in
        unsafe moves.withUnsafeBufferPointer { moves in
          unsafe factor.withUnsafeBufferPointer { factor in
            unsafe order.withUnsafeBufferPointer { order in
              unsafe targets.withUnsafeBufferPointer { targets in
                unsafe values.withUnsafeMutableBufferPointer { values in
                  unsafe changes.withUnsafeMutableBufferPointer { changes in
                    unsafe ingot_search_part(
                      isa, native, first / native.pointee.part, moves.baseAddress!, moves.count,
                      targets.baseAddress!, order.baseAddress!, factor.baseAddress!, values.baseAddress!,
                      changes.baseAddress! + offset)
                  }
                }
              }
            }
          }
        }
      }
      // The parts that share d see it at once, the other columns when all of these are through.
      var target = gradient.mutableSpan
      gemm(
        m: end - start, n: stride, k: width, alpha: -1, a: hessian.span, aOffset: start * columns + first,
        lda: columns, b: changes.span, bOffset: offset, ldb: stride, bTransposed: false, beta: 1, c: &target,
        cOffset: start * stride, ldc: stride)
    }
    spread(changes, start..<end, hessian, columns, stride, &gradient)
  }
}

/// Takes changes of some columns (columns, stride) from the gradients of the others.
private func spread(
  _ changes: [Float], _ range: Range<Int>, _ hessian: [Float], _ columns: Int, _ stride: Int,
  _ gradient: inout [Float]
) {
  var target = gradient.mutableSpan
  for others in [0..<range.lowerBound, range.upperBound..<columns] where !others.isEmpty {
    gemm(
      m: others.count, n: stride, k: range.count, alpha: -1, a: hessian.span,
      aOffset: others.lowerBound * columns + range.lowerBound, lda: columns, b: changes.span, ldb: stride,
      bTransposed: false, beta: 1, c: &target, cOffset: others.lowerBound * stride, ldc: stride)
  }
}

/// The factor of a block of columns alone, and their order.
private func blockFactor(
  _ hessian: [Float], _ columns: Int, together: Int, first: Int, width: Int, into factor: inout [Float]
) -> [UInt32] {
  var block = [Float](repeating: 0, count: width * width)
  for row in 0..<width {
    for column in 0..<width {
      block[row * width + column] = hessian[(first + row) * columns + first + column]
    }
  }
  let order = GPTQHessian.order(width, together) { block[$0 * width + $0] }
  _ = gptqFactor(block.span, order: order, damping: 0, into: &factor)
  return order
}

/// ŵ + G H⁻¹ of a block of columns (width, stride): the weights that would be best there, the others staying.
private func bestWeights(
  _ gradient: [Float], _ grid: CodeGrid, _ values: [Float], _ order: [UInt32], _ factor: [Float], first: Int,
  width: Int, into targets: inout [Float]
) {
  let stride = grid.stride
  var ordered = [Float](repeating: 0, count: width * width)
  var span = ordered.mutableSpan
  gemm(
    m: width, n: width, k: width, a: factor.span, lda: width, b: factor.span, ldb: width, bTransposed: true,
    c: &span, ldc: width)
  var inverse = ordered
  for i in 0..<width {
    for j in 0..<width { inverse[Int(order[i]) * width + Int(order[j])] = ordered[i * width + j] }
  }
  for column in first..<first + width {
    for row in 0..<stride {
      targets[(column - first) * stride + row] = grid.weight(values[column * stride + row], column, row)
    }
  }
  var target = targets.mutableSpan
  gemm(
    m: width, n: stride, k: width, a: inverse.span, lda: width, b: gradient.span, bOffset: first * stride,
    ldb: stride, bTransposed: false, beta: 1, c: &target, ldc: stride)
}
