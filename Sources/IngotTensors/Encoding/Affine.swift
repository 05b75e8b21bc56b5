import IngotKernels
import IngotSystem

/// Integer codes u of 2…8 bits in groups along a row. With s the group's scale:
/// symmetric ŵ = s·(u − 2^(bits−1)), zero point ŵ = s·(u − z), bias ŵ = s·u + b, each operation rounded to F32.
///
/// Planes: `codes`, each row one LSB-first little-endian bit stream that ends on a byte; `scales`
/// (rows, groups); then `zeros` (rows, groups), packed like codes, or `biases` (rows, groups).
public struct Affine: Hashable, Sendable, CustomStringConvertible {
  public enum Offset: String, CaseIterable, Hashable, Sendable {
    case symmetric = "sym"
    case zeroPoint = "zero"
    case bias
  }

  public static let widths = [2, 3, 4, 5, 6, 8]

  public var bits: Int
  /// Columns a group, the last one of a row perhaps short; nil for the whole row.
  public var group: Int?
  public var offset: Offset
  /// Type of scales and biases: F16, BF16 or F32.
  public var scale: DType

  /// - Returns: nil when the width, group or scale type is none of this encoding.
  public init?(bits: Int, group: Int?, offset: Offset, scale: DType) {
    guard Affine.widths.contains(bits), [.f16, .bf16, .f32].contains(scale),
      group.map({ $0 >= 16 && $0 <= 128 && $0 % 16 == 0 }) ?? true
    else { return nil }
    self.bits = bits
    self.group = group
    self.offset = offset
    self.scale = scale
  }

  /// Groups of a row of `columns` values.
  public func groups(_ columns: Int) -> Int {
    group.map { Matrix.steps(columns, $0) } ?? min(columns, 1)
  }

  func planes(_ matrix: Matrix) -> [Plane]? {
    let groups = groups(matrix.columns)
    guard let codes = Plane("codes", .u8, rows: matrix.rows, columns: matrix.columns, bits: bits),
      let scales = Plane("scales", scale, rows: matrix.rows, columns: groups)
    else { return nil }
    switch offset {
    case .symmetric: return [codes, scales]
    case .zeroPoint:
      return Plane("zeros", .u8, rows: matrix.rows, columns: groups, bits: bits).map { [codes, scales, $0] }
    case .bias: return Plane("biases", scale, rows: matrix.rows, columns: groups).map { [codes, scales, $0] }
    }
  }

  func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    let groups = groups(columns)
    let width = max(group ?? columns, 1)
    let codePlane = planes[0]
    let offsetPlane = planes[planes.count - 1]
    let codes = codePlane.span
    let codeBytes = (columns * bits + 7) / 8
    let scales = floats(planes[1], rows * groups)
    let biases = offset == .bias ? floats(planes[2], rows * groups) : []
    var zeros = [UInt8](repeating: 0, count: offset == .zeroPoint ? groups : 0)
    let zeroBytes = (groups * bits + 7) / 8
    for row in 0..<rows {
      let packed = codes.extracting(row * codeBytes..<(row + 1) * codeBytes)
      let mine = row * groups..<(row + 1) * groups
      var target = out._mutatingExtracting(row * columns..<(row + 1) * columns)
      switch offset {
      case .symmetric:
        decodeAffineSymmetric(
          bits: bits, packed: packed, group: width, scales: scales.span.extracting(mine), into: &target)
      case .zeroPoint:
        var zeroSpan = zeros.mutableSpan
        unpack(
          bits: bits, offsetPlane.span.extracting(row * zeroBytes..<(row + 1) * zeroBytes), into: &zeroSpan)
        decodeAffineZeroPoint(
          bits: bits, packed: packed, group: width, scales: scales.span.extracting(mine), zeros: zeros.span,
          into: &target)
      case .bias:
        decodeAffineBias(
          bits: bits, packed: packed, group: width, scales: scales.span.extracting(mine),
          biases: biases.span.extracting(mine), into: &target)
      }
    }
  }

  private func floats(_ plane: Bytes, _ count: Int) -> [Float] {
    var values = [Float](repeating: 0, count: count)
    var span = values.mutableSpan
    decodeDense(scale, plane.span, into: &span)
    return values
  }

  public var description: String {
    "int\(bits) \(group.map { "g\($0)" } ?? "row") \(offset.rawValue) \(scale.rawValue.lowercased())"
  }
}
