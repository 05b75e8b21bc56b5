import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// All shares of an artifact, in a folder.
public struct ShareSet: Sendable {
  public let folder: String
  public let count: Int
  /// What they have in common.
  public let facts: JSONObject
  /// What each has to say, in their order.
  public let extras: [JSON]
  /// Of the source's files by name.
  public let digests: [String: String]
  public let notes: [JSON]
  private let tensors: [String: Place]

  private struct Place: Sendable {
    var path: String
    var share: Int
    var encoding: String
    var shape: [Int]
    var offsets: [Int]
    var checksums: [UInt64]
  }

  private static let kind = ShareFiles.Kind(
    isNamed: { isNamed($0) }, name: { "share-\($0.index + 1)-of-\($0.count)\(Share.suffix)" },
    expected: "files share-1-of-n\(Share.suffix), as 'ingot quantize --shard i/n -o' writes them",
    whole: "artifact")

  /// - Throws: FormatError for a folder without shares, shares that are missing, of several numbers, damaged, or of different
  ///   artifacts, naming what differs.
  public init(_ folder: String) throws(FormatError) {
    let files = try ShareFiles(folder, ShareSet.kind)
    (self.folder, count, facts) = (folder, files.count, files.facts)
    var (extras, digests, notes, tensors): ([JSON], [String: String], [JSON], [String: Place]) = (
      [], [:], [], [:]
    )
    for (index, (path, json)) in files.files.enumerated() {
      extras.append(json["extra"] ?? .null)
      for (name, digest) in json["sha256"]?.object ?? [:] { digests[name] = digest.string }
      notes += json["notes"]?.array ?? []
      for record in json["tensors"]?.array ?? [] {
        guard let role = record["role"]?.string, let encoding = record["encoding"]?.string,
          let shape = record["shape"]?.array?.compactMap(\.int),
          let offsets = record["offsets"]?.array?.compactMap(\.int),
          let sums = record["xxh3"]?.array?.compactMap({ $0.string.flatMap { UInt64($0, radix: 16) } }),
          sums.count == offsets.count
        else {
          throw FormatError(path: path, expected: "a tensor's place", found: record.kind)
        }
        if let other = tensors[role] {
          throw FormatError(
            path: path, expected: "each tensor in one share", found: "\(role), which \(other.path) has too")
        }
        tensors[role] = Place(
          path: path, share: index, encoding: encoding, shape: shape, offsets: offsets, checksums: sums)
      }
    }
    (self.extras, self.digests, self.notes, self.tensors) = (extras, digests, notes, tensors)
  }

  /// Whether there are shares of an artifact in a folder.
  public static func recognizes(_ folder: String) -> Bool {
    ((try? Folder.names(folder)) ?? []).contains(where: isNamed)
  }

  /// Whether a file has a share's name.
  public static func isNamed(_ path: String) -> Bool { path.hasSuffix(Share.suffix) }

  /// What a share's file says of itself: its number, of how many, of which artifact.
  public static func description(_ path: String) throws(FormatError) -> JSON { try ShareTrailer.read(path) }

  /// Refuses an artifact that these are not shares of.
  public func require(_ expected: JSONObject) throws(FormatError) {
    try ShareFiles.require(.object(facts), .object(expected), folder, "this command", of: "artifact")
  }

  /// The model with the planes of all its tensors from the shares.
  ///
  /// - Throws: FormatError for a tensor that no share has, or one of another shape or encoding.
  public func tensors(of model: Model) throws(FormatError) -> Model {
    guard model.tensors.count == tensors.count else {
      throw FormatError(
        path: folder, expected: "\(model.tensors.count) tensors, which the artifact has",
        found: "\(tensors.count)")
    }
    return try model.mapTensors { tensor throws(FormatError) in
      guard let place = tensors[tensor.role.description] else {
        throw tensor.error("a share that has it", found: "none in \(folder)")
      }
      guard place.encoding == tensor.encoding.description, place.shape == tensor.shape else {
        throw FormatError(
          path: place.path, tensor: tensor.name, expected: "\(tensor.encoding) of shape \(tensor.shape)",
          found: "\(place.encoding) of shape \(place.shape)")
      }
      var next = try ShareSet.tensor(tensor, place)
      next.origin = tensor.origin
      return next
    }
  }

  /// A tensor that is read from a share. What its first rows are asked for, all of it is held against its checksums.
  private static func tensor(_ tensor: Tensor, _ place: Place) throws(FormatError) -> Tensor {
    let layout = tensor.encoding.planes(tensor.shape)!
    let bytes = try Bytes.mapping(place.path)
    var planes: [Bytes] = []
    for (plane, offset) in zip(layout, place.offsets) {
      guard offset >= 0, offset <= bytes.count, plane.bytes <= bytes.count - offset else {
        throw FormatError(
          path: place.path, tensor: tensor.name, expected: "\(plane.bytes) bytes from \(offset) on",
          found: "a file of \(bytes.count); make this share again")
      }
      planes.append(bytes[offset..<offset + plane.bytes])
    }
    let isChecked = Checked()
    let whole = planes
    return Tensor(
      name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: tensor.encoding, path: tensor.path,
      offset: tensor.offset
    ) { rows throws(FormatError) in
      try isChecked.once { () throws(FormatError) in
        for (index, plane) in whole.enumerated() {
          let sum = XXH3.hash(plane.span)
          guard sum != place.checksums[index] else { continue }
          throw FormatError(
            path: place.path, tensor: tensor.name, offset: UInt64(place.offsets[index]),
            expected: "\(layout[index].name) of XXH3 \(hexDigits(place.checksums[index]))",
            found: "\(hexDigits(sum)); make share \(place.share + 1) again")
        }
      }
      return zip(layout, whole).map { plane, bytes in bytes[plane.range(rows: rows)] }
    }
  }

  private final class Checked: Sendable {
    private let isDone = Mutex(false)

    func once(_ body: () throws(FormatError) -> Void) throws(FormatError) {
      try isDone.withLock { isDone throws(FormatError) in
        if isDone { return }
        try body()
        isDone = true
      }
    }
  }
}
