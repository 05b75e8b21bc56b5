import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Lays an artifact out and writes it.
struct IngotWriter {
  let model: Model
  let path: String
  let options: WriteOptions

  /// The layout of a whole artifact: known before a weight is read.
  struct Layout {
    var directory: IngotDirectory
    /// Stored bytes of each side file, in the directory's order.
    var files: [Bytes]
    var directoryLength: Int
    /// Bytes of each part.
    var sizes: [Int]
  }

  /// Places side files, then run after run: first the tensors of the whole model, then layer by layer those
  /// that no expert owns and each expert's.
  ///
  /// - Parameter provenance: what is known of the source now; only its length matters, and only for part 1.
  func layout(provenance: JSON) throws(FormatError) -> Layout {
    let content =
      [
        (
          SideFile(name: "ingot-provenance.json", bytes: Bytes(Array(provenance.text().utf8))),
          IngotLayout.FileKind.provenance
        )
      ]
      + model.sideFiles.filter { $0.name != "ingot-provenance.json" }.map { ($0, .sideFile) }
    var records: [IngotFileRecord] = []
    var files: [Bytes] = []
    var frames = IngotLayout.Frames()
    for (file, kind) in content {
      guard IngotLayout.isSideFileName(file.name) else {
        throw FormatError(
          path: model.path,
          expected: "side files with plain names, but for chat templates in \(ChatTemplates.folder)",
          found: "'\(printable(file.name, limit: 300))'")
      }
      // The provenance ends with hashes that are known last: stored plain, its length is known first.
      let frame = kind == .sideFile ? Zstd.compress(file.bytes) : []
      // Frames that grow by more than readers allow would be taken for bombs.
      var withThis = frames
      withThis.add(stored: frame.count, content: file.bytes.count)
      let smaller = kind == .sideFile && frame.count < file.bytes.count && withThis.areBounded
      if smaller { frames = withThis }
      let stored = smaller ? Bytes(frame) : file.bytes
      files.append(stored)
      records.append(
        IngotFileRecord(
          name: file.name, kind: kind, compressed: smaller, offset: 0, storedLength: stored.count,
          rawLength: file.bytes.count, checksum: XXH3.hash(stored.span)))
    }
    var tensors = model.tensors.map { tensor in
      let planes = tensor.encoding.planes(tensor.shape)!
      return IngotTensorRecord(
        name: tensor.name, role: tensor.role, encoding: tensor.encoding, shape: tensor.shape, part: 0,
        offset: 0,
        length: IngotLayout.planeOffsets(planes).length, checksums: planes.map { _ in 0 })
    }
    for tensor in model.tensors {
      guard tensor.shape.count <= IngotLayout.rankLimit, tensor.shape.allSatisfy({ $0 <= UInt32.max }) else {
        throw tensor.error(
          "at most \(IngotLayout.rankLimit) extents below 2^32, which is what .ingot has room for",
          found: "shape \(tensor.shape)")
      }
    }
    for tensor in tensors where !TensorKind.isValid(tensor.role.kind.rawValue) {
      throw FormatError(
        path: path, tensor: tensor.name,
        expected: "a kind of 1 to \(TensorKind.longest) of a-z, 0-9 and _, a letter first",
        found: "'\(printable(tensor.role.kind.rawValue, limit: 80))'")
    }
    let length = IngotDirectory(tensors: tensors, files: records).encodedLength
    var end = IngotLayout.headerSize + length
    for index in records.indices {
      records[index].offset = IngotLayout.align(end, to: IngotLayout.planeAlignment)
      end = records[index].offset + records[index].storedLength
    }
    var sizes: [Int] = []
    for run in IngotWriter.runs(tensors) {
      let runLength = run.reduce(0) {
        IngotLayout.align($0, to: IngotLayout.planeAlignment) + tensors[$1].length
      }
      var start = IngotLayout.align(end, to: IngotLayout.runAlignment)
      if let limit = options.splitSize, start + runLength > limit {
        sizes.append(end)
        start = IngotLayout.runAlignment
        guard start + runLength <= limit else {
          throw FormatError(
            path: path, tensor: tensors[run[0]].name,
            expected: "a split size of at least \(start + runLength) bytes",
            found: "\(limit)")
        }
      }
      end = start
      for index in run {
        tensors[index].part = sizes.count
        tensors[index].offset = IngotLayout.align(end, to: IngotLayout.planeAlignment)
        end = tensors[index].offset + tensors[index].length
      }
    }
    sizes.append(end)
    guard sizes.count <= IngotLayout.partLimit else {
      throw FormatError(
        path: path, expected: "at most \(IngotLayout.partLimit) parts",
        found: "\(sizes.count) of the size that was asked for")
    }
    return Layout(
      directory: IngotDirectory(tensors: tensors, files: records), files: files, directoryLength: length,
      sizes: sizes)
  }

  /// Indices of tensors that lie together: one expert's, or those of a layer or of the model that no expert owns.
  static func runs(_ tensors: [IngotTensorRecord]) -> [[Int]] {
    var runs: [[Int]] = []
    var previous: (Int?, Int?)?
    for (index, tensor) in tensors.enumerated() {
      let key = (tensor.role.layer, tensor.role.expert)
      // Tensors of the whole model (embedding, head) are large: each is a run of its own.
      if let previous, previous == key, key.0 != nil {
        runs[runs.count - 1].append(index)
      } else {
        runs.append([index])
      }
      previous = key
    }
    return runs
  }

  /// Bytes of the whole artifact, headers, directory and side files included.
  func plannedBytes() throws(FormatError) -> Int {
    try layout(provenance: try Provenance.of(model, options, hashes: nil)).sizes.reduce(0, +)
  }

  func write() async throws(FormatError) -> Written {
    var layout = try layout(provenance: try Provenance.of(model, options, hashes: nil))
    let paths = IngotWriter.paths(path, parts: layout.sizes.count)
    let output = try Output(
      path, parts: Array(zip(paths, layout.sizes)),
      identity: try model.identity(
        options, layout: [Bytes(layout.directory.encoded())] + layout.files),
      records: model.tensors.count, options)
    do throws(FormatError) {
      if !output.isComplete {
        let hashes = try await fillPayload(&layout, output)
        let provenance = Bytes(Array(try Provenance.of(model, options, hashes: hashes).text().utf8))
        guard provenance.count == layout.files[0].count else {
          throw FormatError(
            path: model.path, expected: "weight files of the sizes that they had when the run began",
            found: "other sizes: the source was changed meanwhile; run the command again")
        }
        layout.files[0] = provenance
        layout.directory.files[0].checksum = XXH3.hash(provenance.span)
        try writeFront(layout, output.files)
      }
      try output.commit()
    } catch {
      throw output.abandoned(error)
    }
    return Written(files: paths, bytes: layout.sizes.reduce(0, +))
  }

  /// Names of the parts: `path` itself, or numbered ones beside it.
  static func paths(_ path: String, parts: Int) -> [String] {
    guard parts > 1 else { return [path] }
    let stem = path.hasSuffix(".ingot") ? String(path.dropLast(6)) : path
    return (0..<parts).map { stem + IngotFile.partSuffix($0, of: parts) }
  }

  /// Writes every tensor to its place and enters the checksums in the directory.
  ///
  /// - Returns: hashes of the source's files.
  private func fillPayload(_ layout: inout Layout, _ output: Output) async throws(FormatError) -> [String] {
    let records = layout.directory.tensors
    let files = output.files
    let placements = zip(model.tensors, records).map { tensor, record in
      let offsets = IngotLayout.planeOffsets(tensor.encoding.planes(tensor.shape)!).offsets
      return Placement(tensor: tensor, planes: offsets.map { (files[record.part], record.offset + $0) })
    }
    let filled = try await fill(placements, of: model, options, output.journal, checksums: true)
    for (index, sum) in filled.checksums.enumerated() { layout.directory.tensors[index].checksums = sum }
    return filled.sourceHashes
  }

  /// Writes side files, directory and headers: last, so an interrupted file never looks like an artifact.
  private func writeFront(_ layout: Layout, _ files: [File]) throws(FormatError) {
    for (record, bytes) in zip(layout.directory.files, layout.files) {
      try files[0].write(bytes.span, at: record.offset)
    }
    let directory = layout.directory.encoded()
    precondition(directory.count == layout.directoryLength)
    try files[0].write(directory, at: IngotLayout.headerSize)
    let sum = XXH3.hash(directory)
    for (part, size) in layout.sizes.enumerated() {
      let header = IngotHeader(
        part: part, parts: layout.sizes.count, fileLength: size,
        directoryOffset: part == 0 ? IngotLayout.headerSize : 0,
        directoryLength: part == 0 ? directory.count : 0,
        directoryChecksum: sum)
      try files[part].write(header.encoded(), at: 0)
    }
  }
}
