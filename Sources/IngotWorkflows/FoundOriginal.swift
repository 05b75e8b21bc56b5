import IngotFormats
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// The model that an artifact was made from, found by what the artifact says.
///
///     let original = try FoundOriginal(of: "model.ingot")
///     let request = VerifyRequest("model.ingot", against: original, texts: .shippedHeldOut())
public struct FoundOriginal: Sendable {
  /// A folder or file, or a name in the Hugging Face cache.
  public let path: String
  private let source: RecordedSource
  private let candidate: String

  /// Looks beside the artifact, in the folder that it is in, in the folder above, and in the current folder for what has the
  /// recorded name and files of the recorded names and sizes; then for a recorded repository on the Hub.
  ///
  /// - Parameter onHub: path of a name such as `ORGANIZATION/NAME@COMMIT`; what it throws says that there is none. Without it
  ///   only the Hugging Face cache is asked.
  /// - Throws: FormatError that says what was looked for and where.
  public init(
    of candidate: String, _ reading: ReadOptions = ReadOptions(),
    onHub: (String) throws -> String = { $0 }
  ) throws {
    let sources = try Model.read(candidate, reading).recordedSources
    guard !sources.isEmpty else {
      throw FormatError(
        path: candidate, expected: "a record of the model that it was made from", found: "none",
        remedy: .nameOriginal)
    }
    self.candidate = candidate
    var seen: [String] = []
    for source in sources {
      for place in FoundOriginal.places(of: source, for: candidate) {
        switch FoundOriginal.difference(place, source) {
        case .equal:
          (self.path, self.source) = (place, source)
          return
        case .other(let what): seen.append(what)
        case .absent: continue
        }
      }
      guard seen.isEmpty, source.name.contains("/") else { continue }
      let name = source.name + (source.revision.map { "@" + $0 } ?? "")
      let path = try FoundOriginal.mendable { try onHub(name) }
      let folder = RemoteFiles.isRemote(path) ? path : (try HubCache().snapshot(path) ?? path)
      switch FoundOriginal.difference(folder, source) {
      case .equal:
        (self.path, self.source) = (path, source)
        return
      case .other(let what): seen.append(what)
      case .absent: continue
      }
    }
    let names = sources.map { "'\(printable($0.name, limit: 100))'" }.joined(separator: " or ")
    throw FormatError(
      path: candidate, expected: "the model that it was made from, \(names) by its record, here or beside it",
      found: seen.isEmpty ? "nothing of that name" : seen.joined(separator: ", "), remedy: .nameOriginal)
  }

  /// What was taken and why, in words.
  public var text: String {
    "\(printable(path)), which \(printable(candidate, limit: 100)) was made from by its "
      + (source.files.isEmpty ? "model card (it does not say which files)" : "record")
  }

  /// Compares the SHA-256 of the weight files with the artifact's record, where that has them. Of remote files and those in the
  /// Hugging Face cache it is known; others are read.
  ///
  /// - Throws: FormatError that names the file that is another one.
  func requireUnchanged(_ control: RunControl) throws(FormatError) {
    let folder = try HubCache().snapshot(path).flatMap { Folder.exists(path) ? nil : $0 } ?? path
    let base = Folder.kind(folder) == .folder ? folder : Folder.parent(of: folder)
    let files = source.files.filter { $0.sha256 != nil }
    let (candidate, shouldStop) = (candidate, control.shouldStop)
    try Threads.forEach(files, width: min(control.workers, 8)) { file throws(FormatError) in
      let path = base + "/" + file.name
      let digest = try FoundOriginal.digest(path, shouldStop)
      guard digest == file.sha256 else {
        throw FormatError(
          path: path, expected: "SHA-256 \(file.sha256 ?? ""), which \(printable(candidate)) was made from",
          found: digest + "; the file has changed", remedy: .nameOriginal)
      }
    }
  }

  private enum Difference {
    case equal, absent
    case other(String)
  }

  /// Names and sizes.
  private static func difference(_ path: String, _ source: RecordedSource) -> Difference {
    let kind = Folder.kind(path)
    if kind == .nothing { return .absent }
    let base = kind == .folder ? path : Folder.parent(of: path)
    for file in source.files {
      guard !file.name.contains("/"), let size = try? File(reading: base + "/" + file.name).size() else {
        return .other("\(printable(base)) without \(printable(file.name))")
      }
      if size != file.bytes {
        return .other(
          "\(printable(base))/\(printable(file.name)) of \(grouped(size)) bytes instead of \(grouped(file.bytes)), so it has changed"
        )
      }
    }
    return .equal
  }

  /// Where a model of the recorded name may be.
  private static func places(of source: RecordedSource, for candidate: String) -> [String] {
    let name = Folder.name(of: source.name)
    guard !name.isEmpty, name != ".", name != "..", name != "/" else { return [] }
    var places: [String] = []
    if let own = Folder.resolved(candidate) {
      let folder = Folder.parent(of: own)
      let above = Folder.parent(of: folder)
      // As a user would write it, where that is the same.
      let near = Folder.parent(of: candidate) + "/" + name
      places = [Folder.resolved(near) == Folder.resolved(folder + "/" + name) ? near : folder + "/" + name]
      if Folder.name(of: folder) == name { places.append(folder) }
      places += [above + "/" + name, name].filter { place in
        !places.contains { Folder.resolved($0) == Folder.resolved(place) }
      }
      places.removeAll { Folder.resolved($0) == own }
    } else {
      places = [name]
    }
    return places.map { $0.hasPrefix("./") ? String($0.dropFirst(2)) : $0 }
  }

  /// What the Hub or its cache refuses, with the way out that is left.
  private static func mendable(_ body: () throws -> String) throws -> String {
    do {
      return try body()
    } catch var error as FormatError {
      error.remedy = error.remedy ?? .nameOriginal
      throw error
    }
  }

  private static func digest(_ path: String, _ shouldStop: () -> Bool) throws(FormatError) -> String {
    if let stated = RemoteFiles.file(path)?.sha256 { return stated }
    let real = Folder.resolved(path) ?? path
    let name = Folder.name(of: real)
    if Folder.name(of: Folder.parent(of: real)) == "blobs", name.utf8.count == 64,
      name.allSatisfy({ $0.isHexDigit && $0.isASCII })
    {
      return name.lowercased()
    }
    let file = try File(reading: path)
    let size = try file.size()
    var hash = SHA256()
    var position = 0
    while position < size {
      if shouldStop() {
        var error = FormatError(path: path, expected: "the run to continue", found: "a request to stop")
        error.cause = .stopped
        error.isResumable = true
        throw error
      }
      let bytes = try file.read(min(size - position, 1 << 23), at: position)
      hash.update(bytes.span)
      position += bytes.count
    }
    return hash.hexDigest()
  }
}
