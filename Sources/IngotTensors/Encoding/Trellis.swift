import IngotKernels
import IngotSystem

/// Trellis codes of 1½ to 4 bits along the columns: a weight is a value that follows from its own bits and those before it
/// in its column, times its row's scale, times its column's, each product rounded to F32.
///
/// Planes: `codes` (rows / 64 rounded up · 2 · bits, columns), words of 32 bits; `scales` (rows), F32; `columns`
/// (columns), F16. Source: docs/results/trellis.md says why they are like this, `TrellisShape` how bits become values.
public struct Trellis: Hashable, Sendable, CustomStringConvertible {
  public var shape: TrellisShape

  /// Bits of a state where nothing else is said.
  public static let window = 12

  /// - Parameters:
  ///   - halves: half bits a weight, 3…8.
  ///   - window: bits of a state, 8…16. More make less error and take longer to choose, twice for each.
  /// - Returns: nil for other numbers.
  public init?(halves: Int, window: Int = Trellis.window) {
    guard let shape = TrellisShape(halves: halves, window: window) else { return nil }
    self.shape = shape
  }

  /// Bits of a weight's code.
  public var bits: Double { Double(shape.halves) / 2 }

  /// `trellis-2.5`, or with other states than those of 12 bits `trellis-2.5 w9`.
  public var description: String {
    let digits = shape.halves % 2 == 0 ? "" : ".5"
    return "trellis-\(shape.halves / 2)\(digits)"
      + (shape.window == Trellis.window ? "" : " w\(shape.window)")
  }

  /// The encoding of a name as `description` writes it; nil for other names.
  public init?(name: String) {
    for halves in 3...8 {
      for window in 8...16 {
        guard let scheme = Trellis(halves: halves, window: window), scheme.description == name else {
          continue
        }
        self = scheme
        return
      }
    }
    return nil
  }

  func planes(_ matrix: Matrix) -> [Plane]? {
    let (words, overflow) = matrix.columns.multipliedReportingOverflow(by: shape.halves)
    guard !overflow,
      let codes = Plane("codes", .u32, rows: matrix.rows, step: TrellisShape.step, columns: words),
      let scales = Plane("scales", .f32, rows: matrix.rows, columns: min(matrix.columns, 1)),
      let columns = Plane(
        "columns", .f16, rows: matrix.rows, step: max(matrix.rows, 1), columns: matrix.columns)
    else { return nil }
    return [codes, scales, columns]
  }

  func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    if rows == 0 || columns == 0 { return }
    let (codes, rowPlane, columnPlane) = (planes[0], planes[1], planes[2])
    var rowScales = [Float](repeating: 0, count: rows)
    var span = rowScales.mutableSpan
    decodeDense(.f32, rowPlane.span, into: &span)
    var columnScales = [Float](repeating: 0, count: columns)
    var columnSpan = columnScales.mutableSpan
    decodeDense(.f16, columnPlane.span, into: &columnSpan)
    decodeTrellis(
      shape, codes.span, rowScales: rowScales.span, columnScales: columnScales.span, into: &out)
  }
}
