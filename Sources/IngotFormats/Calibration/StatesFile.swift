import IngotKernels
import IngotSystem
import IngotTensors

/// Hidden states between two layers, in a file beside an unfinished output: for each context a u64 with the bytes that follow,
/// then what `CompressedField` makes of its F32 values.
package enum StatesFile {
  /// Writes a new file; whatever stands there is removed.
  ///
  /// - Parameter states: contexts × values.
  /// - Returns: the file, for it to be made durable.
  package static func write(_ states: [[Float]], to path: String) throws(FormatError) -> File {
    Folder.remove(path)
    let file = try File(creating: path)
    var position = 0
    for state in states {
      let bytes = Bytes(count: 4 * state.count) { encode(.f32, state.span, into: &$0) }
      let field = CompressedField(bytes, width: 4)
      var length = ByteWriter()
      length.put(UInt64(field.count))
      try file.write(length.bytes + field.head, at: position)
      try file.write(field.content.span, at: position + 8 + field.head.count)
      position += 8 + field.count
    }
    return file
  }

  /// - Parameter counts: values of each context.
  /// - Throws: FormatError for a file that is not there, of another size or damaged.
  package static func read(_ path: String, counts: [Int]) throws(FormatError) -> [[Float]] {
    let file = try File(reading: path)
    let size = try file.size()
    var position = 0
    var states: [[Float]] = []
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: path, offset: UInt64(position), expected: expected, found: found, remedy: .discard)
    }
    for count in counts {
      guard size - position >= 8 else { throw wrong("the states of another context", "the end") }
      let prefix = try file.read(8, at: position)
      let length = prefix.span.littleEndian(UInt64.self, at: 0)
      guard length <= UInt64(size - position - 8) else { throw wrong("\(length) bytes", "the end") }
      let stored = try file.read(Int(length), at: position + 8)
      let bytes = try CompressedField.decompress(stored, size: 4 * count, width: 4, wrong: wrong)
      var values = [Float](repeating: 0, count: count)
      var span = values.mutableSpan
      decode(.f32, bytes.span, into: &span)
      states.append(values)
      position += 8 + Int(length)
    }
    guard position == size else { throw wrong("the end", "\(size - position) more bytes") }
    return states
  }
}
