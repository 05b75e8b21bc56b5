import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// The end of a share's file: JSON that says what the planes before it are, its length, and a mark.
enum ShareTrailer {
  static let mark = Array("INGOTSHR".utf8)
  /// The JSON's length and its XXH3-64, then the mark.
  static let footer = 8 + 8 + 8

  static func encoded(_ json: JSON) -> [UInt8] {
    let text = Array(json.text().utf8)
    func bytes(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    return text + bytes(UInt64(text.count)) + bytes(XXH3.hash(Bytes(text).span)) + mark
  }

  /// - Throws: FormatError for a file that is no share, or one that is damaged.
  static func read(_ path: String) throws(FormatError) -> JSON {
    let file = try File(reading: path)
    let size = try file.size()
    func fail(_ expected: String, _ found: String) -> FormatError {
      FormatError(path: path, expected: expected, found: found + "; make this share again")
    }
    guard size >= footer else { throw fail("a share of at least \(footer) bytes", "\(size)") }
    let end = try file.read(footer, at: size - footer).array
    guard Array(end.suffix(8)) == mark else { throw fail("a share, which ends with INGOTSHR", "another end") }
    func number(_ start: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(end[start + $1]) << (8 * $1) } }
    guard let length = Int(exactly: number(0)), length <= size - footer else {
      throw fail("a description of at most \(size - footer) bytes", "\(number(0))")
    }
    let text = try file.read(length, at: size - footer - length)
    guard XXH3.hash(text.span) == number(8) else {
      throw fail("a description of XXH3 \(hexDigits(number(8)))", hexDigits(XXH3.hash(text.span)))
    }
    return try JSON.parse(text.array, path: path)
  }
}

/// Where planes of a share begin.
private let planeAlignment = 64

extension Model {
  /// Makes a share's tensors and writes them to its file in `folder`, crash-safe like any output.
  ///
  /// - Parameters:
  ///   - facts: what all shares of an artifact must have in common; `ShareSet` compares them.
  ///   - extra: what else the share has to say, for whoever assembles.
  /// - Returns: the file and its size.
  /// - Throws: FormatError as `write` does.
  public func writeShare(
    _ share: Share, _ roles: Set<Role>, in folder: String, facts: JSONObject, extra: JSONObject,
    _ options: WriteOptions
  ) async throws(FormatError) -> Written {
    let path = share.path(in: folder)
    let tensors = self.tensors.filter { roles.contains($0.role) }
    var offsets: [[Int]] = []
    var end = 0
    for tensor in tensors {
      offsets.append(
        tensor.encoding.planes(tensor.shape)!.map { plane in
          end = (end + planeAlignment - 1) / planeAlignment * planeAlignment
          defer { end += plane.bytes }
          return end
        })
    }
    var options = options
    options.inputs.add(self)
    // Each share hashes some of the source's files, whether or not it reads them.
    let hashed = weightFiles.enumerated().filter { $0.offset % share.count == share.index }.map(\.element)
    options.hashedFiles = hashed
    let output = try Output(
      path, parts: [(path, end)],
      identity: try identity(options, layout: [Bytes(Array(JSON.object(facts).text().utf8))]),
      records: tensors.count, grows: true, options)
    var size = end
    do throws(FormatError) {
      if !output.isComplete {
        let placements = zip(tensors, offsets).map { tensor, offsets in
          Placement(tensor: tensor, planes: offsets.map { (output.files[0], $0) })
        }
        let filled = try await fill(placements, of: self, options, output.journal, checksums: true)
        var records: [JSON] = []
        for (index, tensor) in tensors.enumerated() {
          records.append([
            "role": .string(tensor.role.description), "encoding": .string(tensor.encoding.description),
            "shape": .array(tensor.shape.map { JSON($0) }),
            "offsets": .array(offsets[index].map { JSON($0) }),
            "xxh3": .array(filled.checksums[index].map { .string(hexDigits($0)) }),
          ])
        }
        var digests: JSONObject = [:]
        for (file, digest) in zip(hashed, filled.sourceHashes) {
          digests[Folder.name(of: file)] = .string(digest)
        }
        let trailer = ShareTrailer.encoded([
          "share": JSON(share.index), "shares": JSON(share.count), "facts": .object(facts),
          "extra": .object(extra), "tensors": .array(records), "sha256": .object(digests),
          "notes": .array(options.notes?.all ?? []),
        ])
        try output.files[0].write(trailer, at: end)
        size = end + trailer.count
      }
      try output.commit()
    } catch {
      throw output.abandoned(error)
    }
    return Written(files: [path], bytes: size)
  }
}
