import CIngotKernels

/// A form of trellis codes: a weight of `halves` / 2 bits stands for a value that follows from its own bits and those before
/// it in its column, `window` bits in all.
///
/// Rows of a column are cut into rings of 256, the last one of what is left, rounded up to 64 rows. The bits of a ring
/// close on themselves, so that the first weights have bits before them too.
public struct TrellisShape: Hashable, Sendable {
  /// Bits a weight, in halves: 3…8.
  public let halves: Int
  /// Bits that a value follows from: 8…16. More make less error and take longer to choose, twice for each.
  public let window: Int

  static let ring = 256
  /// Rows that share words.
  public static let step = 64

  /// - Returns: nil for numbers out of range.
  public init?(halves: Int, window: Int) {
    guard 3...8 ~= halves, 8...16 ~= window else { return nil }
    self.halves = halves
    self.window = window
  }

  /// Bytes of the codes of (rows, columns).
  public func codeBytes(rows: Int, columns: Int) -> Int {
    (rows + TrellisShape.step - 1) / TrellisShape.step * halves * columns * 4
  }

  var native: ingot_trellis {
    ingot_trellis(halves: UInt32(halves), window: UInt32(window), ring: TrellisShape.ring)
  }
}

/// Decodes trellis codes: value · row's scale · column's scale, each product rounded to F32.
///
/// - Parameters:
///   - codes: (rows / 64 rounded up · halves, columns) words of 32 bits, little endian.
///   - rowScales: (rows)
///   - columnScales: (columns)
///   - out: (rows, columns)
public func decodeTrellis(
  _ shape: TrellisShape, _ codes: RawSpan, rowScales: Span<Float>, columnScales: Span<Float>,
  into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  let (rows, columns) = (rowScales.count, columnScales.count)
  precondition(out.count == rows * columns, "(rows, columns)")
  precondition(codes.byteCount == shape.codeBytes(rows: rows, columns: columns), "size of the codes")
  if rows == 0 || columns == 0 { return }
  var native = shape.native
  let isa = isa.checked
  unsafe codes.withUnsafeBytes { codes in
    unsafe rowScales.withUnsafeBufferPointer { rowScales in
      unsafe columnScales.withUnsafeBufferPointer { columnScales in
        unsafe out.withUnsafeMutableBufferPointer { out in
          unsafe ingot_decode_trellis(
            isa, &native, codes.baseAddress!, rows, columns, rowScales.baseAddress!,
            columnScales.baseAddress!, out.baseAddress!)
        }
      }
    }
  }
}
