import IngotKernels
import IngotSystem

/// Integer codes as GPTQ and AWQ checkpoints store them: transposed, so that neighbours in memory belong to
/// different rows. Value ŵ = s·(u − z), the product rounded to F32, with s and z of the column's group.
///
/// A row of the tensor is spread over the whole of every plane: planes are read and written whole. With `in`
/// columns, `out` rows, b bits and g groups of columns, all 32-bit words little-endian:
///
/// - `gptq`, `gptq-v2`: `qweight` (in·b/32, out), word k of column o being word k of row o's LSB-first stream; `qzeros`
///   (g, out·b/32), LSB-first along `out`, z − 1 in `gptq` and z in `gptq-v2`; `scales` (g, out); `g_idx` (in), the group
///   of each column.
/// - `awq`: `qweight` (in, out/8) and `qzeros` (g, out/8), nibble j of a word holding row 8·word + (0 2 4 6 1 3 5 7)[j];
///   `scales` (g, out).
public struct ColumnPacked: Hashable, Sendable, CustomStringConvertible {
  public enum Layout: String, CaseIterable, Hashable, Sendable {
    case gptq
    case gptqV2 = "gptq-v2"
    case awq
  }

  public var layout: Layout
  public var bits: Int
  /// Columns a group; nil for the whole row.
  public var group: Int?
  /// Whether all zero points are 2^(bits−1), as the file's config says; never `bias`.
  public var offset: Affine.Offset
  /// Type of scales: F16, BF16 or F32.
  public var scale: DType
  /// Whether `g_idx` may put any column into any group, as the file's config says ("activation order"); GPTQ only.
  public var activationOrder: Bool

  /// Row of eight that each nibble of an AWQ word holds.
  static let nibbles = [0, 2, 4, 6, 1, 3, 5, 7]

  /// - Returns: nil when the width, group, offset or scale type is none of the layout.
  public init?(
    layout: Layout, bits: Int, group: Int?, offset: Affine.Offset, scale: DType, activationOrder: Bool = false
  ) {
    guard (layout == .awq ? [4] : [2, 3, 4, 8]).contains(bits),
      group.map({ $0 > 0 && $0 <= 1 << 20 }) ?? true,
      offset != .bias, [.f16, .bf16, .f32].contains(scale), layout != .awq || !activationOrder
    else { return nil }
    self.layout = layout
    self.bits = bits
    self.group = group
    self.offset = offset
    self.scale = scale
    self.activationOrder = activationOrder
  }

  /// Groups of `columns` columns.
  public func groups(_ columns: Int) -> Int { group.map { Matrix.steps(columns, $0) } ?? min(columns, 1) }

  /// One plane as it stands in a checkpoint.
  public struct Stored: Sendable {
    /// Last part of the tensor's name.
    public var name: String
    public var dtype: DType
    public var shape: [Int]
  }

  /// The planes as tensors of a checkpoint; nil when the shape does not fit: codes and zeros must fill their words,
  /// and groups their columns.
  public func stored(rows: Int, columns: Int) -> [Stored]? {
    guard rows < 1 << 40, columns < 1 << 40, rows * bits % 32 == 0, columns * bits % 32 == 0,
      group.map({ columns % $0 == 0 }) ?? true
    else { return nil }
    let words = rows * bits / 32
    let qweight = layout == .awq ? [columns, words] : [columns * bits / 32, rows]
    var stored = [
      Stored(name: "qweight", dtype: .i32, shape: qweight),
      Stored(name: "qzeros", dtype: .i32, shape: [groups(columns), words]),
      Stored(name: "scales", dtype: scale, shape: [groups(columns), rows]),
    ]
    if layout != .awq { stored.append(Stored(name: "g_idx", dtype: .i32, shape: [columns])) }
    return stored
  }

  func planes(_ matrix: Matrix) -> [Plane]? {
    guard let stored = stored(rows: matrix.rows, columns: matrix.columns) else { return nil }
    var planes: [Plane] = []
    for part in stored {
      guard let count = elementCount(part.shape),
        let plane = Plane(part.name, part.dtype, rows: matrix.rows, step: max(matrix.rows, 1), columns: count)
      else { return nil }
      planes.append(plane)
    }
    return planes
  }

  /// Decodes the first `rows` rows of whole planes. Groups in `g_idx` must exist: a reader has looked.
  func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    let groups = groups(columns)
    guard rows > 0, groups > 0 else { return }
    let all = planes[2].count / (groups * scale.bits / 8)
    let codes = codes(planes[0], rows: all, columns: columns)
    let zeros = zeros(planes[1], rows: all, groups: groups)
    var scales = [Float](repeating: 0, count: groups * all)
    var scaleSpan = scales.mutableSpan
    let scalePlane = planes[2]
    decodeDense(scale, scalePlane.span, into: &scaleSpan)
    let order = groupOrder(planes, columns: columns)
    var rowScales = [Float](repeating: 0, count: groups)
    var rowZeros = rowScales
    for row in 0..<rows {
      for group in 0..<groups {
        rowScales[group] = scales[group * all + row]
        rowZeros[group] = zeros[group * all + row]
      }
      for column in 0..<columns {
        let group = order[column]
        out[row * columns + column] =
          rowScales[group] * (Float(codes[row * columns + column]) - rowZeros[group])
      }
    }
  }

  /// The group of each column.
  func groupOrder(_ planes: [Bytes], columns: Int) -> [Int] {
    let width = group ?? max(columns, 1)
    guard layout != .awq else { return (0..<columns).map { $0 / width } }
    let plane = planes[3]
    return (0..<columns).map { Int(plane.span.littleEndian(Int32.self, at: 4 * $0)) }
  }

  /// Zero points (groups, rows).
  func zeros(_ plane: Bytes, rows: Int, groups: Int) -> [Float] {
    let added: Float = layout == .gptq ? 1 : 0
    return acrossRows(plane, lines: groups, rows: rows).map { Float($0) + added }
  }

  /// The zero point of symmetric codes.
  public var middle: Int { 1 << (bits - 1) }

  /// A zero point that is not the middle; nil when all are.
  public func zeroPointBesidesMiddle(_ plane: Bytes, rows: Int, groups: Int) -> Int? {
    zeros(plane, rows: rows, groups: groups).first { $0 != Float(middle) }.map { Int($0) }
  }

  /// Lines of words along the rows, one byte a code: (lines, rows).
  func acrossRows(_ plane: Bytes, lines: Int, rows: Int) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: lines * rows)
    // Lines end on words, so they are one stream.
    var span = codes.mutableSpan
    unpack(bits: bits, plane.span, into: &span)
    if layout == .awq { ColumnPacked.permute(&codes, ColumnPacked.nibbles.indices.map(ColumnPacked.row)) }
    return codes
  }

  /// Codes (rows, columns), one a byte.
  func codes(_ plane: Bytes, rows: Int, columns: Int) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: rows * columns)
    var span = codes.mutableSpan
    if layout == .awq {
      let across = acrossRows(plane, lines: columns, rows: rows)
      var raw = span.mutableRaw
      transpose(width: 1, across.span.raw, rows: columns, columns: rows, into: &raw)
    } else {
      let streams = ColumnPacked.transposed(plane, width: 4, rows: columns * bits / 32, columns: rows)
      unpack(bits: bits, streams.span, into: &span)
    }
    return codes
  }

  /// The nibble of an AWQ word that holds row `row` of eight.
  static func row(_ row: Int) -> Int { nibbles.firstIndex(of: row)! }

  /// Reorders each eight values: value j becomes the one at `order[j]`.
  static func permute(_ values: inout [UInt8], _ order: [Int]) {
    precondition(values.count % 8 == 0 && order.count == 8)
    var eight = [UInt8](repeating: 0, count: 8)
    for start in stride(from: 0, to: values.count, by: 8) {
      for j in 0..<8 { eight[j] = values[start + order[j]] }
      for j in 0..<8 { values[start + j] = eight[j] }
    }
  }

  static func transposed(_ plane: Bytes, width: Int, rows: Int, columns: Int) -> Bytes {
    Bytes(count: plane.count) { output in
      transpose(width: width, plane.span, rows: rows, columns: columns, into: &output)
    }
  }

  public var description: String {
    "\(layout.rawValue) int\(bits) \(group.map { "g\($0)" } ?? "row") \(offset.rawValue) "
      + scale.rawValue.lowercased() + (activationOrder ? " activation-order" : "")
  }
}
