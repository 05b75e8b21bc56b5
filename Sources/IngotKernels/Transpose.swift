import CIngotKernels

/// Transposes a matrix of elements of `width` bytes: `out` (columns, rows) of `source` (rows, columns).
///
/// - Precondition: `width` is 1, 2, 4 or 8; both have `rows * columns * width` bytes.
public func transpose(
  width: Int, _ source: RawSpan, rows: Int, columns: Int, into out: inout MutableRawSpan
) {
  precondition([1, 2, 4, 8].contains(width), "elements have 1, 2, 4 or 8 bytes")
  precondition(
    rows >= 0 && columns >= 0 && source.byteCount == rows * columns * width
      && out.byteCount == source.byteCount, "source and result have \(rows) × \(columns) elements")
  unsafe source.withUnsafeBytes { source in
    unsafe out.withUnsafeMutableBytes { out in
      unsafe ingot_transpose(UInt32(width), source.baseAddress, out.baseAddress, rows, columns)
    }
  }
}
