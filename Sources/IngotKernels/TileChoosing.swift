import CIngotKernels

/// Chosen codes in tiles, and their scales.
public struct TileCodes: Sendable {
  /// As `decodeTiles` takes them.
  public var codes: [UInt8]
  /// (columns), padded; each one an F16.
  public var columnScales: [Float]
  /// (rows), padded; each one an F16.
  public var rowScales: [Float]
  /// What the codes do to outputs; without values.
  public var result: GPTQResult
}

/// Chooses tiles of trellis codes for rows of weights so that (w − ŵ)H(w − ŵ)ᵀ is small.
///
/// Rows and then columns, the rows being transformed by then, are divided by their root mean squares under signs that look random;
/// transformed in both directions, weights are as if drawn from a normal distribution. Sixteen columns at a time get the best
/// paths of their tiles; what they leave is made up for by the columns that follow, by the Hessian as the columns' scales and
/// the transform leave it (block LDLQ, Tseng et al., "QuIP#", 2024). Last, each row's scale is fitted to its codes.
/// - Parameters:
///   - weights: (rows, columns), finite.
///   - hessian: (columns, columns), or nil where columns do not know of each other.
public func chooseTiles(
  _ weights: Span<Float>, rows: Int, columns: Int, hessian: [Float]?, _ shape: TileShape,
  _ options: GPTQOptions = .init(), using isa: InstructionSet = .best
) -> TileCodes {
  precondition(weights.count == rows * columns, "(rows, columns)")
  precondition(hessian == nil || hessian!.count == columns * columns, "(columns, columns)")
  var coder = TileCoder(weights, rows: rows, columns: columns, hessian, shape, options, isa.checked)
  guard rows > 0 && columns > 0 else {
    return TileCodes(
      codes: coder.codes, columnScales: coder.columnScales, rowScales: coder.rowScales,
      result: GPTQResult(values: [], error: 0, power: 0))
  }
  // Of zeros any codes will do, since their scales are 0.
  if coder.rowScales.contains(where: { $0 != 0 }) { coder.run() }
  let result = coder.fitRows(weights, hessian, isa)
  return TileCodes(
    codes: coder.codes, columnScales: coder.columnScales, rowScales: coder.rowScales, result: result)
}

/// The codes of a matrix under construction.
private struct TileCoder {
  /// By how much of its mean every entry of the Hessian's diagonal is enlarged: channels that were quiet in calibration may be
  /// loud elsewhere.
  static let ridge: Float = 0.025
  /// Standard deviations that normal weights have where their codes leave the least error, by bits.
  static let spread: [Float] = [0, 1.12, 1, 0.92, 0.88, 0.82, 0.77, 0.75, 0.74]

  let shape: TileShape
  let isa: ingot_isa
  let rows: Int
  let columns: Int
  /// Padded.
  let outputs: Int
  let inputs: Int
  /// (inputs, outputs): what is still to be coded, transformed.
  var matrix: [Float]
  var rowScales: [Float]
  var columnScales: [Float]
  /// As `GPTQHessian.factor`, or empty.
  var factor: [Float] = []
  var codes: [UInt8]

  init(
    _ weights: Span<Float>, rows: Int, columns: Int, _ hessian: [Float]?, _ shape: TileShape,
    _ options: GPTQOptions, _ isa: ingot_isa
  ) {
    self.shape = shape
    self.isa = isa
    self.rows = rows
    self.columns = columns
    outputs = TileShape.padded(rows)!
    inputs = TileShape.padded(columns)!
    matrix = transposedRows(weights, rows: rows, columns: columns, stride: outputs)
    matrix += [Float](repeating: 0, count: (inputs - columns) * outputs)
    rowScales = [Float](repeating: 0, count: outputs)
    columnScales = [Float](repeating: 0, count: inputs)
    codes = [UInt8](repeating: 0, count: shape.codeBytes(rows: rows, columns: columns))
    if rows == 0 || columns == 0 { return }
    scaleRows()
    transform(&matrix, outputs: outputs, alongInputs: false)
    scaleColumns()
    transform(&matrix, outputs: outputs, alongInputs: true)
    if let hessian { prepare(hessian, options) }
  }

  private func transform(_ matrix: inout [Float], outputs: Int, alongInputs: Bool) {
    let inputs = matrix.count / outputs
    unsafe matrix.withUnsafeMutableBufferPointer {
      unsafe ingot_tiles_transform($0.baseAddress!, inputs, outputs, alongInputs)
    }
  }

  /// ±1 by an index.
  private static func sign(_ index: Int, _ salt: UInt64) -> Float {
    var bits = (UInt64(index) &+ salt) &* 0x9E37_79B9_7F4A_7C15
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    return (bits ^ bits >> 27).nonzeroBitCount & 1 == 0 ? 1 : -1
  }

  /// Divides by root mean squares of the rows next to their mean; rows of zeros have a scale of 0.
  private mutating func scaleRows() {
    var squares = [Double](repeating: 0, count: outputs)
    for input in 0..<columns {
      for output in 0..<rows {
        let weight = Double(matrix[input * outputs + output])
        squares[output] += weight * weight
      }
    }
    let norms = squares.map { $0.squareRoot() }
    let mean = norms.reduce(0, +) / Double(max(norms.count { $0 > 0 }, 1))
    rowScales = asHalves(
      norms.indices.map { row in
        norms[row] > 0 ? Float(min(max(norms[row] / mean, 0x1p-10), 0x1p10)) * TileCoder.sign(row, 1) : 0
      })
    let inverses = rowScales.map { $0 != 0 ? 1 / $0 : 0 }
    for input in 0..<columns {
      for output in 0..<rows { matrix[input * outputs + output] *= inverses[output] }
    }
  }

  /// Divides by root mean squares of the columns, over the spread that codes ask for.
  private mutating func scaleColumns() {
    let spread = Double(TileCoder.spread[shape.bits])
    columnScales = asHalves(
      (0..<inputs).map { input in
        let squares = sumOfSquares(matrix, input * outputs..<(input + 1) * outputs)
        return Float((squares / Double(outputs)).squareRoot() / spread) * TileCoder.sign(input, 1 << 32)
      })
    for input in 0..<inputs {
      // A column whose scale is too small for F16 becomes 0.
      let inverse = columnScales[input] != 0 ? 1 / columnScales[input] : 0
      for index in input * outputs..<(input + 1) * outputs { matrix[index] *= inverse }
    }
  }

  /// Values as F16 holds them.
  private func asHalves(_ values: [Float]) -> [Float] {
    var halves = [UInt16](repeating: 0, count: values.count)
    var stored = halves.mutableSpan
    var bytes = stored.mutableRaw
    encode(.f16, values.span, into: &bytes)
    var out = [Float](repeating: 0, count: values.count)
    var span = out.mutableSpan
    decode(.f16, halves.span.raw, into: &span)
    return out.map { $0.isFinite ? $0 : $0 < 0 ? -65504 : 65504 }
  }

  /// The factor of the Hessian that weights have as they are coded.
  private mutating func prepare(_ hessian: [Float], _ options: GPTQOptions) {
    var moved = [Float](repeating: 0, count: inputs * inputs)
    for row in 0..<columns {
      for column in 0..<columns {
        moved[row * inputs + column] =
          hessian[row * columns + column] * columnScales[row] * columnScales[column]
      }
    }
    transform(&moved, outputs: inputs, alongInputs: false)
    transform(&moved, outputs: inputs, alongInputs: true)
    let mean = (0..<inputs).reduce(Float(0)) { $0 + moved[$1 * inputs + $1] / Float(inputs) }
    let ridge = TileCoder.ridge * Float(options.dampingRatio)
    for input in 0..<inputs { moved[input * inputs + input] += ridge * mean }
    _ = gptqFactor(moved.span, order: (0..<inputs).map { UInt32($0) }, damping: 1e-4, into: &factor)
  }

  /// Codes all tiles; errors are passed on as `roundInOrder` does it.
  mutating func run() {
    let (strip, wide) = (16, factor.isEmpty ? 16 : 256)
    var errors = [Float](repeating: 0, count: factor.isEmpty ? 0 : wide * outputs)
    var values = [Float](repeating: 0, count: strip * outputs)
    var native = shape.native
    var scratch = [UInt64](repeating: 0, count: unsafe ingot_tiles_scratch(&native) / 8 + 8)
    var book = [Int16](repeating: 0, count: 65536)
    unsafe book.withUnsafeMutableBufferPointer {
      unsafe ingot_tiles_book(native.codebook, $0.baseAddress!)
    }
    for start in stride(from: 0, to: inputs, by: wide) {
      let end = min(start + wide, inputs)
      for first in stride(from: start, to: end, by: strip) {
        code(first, book, &values, &scratch)
        if factor.isEmpty { continue }
        divide(values, first, into: &errors, at: (first - start) * outputs)
        pass(errors, first - start, strip, from: first, to: first + strip..<end)
      }
      if !factor.isEmpty { pass(errors, 0, end - start, from: start, to: end..<inputs) }
    }
    matrix = []
  }

  /// Codes the tiles of 16 columns.
  private mutating func code(
    _ first: Int, _ book: [Int16], _ values: inout [Float], _ scratch: inout [UInt64]
  ) {
    var native = shape.native
    let (outputs, isa, bytes) = (outputs, isa, outputs / 16 * 32 * shape.bits)
    unsafe book.withUnsafeBufferPointer { book in
      unsafe matrix.withUnsafeBufferPointer { matrix in
        unsafe values.withUnsafeMutableBufferPointer { values in
          unsafe codes.withUnsafeMutableBufferPointer { codes in
            unsafe scratch.withUnsafeMutableBytes { scratch in
              unsafe ingot_tiles_strip(
                isa, &native, book.baseAddress!, matrix.baseAddress! + first * outputs, outputs,
                values.baseAddress!, codes.baseAddress! + first / 16 * bytes, scratch.baseAddress!)
            }
          }
        }
      }
    }
  }

  /// What 16 columns leave, over the factor's own triangle there.
  private func divide(_ values: [Float], _ first: Int, into errors: inout [Float], at place: Int) {
    var out = errors.mutableSpan
    for j in 0..<16 {
      let (row, target) = ((first + j) * outputs, place + j * outputs)
      for output in 0..<outputs { out[target + output] = matrix[row + output] - values[j * outputs + output] }
      for i in 0..<j {
        let (share, source) = (factor[(first + j) * inputs + first + i], place + i * outputs)
        for output in 0..<outputs { out[target + output] -= share * out[source + output] }
      }
      let inverse = 1 / factor[(first + j) * inputs + first + j]
      for output in 0..<outputs { out[target + output] *= inverse }
    }
  }

  /// Takes what `count` columns from `first` on cost from those in `later`.
  private mutating func pass(
    _ errors: [Float], _ offset: Int, _ count: Int, from first: Int, to later: Range<Int>
  ) {
    if later.isEmpty { return }
    let (inputs, outputs, factor) = (inputs, outputs, factor)
    var rest = matrix.mutableSpan
    gemm(
      m: later.count, n: outputs, k: count, alpha: -1, a: factor.span,
      aOffset: later.lowerBound * inputs + first, lda: inputs, b: errors.span, bOffset: offset * outputs,
      ldb: outputs, bTransposed: false, beta: 1, c: &rest, cOffset: later.lowerBound * outputs,
      ldc: outputs)
  }

  /// Fits every row's scale to its codes by least squares; gives the error that is left.
  mutating func fitRows(_ weights: Span<Float>, _ hessian: [Float]?, _ isa: InstructionSet) -> GPTQResult {
    var (error, power) = (0.0, 0.0)
    let step = max(1, min(rows, (1 << 22) / columns)) / 128 * 128
    // Blocks of rows decode apart, as if they were matrices.
    let chunk = max(step, 128)
    var fitted = rowScales
    for first in stride(from: 0, to: rows, by: chunk) {
      let count = min(chunk, rows - first)
      let meant = decoded(first, count, isa)
      var exact = [Float](repeating: 0, count: count * columns)
      for index in exact.indices { exact[index] = weights[first * columns + index] }
      let (movedMeant, movedExact) = (moved(meant, count, hessian), moved(exact, count, hessian))
      for row in 0..<count {
        let range = row * columns..<(row + 1) * columns
        let (own, both, all) = (
          dot(meant, movedMeant, range), dot(exact, movedMeant, range), dot(exact, movedExact, range)
        )
        power += all
        guard own > 0, both > 0 else {
          error += all - 2 * both + own
          continue
        }
        let scale = asHalves([rowScales[first + row] * Float(both / own)])[0]
        fitted[first + row] = scale
        let ratio = Double(scale / rowScales[first + row])
        error += all - 2 * ratio * both + ratio * ratio * own
      }
    }
    rowScales = fitted
    return GPTQResult(values: [], error: max(error, 0), power: power)
  }

  /// Rows (count, columns) as they are decoded, from a multiple of 128 on.
  private func decoded(_ first: Int, _ count: Int, _ isa: InstructionSet) -> [Float] {
    let (tile, whole) = (32 * shape.bits, outputs / 16 * 32 * shape.bits)
    let width = TileShape.padded(count)!
    var part: [UInt8] = []
    part.reserveCapacity(shape.codeBytes(rows: count, columns: columns))
    for strip in 0..<inputs / 16 {
      let place = strip * whole + first / 16 * tile
      part += codes[place..<place + width / 16 * tile]
    }
    let scales = Array(rowScales[first..<first + width])
    var out = [Float](repeating: 0, count: count * columns)
    var span = out.mutableSpan
    decodeTiles(
      shape, part.span.raw, rows: count, columns: columns, columnScales: columnScales.span,
      rowScales: scales.span, into: &span, using: isa)
    return out
  }

  /// x H, or x.
  private func moved(_ x: [Float], _ count: Int, _ hessian: [Float]?) -> [Float] {
    guard let hessian else { return x }
    var out = [Float](repeating: 0, count: x.count)
    var span = out.mutableSpan
    gemm(
      m: count, n: columns, k: columns, a: x.span, lda: columns, b: hessian.span, ldb: columns,
      bTransposed: false, c: &span, ldc: columns)
    return out
  }

  private func dot(_ a: [Float], _ b: [Float], _ range: Range<Int>) -> Double {
    unsafe a.withUnsafeBufferPointer { a in
      unsafe b.withUnsafeBufferPointer { b in
        unsafe ingot_dot(a.baseAddress! + range.lowerBound, b.baseAddress! + range.lowerBound, range.count)
      }
    }
  }
}
