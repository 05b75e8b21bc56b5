import CIngotKernels

/// Chosen trellis codes and their scales.
public struct TrellisCodes: Sendable {
  /// As `decodeTrellis` takes them.
  public var codes: [UInt8]
  /// (rows)
  public var rowScales: [Float]
  /// (columns), each one an F16.
  public var columnScales: [Float]
  /// What the codes do to outputs; its values are those of the states, (columns, rows).
  public var result: GPTQResult
}

/// Chooses trellis codes for rows of weights so that (w − ŵ)H(w − ŵ)ᵀ is small.
///
/// Scales are the root mean squares of columns and rows. Then one column after the other, in falling order of the Hessian's
/// diagonal, gets the cheapest path of each of its rings; what it leaves is made up for by the columns that follow. All
/// weights of a column have the same Hessian entry, so that the cheapest path is that of the least distance. What was
/// compared with this is in docs/results/trellis.md.
/// - Parameters:
///   - weights: (rows, columns), finite.
///   - hessian: nil where columns do not know of each other.
public func chooseTrellis(
  _ weights: Span<Float>, rows: Int, columns: Int, hessian: GPTQHessian?, _ shape: TrellisShape,
  _ options: GPTQOptions = .init(), using isa: InstructionSet = .best
) -> TrellisCodes {
  precondition(weights.count == rows * columns, "(rows, columns)")
  precondition(hessian == nil || hessian!.columns == columns, "(columns, columns)")
  var coder = TrellisCoder(weights, rows: rows, columns: columns, hessian, shape, options, isa.checked)
  if rows > 0 && columns > 0 { coder.run() }
  return TrellisCodes(
    codes: coder.codes, rowScales: coder.rowScales, columnScales: coder.columnScales,
    result: GPTQResult(
      values: coder.values, error: coder.error,
      power: hessian.map { outputPower(weights, $0, rows: rows) }
        ?? sumOfSquares(coder.transposed, 0..<coder.transposed.count)))
}

/// By column, what trellis codes without a Hessian leave of some columns of a matrix, which keep the matrix's scales: Σ over
/// rows of (w − ŵ)².
///
/// - Parameters:
///   - weights: (rows, columns), finite: the columns that are tried.
///   - rowScales: (rows), root mean squares of the matrix's rows, each column divided by its scale.
///   - columnScales: (columns), of the columns that are tried, not 0.
public func trellisErrors(
  _ weights: Span<Float>, rowScales: [Double], columnScales: [Float], _ shape: TrellisShape,
  using isa: InstructionSet = .best
) -> [Double] {
  let (rows, columns) = (rowScales.count, columnScales.count)
  precondition(weights.count == rows * columns, "(rows, columns)")
  if rows == 0 || columns == 0 { return [Double](repeating: 0, count: columns) }
  var coder = TrellisCoder(
    weights, rows: rows, columns: columns, nil, shape, .init(), isa.checked,
    scales: (rows: rowScales, columns: columnScales))
  coder.run()
  return (0..<columns).map { coder.squaredError(column: $0) }
}

/// The codes of a matrix under construction.
private struct TrellisCoder {
  /// By how much values reach further where what columns leave is added to those after them.
  static let room: Float = 1.1
  /// The share of the mean diagonal, weights being as large as in the mean column, that every column's is enlarged by:
  /// channels that were quiet in calibration may be loud elsewhere.
  static let ridge = 0.03

  let shape: TrellisShape
  let isa: ingot_isa
  let rows: Int
  let columns: Int
  /// (columns, rows)
  let transposed: [Float]
  let hessian: GPTQHessian?
  let book: [Int16]
  var rowScales: [Float]
  var columnScales: [Float]
  var order: [UInt32]
  /// As `GPTQHessian.factor`, or empty.
  var factor: [Float] = []
  /// What stands on the diagonal, by which errors are counted, beyond the Hessian.
  var enlarged: [Double]
  var codes: [UInt8]
  var values: [Float]
  var error = 0.0

  init(
    _ weights: Span<Float>, rows: Int, columns: Int, _ hessian: GPTQHessian?, _ shape: TrellisShape,
    _ options: GPTQOptions, _ isa: ingot_isa, scales: (rows: [Double], columns: [Float])? = nil
  ) {
    self.shape = shape
    self.isa = isa
    self.rows = rows
    self.columns = columns
    self.hessian = hessian
    transposed = transposedRows(weights, rows: rows, columns: columns, stride: rows)
    var book = [Int16](repeating: 0, count: 1 << shape.window)
    unsafe book.withUnsafeMutableBufferPointer {
      unsafe ingot_trellis_book(UInt32(shape.window), $0.baseAddress!)
    }
    self.book = book
    columnScales = scales?.columns ?? TrellisCoder.columnScales(transposed, rows: rows, columns: columns)
    let squares = book.reduce(0.0) { $0 + Double($1) * Double($1) }
    let deviation =
      Float((squares / Double(book.count)).squareRoot()) / Float(INGOT_TRELLIS_UNIT)
      / (hessian == nil ? 1 : TrellisCoder.room)
    let rootMeanSquares = scales?.rows ?? TrellisCoder.rowScales(weights, columnScales, rows: rows)
    rowScales = rootMeanSquares.map { Float($0 / Double(deviation)) }
    order = (0..<columns).map { UInt32($0) }
    enlarged = [Double](repeating: 0, count: columns)
    codes = [UInt8](repeating: 0, count: shape.codeBytes(rows: rows, columns: columns))
    values = [Float](repeating: 0, count: columns * rows)
    if let hessian { prepare(hessian, options) }
  }

  /// Root mean squares of the columns next to their mean: (columns), in F16.
  private static func columnScales(_ transposed: [Float], rows: Int, columns: Int) -> [Float] {
    let norms = (0..<columns).map { column in
      sumOfSquares(transposed, column * rows..<(column + 1) * rows).squareRoot()
    }
    let mean = norms.reduce(0, +) / Double(max(columns, 1))
    var scales = norms.map { mean > 0 ? Float(min(max($0 / mean, 0x1p-10), 0x1p10)) : 1 }
    var halves = [UInt16](repeating: 0, count: columns)
    var stored = halves.mutableSpan
    var bytes = stored.mutableRaw
    encode(.f16, scales.span, into: &bytes)
    var span = scales.mutableSpan
    decode(.f16, halves.span.raw, into: &span)
    return scales
  }

  /// Root mean squares of the rows, each column divided by its scale: (rows).
  private static func rowScales(_ weights: Span<Float>, _ columnScales: [Float], rows: Int) -> [Double] {
    let columns = columnScales.count
    return (0..<rows).map { row in
      var sum = 0.0
      for column in 0..<columns {
        let weight = Double(weights[row * columns + column] / columnScales[column])
        sum += weight * weight
      }
      return columns == 0 ? 0 : (sum / Double(columns)).squareRoot()
    }
  }

  /// Order and factor of the Hessian with a ridge.
  private mutating func prepare(_ hessian: GPTQHessian, _ options: GPTQOptions) {
    var matrix = hessian.matrix
    let squares = columnScales.map { Double($0) * Double($0) }
    let mean = (0..<columns).reduce(0.0) { $0 + Double(matrix[$1 * columns + $1]) * squares[$1] }
    let ridge = TrellisCoder.ridge * options.dampingRatio * mean / Double(max(columns, 1))
    for column in 0..<columns { matrix[column * columns + column] += Float(ridge / squares[column]) }
    order.sort {
      (matrix[Int($1) * columns + Int($1)], $0) < (matrix[Int($0) * columns + Int($0)], $1)
    }
    let damping = Double(gptqFactor(matrix.span, order: order, damping: options.damping, into: &factor))
    for column in 0..<columns {
      let own = matrix[column * columns + column]
      enlarged[column] =
        (hasStatistics(own) ? Double(own) : 1) * (1 + damping)
        - Double(hessian.diagonal[column])
    }
  }

  /// Codes all columns; their errors are passed on as `roundInOrder` does it.
  mutating func run() {
    var weights = [Float](repeating: 0, count: columns * rows)
    for (place, column) in order.enumerated() {
      weights.replaceSubrange(
        place * rows..<(place + 1) * rows, with: transposed[Int(column) * rows..<(Int(column) + 1) * rows])
    }
    let (block, wide) = (64, hessian == nil ? 64 : 256)
    var errors = [Float](repeating: 0, count: min(wide, columns) * rows)
    var native = shape.native
    var scratch = [UInt64](repeating: 0, count: unsafe ingot_trellis_scratch(&native) / 8 + 8)
    for start in stride(from: 0, to: columns, by: wide) {
      let end = min(start + wide, columns)
      for first in stride(from: start, to: end, by: block) {
        let count = min(block, end - first)
        code(first, count, &weights, &errors, errorsAt: first - start, &scratch)
        error += sumOfSquares(errors, (first - start) * rows..<(first - start + count) * rows)
        pass(errors, first - start, count, from: first, to: first + count..<end, &weights)
      }
      pass(errors, 0, end - start, from: start, to: end..<columns, &weights)
    }
    guard hessian != nil else { return }
    for column in 0..<columns { error -= enlarged[column] * squaredError(column: column) }
    error = max(error, 0)
  }

  /// Σ over the rows of a column of (w − ŵ)².
  func squaredError(column: Int) -> Double {
    var sum = 0.0
    for row in 0..<rows {
      let meant = values[column * rows + row] * rowScales[row] * columnScales[column]
      let difference = Double(transposed[column * rows + row] - meant)
      sum += difference * difference
    }
    return sum
  }

  /// Codes a block of columns.
  private mutating func code(
    _ first: Int, _ count: Int, _ weights: inout [Float], _ errors: inout [Float], errorsAt: Int,
    _ scratch: inout [UInt64]
  ) {
    let inverses = rowScales.map { $0 != 0 ? 1 / $0 : 0 }
    var job = unsafe ingot_trellis_job()
    unsafe job.trellis = shape.native
    unsafe job.rows = rows
    unsafe job.columns = columns
    let (rows, columns, isa, factor, order) = (rows, columns, isa, factor, order)
    unsafe book.withUnsafeBufferPointer { book in
      unsafe job.book = book.baseAddress
      unsafe rowScales.withUnsafeBufferPointer { rowScales in
        unsafe job.row_scales = rowScales.baseAddress
        unsafe inverses.withUnsafeBufferPointer { inverses in
          unsafe job.inverses = inverses.baseAddress
          unsafe columnScales.withUnsafeBufferPointer { columnScales in
            unsafe job.column_scales = columnScales.baseAddress
            unsafe codes.withUnsafeMutableBufferPointer { codes in
              unsafe job.codes = codes.baseAddress
              unsafe order.withUnsafeBufferPointer { order in
                unsafe factor.withUnsafeBufferPointer { factor in
                  unsafe weights.withUnsafeMutableBufferPointer { weights in
                    unsafe errors.withUnsafeMutableBufferPointer { errors in
                      unsafe values.withUnsafeMutableBufferPointer { values in
                        unsafe scratch.withUnsafeMutableBytes { scratch in
                          unsafe ingot_trellis_columns(
                            isa, &job, order.baseAddress! + first, count,
                            weights.baseAddress! + first * rows,
                            factor.isEmpty ? nil : factor.baseAddress! + first * columns + first, columns,
                            values.baseAddress!, errors.baseAddress! + errorsAt * rows,
                            scratch.baseAddress!)
                        }
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  /// Takes what `count` columns from `first` on cost from those in `later`.
  private func pass(
    _ errors: [Float], _ offset: Int, _ count: Int, from first: Int, to later: Range<Int>,
    _ weights: inout [Float]
  ) {
    if factor.isEmpty || later.isEmpty { return }
    var rest = weights.mutableSpan
    gemm(
      m: later.count, n: rows, k: count, alpha: -1, a: factor.span,
      aOffset: later.lowerBound * columns + first,
      lda: columns, b: errors.span, bOffset: offset * rows, ldb: rows, bTransposed: false, beta: 1, c: &rest,
      cOffset: later.lowerBound * rows, ldc: rows)
  }
}
