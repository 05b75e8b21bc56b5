import IngotModels
import IngotSystem
import IngotTensors

extension IngotDirectory {
  /// Reads a directory and checks everything that the payload need not be read for.
  ///
  /// - Parameters:
  ///   - bytes: the directory; its checksum has been checked.
  ///   - base: where it begins in the file, for errors.
  ///   - partSizes: bytes of each part.
  init(_ bytes: Bytes, path: String, base: Int, partSizes: [Int]) throws(FormatError) {
    var reader = Reader(bytes: bytes, path: path, base: base, partSizes: partSizes)
    let counts = try reader.counts()
    let encodings = try reader.encodings(counts.encodings)
    let kinds = try reader.kinds(counts.kinds)
    var records: [IngotTensorRecord] = []
    records.reserveCapacity(counts.tensors)
    for _ in 0..<counts.tensors { records.append(try reader.tensor(encodings, kinds)) }
    var fileRecords: [IngotFileRecord] = []
    for _ in 0..<counts.files { fileRecords.append(try reader.file()) }
    self.tensors = records
    self.files = fileRecords
    try reader.checkOverlaps(self, directoryEnd: base + bytes.count)
  }

  private struct Reader {
    let bytes: Bytes
    let path: String
    let base: Int
    let partSizes: [Int]
    var at = 0
    var namesStart = 0
    var names = Set<String>()
    var frames = IngotLayout.Frames()

    init(bytes: Bytes, path: String, base: Int, partSizes: [Int]) {
      self.bytes = bytes
      self.path = path
      self.base = base
      self.partSizes = partSizes
    }

    func wrong(_ tensor: String? = nil, _ expected: String, _ found: String, back: Int = 0) -> FormatError {
      FormatError(
        path: path, tensor: tensor, offset: UInt64(base + at - back), expected: expected, found: found)
    }

    mutating func read<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) -> T {
      defer { at += MemoryLayout<T>.size }
      return bytes.span.littleEndian(type, at: at)
    }

    mutating func size(_ name: String? = nil) throws(FormatError) -> Int {
      let value = read(UInt64.self)
      guard value <= UInt64(Int.max) else { throw wrong(name, "a size below 2^63", "\(value)", back: 8) }
      return Int(value)
    }

    mutating func counts() throws(FormatError) -> (encodings: Int, kinds: Int, tensors: Int, files: Int) {
      guard bytes.count >= IngotLayout.countsSize else {
        throw wrong(nil, "a directory of at least \(IngotLayout.countsSize) bytes", "\(bytes.count)")
      }
      let encodings = Int(read(UInt32.self))
      let kinds = Int(read(UInt32.self))
      let tensors = Int(read(UInt32.self))
      let files = Int(read(UInt32.self))
      let names = try size()
      // 32-bit counts times record sizes stay far below 2^63.
      let records =
        IngotLayout.countsSize + encodings * IngotLayout.encodingSize + kinds * IngotLayout.kindSize
        + tensors * IngotLayout.tensorSize + files * IngotLayout.fileSize
      guard encodings <= IngotLayout.encodingLimit, kinds <= IngotLayout.kindLimit, names <= bytes.count,
        records + names == bytes.count
      else {
        throw wrong(
          nil,
          "\(encodings) encodings, \(kinds) kinds, \(tensors) tensors, \(files) files and \(names) bytes of names to fill "
            + "the directory of \(bytes.count) bytes", "\(records) bytes of records")
      }
      namesStart = records
      return (encodings, kinds, tensors, files)
    }

    mutating func encodings(_ count: Int) throws(FormatError) -> [Encoding] {
      var encodings: [Encoding] = []
      for index in 0..<count {
        guard let encoding = IngotDirectory.encoding(bytes[at..<at + IngotLayout.encodingSize].array) else {
          throw wrong(nil, "an encoding of this version", "record \(index), which is none")
        }
        encodings.append(encoding)
        at += IngotLayout.encodingSize
      }
      return encodings
    }

    /// Names in rising order, so that none occurs twice and a set of kinds has one table.
    mutating func kinds(_ count: Int) throws(FormatError) -> [TensorKind] {
      var kinds: [TensorKind] = []
      for index in 0..<count {
        let record = bytes[at..<at + IngotLayout.kindSize].array
        let text = record.prefix { $0 != 0 }
        guard text.count <= TensorKind.longest, record.dropFirst(text.count).allSatisfy({ $0 == 0 }),
          let name = String(validating: text, as: UTF8.self), TensorKind.isValid(name)
        else {
          throw wrong(
            nil,
            "a kind of tensor: 1 to \(TensorKind.longest) of a-z, 0-9 and _, a letter first, then zeros",
            text.isEmpty
              ? "an empty one" : "'\(printable(String(decoding: text, as: UTF8.self)))' as kind \(index)")
        }
        let kind = TensorKind(rawValue: name)
        if let last = kinds.last {
          guard last.rawValue.utf8.lexicographicallyPrecedes(name.utf8) else {
            throw wrong(nil, "kinds in rising order, each once", "'\(name)' after '\(last.rawValue)'")
          }
        }
        kinds.append(kind)
        at += IngotLayout.kindSize
      }
      return kinds
    }

    mutating func name() throws(FormatError) -> String {
      let start = Int(read(UInt32.self))
      let length = Int(read(UInt32.self))
      guard start + length <= bytes.count - namesStart else {
        throw wrong(nil, "a name within the directory", "bytes \(start)..<\(start + length)", back: 8)
      }
      let text = bytes[namesStart + start..<namesStart + start + length].array
      guard length > 0, let name = String(validating: text, as: UTF8.self) else {
        throw wrong(nil, "a name in UTF-8", length == 0 ? "an empty one" : "\(text.prefix(40))", back: 8)
      }
      guard names.insert(name).inserted else {
        throw wrong(name, "names that occur once", "a second one", back: 8)
      }
      return name
    }

    mutating func tensor(_ encodings: [Encoding], _ kinds: [TensorKind]) throws(FormatError)
      -> IngotTensorRecord
    {
      let name = try name()
      let kindIndex = Int(read(UInt16.self))
      guard kindIndex < kinds.count else {
        throw wrong(name, "one of \(kinds.count) kinds", "\(kindIndex)", back: 2)
      }
      let kind = kinds[kindIndex]
      let index = Int(read(UInt16.self))
      guard index < encodings.count else {
        throw wrong(name, "one of \(encodings.count) encodings", "\(index)", back: 2)
      }
      let layer = read(Int32.self)
      let expert = read(Int32.self)
      guard layer >= -1, expert >= -1 else {
        throw wrong(name, "a layer and an expert from −1 on", "\(layer) and \(expert)", back: 8)
      }
      let filePart = Int(read(UInt32.self))
      guard filePart < partSizes.count else {
        throw wrong(name, "one of \(partSizes.count) parts", "\(filePart)", back: 4)
      }
      let rank = Int(read(UInt32.self))
      guard rank <= IngotLayout.rankLimit else {
        throw wrong(name, "at most \(IngotLayout.rankLimit) extents", "\(rank)", back: 4)
      }
      guard read(UInt32.self) == 0 else {
        throw wrong(name, "zero in the reserved bytes", "another", back: 4)
      }
      var shape: [Int] = []
      for index in 0..<IngotLayout.rankLimit {
        let extent = Int(read(UInt32.self))
        if index < rank {
          shape.append(extent)
        } else if extent != 0 {
          throw wrong(name, "zero for extents past the last", "\(extent)", back: 4)
        }
      }
      let offset = try size(name)
      let length = try size(name)
      let encoding = encodings[index]
      // Each plane may fit where all of them, and the space between, do not.
      let most = Int.max - IngotLayout.planeLimit * IngotLayout.planeAlignment
      guard let planes = encoding.planes(shape), planes.count <= IngotLayout.planeLimit,
        let total = encoding.bytes(shape), total <= most
      else {
        throw wrong(name, "a shape that fits \(encoding)", "\(shape)", back: 48)
      }
      let needed = IngotLayout.planeOffsets(planes).length
      guard length == needed else {
        throw wrong(name, "\(needed) bytes for \(encoding) \(shape)", "\(length)", back: 8)
      }
      guard offset % IngotLayout.planeAlignment == 0, offset <= partSizes[filePart],
        length <= partSizes[filePart] - offset
      else {
        throw wrong(
          name,
          "a place within the \(partSizes[filePart]) bytes of part \(filePart + 1), aligned to "
            + "\(IngotLayout.planeAlignment)", "byte \(offset), length \(length)", back: 16)
      }
      let sums = (0..<IngotLayout.planeLimit).map { _ in read(UInt64.self) }
      guard sums.dropFirst(planes.count).allSatisfy({ $0 == 0 }) else {
        throw wrong(name, "zero for checksums past the last plane", "another", back: 8)
      }
      return IngotTensorRecord(
        name: name,
        role: Role(
          kind, layer: layer < 0 ? nil : Int(layer), expert: expert < 0 ? nil : Int(expert),
          name: kind.hasBlock ? nil : name),
        encoding: encoding, shape: shape, part: filePart, offset: offset, length: length,
        checksums: Array(sums.prefix(planes.count)))
    }

    mutating func file() throws(FormatError) -> IngotFileRecord {
      let name = try name()
      let kindNumber = read(UInt16.self)
      let codec = read(UInt16.self)
      guard let kind = IngotLayout.FileKind(rawValue: kindNumber), codec <= 1, read(UInt32.self) == 0 else {
        throw wrong(name, "a kind and codec of this version", "\(kindNumber) and \(codec)", back: 4)
      }
      guard IngotLayout.isSideFileName(name) else {
        throw wrong(name, "the plain name of a file", "'\(printable(name, limit: 80))'", back: 16)
      }
      let offset = try size(name)
      let stored = try size(name)
      let raw = try size(name)
      guard offset <= partSizes[0], stored <= partSizes[0] - offset else {
        throw wrong(name, "a place within part 1", "byte \(offset), length \(stored)", back: 24)
      }
      if codec == 1 { frames.add(stored: stored, content: raw) }
      guard codec == 1 ? frames.areBounded : raw == stored else {
        throw wrong(name, "content that \(stored) stored bytes may hold", "\(raw) bytes", back: 8)
      }
      return IngotFileRecord(
        name: name, kind: kind, compressed: codec == 1, offset: offset, storedLength: stored, rawLength: raw,
        checksum: read(UInt64.self))
    }

    /// No two things may lie on one another.
    func checkOverlaps(_ directory: IngotDirectory, directoryEnd: Int) throws(FormatError) {
      var places: [(part: Int, start: Int, end: Int, name: String)] = []
      places.reserveCapacity(directory.tensors.count)
      for tensor in directory.tensors where tensor.length > 0 {
        places.append((tensor.part, tensor.offset, tensor.offset + tensor.length, tensor.name))
      }
      for file in directory.files where file.storedLength > 0 {
        places.append((0, file.offset, file.offset + file.storedLength, file.name))
      }
      places.sort { ($0.part, $0.start) < ($1.part, $1.start) }
      var part = 0
      var end = directoryEnd
      for place in places {
        if place.part != part {
          part = place.part
          end = IngotLayout.headerSize
        }
        guard place.start >= end else {
          throw FormatError(
            path: path, tensor: place.name, offset: UInt64(place.start),
            expected: "a place after byte \(end) of part \(part + 1), where the one before ends",
            found: "an overlap")
        }
        end = place.end
      }
    }
  }
}
