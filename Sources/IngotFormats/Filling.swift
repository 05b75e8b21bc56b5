import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A tensor and the places of its planes in output files that are laid out already.
struct Placement: Sendable {
  var tensor: Tensor
  /// File and position of each plane, in the encoding's order.
  var planes: [(file: File, offset: Int)]
}

/// What `fill` found out on the way.
struct Filled: Sendable {
  /// XXH3-64 of each plane of each placement, in their order; of none when not wanted.
  var checksums: [[UInt64]]
  /// SHA-256 of the source's weight files in hexadecimal; empty when not wanted.
  var sourceHashes: [String]
}

/// Computes the planes of every placed tensor and writes them to their places.
///
/// Reading, computing and writing overlap: some units of work are under way at once (`Schedule`), each on the threads of the
/// disk while it is read and written, on those for computing in between. Places are fixed beforehand, so the bytes are the
/// same for any number of threads.
/// A unit that is written is recorded in the journal; what an earlier run has recorded is left as it is. When the
/// options say to stop, no unit is begun any more and those under way are finished.
/// - Throws: FormatError of the first task that fails; the others are cancelled.
///
/// - Parameter checksums: whether the format stores them.
func fill(
  _ placements: [Placement], of model: Model, _ options: WriteOptions, _ journal: Journal,
  checksums: Bool = false
) async throws(FormatError) -> Filled {
  do {
    let earlier = FilledBefore(journal.records)
    let filling = try Filling(placements, model, options, journal, checksums, earlier)
    return try await filling.run(placements, earlier)
  } catch let error as FormatError {
    throw error
  } catch {
    throw FormatError(path: "", expected: "the run to continue", found: "\(error)")
  }
}

/// Values of a chunk: most tensors of a mixture are one.
private let chunkValues = 1 << 23

private struct Filling: Sendable {
  let options: WriteOptions
  let journal: Journal
  let checksums: Bool
  let cores: Threads
  let disk = Threads(4)
  /// Nil when all files are on this machine.
  let remote: RemoteFetching?
  let hashes: SourceHashes?
  /// Units of work under way at once, at most. Those that are made whole also take no more than the memory that is allowed,
  /// unless one alone does.
  let width: Int
  /// Bytes of buffers.
  let memory: Int

  init(
    _ placements: [Placement], _ model: Model, _ options: WriteOptions, _ journal: Journal,
    _ checksums: Bool, _ earlier: FilledBefore
  ) throws(FormatError) {
    self.options = options
    self.journal = journal
    self.checksums = checksums
    cores = Threads(max(options.workers, 1))
    var fetched: [(path: String, range: Range<Int>)] = []
    var largest = 0
    let hashing = options.hashSource || options.verifiesSource
    let isRemote = model.weightFiles.contains { RemoteFiles.isRemote($0) }
    var units: Set<ObjectIdentifier> = []
    for (index, placement) in placements.enumerated() where earlier.checksums[index] == nil {
      let tensor = placement.tensor
      var most = 0
      for rows in tensor.rowChunks(values: chunkValues) {
        most = max(most, rows.count)
        guard hashing else { continue }
        fetched += tensor.sources(rows: rows).compactMap(\.hashedPlace)
      }
      if hashing, isRemote, let unit = tensor.unit, units.insert(ObjectIdentifier(unit)).inserted {
        fetched += unit.remoteSources.compactMap(\.hashedPlace)
      }
      // What is fetched, as much again at F32's width while it is computed, and what comes out. Units say it themselves.
      if tensor.unit == nil { largest = max(largest, most * tensor.columns * 8) }
    }
    hashes =
      hashing
      ? try SourceHashes(
        options.hashedFiles ?? model.weightFiles, fetched: fetched,
        known: earlier.digests.merging(options.knownHashes) { $1 }, verifies: options.verifiesSource
      ) { path, digest throws(FormatError) in try journal.add(FilledBefore.record(path, digest)) }
      : nil
    memory = options.memory ?? max(1_500_000_000, 250_000_000 * cores.count)
    let fitting = max(memory / 2 / max(largest, 1), 1)
    width = min(fitting, 2 * cores.count + (isRemote ? RemoteFiles.connections : 4))
    remote = isRemote ? RemoteFetching(ahead: min(fitting, RemoteFiles.connections)) : nil
  }

  func run(_ placements: [Placement], _ earlier: FilledBefore) async throws -> Filled {
    let pending = inSourceOrder(placements).filter { earlier.checksums[$0] == nil }
    let files = placements.flatMap { $0.planes.map(\.file) }.unique
    for index in placements.indices where earlier.checksums[index] != nil {
      options.progress?(placements[index].tensor.bytes)
    }
    return try await withThrowingTaskGroup(of: (Schedule.Item, [(Int, [UInt64])]).self) { group in
      var sums = [[UInt64]](repeating: [], count: placements.count)
      for (index, known) in earlier.checksums where sums.indices.contains(index) { sums[index] = known }
      var schedule = Schedule(pending) { placements[$0].tensor }
      var (underWay, taken) = (0, 0)
      func start() {
        while underWay < width, schedule.hasNext, options.shouldStop?() != true,
          let item = schedule.take(room: taken == 0 ? .max : max(memory - taken, 0))
        {
          underWay += 1
          taken += item.memory
          group.addTask(executorPreference: cores) { (item, try await fill(item, placements, files)) }
        }
      }
      start()
      while let (item, found) = try await group.next() {
        for (index, sum) in found { sums[index] = sum }
        underWay -= 1
        taken -= item.memory
        schedule.end(item)
        start()
      }
      guard schedule.isEmpty else {
        var error = FormatError(
          path: journal.path, expected: "the run to continue", found: "a request to stop")
        error.cause = .stopped
        throw error
      }
      let digests = try await withTaskExecutorPreference(remote?.threads ?? cores) {
        try await hashes?.digests()
      }
      return Filled(checksums: sums, sourceHashes: options.hashSource ? digests ?? [] : [])
    }
  }

  /// Placements as their sources lie in files, as many files side by side as threads: a file's hash goes through it in
  /// order, so one file alone would keep one thread busy.
  private func inSourceOrder(_ placements: [Placement]) -> [Int] {
    var files: [String: [(offset: Int, index: Int)]] = [:]
    var names: [String] = []
    for (index, placement) in placements.enumerated() {
      let tensor = placement.tensor
      let rows = tensor.rowChunks(values: chunkValues).first
      let largest = rows.map { tensor.sources(rows: $0) }?.max { $0.count < $1.count }
      let place = largest?.place ?? (tensor.path, Int(clamping: tensor.offset)..<Int.max)
      if files[place.path] == nil { names.append(place.path) }
      files[place.path, default: []].append((place.range.lowerBound, index))
    }
    names.sort()
    var order: [Int] = []
    for first in stride(from: 0, to: names.count, by: cores.count) {
      let group = names[first..<min(first + cores.count, names.count)].map { files[$0]!.sorted { $0 < $1 } }
      for turn in 0..<(group.map(\.count).max() ?? 0) {
        for file in group where turn < file.count { order.append(file[turn].index) }
      }
    }
    return order
  }

  /// Writes the tensors of an item one after the other and records them together.
  private func fill(_ item: Schedule.Item, _ placements: [Placement], _ files: [File]) async throws
    -> [(Int, [UInt64])]
  {
    if let unit = item.unit, let remote {
      // What a unit reads it wants at once: on the network's threads it comes side by side, and nobody computes meanwhile.
      let sources = unit.remoteSources
      defer { for source in sources { source.forget() } }
      try await fetch(sources, remote)
      try await unit.run(on: cores)
    } else {
      try await item.unit?.run(on: cores)
    }
    defer { item.unit?.drop() }
    var sums: [(Int, [UInt64])] = []
    for index in item.placements {
      let before = sums
      let sum = try await place(placements[index]) { sum in
        guard index == item.placements.last else { return }
        try options.notes?.record(in: journal)
        try journal.add(FilledBefore.record(before + [(index, sum)]))
      }
      sums.append((index, sum))
    }
    try await disk.run { try journal.synchronizeIfDue(files) }
    return sums
  }

  /// Fetches what a unit of work reads, and keeps it for the unit.
  private func fetch(_ sources: [Bytes], _ remote: RemoteFetching) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for source in sources {
        group.addTask {
          let copy = try await remote.fetch([source])[0]
          source.keep(copy)
          if let place = source.hashedPlace { try await absorb([(place, copy)]) }
        }
      }
      try await group.waitForAll()
    }
  }

  /// What lies between the pieces of a remote file comes over the network too, where nobody should wait who computes.
  private func absorb(_ bytes: [(place: (path: String, range: Range<Int>), bytes: Bytes)]) async throws {
    guard let hashes else { return }
    guard let remote else { return try await hashes.absorb(bytes) }
    try await withTaskExecutorPreference(remote.threads) { try await hashes.absorb(bytes) }
  }

  /// Writes one tensor, chunk by chunk.
  ///
  /// - Parameter finished: gets the checksums when the last chunk is written, on the disk's thread that wrote it: a
  ///   unit is recorded before anything else goes on.
  private func place(
    _ placement: Placement, finished: @escaping @Sendable ([UInt64]) throws -> Void
  ) async throws -> [UInt64] {
    let tensor = placement.tensor
    let layout = tensor.encoding.planes(tensor.shape)!
    var sums = layout.map { _ in XXH3() }
    let chunks = tensor.rowChunks(values: chunkValues)
    if chunks.isEmpty { try finished(checksums ? sums.map { $0.digest() } : []) }
    func write(_ rows: Range<Int>, _ sources: [Bytes], _ fetched: [Bytes]) async throws {
      try Task.checkCancellation()
      async let hashed: Void = absorb(
        zip(sources, fetched).compactMap { source, copy in
          source.hashedPlace.map { ($0, copy) }
        })
      let planes = try tensor.planes(rows: rows, from: fetched)
      for index in layout.indices where checksums {
        let plane = planes[index]
        sums[index].update(plane.span)
      }
      let digests = rows == chunks.last ? (checksums ? sums.map { $0.digest() } : []) : nil
      let written = try await disk.run {
        var written = 0
        for index in layout.indices {
          let (file, offset) = placement.planes[index]
          let plane = planes[index]
          try file.write(plane.span, at: offset + layout[index].range(rows: rows).lowerBound)
          written += plane.count
          plane.release()
        }
        if let digests { try finished(digests) }
        return written
      }
      try await hashed
      options.progress?(written)
    }
    if let remote, tensor.unit == nil {
      try await remote.forEach(chunks, of: tensor, write)
    } else {
      for rows in chunks {
        let sources = tensor.sources(rows: rows)
        let fetched =
          sources.contains { $0.isFetchable }
          ? try await disk.run { try sources.map { bytes throws(FormatError) in try bytes.fetched() } }
          : sources
        try await write(rows, sources, fetched)
      }
    }
    return checksums ? sums.map { $0.digest() } : []
  }
}

extension Bytes {
  /// Where they are in a file whose hash takes them when they are fetched; nil for short ones, which it reads for itself: scales
  /// of all tensors may lie before the first codes, and would be waited for.
  fileprivate var hashedPlace: (path: String, range: Range<Int>)? { isFetchable && isLong ? place : nil }
}

extension WorkUnit {
  /// What it reads of files on other machines.
  fileprivate var remoteSources: [Bytes] {
    reads.flatMap { $0.rows > 0 ? $0.sources(rows: 0..<$0.rows) : [] }.filter(\.isRemote)
  }
}

extension [File] {
  /// Each file once.
  fileprivate var unique: [File] {
    var seen = Set<ObjectIdentifier>()
    return filter { seen.insert(ObjectIdentifier($0)).inserted }
  }
}
