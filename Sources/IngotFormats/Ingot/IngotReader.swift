import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// An opened artifact: every part mapped, header and directory checked. Payload is not read.
struct IngotFile {
  let header: IngotHeader
  let directory: IngotDirectory
  /// Path and mapping of each part.
  let parts: [(path: String, bytes: Bytes)]

  init(_ path: String) throws(FormatError) {
    let first = try IngotFile.open(path)
    let header = first.header
    var parts: [(path: String, bytes: Bytes)] = []
    if header.parts == 1 {
      parts = [(path, first.bytes)]
    } else {
      for number in 0..<header.parts {
        let name = try IngotFile.partPath(path, number, of: header.parts)
        let (other, bytes) = number == header.part ? first : try IngotFile.open(name)
        guard other.part == number, other.parts == header.parts,
          other.directoryChecksum == header.directoryChecksum
        else {
          throw FormatError(
            path: name, offset: 16, expected: "part \(number + 1) of \(header.parts) of this artifact",
            found: "part \(other.part + 1) of \(other.parts)"
              + (other.directoryChecksum == header.directoryChecksum ? "" : " of another one"))
        }
        parts.append((name, bytes))
      }
    }
    let main = try IngotFile.header(parts[0].bytes, parts[0].path)
    let end = main.directoryOffset.addingReportingOverflow(main.directoryLength)
    guard main.directoryOffset == IngotLayout.headerSize, main.directoryLength <= IngotLayout.directoryLimit,
      !end.overflow, end.partialValue <= parts[0].bytes.count
    else {
      throw FormatError(
        path: parts[0].path, offset: 32, expected: "a directory at byte 128 that ends in the file",
        found: "bytes \(main.directoryOffset)..<\(end.partialValue) of \(parts[0].bytes.count)")
    }
    let text = try parts[0].bytes[main.directoryOffset..<end.partialValue].resident()
    let sum = XXH3.hash(text.span)
    guard sum == main.directoryChecksum else {
      throw FormatError(
        path: parts[0].path, offset: UInt64(main.directoryOffset),
        expected: "directory checksum \(hexadecimal(main.directoryChecksum))", found: hexadecimal(sum))
    }
    self.header = main
    self.parts = parts
    directory = try IngotDirectory(
      text, path: parts[0].path, base: main.directoryOffset, partSizes: parts.map(\.bytes.count))
  }

  private static func open(_ path: String) throws(FormatError) -> (header: IngotHeader, bytes: Bytes) {
    let bytes = try Bytes.mapping(path)
    return (try header(bytes, path), bytes)
  }

  private static func header(_ bytes: Bytes, _ path: String) throws(FormatError) -> IngotHeader {
    func wrong(_ offset: Int, _ expected: String, _ found: String) -> FormatError {
      FormatError(path: path, offset: UInt64(offset), expected: expected, found: found)
    }
    guard bytes.count >= IngotLayout.headerSize else {
      throw wrong(0, "an .ingot header of \(IngotLayout.headerSize) bytes", "a file of \(bytes.count) bytes")
    }
    let fileLength = bytes.count
    let bytes = try bytes[0..<IngotLayout.headerSize].resident()
    guard bytes[0..<8].array == IngotLayout.magic else {
      throw wrong(0, "the magic bytes of .ingot", "\(bytes[0..<8].array)")
    }
    let major = bytes.span.littleEndian(UInt16.self, at: 8)
    guard major == IngotLayout.majorVersion else {
      throw wrong(8, "format version \(IngotLayout.majorVersion)", "\(major)")
    }
    let stated = bytes.span.littleEndian(UInt64.self, at: 120)
    let sum = XXH3.hash(bytes[0..<120].span)
    guard stated == sum else {
      throw wrong(120, "header checksum \(hexadecimal(stated))", hexadecimal(sum))
    }
    guard bytes.span.littleEndian(UInt32.self, at: 12) == 0 else { throw wrong(12, "no flags", "some") }
    guard bytes[64..<120].array.allSatisfy({ $0 == 0 }) else {
      throw wrong(64, "zeros in the reserved bytes", "others")
    }
    let words = (0..<6).map { bytes.span.littleEndian(UInt64.self, at: 16 + 8 * $0) }
    guard words[1...3].allSatisfy({ $0 <= UInt64(Int.max) }) else {
      throw wrong(24, "sizes below 2^63", "larger")
    }
    let header = IngotHeader(
      part: Int(words[0] & 0xFFFF_FFFF), parts: Int(words[0] >> 32), fileLength: Int(words[1]),
      directoryOffset: Int(words[2]), directoryLength: Int(words[3]), directoryChecksum: words[4])
    guard header.parts >= 1, header.parts <= IngotLayout.partLimit, header.part < header.parts else {
      throw wrong(16, "part < parts ≤ \(IngotLayout.partLimit)", "part \(header.part) of \(header.parts)")
    }
    guard header.fileLength == fileLength else {
      throw wrong(24, "a file of \(header.fileLength) bytes", "\(fileLength) bytes")
    }
    guard header.part == 0 || header.directoryOffset == 0 && header.directoryLength == 0 else {
      throw wrong(
        32, "no directory in this part",
        "byte \(header.directoryOffset), \(header.directoryLength) bytes")
    }
    return header
  }

  /// Path of part `number` (from 0) beside the part at `path`.
  static func partPath(_ path: String, _ number: Int, of parts: Int) throws(FormatError) -> String {
    // NAME-00001-of-00003.ingot
    let stem = path.dropLast(21)
    guard path.hasSuffix("-of-\(digits(parts)).ingot"), path.count > 21 else {
      throw FormatError(
        path: path, expected: "a name that ends in -NNNNN-of-\(digits(parts)).ingot",
        found: "'\(printable(Folder.name(of: path)))'; give the parts the names that they were written under")
    }
    return stem + IngotFile.partSuffix(number, of: parts)
  }

  /// `-00001-of-00003.ingot` for part 0 of 3.
  static func partSuffix(_ number: Int, of parts: Int) -> String {
    "-\(digits(number + 1))-of-\(digits(parts)).ingot"
  }

  private static func digits(_ number: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(5 - text.count, 0)) + text
  }

  /// Content of a side file.
  func content(_ file: IngotFileRecord) throws(FormatError) -> Bytes {
    let (path, bytes) = parts[0]
    let stored = try bytes[file.offset..<file.offset + file.storedLength].resident()
    let sum = XXH3.hash(stored.span)
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: path, tensor: file.name, offset: UInt64(file.offset), expected: expected, found: found)
    }
    guard sum == file.checksum else {
      throw wrong("checksum \(hexadecimal(file.checksum)) of this side file", hexadecimal(sum))
    }
    guard file.compressed else { return stored }
    guard let content = Zstd.decompress(stored, size: file.rawLength) else {
      throw wrong("a zstd frame of \(file.rawLength) bytes", "a broken one")
    }
    return content
  }

  /// The artifact as a Model.
  func model(path: String, keepUnknown: Bool) throws(FormatError) -> Model {
    var sideFiles: [SideFile] = []
    var provenance: JSON?
    for file in directory.files {
      let content = try content(file)
      switch file.kind {
      case .sideFile: sideFiles.append(SideFile(name: file.name, bytes: content))
      case .provenance: provenance = try JSON.parse(content.array, path: "\(path) (\(file.name))")
      }
    }
    guard let config = sideFiles.first(where: { $0.name == "config.json" }) else {
      throw FormatError(path: path, expected: "config.json among the side files", found: "none")
    }
    let parsed = try Config(config.bytes.array, path: "\(path) (config.json)")
    let family = try Family.any(parsed)
    let blueprint = try family.blueprint(parsed)
    var tensors: [Tensor] = []
    tensors.reserveCapacity(directory.tensors.count)
    for record in directory.tensors {
      let (file, bytes) = parts[record.part]
      let planes = record.encoding.planes(record.shape)!
      let offsets = IngotLayout.planeOffsets(planes).offsets
      var role = record.role
      // Nothing computes with a generic model's tensors; kinds stay for whoever reads what is written of it.
      if family.isGeneric { role.name = record.name }
      tensors.append(
        Tensor(
          name: record.name, role: role,
          shape: record.shape, encoding: record.encoding, path: file,
          offset: UInt64(record.offset),
          planes: zip(planes, offsets).map { plane, offset in
            bytes[record.offset + offset..<record.offset + offset + plane.bytes]
          }))
    }
    return try Model(
      family: family, blueprint: blueprint, tensors: tensors, sideFiles: sideFiles,
      path: path,
      format: Format.ingot.name, weightFiles: parts.map(\.path), provenance: provenance)
  }
}

/// `0x` and 16 digits.
func hexadecimal(_ value: UInt64) -> String { "0x" + hexDigits(value) }
