import CIngotKernels

/// Columns whose gradients are made by one product.
private let groupColumns = 256

/// One pass of the descent over all columns, a run of those that share d and m after the other: codes of each of its parts chosen
/// anew as a block where `searches` says so, then scale, offset and codes. No step makes the error larger.
///
/// Gradients H(w − ŵ) are made where they are looked at, for some runs together, which sees all changes before them: half of what
/// it takes to keep all of them up to date.
/// - Parameters:
///   - hessian: (columns, columns), damped.
///   - transposed: w, (columns, stride).
///   - difference: w − ŵ, kept up to date.
/// - Returns: by how much (w − ŵ)H(w − ŵ)ᵀ fell, over all rows.
func improve(
  _ hessian: [Float], _ transposed: [Float], _ difference: inout [Float], _ grid: inout CodeGrid,
  _ values: inout [Float], searches: Bool, _ isa: ingot_isa
) -> Double {
  let (columns, stride, width) = (grid.columns, grid.stride, grid.superPart)
  let group = max(groupColumns / width, 1) * width
  var gradient = [Float](repeating: 0, count: min(group, columns) * stride)
  var gain = 0.0
  for start in Swift.stride(from: 0, to: columns, by: group) {
    let end = min(start + group, columns)
    var target = gradient.mutableSpan
    gemm(
      m: end - start, n: stride, k: columns, a: hessian.span, aOffset: start * columns, lda: columns,
      b: difference.span, ldb: stride, bTransposed: false, c: &target, ldc: stride)
    for first in Swift.stride(from: start, to: end, by: width) {
      let last = min(first + width, columns)
      let place = (first - start) * stride..<(last - start) * stride
      let before = Array(gradient[place])
      if searches { search(hessian, &gradient, from: start, &grid, &values, index: first / width, isa) }
      descend(hessian, &gradient, from: start, &grid, &values, index: first / width, isa)
      let after = differences(transposed, values, grid, first..<last)
      let changes = exchange(&difference, from: first * stride, with: after)
      // E falls by 2 c·G − cHc, and G becomes G − Hc.
      gain += product(changes, before) + product(changes, Array(gradient[place]))
      if last == end { continue }
      var rest = gradient.mutableSpan
      gemm(
        m: end - last, n: stride, k: last - first, alpha: -1, a: hessian.span,
        aOffset: last * columns + first, lda: columns, b: changes.span, ldb: stride, bTransposed: false,
        beta: 1, c: &rest, cOffset: (last - start) * stride, ldc: stride)
    }
  }
  return gain
}

/// Puts new values in the place of others; gives what these had more.
private func exchange(_ values: inout [Float], from first: Int, with new: [Float]) -> [Float] {
  unsafe [Float](unsafeUninitializedCapacity: new.count) { less, count in
    unsafe values.withUnsafeMutableBufferPointer { values in
      unsafe new.withUnsafeBufferPointer { new in
        for index in 0..<new.count {
          unsafe (less.baseAddress! + index).initialize(to: values[first + index] - new[index])
          unsafe values[first + index] = unsafe new[index]
        }
      }
    }
    count = new.count
  }
}

/// Scale, offset and codes of columns that share d and m, each to its optimum.
///
/// - Parameter gradient: of some columns from `start` on, (columns, stride); kept up to date in those of the run.
private func descend(
  _ hessian: [Float], _ gradient: inout [Float], from start: Int, _ grid: inout CodeGrid,
  _ values: inout [Float], index: Int, _ isa: ingot_isa
) {
  let offset = (index * grid.superPart - start) * grid.stride
  unsafe grid.withNative { native in
    unsafe hessian.withUnsafeBufferPointer { hessian in
      unsafe gradient.withUnsafeMutableBufferPointer { gradient in
        unsafe values.withUnsafeMutableBufferPointer { values in
          unsafe ingot_descend(
            isa, native, index, hessian.baseAddress!, gradient.baseAddress! + offset, values.baseAddress!)
        }
      }
    }
  }
}

/// Each part of columns that share d and m against what would be best there: GPTQ within the block on the part's grid and on its
/// neighbours.
///
/// Within a block, GPTQ's squared errors sum to (t − ŵ)H(t − ŵ)ᵀ, t being the best weights, so a grid's worth is known
/// from choosing its codes.
/// - Parameter gradient: of some columns from `from` on, (columns, stride); kept up to date in those of the run.
private func search(
  _ hessian: [Float], _ gradient: inout [Float], from: Int, _ grid: inout CodeGrid, _ values: inout [Float],
  index: Int, _ isa: ingot_isa
) {
  let (columns, stride) = (grid.columns, grid.stride)
  let moves = grid.moves
  var changes = [Float](repeating: 0, count: grid.part * stride)
  var targets = [Float](repeating: 0, count: grid.part * stride)
  var factor: [Float] = []
  let start = index * grid.superPart
  let end = min(start + grid.superPart, columns)
  for first in Swift.stride(from: start, to: end, by: grid.part) {
    let width = min(grid.part, end - first)
    let order = blockFactor(
      hessian, columns, together: grid.together, first: first, width: width, into: &factor)
    bestWeights(
      gradient, at: first - from, grid, values, order, factor, first: first, width: width, into: &targets)
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
                    changes.baseAddress!)
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
      lda: columns, b: changes.span, ldb: stride, bTransposed: false, beta: 1, c: &target,
      cOffset: (start - from) * stride, ldc: stride)
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
///
/// - Parameter place: the column of `gradient` where the block begins.
private func bestWeights(
  _ gradient: [Float], at place: Int, _ grid: CodeGrid, _ values: [Float], _ order: [UInt32],
  _ factor: [Float], first: Int, width: Int, into targets: inout [Float]
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
  var (steps, zeros, biases) = (
    [Float](repeating: 0, count: stride), [Float](repeating: 0, count: stride),
    [Float](repeating: 0, count: stride)
  )
  // A block is one part: its rows have one meaning each.
  for row in 0..<stride { (steps[row], zeros[row], biases[row]) = grid.meaning(first, row) }
  unsafe targets.withUnsafeMutableBufferPointer { targets in
    unsafe values.withUnsafeBufferPointer { values in
      for column in first..<first + width {
        let (from, to) = (column * stride, (column - first) * stride)
        for row in 0..<stride {
          unsafe targets[to + row] = steps[row] * (unsafe values[from + row] - zeros[row]) + biases[row]
        }
      }
    }
  }
  var target = targets.mutableSpan
  gemm(
    m: width, n: stride, k: width, a: inverse.span, lda: width, b: gradient.span, bOffset: place * stride,
    ldb: stride, bTransposed: false, beta: 1, c: &target, ldc: stride)
}
