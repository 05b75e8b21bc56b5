import IngotKernels
import IngotSystem

/// Trellis codes of 1 to 8 bits in tiles of 16 × 16 weights, of a matrix that is transformed over blocks of 128 rows and of 128
/// columns: EXL3's.
///
/// Planes: `codes` (columns / 16, rows / 16, 16 · bits), 16 bits each; `columns` (columns) and `scales` (rows), F16. Rows and columns
/// that 128 does not divide are padded with zeros. `TileShape` says how bits become values.
public struct Tiles: Hashable, Sendable, CustomStringConvertible {
  public var shape: TileShape

  public init(_ shape: TileShape) { self.shape = shape }

  /// - Returns: nil for bits other than 1…8.
  public init?(bits: Int, codebook: TileCodebook = .mul1) {
    guard let shape = TileShape(bits: bits, codebook: codebook) else { return nil }
    self.shape = shape
  }

  /// `exl3-3`, or with another codebook than the one that is written `exl3-3 mcg`.
  public var description: String {
    "exl3-\(shape.bits)" + (shape.codebook == .mul1 ? "" : " \(shape.codebook.rawValue)")
  }

  /// The encoding of a name as `description` writes it; nil for other names.
  public init?(name: String) {
    for codebook in TileCodebook.allCases {
      for bits in 1...8 {
        guard let scheme = Tiles(bits: bits, codebook: codebook), scheme.description == name else { continue }
        self = scheme
        return
      }
    }
    return nil
  }

  /// Extents of a stored tensor of codes of (rows, columns).
  public func codeExtents(rows: Int, columns: Int) -> [Int] {
    [TileShape.padded(columns)! / 16, TileShape.padded(rows)! / 16, 16 * shape.bits]
  }

  func planes(_ matrix: Matrix) -> [Plane]? {
    guard let rows = TileShape.padded(matrix.rows), let columns = TileShape.padded(matrix.columns) else {
      return nil
    }
    let (values, overflow) = rows.multipliedReportingOverflow(by: columns)
    let (bits, tooMany) = values.multipliedReportingOverflow(by: shape.bits)
    let step = max(matrix.rows, 1)
    guard !overflow, !tooMany,
      let codes = Plane("codes", .i16, rows: matrix.rows, step: step, columns: bits / 16),
      let columnScales = Plane("columns", .f16, rows: matrix.rows, step: step, columns: columns),
      let rowScales = Plane(
        "scales", .f16, rows: matrix.rows, step: step, columns: matrix.columns == 0 ? 0 : rows)
    else { return nil }
    return [codes, columnScales, rowScales]
  }

  func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    if rows == 0 || columns == 0 { return }
    func scales(_ plane: Bytes) -> [Float] {
      var values = [Float](repeating: 0, count: plane.count / 2)
      var span = values.mutableSpan
      decodeDense(.f16, plane.span, into: &span)
      return values
    }
    let codes = planes[0]
    let (columnScales, rowScales) = (scales(planes[1]), scales(planes[2]))
    decodeTiles(
      shape, codes.span, rows: rows, columns: columns, columnScales: columnScales.span,
      rowScales: rowScales.span, into: &out)
  }
}
