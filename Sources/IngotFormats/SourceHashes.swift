import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// SHA-256 of a model's weight files, out of the bytes that a conversion reads anyway.
package struct SourceHashes: Sendable {
  /// Hears of a file that was read to its end.
  package typealias Finished = @Sendable (_ path: String, _ digest: String) throws(FormatError) -> Void

  private let paths: [String]
  private let files: [String: SourceHash]
  private let known: [String: String]

  /// - Parameters:
  ///   - fetched: what the conversion will fetch of files, in any order.
  ///   - known: digests of files that need not be read any more.
  ///   - verifies: hold digests against the names of blobs in the Hugging Face cache.
  /// - Throws: FormatError for a file that cannot be read, or has no such name when it is to be verified.
  package init(
    _ paths: [String], fetched: [(path: String, range: Range<Int>)], known: [String: String] = [:],
    verifies: Bool = false, finished: @escaping Finished = { _, _ in }
  ) throws(FormatError) {
    var starts: [String: [Range<Int>]] = [:]
    for (path, range) in fetched { starts[path, default: []].append(range) }
    var files: [String: SourceHash] = [:]
    for path in paths {
      let expected = try SourceHashes.statedDigest(path, required: verifies)
      if let digest = known[path] {
        try SourceHashes.require(digest, expected, path)
        continue
      }
      files[path] = try SourceHash(path, pieces: starts[path] ?? []) { digest throws(FormatError) in
        try SourceHashes.require(digest, expected, path)
        try finished(path, digest)
      }
    }
    self.paths = paths
    self.files = files
    self.known = known
  }

  /// Takes in what was fetched of a file.
  package func absorb(_ bytes: [(place: (path: String, range: Range<Int>), bytes: Bytes)])
    async throws(FormatError)
  {
    for (place, bytes) in bytes { try await files[place.path]?.absorb(bytes, at: place.range.lowerBound) }
  }

  /// The digests in hexadecimal, in the order of the files; what was not fetched is read now.
  package func digests() async throws(FormatError) -> [String] {
    var digests: [String] = []
    for path in paths { digests.append(try await files[path]?.digest() ?? known[path]!) }
    return digests
  }

  /// The SHA-256 that a file must have: of a remote one what its host states, always; of a large file in the Hugging Face
  /// cache, when that is to be verified, its name among the blobs.
  private static func statedDigest(_ path: String, required: Bool) throws(FormatError) -> String? {
    if let file = RemoteFiles.file(path) {
      guard let digest = file.sha256 else {
        if !required { return nil }
        throw FormatError(
          path: path, expected: "a file whose SHA-256 the Hub states, as it does for large files",
          found: "none stated")
      }
      return digest
    }
    return required ? try blobDigest(path) : nil
  }

  private static func blobDigest(_ path: String) throws(FormatError) -> String {
    let real = Folder.resolved(path) ?? path
    let name = Folder.name(of: real)
    guard Folder.name(of: Folder.parent(of: real)) == "blobs", name.utf8.count == 64,
      name.allSatisfy({ $0.isHexDigit && $0.isASCII })
    else {
      throw FormatError(
        path: path,
        expected: "a link to a blob of the Hugging Face cache, whose name is its SHA-256",
        found: real)
    }
    return name.lowercased()
  }

  private static func require(_ digest: String, _ expected: String?, _ path: String) throws(FormatError) {
    guard let expected, digest != expected else { return }
    throw FormatError(
      path: path,
      expected: "SHA-256 \(expected), which "
        + (RemoteFiles.isRemote(path) ? "the Hub states" : "names it in the cache"), found: digest)
  }
}

/// One file's hash, fed with pieces that come nearly in the order of the file.
///
/// Between the pieces lie headers and small tensors, which are read here. A piece that comes too early waits; when
/// too many do, it is dropped and read again in its turn, so memory stays bounded whatever the order.
private actor SourceHash {
  private let file: File
  private let size: Int
  /// Pieces that will come, apart and ascending.
  private let pieces: [Range<Int>]
  /// The first piece that is not hashed, and how far the file is.
  private var next = 0
  private var position = 0
  private var hash = SHA256()
  private var early: [Int: Bytes] = [:]
  private var earlyBytes = 0
  private var dropped: Set<Int> = []
  private static let earlyLimit = 6
  /// Of a remote file what is dropped comes over the network again: more may wait.
  private static let remoteLimit = 384 << 20
  private let isRemote: Bool
  private let finished: @Sendable (_ digest: String) throws(FormatError) -> Void
  private var known: String?

  init(
    _ path: String, pieces: [Range<Int>],
    finished: @escaping @Sendable (_ digest: String) throws(FormatError) -> Void
  ) throws(FormatError) {
    self.finished = finished
    file = try File(reading: path)
    size = try file.size()
    isRemote = RemoteFiles.isRemote(path)
    var apart: [Range<Int>] = []
    for piece in pieces.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) })
    where piece.lowerBound >= apart.last?.upperBound ?? 0 { apart.append(piece) }
    self.pieces = apart
  }

  func absorb(_ bytes: Bytes, at start: Int) throws(FormatError) {
    // A piece that another one covers, or that has been here, says nothing new.
    guard start >= position, next < pieces.count else { return }
    if start != pieces[next].lowerBound {
      guard early[start] == nil else { return }
      if early.count < SourceHash.earlyLimit || isRemote && earlyBytes + bytes.count <= SourceHash.remoteLimit
      {
        early[start] = bytes
        earlyBytes += bytes.count
      } else {
        dropped.insert(start)
      }
      return
    }
    try add(bytes)
    while next < pieces.count {
      let start = pieces[next].lowerBound
      if let bytes = early.removeValue(forKey: start) {
        earlyBytes -= bytes.count
        try add(bytes)
      } else if dropped.remove(start) != nil {
        try read(to: pieces[next].upperBound)
        next += 1
      } else {
        return
      }
    }
    _ = try digest()
  }

  func digest() throws(FormatError) -> String {
    if let known { return known }
    early = [:]
    try read(to: size)
    let digest = hash.hexDigest()
    known = digest
    try finished(digest)
    return digest
  }

  /// Hashes the next piece and what lies before it.
  private func add(_ bytes: Bytes) throws(FormatError) {
    try read(to: pieces[next].lowerBound)
    hash.update(bytes.span)
    position += bytes.count
    next += 1
  }

  private func read(to end: Int) throws(FormatError) {
    while position < end {
      try Task.checkNotCancelled(file.path)
      let count = min(end - position, 1 << 23)
      let bytes = try file.read(count, at: position)
      hash.update(bytes.span)
      position += count
    }
  }
}

extension Task where Success == Never, Failure == Never {
  fileprivate static func checkNotCancelled(_ path: String) throws(FormatError) {
    if isCancelled { throw FormatError(path: path, expected: "the run to continue", found: "its end") }
  }
}
