import Kernels
import Models
import Tensors

/// SHA-256 of a model's weight files, out of the bytes that a conversion reads anyway.
package struct SourceHashes: Sendable {
  private let files: [(path: String, hash: SourceHash)]
  private let byPath: [String: SourceHash]

  /// - Parameter fetched: what the conversion will fetch of files, in any order.
  package init(_ paths: [String], fetched: [(path: String, range: Range<Int>)]) throws(FormatError) {
    var starts: [String: [Range<Int>]] = [:]
    for (path, range) in fetched { starts[path, default: []].append(range) }
    var files: [(path: String, hash: SourceHash)] = []
    for path in paths { files.append((path, try SourceHash(path, pieces: starts[path] ?? []))) }
    self.files = files
    byPath = Dictionary(files.map { ($0.path, $0.hash) }) { first, _ in first }
  }

  /// Takes in what was fetched of a file.
  package func absorb(_ bytes: [(place: (path: String, range: Range<Int>), bytes: Bytes)])
    async throws(FormatError)
  {
    for (place, bytes) in bytes { try await byPath[place.path]?.absorb(bytes, at: place.range.lowerBound) }
  }

  /// The digests in hexadecimal, in the order of the files; what was not fetched is read now.
  package func digests() async throws(FormatError) -> [String] {
    var digests: [String] = []
    for file in files { digests.append(try await file.hash.digest()) }
    return digests
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
  private var dropped: Set<Int> = []
  private static let earlyLimit = 6

  init(_ path: String, pieces: [Range<Int>]) throws(FormatError) {
    file = try File(reading: path)
    size = try file.size()
    var apart: [Range<Int>] = []
    for piece in pieces.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) })
    where piece.lowerBound >= apart.last?.upperBound ?? 0 { apart.append(piece) }
    self.pieces = apart
  }

  func absorb(_ bytes: Bytes, at start: Int) throws(FormatError) {
    // A piece that another one covers, or that has been here, says nothing new.
    guard start >= position, next < pieces.count else { return }
    if start != pieces[next].lowerBound {
      if early.count < SourceHash.earlyLimit { early[start] = bytes } else { dropped.insert(start) }
      return
    }
    try add(bytes)
    while next < pieces.count {
      let start = pieces[next].lowerBound
      if let bytes = early.removeValue(forKey: start) {
        try add(bytes)
      } else if dropped.remove(start) != nil {
        try read(to: pieces[next].upperBound)
        next += 1
      } else {
        return
      }
    }
  }

  func digest() throws(FormatError) -> String {
    early = [:]
    try read(to: size)
    return hash.hexDigest()
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
    if isCancelled { throw FormatError(path: path, expected: "the run to go on", found: "its end") }
  }
}
