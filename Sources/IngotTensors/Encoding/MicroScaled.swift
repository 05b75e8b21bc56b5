import IngotKernels
import IngotSystem

/// Small floats in groups along a row, each group with a one-byte scale (OCP microscaling, and NVIDIA's variant
/// of it): value = code · scale, or with one more F32 for the whole tensor code · (scale / global), as compressed-tensors
/// stores it, or code · (scale · global), as ModelOpt does; every quotient and product is rounded to F32.
///
/// Planes: `codes`, E2M1 two a byte, the first in the low nibble, rows ending on a byte, or E4M3; `scales`
/// (rows, groups), E8M0 for 2^(byte − 127), 255 being NaN, or E4M3; `global` (1), when there is one and any value.
/// A tensor with a global scale is read and written whole, since no row can do without it.
public struct MicroScaled: Hashable, Sendable, CustomStringConvertible {
  /// F4 (E2M1) or F8_E4M3.
  public var code: DType
  /// Columns a group, 16 or 32; the last one of a row perhaps short.
  public var group: Int
  /// F8_E8M0 or F8_E4M3.
  public var scale: DType
  /// The F32 of the whole tensor; with E4M3 scales only.
  public var global: Global

  /// What an F32 of the whole tensor does to its scales. Raw values are those of `.ingot` files.
  public enum Global: UInt8, CaseIterable, Hashable, Sendable {
    case none = 0
    /// Scales are divided by it.
    case divisor = 1
    /// Scales are multiplied by it.
    case factor = 2
  }

  /// - Returns: nil when types or group are none of this encoding.
  public init?(code: DType, group: Int, scale: DType, global: Global = .none) {
    guard code == .f4 || code == .f8e4m3, group == 16 || group == 32, scale == .f8e8m0 || scale == .f8e4m3,
      global == .none || scale == .f8e4m3
    else { return nil }
    self.code = code
    self.group = group
    self.scale = scale
    self.global = global
  }

  /// Whether the tensor has an F32 beside its scales.
  public var hasGlobal: Bool { global != .none }

  /// E2M1 in groups of 32 with powers of two: OCP's MXFP4.
  public static let mxfp4 = MicroScaled(code: .f4, group: 32, scale: .f8e8m0)!
  /// E4M3 in groups of 32 with powers of two: OCP's MXFP8.
  public static let mxfp8 = MicroScaled(code: .f8e4m3, group: 32, scale: .f8e8m0)!
  /// E2M1 in groups of 16 with E4M3 scales.
  public static let nvfp4 = MicroScaled(code: .f4, group: 16, scale: .f8e4m3)!
  /// E2M1 in groups of 16 with E4M3 scales that are divided by a global one.
  public static let nvfp4Global = MicroScaled(code: .f4, group: 16, scale: .f8e4m3, global: .divisor)!
  /// E2M1 in groups of 16 with E4M3 scales that are multiplied by a global one.
  public static let nvfp4Factor = MicroScaled(code: .f4, group: 16, scale: .f8e4m3, global: .factor)!

  /// Bits of a code.
  public var bits: Int { code == .f4 ? 4 : 8 }
  /// The code with the largest value.
  public var greatest: Float { code == .f4 ? 6 : 448 }

  /// Groups of a row of `columns` values.
  public func groups(_ columns: Int) -> Int { Matrix.steps(columns, group) }

  func planes(_ matrix: Matrix) -> [Plane]? {
    let groups = groups(matrix.columns)
    guard
      let codes = Plane(
        "codes", code == .f4 ? .u8 : code, rows: matrix.rows, columns: matrix.columns, bits: bits),
      let scales = Plane("scales", scale, rows: matrix.rows, columns: groups)
    else { return nil }
    guard hasGlobal else { return [codes, scales] }
    // Rows without columns take no bytes at all.
    return Plane("global", .f32, rows: matrix.rows, step: max(matrix.rows, 1), columns: min(groups, 1))
      .map { [codes, scales, $0] }
  }

  func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    let groups = groups(columns)
    let scales = scales(planes, rows * groups)
    let codePlane = planes[0]
    let codes = codePlane.span
    let codeBytes = (columns * bits + 7) / 8
    for row in 0..<rows {
      let packed = codes.extracting(row * codeBytes..<(row + 1) * codeBytes)
      let mine = scales.span.extracting(row * groups..<(row + 1) * groups)
      var target = out._mutatingExtracting(row * columns..<(row + 1) * columns)
      if code == .f4 {
        decodeE2M1(packed: packed, group: group, scales: mine, into: &target)
      } else {
        decodeBlockScaled(.f8e4m3, packed, scales: mine, blockColumns: group, into: &target)
      }
    }
  }

  /// What each group's codes are multiplied by.
  package func scales(_ planes: [Bytes], _ count: Int) -> [Float] {
    let scalePlane = planes[1]
    var values = [Float](repeating: 0, count: count)
    if scale == .f8e4m3 {
      var span = values.mutableSpan
      decodeDense(scale, scalePlane.span, into: &span)
    } else {
      let bytes = scalePlane.span
      for index in values.indices {
        values[index] = MicroScaled.power(bytes.littleEndian(UInt8.self, at: index))
      }
    }
    guard hasGlobal, count > 0 else { return values }
    let plane = planes[2]
    let number = Float(bitPattern: plane.span.littleEndian(UInt32.self, at: 0))
    if global == .divisor {
      for index in values.indices { values[index] /= number }
    } else {
      for index in values.indices { values[index] *= number }
    }
    return values
  }

  /// The value of an E8M0 byte.
  public static func power(_ byte: UInt8) -> Float {
    switch byte {
    case 0: Float(bitPattern: 0x0040_0000)
    case 255: .nan
    default: Float(bitPattern: UInt32(byte) << 23)
    }
  }

  /// `mx-fp4`, `mx-fp8`, `nv-fp4`, `nv-fp4 global`, `nv-fp4 factor`; a group other than mx's 32 and nv's 16 is named: `mx-fp4 g16`.
  public var description: String {
    (scale == .f8e8m0 ? "mx" : "nv") + (code == .f4 ? "-fp4" : "-fp8")
      + (group == (scale == .f8e8m0 ? 32 : 16) ? "" : " g\(group)")
      + (global == .divisor ? " global" : global == .factor ? " factor" : "")
  }

  /// The encoding of a name as `description` writes it; nil for other names.
  public init?(name: String) {
    for scale in [DType.f8e8m0, .f8e4m3] {
      for code in [DType.f4, .f8e4m3] {
        for group in [16, 32] {
          for global in Global.allCases {
            guard let scheme = MicroScaled(code: code, group: group, scale: scale, global: global),
              scheme.description == name
            else { continue }
            self = scheme
            return
          }
        }
      }
    }
    return nil
  }
}
