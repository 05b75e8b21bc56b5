import IngotSystem
import IngotTensors

/// The checked header of one GGUF file: metadata and tensor infos. Tensor data is not read.
///
/// Layout: magic, version u32, tensor count u64, value count u64, values, tensor infos, zeros to a multiple of
/// the alignment, then the data, each tensor at a multiple of the alignment.
struct GGUFHeader: Sendable {
  static let magic: UInt32 = 0x4655_4747
  static let version: UInt32 = 3
  static let defaultAlignment = 32
  static let alignmentKey = "general.alignment"
  static let keyLimit = 65_535
  static let valueLimit = 65_536
  /// ggml keeps names of tensors in 64 bytes with an end mark.
  static let nameLimit = 63
  static let tensorLimit = 1 << 20
  static let rankLimit = 4

  struct Info: Sendable {
    var name: String
    /// Our order: slowest dimension first, the reverse of the file's.
    var shape: [Int]
    var type: GGUFType
    /// Bytes of the file that the tensor takes.
    var range: Range<Int>
    /// Where the info stands in the file.
    var infoOffset: UInt64
  }

  let path: String
  let bytes: Bytes
  let metadata: GGUFMetadata
  /// In the file's order.
  let tensors: [Info]
  let alignment: Int

  /// Whether a file begins as a GGUF file does.
  static func begins(_ bytes: Bytes) -> Bool {
    bytes.count >= 4 && bytes[0..<4].span.littleEndian(UInt32.self, at: 0) == magic
  }

  /// Maps the file at `path` and checks its header.
  init(path: String) throws(FormatError) { try self.init(try Bytes.mapping(path), path: path) }

  init(_ bytes: Bytes, path: String) throws(FormatError) {
    self.path = path
    self.bytes = bytes
    var cursor = GGUFCursor(bytes, path: path)
    guard try cursor.integer(UInt32.self, "the magic bytes 'GGUF'") == GGUFHeader.magic else {
      throw cursor.error("the magic bytes 'GGUF'", "\(bytes[0..<4].array)", at: 0)
    }
    let version = try cursor.integer(UInt32.self, "the version")
    // Versions 2 and 3 are alike in little endian; version 1 has other widths.
    guard version == 2 || version == GGUFHeader.version else {
      let swapped = version.byteSwapped == 3
      throw cursor.error(
        "GGUF version 2 or 3 in little endian", swapped ? "a big-endian file" : "version \(version)", at: 4)
    }
    let tensorCount = try cursor.count("the number of tensors", limit: GGUFHeader.tensorLimit)
    let valueCount = try cursor.count("the number of values", limit: GGUFHeader.valueLimit)
    var metadata = GGUFMetadata(path: path)
    for _ in 0..<valueCount {
      let start = cursor.position
      let key = try cursor.string("a key", limit: GGUFHeader.keyLimit)
      guard !key.isEmpty, metadata[key] == nil else {
        throw cursor.error(
          "keys that occur once",
          key.isEmpty ? "an empty key" : "'\(printable(key, limit: 80))' a second time",
          at: start)
      }
      metadata[key] = try cursor.value(
        try cursor.kind("'\(printable(key, limit: 80))'"), "'\(printable(key, limit: 80))'")
    }
    self.metadata = metadata
    alignment = try GGUFHeader.alignment(metadata)
    tensors = try GGUFHeader.infos(tensorCount, &cursor, alignment)
  }

  private static func alignment(_ metadata: GGUFMetadata) throws(FormatError) -> Int {
    guard let value = metadata[alignmentKey] else { return defaultAlignment }
    guard case .uint32(let number) = value, number > 0, number <= 1 << 20, number & (number - 1) == 0 else {
      throw metadata.error(alignmentKey, "a power of two up to 2^20 as uint32")
    }
    return Int(number)
  }

  private static func infos(_ count: Int, _ cursor: inout GGUFCursor, _ alignment: Int) throws(FormatError)
    -> [Info]
  {
    var infos: [Info] = []
    infos.reserveCapacity(min(count, 65_536))
    var names = Set<String>()
    for _ in 0..<count {
      let start = cursor.position
      let info = try info(&cursor, alignment)
      guard names.insert(info.name).inserted else {
        throw FormatError(
          path: cursor.path, tensor: info.name, offset: UInt64(start), expected: "names that occur once",
          found: "a second tensor")
      }
      infos.append(info)
    }
    let dataStart = align(cursor.position, to: alignment)
    let starts = infos.map(\.range.lowerBound).sorted()
    for index in infos.indices where infos[index].type.bytes == 0 {
      let start = infos[index].range.lowerBound
      let next = starts.first { $0 > start } ?? max(cursor.bytes.count - dataStart, start)
      infos[index].range = start..<next
    }
    for index in infos.indices {
      // Offsets count from where the data begins, which is known only now.
      let range = infos[index].range
      let start = range.lowerBound.addingReportingOverflow(dataStart)
      let end = range.upperBound.addingReportingOverflow(dataStart)
      guard !start.overflow, !end.overflow, end.partialValue <= cursor.bytes.count else {
        throw FormatError(
          path: cursor.path, tensor: infos[index].name, offset: infos[index].infoOffset,
          expected: "data within the file of \(cursor.bytes.count) bytes",
          found: "\(range.count) bytes at \(range.lowerBound) of data that begins at \(dataStart)")
      }
      infos[index].range = start.partialValue..<end.partialValue
    }
    try checkTiling(infos, cursor, dataStart, alignment)
    return infos
  }

  /// Where a multiple of the alignment begins at or after `offset`.
  static func align(_ offset: Int, to alignment: Int) -> Int {
    (offset + alignment - 1) / alignment * alignment
  }

  /// One info, its range counted from the data's start.
  private static func info(_ cursor: inout GGUFCursor, _ alignment: Int) throws(FormatError) -> Info {
    let start = cursor.position
    let name = try cursor.string("a tensor's name", limit: nameLimit)
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: cursor.path, tensor: name, offset: UInt64(start), expected: expected, found: found)
    }
    guard !name.isEmpty else { throw wrong("a name", "an empty one") }
    let rank = Int(try cursor.integer(UInt32.self, "the number of dimensions"))
    guard (1...rankLimit).contains(rank) else { throw wrong("1 to \(rankLimit) dimensions", "\(rank)") }
    var shape: [Int] = []
    for _ in 0..<rank {
      let extent = try cursor.integer(UInt64.self, "a dimension")
      guard extent > 0, extent <= UInt64(Int.max) else {
        throw wrong("dimensions from 1 to 2^63", "\(extent)")
      }
      shape.insert(Int(extent), at: 0)
    }
    let number = try cursor.integer(UInt32.self, "the tensor's type")
    // Others are for readers to refuse: what is in a file can be listed whatever its types.
    let type = GGUFType.numbered(number) ?? .unknown(number)
    guard let columns = shape.last, columns % type.values == 0 else {
      throw wrong("rows of a multiple of \(type.values) values for \(type.name)", "\(shape.last ?? 0)")
    }
    guard let values = elementCount(shape),
      case (let length, false) = (values / type.values).multipliedReportingOverflow(by: type.bytes)
    else { throw wrong("a shape whose bytes can be counted", "\(type.name) \(shape)") }
    let offset = try cursor.integer(UInt64.self, "the tensor's offset")
    guard offset % UInt64(alignment) == 0, offset <= UInt64(Int.max) else {
      throw wrong("an offset that is a multiple of \(alignment)", "\(offset)")
    }
    guard case (let end, false) = Int(offset).addingReportingOverflow(length) else {
      throw wrong("data below 2^63", "\(length) bytes at \(offset)")
    }
    return Info(name: name, shape: shape, type: type, range: Int(offset)..<end, infoOffset: UInt64(start))
  }

  /// Tensors must follow each other with nothing but padding between and behind them: llama.cpp reads no other
  /// file, and bytes that belong to nothing have no business in one.
  private static func checkTiling(
    _ infos: [Info], _ cursor: GGUFCursor, _ dataStart: Int, _ alignment: Int
  ) throws(FormatError) {
    var end = infos.isEmpty ? cursor.position : dataStart
    for info in infos.sorted(by: { ($0.range.lowerBound, $0.name) < ($1.range.lowerBound, $1.name) }) {
      let expected = align(end, to: alignment)
      guard info.range.lowerBound == expected else {
        throw FormatError(
          path: cursor.path, tensor: info.name, offset: info.infoOffset,
          expected: "data at byte \(expected), behind the tensor before",
          found: (info.range.lowerBound > expected ? "a hole: " : "an overlap: ")
            + "byte \(info.range.lowerBound)")
      }
      end = info.range.upperBound
    }
    guard cursor.bytes.count <= align(end, to: alignment) else {
      throw FormatError(
        path: cursor.path, offset: UInt64(end), expected: "the end of the file after the last tensor",
        found: "\(cursor.bytes.count - end) more bytes")
    }
  }
}
