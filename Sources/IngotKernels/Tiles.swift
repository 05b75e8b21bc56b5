import CIngotKernels

/// How a state of 16 bits becomes a value.
public enum TileCodebook: String, CaseIterable, Hashable, Sendable {
  /// The sum of a product's four bytes: what is written today.
  case mul1
  /// The sum of two halves of a product, seen as F16.
  case mcg
  /// As `mcg`, with a constant added to another product.
  case sum = "3inst"

  var native: ingot_tile_codebook {
    switch self {
    case .mul1: INGOT_TILES_MUL1
    case .mcg: INGOT_TILES_MCG
    case .sum: INGOT_TILES_3INST
    }
  }
}

/// A form of trellis codes in tiles of 16 × 16 weights, each a ring of 256 paths' steps through states of 16 bits.
public struct TileShape: Hashable, Sendable {
  /// Bits a weight: 1…8.
  public let bits: Int
  public let codebook: TileCodebook

  /// Rows and columns are padded to a multiple of this, over which values are transformed.
  public static let block = 128
  static let tile = 16

  /// - Returns: nil for bits out of range.
  public init?(bits: Int, codebook: TileCodebook = .mul1) {
    guard 1...8 ~= bits else { return nil }
    self.bits = bits
    self.codebook = codebook
  }

  /// An extent with what it is padded by; nil when that overflows.
  public static func padded(_ extent: Int) -> Int? {
    let (sum, overflow) = extent.addingReportingOverflow(block - 1)
    return overflow ? nil : sum / block * block
  }

  /// Bytes of the codes of (rows, columns).
  public func codeBytes(rows: Int, columns: Int) -> Int {
    TileShape.padded(rows)! * TileShape.padded(columns)! / 8 * bits
  }

  var native: ingot_tiles { ingot_tiles(bits: UInt32(bits), codebook: codebook.native) }
}

/// Decodes tiles of trellis codes: the states' values, transformed over blocks of 128 columns and of 128 rows by Hadamard
/// matrices, times the column's scale, times the row's.
///
/// - Parameters:
///   - codes: (columns / 16, rows / 16, 32 · bits) bytes, rows and columns padded.
///   - columnScales: (columns), padded.
///   - rowScales: (rows), padded.
///   - out: (rows, columns)
public func decodeTiles(
  _ shape: TileShape, _ codes: RawSpan, rows: Int, columns: Int, columnScales: Span<Float>,
  rowScales: Span<Float>, into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  precondition(out.count == rows * columns, "(rows, columns)")
  precondition(codes.byteCount == shape.codeBytes(rows: rows, columns: columns), "size of the codes")
  precondition(
    columnScales.count == TileShape.padded(columns) && rowScales.count == TileShape.padded(rows),
    "padded scales")
  if rows == 0 || columns == 0 { return }
  var native = shape.native
  let isa = isa.checked
  var scratch = [Float](repeating: 0, count: ingot_decode_tiles_scratch() / 4)
  unsafe codes.withUnsafeBytes { codes in
    unsafe columnScales.withUnsafeBufferPointer { columnScales in
      unsafe rowScales.withUnsafeBufferPointer { rowScales in
        unsafe out.withUnsafeMutableBufferPointer { out in
          unsafe scratch.withUnsafeMutableBufferPointer { scratch in
            unsafe ingot_decode_tiles(
              isa, &native, codes.baseAddress!, rows, columns, columnScales.baseAddress!,
              rowScales.baseAddress!, out.baseAddress!, scratch.baseAddress!)
          }
        }
      }
    }
  }
}
