import IngotKernels
import IngotSystem

/// FP8 codes with one scale for each block of `blockRows` × `blockColumns`; blocks at the edges may be
/// ragged. Value = F32(code) · F32(scale), one multiplication in F32.
///
/// Planes: `codes` (rows, columns), then `scales` (rows / blockRows, columns / blockColumns), both rounded up.
/// Source: `weight` and `weight_scale_inv` of FP8 checkpoints with `weight_block_size`.
public struct BlockScaled: Hashable, Sendable, CustomStringConvertible {
  /// F8_E4M3 or F8_E5M2.
  public var code: DType
  /// F32, BF16 or F16.
  public var scale: DType
  public var blockRows: Int
  public var blockColumns: Int

  /// - Returns: nil when the types or extents are none of this encoding.
  public init?(code: DType, scale: DType, blockRows: Int, blockColumns: Int) {
    guard code == .f8e4m3 || code == .f8e5m2, [.f32, .bf16, .f16].contains(scale), blockRows > 0,
      blockColumns > 0, blockRows <= 1 << 20, blockColumns <= 1 << 20
    else { return nil }
    self.code = code
    self.scale = scale
    self.blockRows = blockRows
    self.blockColumns = blockColumns
  }

  func planes(_ matrix: Matrix) -> [Plane]? {
    let blocks = Matrix.steps(matrix.columns, blockColumns)
    guard let codes = Plane("codes", code, rows: matrix.rows, columns: matrix.columns),
      let scales = Plane("scales", scale, rows: matrix.rows, step: blockRows, columns: blocks)
    else { return nil }
    return [codes, scales]
  }

  /// The scales of some rows: (rows / blockRows, columns / blockColumns).
  func scales(_ planes: [Bytes], rows: Int, columns: Int) -> [Float] {
    let count = Matrix.steps(rows, blockRows) * Matrix.steps(columns, blockColumns)
    var scales = [Float](repeating: 0, count: count)
    var span = scales.mutableSpan
    let plane = planes[1]
    decodeDense(scale, plane.span, into: &span)
    return scales
  }

  func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    let blocks = Matrix.steps(columns, blockColumns)
    let scales = scales(planes, rows: rows, columns: columns)
    let codePlane = planes[0]
    let codes = codePlane.span
    for row in 0..<rows {
      let first = row / blockRows * blocks
      var target = out._mutatingExtracting(row * columns..<(row + 1) * columns)
      decodeBlockScaled(
        code == .f8e4m3 ? .f8e4m3 : .f8e5m2, codes.extracting(row * columns..<(row + 1) * columns),
        scales: scales.span.extracting(first..<first + blocks), blockColumns: blockColumns,
        into: &target)
    }
  }

  public var description: String {
    let types = code == .f8e4m3 ? "fp8" : "fp8-e5m2"
    return "\(types) \(blockRows)x\(blockColumns)" + (scale == .f32 ? "" : " \(scale.rawValue.lowercased())")
  }
}
