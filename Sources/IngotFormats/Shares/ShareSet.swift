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

  /// - Throws: FormatError for a folder without shares, shares that are missing, of several numbers, damaged, or of different
  ///   artifacts, naming what differs.
  public init(_ folder: String) throws(FormatError) {
    self.folder = folder
    guard Folder.kind(folder) == .folder else {
      throw FormatError(path: folder, expected: "a folder of shares", found: "none")
    }
    let names = try Folder.names(folder)
    let paths = names.filter { $0.hasSuffix(Share.suffix) }.map { folder + "/" + $0 }
    guard !paths.isEmpty else {
      throw FormatError(
        path: folder,
        expected: "files share-1-of-n\(Share.suffix), as 'ingot quantize --shard i/n -o' writes them",
        found: "none")
    }
    var found: [Int: (path: String, json: JSON)] = [:]
    var first: (path: String, json: JSON)?
    for path in paths.sorted() {
      let json = try ShareTrailer.read(path)
      guard let index = json["share"]?.int, let count = json["shares"]?.int, json["facts"]?.object != nil
      else {
        throw FormatError(path: path, expected: "a share of this version", found: "another description")
      }
      if let first {
        let known = first.json["shares"]?.int ?? 0
        guard known == count else {
          throw FormatError(
            path: path, expected: "one of \(known) shares, as \(Folder.name(of: first.path))",
            found: "one of \(count)")
        }
        try ShareSet.require(json["facts"]!, first.json["facts"]!, path, first.path)
      } else {
        first = (path, json)
      }
      if let other = found[index] {
        throw FormatError(
          path: path, expected: "each share once", found: "share \(index + 1), which \(other.path) is too")
      }
      found[index] = (path, json)
    }
    let count = first!.json["shares"]!.int!
    self.count = count
    let missing = (0..<count).filter { found[$0] == nil }
    guard missing.isEmpty else {
      let unfinished = missing.filter { index in
        Share(index: index, count: count).map { Folder.exists($0.path(in: folder) + ".partial.journal") }
          ?? false
      }
      throw FormatError(
        path: folder, expected: "\(count) shares",
        found: "\(found.count): \(ShareSet.list(missing.map { $0 + 1 })) missing"
          + (unfinished.isEmpty ? "" : ", of which \(ShareSet.list(unfinished.map { $0 + 1 })) begun")
          + "; make them with --shard i/\(count)")
    }
    facts = first!.json["facts"]!.object!
    var (extras, digests, notes, tensors): ([JSON], [String: String], [JSON], [String: Place]) = (
      [], [:], [], [:]
    )
    for index in 0..<count {
      let (path, json) = found[index]!
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

  static func list(_ numbers: [Int]) -> String {
    let shown = numbers.prefix(12).map(String.init).joined(separator: ", ")
    return numbers.count > 12
      ? "\(shown) and \(numbers.count - 12) more are" : shown + (numbers.count == 1 ? " is" : " are")
  }

  /// Refuses facts that differ, naming the first that does.
  static func require(_ found: JSON, _ expected: JSON, _ path: String, _ other: String, _ name: String = "")
    throws(FormatError)
  {
    guard found != expected else { return }
    if let a = found.object, let b = expected.object {
      for key in Set(a.keys + b.keys).sorted() where a[key] != b[key] {
        try require(a[key] ?? .null, b[key] ?? .null, path, other, name.isEmpty ? key : name + "." + key)
      }
    }
    throw FormatError(
      path: path, expected: "\(name) \(shown(expected)), as \(other) has",
      found: shown(found) + "; it is of another artifact")
  }

  private static func shown(_ json: JSON) -> String { printable(json.text(), limit: 120) }

  /// Refuses an artifact that these are not shares of.
  public func require(_ expected: JSONObject) throws(FormatError) {
    try ShareSet.require(.object(facts), .object(expected), folder, "this command")
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
