import IngotSystem

/// How the values of a tensor stand in bytes. Part of a format's specification; how codes were chosen
/// (the quantizer) is another matter.
///
/// Every encoding has a fixed rate, so the bytes of a tensor follow from its shape. All but `columnPacked`, `trellis` and `tiles` keep rows
/// apart, so a range of rows can be read, decoded or written alone. A tensor is seen as a matrix: the last
/// extent is the columns, the product of the others the rows.
public enum Encoding: Hashable, Sendable {
  /// Values of one type, row after row.
  case dense(DType)
  /// FP8 codes with one scale for each block of rows × columns.
  case blockScaled(BlockScaled)
  /// Integer codes in groups along the columns, each with a scale and perhaps an offset.
  case affine(Affine)
  /// Small floats in groups along the columns, each group with a one-byte scale.
  case microScaled(MicroScaled)
  /// Integer codes packed across the rows: GPTQ and AWQ.
  case columnPacked(ColumnPacked)
  /// Blocks as GGUF files hold them, each with its scales inside.
  case ggml(GGMLType)
  /// Paths through states along the columns.
  case trellis(Trellis)
  /// Paths through states around tiles, of values transformed over blocks.
  case tiles(Tiles)

  /// The runs of bytes that a tensor of this encoding and `shape` consists of, in their order.
  ///
  /// - Returns: nil when the shape does not fit the encoding or its size overflows.
  public func planes(_ shape: [Int]) -> [Plane]? {
    guard let matrix = Matrix(shape) else { return nil }
    switch self {
    case .dense(let type):
      return Plane("values", type, rows: matrix.rows, columns: matrix.columns).map { [$0] }
    case .blockScaled(let scheme): return scheme.planes(matrix)
    case .affine(let scheme): return scheme.planes(matrix)
    case .microScaled(let scheme): return scheme.planes(matrix)
    case .columnPacked(let scheme): return scheme.planes(matrix)
    case .ggml(let type): return type.planes(matrix)
    case .trellis(let scheme): return scheme.planes(matrix)
    case .tiles(let scheme): return scheme.planes(matrix)
    }
  }

  /// Bytes of all planes of a tensor of `shape`; nil when it does not fit or overflows.
  public func bytes(_ shape: [Int]) -> Int? {
    planes(shape)?.reduce(Int?(0)) { sum, plane in
      guard let sum else { return nil }
      let (total, overflow) = sum.addingReportingOverflow(plane.bytes)
      return overflow ? nil : total
    }
  }

  /// A range of rows to be read alone must begin at a multiple of this.
  ///
  /// - Parameter rows: all rows of the tensor: one whose planes serve every row is read whole.
  public func rowStep(rows: Int) -> Int {
    switch self {
    case .blockScaled(let scheme): scheme.blockRows
    case .microScaled(let scheme) where scheme.hasGlobal: max(rows, 1)
    case .columnPacked, .trellis, .tiles: max(rows, 1)
    default: 1
    }
  }

  /// Whether values can be decoded to F32.
  public var isDecodable: Bool {
    switch self {
    case .dense(let type): type.isDecodable
    case .blockScaled, .affine, .microScaled, .columnPacked, .ggml, .trellis, .tiles: true
    }
  }

  /// Decodes rows to F32.
  ///
  /// - Parameters:
  ///   - planes: the planes cut to these rows, in order.
  ///   - rows: how many rows; the first one stands at a multiple of `rowStep` in its tensor.
  ///   - columns: values a row.
  ///   - out: (rows, columns).
  public func decode(_ planes: [Bytes], rows: Int, columns: Int, into out: inout MutableSpan<Float>) {
    precondition(out.count == rows * columns, "output does not have \(rows) × \(columns) values")
    switch self {
    case .dense(let type):
      let values = planes[0]
      decodeDense(type, values.span, into: &out)
    case .blockScaled(let scheme): scheme.decode(planes, rows: rows, columns: columns, into: &out)
    case .affine(let scheme): scheme.decode(planes, rows: rows, columns: columns, into: &out)
    case .microScaled(let scheme): scheme.decode(planes, rows: rows, columns: columns, into: &out)
    case .columnPacked(let scheme): scheme.decode(planes, rows: rows, columns: columns, into: &out)
    case .ggml(let type): type.decode(planes, into: &out)
    case .trellis(let scheme): scheme.decode(planes, rows: rows, columns: columns, into: &out)
    case .tiles(let scheme): scheme.decode(planes, rows: rows, columns: columns, into: &out)
    }
  }
}

extension Encoding: CustomStringConvertible {
  /// The name that recipes, plans and reports use: `bf16`, `fp8 128×128`, `int4 g64 zero f16`, `q4_k`, `trellis-2.5`, `exl3-3`.
  public var description: String {
    switch self {
    case .dense(let type): type.rawValue.lowercased()
    case .blockScaled(let scheme): scheme.description
    case .affine(let scheme): scheme.description
    case .microScaled(let scheme): scheme.description
    case .columnPacked(let scheme): scheme.description
    case .ggml(let type): type.description
    case .trellis(let scheme): scheme.description
    case .tiles(let scheme): scheme.description
    }
  }
}

/// A shape seen as rows × columns.
public struct Matrix: Hashable, Sendable {
  public var rows: Int
  public var columns: Int

  /// - Returns: nil when an extent is negative or the number of values overflows.
  public init?(_ shape: [Int]) {
    guard elementCount(shape) != nil, let rows = elementCount(shape.dropLast()) else { return nil }
    self.rows = rows
    columns = shape.last ?? 1
  }

  /// The extent of `count` values cut into steps, the last one perhaps short.
  public static func steps(_ count: Int, _ step: Int) -> Int { count == 0 ? 0 : (count - 1) / step + 1 }
}

/// One run of bytes of a tensor: codes, scales, … Its own rows are cut like the tensor's.
public struct Plane: Hashable, Sendable {
  /// `values`, `codes`, `scales`, `zeros`, `biases`, `global`, `columns` or `blocks`.
  public var name: String
  public var dtype: DType
  /// Rows of the tensor that one row of the plane stands for.
  public var step: Int
  /// Rows of the plane itself.
  public var rows: Int
  /// Bytes of each of them.
  public var bytesPerRow: Int

  public var bytes: Int { rows * bytesPerRow }

  /// - Parameters:
  ///   - rows: rows of the tensor.
  ///   - columns: entries of a plane row.
  ///   - bits: width of an entry when it is not the width of `dtype`; rows end on a byte.
  /// - Returns: nil when the size overflows, or when whole values of a type narrower than a byte leave bits over.
  init?(_ name: String, _ dtype: DType, rows: Int, step: Int = 1, columns: Int, bits: Int? = nil) {
    let (total, overflow) = columns.multipliedReportingOverflow(by: bits ?? dtype.bits)
    guard !overflow, total <= Int.max - 7, bits != nil || total % 8 == 0 else { return nil }
    self.name = name
    self.dtype = dtype
    self.step = step
    self.rows = Matrix.steps(rows, step)
    bytesPerRow = (total + 7) / 8
    guard !self.rows.multipliedReportingOverflow(by: bytesPerRow).overflow else { return nil }
  }

  /// Where the bytes of the tensor's `rows` lie in this plane.
  public func range(rows range: Range<Int>) -> Range<Int> {
    precondition(range.lowerBound % step == 0, "rows \(range) do not begin at a step of \(step)")
    let last = min(Matrix.steps(range.upperBound, step), rows)
    return range.lowerBound / step * bytesPerRow..<last * bytesPerRow
  }
}
