import IngotSystem
import IngotTensors

/// The header of one SafeTensors file: names, types, shapes and places of its tensors.
///
/// Layout: u64 little-endian header length N, N bytes of JSON, then the buffer. Every entry gives `dtype`,
/// `shape` and `data_offsets` [begin, end) in the buffer; the entries tile the buffer.
/// Source: the SafeTensors format description. Stricter here: no duplicate keys, no unknown keys.
package struct SafeTensorsHeader: Sendable {
  /// Longest header that is read, in bytes, as in the reference implementation.
  static let lengthLimit = 100_000_000
  /// Most extents a shape may have.
  static let rankLimit = 8

  package struct Entry: Sendable {
    package var name: String
    package var dtype: DType
    package var shape: [Int]
    /// Bytes of the file that the tensor takes.
    package var range: Range<Int>
    /// Where the entry stands in the header, from the start of the file.
    package var headerOffset: UInt64
  }

  let path: String
  package let entries: [Entry]
  package let metadata: [String: String]
  /// Bytes of length field and JSON.
  let length: Int

  /// Reads and checks the header of the file at `path`; the buffer is not read.
  package init(path: String) throws(FormatError) {
    self.path = path
    let file = try File(reading: path)
    file.expectPieces()
    let size = try file.size()
    let head = try file.read(min(size, 2047), at: 0)
    let start = head.array.dropFirst(8).first
    if head.count < 9 || start != UInt8(ascii: "{"), let other = StandIn.description(head) {
      throw FormatError(path: path, expected: "a SafeTensors file", found: other)
    }
    guard size >= 8 else {
      throw FormatError(
        path: path, offset: 0, expected: "8 bytes of header length", found: "a file of \(size) bytes")
    }
    let prefix = try file.read(8, at: 0)
    let stated = prefix.span.littleEndian(UInt64.self, at: 0)
    guard stated <= UInt64(SafeTensorsHeader.lengthLimit) else {
      throw FormatError(
        path: path, offset: 0, expected: "a header of at most \(SafeTensorsHeader.lengthLimit) bytes",
        found: "header length \(stated)")
    }
    length = 8 + Int(stated)
    guard length <= size else {
      throw FormatError(
        path: path, offset: 8, expected: "\(stated) bytes of header", found: "\(size - 8) bytes to the end")
    }
    let text = try file.read(Int(stated), at: 8).array
    guard text.first == UInt8(ascii: "{") else {
      throw FormatError(
        path: path, offset: 8, expected: "'{' to begin the header",
        found: text.first.map { "byte 0x\(String($0, radix: 16))" } ?? "an empty header")
    }
    var reader = Reader(path: path, dataStart: length, fileSize: size)
    (entries, metadata) = try reader.read(JSONScanner(text, path: path, base: 8))
    try checkTiling(fileSize: size)
  }

  /// Entries must cover the buffer without holes or overlaps.
  private func checkTiling(fileSize: Int) throws(FormatError) {
    var position = length
    for entry in entries.sorted(by: {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }) {
      guard entry.range.lowerBound == position else {
        let kind = entry.range.lowerBound > position ? "a hole" : "an overlap"
        throw FormatError(
          path: path, tensor: entry.name, offset: entry.headerOffset,
          expected: "data_offsets that begin at \(position - length)",
          found: "\(kind): begin \(entry.range.lowerBound - length)")
      }
      position = entry.range.upperBound
    }
    guard position == fileSize else {
      throw FormatError(
        path: path, offset: UInt64(position), expected: "the end of the file after the last tensor",
        found: "\(fileSize - position) more bytes")
    }
  }

  /// Reads the JSON of a header.
  private struct Reader {
    let path: String
    let dataStart: Int
    let fileSize: Int

    mutating func read(_ source: JSONScanner) throws(FormatError) -> ([Entry], [String: String]) {
      var scanner = source
      var entries: [Entry] = []
      var metadata: [String: String] = [:]
      var names = Set<String>()
      try scanner.beginObject()
      while true {
        let at = scanner.offset
        guard let name = try scanner.nextKey() else { break }
        guard names.insert(name).inserted else {
          throw FormatError(
            path: path, tensor: name, offset: at, expected: "names that occur once", found: "a second entry")
        }
        if name == "__metadata__" {
          // MLX writes null for none.
          if try !scanner.null() { metadata = try readMetadata(&scanner) }
        } else {
          entries.append(try readEntry(name, at, &scanner))
        }
      }
      try scanner.end()
      return (entries, metadata)
    }

    private func readMetadata(_ scanner: inout JSONScanner) throws(FormatError) -> [String: String] {
      var metadata: [String: String] = [:]
      try scanner.beginObject()
      while true {
        let at = scanner.offset
        guard let key = try scanner.nextKey() else { return metadata }
        let value = try scanner.string()
        guard metadata.updateValue(value, forKey: key) == nil else {
          throw FormatError(
            path: path, offset: at, expected: "keys of __metadata__ that occur once",
            found: "'\(printable(key))' a second time")
        }
      }
    }

    private func readEntry(_ name: String, _ at: UInt64, _ scanner: inout JSONScanner) throws(FormatError)
      -> Entry
    {
      func wrong(_ expected: String, _ found: String) -> FormatError {
        FormatError(path: path, tensor: name, offset: at, expected: expected, found: found)
      }
      var dtype: DType?
      var shape: [Int]?
      var offsets: [UInt64]?
      do throws(FormatError) {
        try scanner.beginObject()
        while let key = try scanner.nextKey() {
          switch key {
          case "dtype" where dtype == nil:
            let text = try scanner.string()
            guard let type = DType(rawValue: text) else {
              throw wrong("a dtype of SafeTensors", "'\(printable(text, limit: 40))'")
            }
            dtype = type
          case "shape" where shape == nil:
            shape = try integers(&scanner, limit: SafeTensorsHeader.rankLimit, wrong).map {
              Int(clamping: $0)
            }
          case "data_offsets" where offsets == nil: offsets = try integers(&scanner, limit: 2, wrong)
          default:
            throw wrong("dtype, shape and data_offsets once each", "key '\(printable(key, limit: 60))'")
          }
        }
      } catch {
        throw error.tensor == nil
          ? FormatError(
            path: path, tensor: name, offset: error.offset, expected: error.expected, found: error.found)
          : error
      }
      guard let dtype else { throw wrong("a dtype", "none") }
      guard let shape else { throw wrong("a shape", "none") }
      guard let offsets, offsets.count == 2 else {
        throw wrong("two data_offsets", offsets.map { "\($0.count)" } ?? "none")
      }
      guard let count = elementCount(shape), let bytes = dtype.bytes(count: count) else {
        throw wrong(
          "a shape whose bytes can be counted", "\(dtype.rawValue) \(shape)")
      }
      guard offsets[0] <= offsets[1] else {
        throw wrong("begin ≤ end", "data_offsets \(offsets)")
      }
      let room = UInt64(fileSize - dataStart)
      guard offsets[1] <= room else {
        throw wrong("data_offsets within the buffer of \(room) bytes", "end \(offsets[1])")
      }
      guard offsets[1] - offsets[0] == UInt64(bytes) else {
        throw wrong(
          "\(bytes) bytes for \(dtype.rawValue) \(shape)",
          "\(offsets[1] - offsets[0]) by data_offsets \(offsets)")
      }
      return Entry(
        name: name, dtype: dtype, shape: shape,
        range: dataStart + Int(offsets[0])..<dataStart + Int(offsets[1]), headerOffset: at)
    }

    private func integers(
      _ scanner: inout JSONScanner, limit: Int, _ wrong: (String, String) -> FormatError
    ) throws(FormatError) -> [UInt64] {
      var values: [UInt64] = []
      try scanner.beginArray()
      while try scanner.nextElement() {
        guard values.count < limit else { throw wrong("at most \(limit) numbers", "more") }
        values.append(try scanner.unsignedInteger())
      }
      return values
    }
  }
}
