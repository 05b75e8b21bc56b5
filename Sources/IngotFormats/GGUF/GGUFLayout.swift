import IngotModels
import IngotSystem
import IngotTensors

/// Where everything of a GGUF output stands: known before a weight is read.
struct GGUFLayout {
  /// One tensor of the output: one of the model's, or those of all experts of a layer stacked.
  struct Stored {
    var name: String
    var shape: [Int]
    var type: GGUFType
    /// Role of the first of them.
    var role: Role
    /// What it holds, the experts in their order.
    var tensors: [Tensor]
    /// Bytes of each of them.
    var slice: Int
    /// File that holds it, and where in that file's data.
    var file = 0
    var offset = 0

    var bytes: Int { slice * tensors.count }
    /// Bytes of its info in the header.
    var infoBytes: Int { 8 + name.utf8.count + 4 + 8 * shape.count + 4 + 8 }
  }

  var stored: [Stored]
  /// Bytes of each file.
  var sizes: [Int]
  /// Where each file's data begins.
  var dataStarts: [Int]

  /// - Parameters:
  ///   - metadata: the first file's keys and values, without those of a split.
  ///   - splitSize: largest file; nil for one file.
  init(_ stored: [Stored], metadata: GGUFMetadata, splitSize: Int?, path: String) throws(FormatError) {
    self.stored = stored
    (sizes, dataStarts) = ([], [])
    let whole = GGUFLayout.headerBytes(metadata, stored)
    place(file: 0, 0..<stored.count, header: whole)
    guard let splitSize, sizes[0] > splitSize else { return }
    try split(splitSize, metadata, path)
  }

  /// Bytes of a header, padding included.
  private static func headerBytes(_ metadata: GGUFMetadata, _ stored: some Sequence<Stored>) -> Int {
    var writer = ByteWriter()
    metadata.write(to: &writer)
    let infos = stored.reduce(0) { $0 + $1.infoBytes }
    return GGUFHeader.align(24 + writer.bytes.count + infos, to: GGUFHeader.defaultAlignment)
  }

  /// Gives the tensors `range` their places in a file.
  private mutating func place(file: Int, _ range: Range<Int>, header: Int) {
    var end = 0
    for index in range {
      stored[index].file = file
      stored[index].offset = end
      end = GGUFHeader.align(end + stored[index].bytes, to: GGUFHeader.defaultAlignment)
    }
    dataStarts.append(header)
    sizes.append(header + end)
  }

  /// Cuts the output into files of at most `limit` bytes, the metadata in the first one, as gguf-split does.
  private mutating func split(_ limit: Int, _ metadata: GGUFMetadata, _ path: String) throws(FormatError) {
    (sizes, dataStarts) = ([], [])
    var first = 0
    while first < stored.count {
      let keys = GGUFLayout.splitKeys(
        sizes.isEmpty ? metadata : GGUFMetadata(path: path), 0, of: 0, tensors: 0)
      let fixed = GGUFLayout.headerBytes(keys, [])
      var next = first
      var infos = 0
      var data = 0
      while next < stored.count {
        let more = GGUFHeader.align(stored[next].bytes, to: GGUFHeader.defaultAlignment)
        // The header's own padding is below one alignment.
        let total = fixed + infos + stored[next].infoBytes + GGUFHeader.defaultAlignment + data + more
        guard total <= limit else {
          guard next > first else {
            throw FormatError(
              path: path, tensor: stored[next].name, expected: "a split size of at least \(total) bytes",
              found: "\(limit)")
          }
          break
        }
        infos += stored[next].infoBytes
        data += more
        next += 1
      }
      place(file: sizes.count, first..<next, header: GGUFLayout.headerBytes(keys, stored[first..<next]))
      first = next
    }
    guard sizes.count <= GGUFFiles.partLimit else {
      throw FormatError(
        path: path, expected: "at most \(GGUFFiles.partLimit) files",
        found: "\(sizes.count) of the size that was asked for")
    }
  }

  /// `metadata` with what says which file of a split this is.
  private static func splitKeys(_ metadata: GGUFMetadata, _ number: Int, of count: Int, tensors: Int)
    -> GGUFMetadata
  {
    var metadata = metadata
    metadata[GGUFFiles.numberKey] = .uint16(UInt16(number))
    metadata[GGUFFiles.countKey] = .uint16(UInt16(count))
    metadata[GGUFFiles.tensorCountKey] = .int32(Int32(tensors))
    return metadata
  }

  /// The header of a file, up to where its data begins.
  func header(_ file: Int, metadata: GGUFMetadata) -> [UInt8] {
    let mine = stored.filter { $0.file == file }
    var keys = file == 0 ? metadata : GGUFMetadata(path: metadata.path)
    if sizes.count > 1 {
      keys = GGUFLayout.splitKeys(keys, file, of: sizes.count, tensors: stored.count)
    }
    return GGUFHeader.encoded(
      keys, mine.map { ($0.name, $0.shape, $0.type, $0.offset) }, padding: dataStarts[file])
  }
}

extension GGUFHeader {
  /// A header as it stands in a file.
  ///
  /// - Parameters:
  ///   - tensors: shapes in our order, offsets from where the data begins.
  ///   - padding: the size to pad to with zeros; nil for the next multiple of the alignment.
  static func encoded(
    _ metadata: GGUFMetadata, _ tensors: [(name: String, shape: [Int], type: GGUFType, offset: Int)],
    padding: Int? = nil
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.put(magic)
    writer.put(version)
    writer.put(UInt64(tensors.count))
    writer.put(UInt64(metadata.entries.count))
    metadata.write(to: &writer)
    for tensor in tensors {
      writer.put(string: tensor.name)
      writer.put(UInt32(tensor.shape.count))
      for extent in tensor.shape.reversed() { writer.put(UInt64(extent)) }
      writer.put(tensor.type.number)
      writer.put(UInt64(tensor.offset))
    }
    writer.pad(to: padding ?? align(writer.bytes.count, to: defaultAlignment))
    return writer.bytes
  }
}
