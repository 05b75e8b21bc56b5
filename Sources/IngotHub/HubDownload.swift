import IngotFormats
import IngotKernels
import IngotSystem
import Synchronization

/// Puts the files of a repository where huggingface_hub keeps them: content in blobs, named by its hash, and links to it in the
/// folder of the commit. A file that is not complete has another name than those of huggingface_hub and is always a beginning of
/// the whole, so that a later run continues it.
final class HubDownload: Sendable {
  private let repository: HubRepository
  private let revision: String
  private let cache: String
  private let root: String
  private let done = Mutex(0)

  init(_ repository: HubRepository, revision: String?, _ cache: HubCache) {
    self.repository = repository
    self.revision = revision ?? "main"
    self.cache = cache.folder
    root = cache.folder + "/models--" + repository.repository.split(separator: "/").joined(separator: "--")
  }

  private var snapshot: String { root + "/snapshots/" + repository.commit }

  /// - Parameter file: a file or folder of the repository; nil for all that its readers need.
  /// - Returns: the folder of the commit.
  func run(_ file: String?, _ progress: (@Sendable (Int, Int) -> Void)?) throws(FormatError) -> String {
    try Folder.createAll(root + "/blobs")
    try Folder.createAll(snapshot)
    try Folder.createAll(root + "/refs")
    // The index says which of the other files are wanted.
    let sides = try HubSelection.sideFiles(repository, file)
    try requireRoom(sides)
    let total = Mutex(sides.reduce(0) { $0 + $1.size })
    let report = { @Sendable (bytes: Int) in
      let done = self.done.withLock { done in
        done += bytes
        return done
      }
      progress?(done, total.withLock { $0 })
    }
    try Threads.forEach(sides, width: RemoteFiles.connections) { [self] entry throws(FormatError) in
      try fetch(entry, report)
    }
    let weights = try HubSelection.weights(repository, file, index: snapshot)
    try requireRoom(weights)
    total.withLock { $0 += weights.reduce(0) { $0 + $1.size } }
    for entry in weights { try fetch(entry, report) }
    if revision != repository.commit {
      try Folder.createAll(Folder.parent(of: root + "/refs/" + revision))
      let written = root + "/refs/.\(revision.split(separator: "/").last!).ingot"
      Folder.remove(written)
      let file = try File(creating: written)
      try file.write(Array(repository.commit.utf8), at: 0)
      try file.synchronize()
      try Folder.rename(written, to: root + "/refs/" + revision)
    }
    return snapshot
  }

  private func blob(_ entry: HubRepository.Entry) -> String { root + "/blobs/" + entry.tag }
  private func unfinished(_ entry: HubRepository.Entry) -> String { blob(entry) + ".ingot.incomplete" }

  private func size(_ path: String) -> Int? {
    Folder.kind(path) == .file ? try? File(reading: path).size() : nil
  }

  /// Refuses to begin what the disk has no room for.
  private func requireRoom(_ entries: [HubRepository.Entry]) throws(FormatError) {
    let missing = entries.reduce(0) { sum, entry in
      size(blob(entry)) == entry.size ? sum : sum + entry.size - (size(unfinished(entry)) ?? 0)
    }
    if let free = Folder.freeBytes(root), free < missing {
      throw FormatError(
        path: root, expected: "\(missing) bytes free on its disk for the rest of \(repository.repository)",
        found: "\(free); HF_HUB_CACHE names another place")
    }
  }

  /// Makes one file complete.
  private func fetch(_ entry: HubRepository.Entry, _ report: @escaping @Sendable (Int) -> Void)
    throws(FormatError)
  {
    if size(blob(entry)) != entry.size {
      let lock = try HubLock(
        "\(cache)/.locks/\(Folder.name(of: root))/\(entry.tag).lock", for: repository.path + "/" + entry.name)
      defer { lock.end() }
      if size(blob(entry)) == entry.size { report(entry.size) } else { try download(entry, report) }
    } else {
      report(entry.size)
    }
    try link(entry)
  }

  private func download(_ entry: HubRepository.Entry, _ report: @escaping @Sendable (Int) -> Void)
    throws(FormatError)
  {
    let source = repository.source(entry)
    let path = unfinished(entry)
    var hash = SHA256()
    var start = size(path) ?? 0
    if start > entry.size {
      Folder.remove(path)
      start = 0
    }
    let file = try Folder.exists(path) ? File(continuing: path) : File(creating: path, keepsName: true)
    for position in stride(from: 0, to: start, by: HubDownload.piece) {
      let bytes = try file.read(min(HubDownload.piece, start - position), at: position)
      hash.update(bytes.span)
    }
    report(start)
    do throws(FormatError) {
      var position = start
      try HubPieces(repository.client, source, from: start, piece: HubDownload.piece).deliver {
        bytes throws(FormatError) in
        try file.write(bytes.span, at: position)
        hash.update(bytes.span)
        position += bytes.count
        report(bytes.count)
      }
      try file.synchronize()
    } catch {
      var error = error
      error.isResumable = error.cause != .content
      throw error
    }
    if let stated = entry.sha256 {
      let found = hash.hexDigest()
      guard found == stated else {
        Folder.remove(path)
        throw FormatError(
          path: source.path, expected: "SHA-256 \(stated), which the Hub states",
          found: "\(found); what was downloaded of it is removed: run the same command again")
      }
    }
    try Folder.rename(path, to: blob(entry))
  }

  private static let piece = 8 << 20

  /// The name in the folder of the commit.
  private func link(_ entry: HubRepository.Entry) throws(FormatError) {
    let path = snapshot + "/" + entry.name
    if Folder.kind(path) == .file { return }
    try Folder.createAll(Folder.parent(of: path))
    let depth = entry.name.split(separator: "/").count - 1
    Folder.remove(path)
    try Folder.link(
      to: String(repeating: "../", count: depth + 2) + "blobs/" + entry.tag, at: path)
  }
}

/// Which files of a repository its readers need.
enum HubSelection {
  /// A folder of the repository, empty or with a slash behind it, and the file in it that is meant.
  private static func place(_ repository: HubRepository, _ file: String?) -> (folder: String, file: String?) {
    guard let file else { return ("", nil) }
    guard repository.entries.contains(where: { $0.name == file }) else { return (file + "/", nil) }
    let folder = Folder.parent(of: file)
    return (folder == "." ? "" : folder + "/", file)
  }

  /// Everything beside the weights: nothing for a file that has all in it.
  static func sideFiles(_ repository: HubRepository, _ file: String?) throws(FormatError) -> [HubRepository
    .Entry]
  {
    let (folder, file) = place(repository, file)
    if let file, !file.hasSuffix(".safetensors") { return [] }
    return repository.entries.filter { entry in
      guard entry.name.hasPrefix(folder), !HubFile.isWeights(entry.name) else { return false }
      let name = entry.name.dropFirst(folder.count)
      return !name.contains("/") || name.hasPrefix("additional_chat_templates/")
    }
  }

  /// - Parameter index: the folder where the index is by now, if there is one.
  static func weights(_ repository: HubRepository, _ file: String?, index: String) throws(FormatError)
    -> [HubRepository.Entry]
  {
    let (folder, file) = place(repository, file)
    if let file {
      guard let match = file.firstMatch(of: /-[0-9]{5}-of-([0-9]{5})\.(gguf|ingot)$/) else {
        return repository.entries.filter { $0.name == file }
      }
      let (stem, tail) = (file[..<match.range.lowerBound], "-of-\(match.1).\(match.2)")
      return repository.entries.filter { entry in
        entry.name.hasPrefix(stem) && entry.name.hasSuffix(tail)
          && entry.name.utf8.count == file.utf8.count
      }
    }
    let shards = repository.entries.filter { entry in
      entry.name.hasPrefix(folder) && entry.name.hasSuffix(".safetensors")
        && !entry.name.dropFirst(folder.count).contains("/")
    }
    let path = index + "/" + folder + "model.safetensors.index.json"
    if Folder.kind(path) == .file {
      let json = try JSON.parse(try Bytes.mapping(path).array, path: path)
      var named: Set<String> = []
      for (_, shard) in json["weight_map"]?.object ?? [:] {
        if let shard = shard.string { named.insert(folder + shard) }
      }
      let known = Set(shards.map(\.name))
      if let missing = named.subtracting(known).min() {
        throw FormatError(
          path: repository.path + "/" + missing, expected: "the file that the index names",
          found: "none in the repository")
      }
      return shards.filter { named.contains($0.name) }
    }
    if let one = shards.first(where: { $0.name == folder + "model.safetensors" }) { return [one] }
    guard shards.isEmpty else { return shards }
    let other = repository.entries.map(\.name).filter { $0.hasSuffix(".gguf") }
    throw FormatError(
      path: repository.path, expected: "files of SafeTensors",
      found: other.isEmpty
        ? "none" : "GGUF files: name one, such as \(repository.repository):\(printable(other[0], limit: 100))"
    )
  }
}
