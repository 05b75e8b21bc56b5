import IngotKernels
import IngotSystem
import IngotTensors

/// A field of statistics in a file: its bytes, compressed without loss.
///
///     u64  bytes of the field
///     u64  XXH3-64 of all that follows
///     for each piece of the field, 1 MiB, the last one shorter:
///       u32  bytes of the frame
///       a Zstandard frame of the piece's bytes in order of significance: the lowest byte of every value, then the second, …
///
/// Integers are little endian. Exponents are alike and mantissas are not, so bytes of a kind side by side compress half as much
/// again as values do.
package struct CompressedField {
  static let headLength = 16
  package static let pieceLength = 1 << 20
  /// A field of this size may claim to have shrunk to nothing; a longer one, to a thousandth: what a file makes its reader
  /// allocate stays in proportion to the file.
  package static let freeLength = 1 << 22
  package static let greatestRatio = 1000

  /// Sizes and checksum, then the frames.
  package let head: [UInt8]
  package let content: Bytes
  let checksum: UInt64
  package var count: Int { head.count + content.count }

  /// - Parameter width: bytes of a value.
  package init(_ field: Bytes, width: Int) {
    var frames: [UInt8] = []
    for start in stride(from: 0, to: field.count, by: CompressedField.pieceLength) {
      let piece = field[start..<min(start + CompressedField.pieceLength, field.count)]
      let frame = Zstd.compress(CompressedField.bySignificance(piece, width), level: 1)
      var length = ByteWriter()
      length.put(UInt32(frame.count))
      frames += length.bytes
      frames += frame
    }
    let content = Bytes(frames)
    let checksum = XXH3.hash(content.span)
    var head = ByteWriter()
    head.put(UInt64(field.count))
    head.put(checksum)
    self.content = content
    self.checksum = checksum
    self.head = head.bytes
  }

  private static func bySignificance(_ piece: Bytes, _ width: Int) -> Bytes {
    let values = piece.array
    let count = values.count / width
    var sorted = [UInt8](repeating: 0, count: values.count)
    let source = values.span
    var target = sorted.mutableSpan
    for byte in 0..<width {
      for index in 0..<count { target[byte * count + index] = source[index * width + byte] }
    }
    return Bytes(sorted)
  }

  /// The field's bytes, of which there must be `size`. Nothing is allocated for a stored size that is another one.
  ///
  /// - Parameters:
  ///   - stored: what stands in the file.
  ///   - wrong: makes an error of what was expected and found.
  package static func decompress(
    _ stored: Bytes, size: Int, width: Int, wrong: (_ expected: String, _ found: String) -> FormatError
  ) throws(FormatError) -> Bytes {
    guard stored.count >= headLength else {
      throw wrong("a head of \(headLength) bytes", "\(stored.count) bytes")
    }
    let stated = stored.span.littleEndian(UInt64.self, at: 0)
    guard stated == UInt64(size) else { throw wrong("a field of \(size) bytes", "one of \(stated)") }
    guard size <= freeLength || size / greatestRatio <= stored.count else {
      throw wrong("\(size) bytes compressed to a thousandth or more", "\(stored.count) bytes")
    }
    let content = stored[headLength..<stored.count]
    let (checksum, found) = (stored.span.littleEndian(UInt64.self, at: 8), XXH3.hash(content.span))
    guard checksum == found else {
      throw wrong("checksum \(String(checksum, radix: 16))", String(found, radix: 16))
    }
    var position = 0
    let field = try Bytes(count: size) { (out: inout MutableRawSpan) throws(FormatError) in
      for start in stride(from: 0, to: size, by: pieceLength) {
        let length = min(pieceLength, size - start)
        guard content.count - position >= 4 else { throw wrong("a frame for byte \(start)", "the end") }
        let frame = Int(content.span.littleEndian(UInt32.self, at: position))
        position += 4
        guard content.count - position >= frame,
          let piece = Zstd.decompress(content[position..<position + frame], size: length)?.array
        else { throw wrong("a Zstandard frame of \(length) bytes for byte \(start)", "another thing") }
        position += frame
        let count = length / width
        let source = piece.span
        for byte in 0..<width {
          for index in 0..<count {
            out.storeBytes(
              of: source[byte * count + index], toByteOffset: start + index * width + byte, as: UInt8.self)
          }
        }
      }
    }
    guard position == content.count else {
      throw wrong("the end after the last frame", "\(content.count - position) more bytes")
    }
    return field
  }
}
