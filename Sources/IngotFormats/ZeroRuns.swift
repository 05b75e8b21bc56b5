import IngotModels
import IngotSystem
import IngotTensors

/// Runs of zero bytes in files of weights. A download that broke off, or that lacks pieces, often leaves a file of full
/// length in which zeros stand for what did not come; such weights load without a complaint.
///
/// A matrix may be zero by right: an expert that was pruned, rows of tokens that were never trained. Its zeros end where
/// the tensor or a row ends. A run that begins or ends within a row and covers more than that is a fault, and so is one
/// that takes a norm's weights along.
public struct ZeroRuns: Sendable {
  /// Zeros of one run, in a file.
  public struct Run: Sendable {
    public var path: String
    /// The first tensor that it covers, in full or in part.
    public var tensor: String
    public var range: Range<Int>
    /// Matrices that it covers from end to end.
    public var wholeTensors: Int
    /// Whether it cannot be meant.
    public var isFault: Bool

    package var error: FormatError {
      FormatError(
        path: path, tensor: tensor, offset: UInt64(range.lowerBound),
        expected: "weights; was the download complete? Download this file again",
        found: "\(range.count) zero bytes from here on")
    }

    package var warning: String {
      let others = wholeTensors > 1 ? " and \(wholeTensors - 1) more after it" : ""
      return
        "\(Folder.name(of: path)): tensor '\(printable(tensor, limit: 200))'\(others): all zero, \(range.count) bytes "
        + "(fine for an expert that was pruned, else a download that broke off)"
    }
  }

  /// Runs shorter than this are weights like others.
  private static let least = 4096
  private static let piece = 1 << 18
  /// Files of so many bytes are looked into at regular distances alone.
  private static let small = 1 << 28

  private let path: String
  private let file: File
  private let entries: [Inventory.Entry]
  private let end: Int

  /// - Throws: FormatError for a file whose header cannot be read.
  private init(_ path: String) throws(FormatError) {
    self.path = path
    entries = try Inventory(path).entries.filter { $0.path == path && $0.bytes > 0 }
    file = try File(reading: path)
    file.expectPieces()
    end = min(entries.map { $0.offset + $0.bytes }.max() ?? 0, try file.size())
  }

  /// Looks into files of SafeTensors and GGUF; those of other formats have checksums of their own.
  ///
  /// - Parameters:
  ///   - paths: the files.
  ///   - exhaustive: read everything; otherwise 1,024 pages of a file, at least one in every 4 MiB, and in files below
  ///     `small` the first and the last of every tensor, which finds what is missing of a download without reading it twice.
  public static func find(in paths: [String], exhaustive: Bool, workers: Int) async -> [Run] {
    // A remote file has no holes: what lacks pieces does not have its length or its SHA-256.
    let known = paths.filter { path in
      !RemoteFiles.isRemote(path) && [".safetensors", ".gguf"].contains { path.hasSuffix($0) }
    }
    return await withTaskGroup(of: (Int, [Run]).self) { group in
      var found = [[Run]](repeating: [], count: known.count)
      var next = 0
      func start() {
        guard next < known.count else { return }
        let index = next
        next += 1
        // What cannot be read is reported by whoever reads it for its weights.
        group.addTask { (index, (try? ZeroRuns(known[index]).runs(exhaustive)) ?? []) }
      }
      for _ in 0..<max(workers, 1) { start() }
      while let (index, runs) = await group.next() {
        found[index] = runs
        start()
      }
      return found.flatMap { $0 }
    }
  }

  private func runs(_ exhaustive: Bool) throws(FormatError) -> [Run] {
    guard let first = entries.map(\.offset).min(), first < end else { return [] }
    let page = ZeroRuns.least
    let stride = exhaustive ? page : min(max((end - first) / 1024 / page * page, page), 1 << 22)
    var probes = Set(Swift.stride(from: first, through: end - page, by: stride))
    for entry in entries where entry.bytes >= page && !exhaustive && end - first < ZeroRuns.small {
      probes.insert(entry.offset)
      probes.insert(entry.offset + entry.bytes - page)
    }
    for hole in file.holes(in: first..<end) where hole.count >= page { probes.insert(hole.lowerBound) }
    var found: [Run] = []
    var covered = first
    var window = Window(file)
    for probe in probes.sorted() where probe >= covered && probe + page <= end {
      guard try window.isZero(probe..<probe + page, ahead: exhaustive ? ZeroRuns.piece : page, end: end)
      else {
        continue
      }
      let run = try extended(probe..<probe + page, first: max(first, covered))
      covered = run.upperBound
      if let run = described(run) { found.append(run) }
    }
    return found
  }

  /// The whole run of zeros around a part of it.
  private func extended(_ part: Range<Int>, first: Int) throws(FormatError) -> Range<Int> {
    var (start, stop) = (part.lowerBound, part.upperBound)
    while start > first {
      let from = max(start - ZeroRuns.piece, first)
      let bytes = try file.read(start - from, at: from)
      guard let last = bytes.lastNonZero else {
        start = from
        continue
      }
      start = from + last + 1
      break
    }
    while stop < end {
      let bytes = try file.read(min(ZeroRuns.piece, end - stop), at: stop)
      guard let next = bytes.firstNonZero else {
        stop += bytes.count
        continue
      }
      stop += next
      break
    }
    return start..<stop
  }

  /// What a run means; nil where it means nothing.
  private func described(_ run: Range<Int>) -> Run? {
    var first: Inventory.Entry?
    var whole = 0
    var isFault = false
    var hasNorm = false
    for entry in entries {
      let range = entry.offset..<entry.offset + entry.bytes
      let part = range.clamped(to: run)
      guard !part.isEmpty else { continue }
      if entry.shape.count < 2 {
        // Biases are often zero, norms never.
        hasNorm = hasNorm || part == range && entry.name.contains("norm.weight")
        continue
      }
      if part == range {
        whole += 1
      } else {
        guard part.count >= ZeroRuns.least else { continue }
        let row = max(entry.bytes / max(entry.shape.dropLast().reduce(1, *), 1), 1)
        // A value next to the run may be zero too.
        func isInside(_ place: Int) -> Bool {
          let within = (place - range.lowerBound) % row
          return min(within, row - within) > min(16, row / 8)
        }
        let isCut = isInside(part.lowerBound) || isInside(part.upperBound)
        isFault = isFault || isCut && part.count > 2 * row
      }
      first = first ?? entry
    }
    guard let first else { return nil }
    return Run(
      path: path, tensor: first.name, range: run, wholeTensors: whole,
      isFault: isFault || hasNorm && whole > 0)
  }

  /// A stretch of the file that was read last.
  private struct Window {
    let file: File
    var start = 0
    var bytes = Bytes.empty

    init(_ file: File) { self.file = file }

    mutating func isZero(_ range: Range<Int>, ahead: Int, end: Int) throws(FormatError) -> Bool {
      if range.lowerBound < start || range.upperBound > start + bytes.count {
        start = range.lowerBound
        bytes = try file.read(min(max(ahead, range.count), end - start), at: start)
      }
      return bytes[range.lowerBound - start..<range.upperBound - start].firstNonZero == nil
    }
  }
}

extension Bytes {
  /// Index of the first byte that is not zero.
  var firstNonZero: Int? {
    let span = span
    var at = 0
    while at + 8 <= count, span.littleEndian(UInt64.self, at: at) == 0 { at += 8 }
    return (at..<count).first { span.littleEndian(UInt8.self, at: $0) != 0 }
  }

  /// Index of the last byte that is not zero.
  fileprivate var lastNonZero: Int? {
    let span = span
    var end = count
    while end >= 8, span.littleEndian(UInt64.self, at: end - 8) == 0 { end -= 8 }
    return (0..<end).last { span.littleEndian(UInt8.self, at: $0) != 0 }
  }
}
