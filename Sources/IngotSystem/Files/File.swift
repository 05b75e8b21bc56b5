import CIngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file: positioned reads and writes, size, durability. Closed when the last reference goes, or earlier while others
/// are used: it is opened again then.
public final class File: Sendable {
  public let path: String
  private let disk: OpenFile?
  /// The file on another machine that this is; it can be read only.
  private let remote: (any RemoteFile)?

  /// What is open on the disk.
  private var open: OpenFile {
    guard let disk else { preconditionFailure("\(path) is on another machine") }
    return disk
  }

  private init(_ path: String, _ flags: Int32, isReopenable: Bool = true, _ expected: String)
    throws(FormatError)
  {
    self.path = path
    remote = nil
    disk = try OpenFile(path, flags: flags | O_CLOEXEC, isReopenable: isReopenable, expected)
    guard flags & O_CREAT == 0 else { return }
    guard try status().st_mode & S_IFMT == S_IFREG else {
      throw FormatError(path: path, expected: "a regular file", found: "a folder or a device")
    }
  }

  private init(_ remote: any RemoteFile) {
    path = remote.path
    disk = nil
    self.remote = remote
  }

  /// Opens a regular file for reading.
  public convenience init(reading path: String) throws(FormatError) {
    if let remote = RemoteFiles.file(path) {
      self.init(remote)
      return
    }
    // A link that leads nowhere is said to be one.
    if Folder.linkTarget(path) != nil, Folder.kind(path) == .nothing {
      throw FormatError.missing(path, expected: "a file that can be opened")
    }
    try self.init(path, O_RDONLY | O_NONBLOCK, "a file that can be opened")
  }

  /// Creates a file for writing; it must not exist.
  ///
  /// - Parameter keepsName: whether it has this name as long as it is used.
  public convenience init(creating path: String, keepsName: Bool = false) throws(FormatError) {
    try self.init(path, O_RDWR | O_CREAT | O_EXCL, isReopenable: keepsName, "a new file")
  }

  /// Opens a file that an earlier run has begun, for writing.
  public convenience init(continuing path: String) throws(FormatError) {
    try self.init(path, O_RDWR | O_NOFOLLOW, "a file that can be written")
  }

  /// Maps the first `size` bytes read-only.
  func map(_ size: Int) throws(FormatError) -> UnsafeRawPointer {
    try unsafe open.use { descriptor throws(FormatError) in
      let address = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
      guard let address = unsafe address, unsafe address != MAP_FAILED else {
        throw FormatError.system(path: path, "a mapping of \(size) bytes")
      }
      return UnsafeRawPointer(address)
    }
  }

  /// Tells the system that a range of the file need not be kept in memory, where it can be told so.
  func forget(_ range: Range<Int>) {
    #if os(Linux)
      // What it does not do is no fault.
      try? open.use { descriptor throws(FormatError) in
        _ = posix_fadvise(descriptor, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
      }
    #endif
  }

  private func status() throws(FormatError) -> stat {
    try open.use { descriptor throws(FormatError) in
      var status = stat()
      guard unsafe fstat(descriptor, &status) == 0 else {
        throw FormatError.system(path: path, "the file's status")
      }
      return status
    }
  }

  /// Whether the file can be read although it may have been closed meanwhile: a mapping of it stays whole if not.
  var isReachable: Bool { open.isReachable }

  public func size() throws(FormatError) -> Int {
    if let remote { return remote.size }
    return Int(try status().st_size)
  }

  /// When its content changed last, in nanoseconds since 1970; 0 for a file on another machine, whose content is a commit's.
  public func modified() throws(FormatError) -> Int {
    if remote != nil { return 0 }
    let status = try status()
    #if canImport(Glibc)
      let time = status.st_mtim
    #else
      let time = status.st_mtimespec
    #endif
    return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
  }

  /// Reserves `size` bytes on disk and makes the file that long.
  ///
  /// File systems that cannot reserve get a file of that length with holes.
  /// - Throws: FormatError when the disk has not that much room.
  public func preallocate(_ size: Int) throws(FormatError) {
    try open.use { descriptor throws(FormatError) in
      let code = ingot_reserve(descriptor, Int64(size))
      guard code == 0 || code == EOPNOTSUPP || code == EINVAL else {
        throw FormatError.system(path: path, "room for \(size) bytes", code: code)
      }
      if code == 0 && size > 0 { return }
      guard ftruncate(descriptor, off_t(size)) == 0 else {
        throw FormatError.system(path: path, "room for \(size) bytes")
      }
    }
  }

  /// Writes all of `bytes` at `offset`: what is long goes past the page cache where the file system allows it.
  public func write(_ bytes: RawSpan, at offset: Int) throws(FormatError) {
    let unit = RecycledMemory.alignment
    let first = (offset + unit - 1) / unit * unit - offset
    let last = (offset + bytes.byteCount) / unit * unit - offset
    // Whole units directly, what is left at both ends through the cache, which holds them until their neighbours come.
    guard last - first >= File.directLength,
      try writeDirectly(bytes.extracting(first..<last), at: offset + first)
    else { return try writeThroughCache(bytes, at: offset) }
    try writeThroughCache(bytes.extracting(0..<first), at: offset)
    try writeThroughCache(bytes.extracting(last..<bytes.byteCount), at: offset + last)
  }

  /// From this length on the page cache costs more than it gives.
  private static let directLength = 1 << 16

  /// - Returns: false when the file system does not take direct writes.
  private func writeDirectly(_ bytes: RawSpan, at offset: Int) throws(FormatError) -> Bool {
    let isAligned = unsafe bytes.withUnsafeBytes { bytes in
      Int(bitPattern: bytes.baseAddress) % RecycledMemory.alignment == 0
    }
    let piece = isAligned ? bytes.byteCount : min(bytes.byteCount, 1 << 20)
    let memory = isAligned ? nil : RecycledMemory.take(piece)
    defer { memory?.giveBack() }
    for start in stride(from: 0, to: bytes.byteCount, by: piece) {
      var part = bytes.extracting(start..<min(start + piece, bytes.byteCount))
      if let memory {
        unsafe part.withUnsafeBytes { unsafe memory.block.copyMemory(from: $0) }
        let count = part.byteCount
        part = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: memory.block[..<count]))
      }
      let isTaken = try open.useDirect { descriptor throws(FormatError) in
        guard let descriptor, !open.isRefused else { return false }
        do throws(FormatError) {
          try write(part, at: offset + start, to: descriptor)
        } catch {
          guard case .system(let code) = error.cause, open.isRefusal(code) else { throw error }
          return false
        }
        return true
      }
      guard isTaken else { return false }
    }
    return true
  }

  private func writeThroughCache(_ bytes: RawSpan, at offset: Int) throws(FormatError) {
    try open.use { descriptor throws(FormatError) in try write(bytes, at: offset, to: descriptor) }
  }

  private func write(_ bytes: RawSpan, at offset: Int, to descriptor: Int32) throws(FormatError) {
    var done = 0
    while done < bytes.byteCount {
      let rest = bytes.extracting(droppingFirst: done)
      let written = unsafe rest.withUnsafeBytes { buffer in
        unsafe pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(offset + done))
      }
      if written > 0 {
        done += written
      } else if errno != EINTR {
        throw FormatError.system(
          path: path, offset: UInt64(offset + done), "\(rest.byteCount) bytes to be written")
      }
    }
  }

  /// Writes an array at `offset`.
  public func write(_ array: [UInt8], at offset: Int) throws(FormatError) {
    let bytes = Bytes(array)
    try write(bytes.span, at: offset)
  }

  /// Reads `count` bytes from `offset`.
  /// - Throws: FormatError when the file ends before or the read fails.
  public func read(_ count: Int, at offset: Int) throws(FormatError) -> Bytes {
    try Bytes(count: count) { (span: inout MutableRawSpan) throws(FormatError) in
      if let remote {
        guard offset >= 0, count <= remote.size - offset else {
          throw FormatError(
            path: path, offset: UInt64(offset), expected: "\(count) bytes",
            found: "the end of the file of \(remote.size)")
        }
        return try remote.read(into: &span, at: offset)
      }
      try readThroughCache(into: &span, at: offset, atLeast: count)
    }
  }

  /// Fills `span` from `offset` on, past the page cache where that works: then offset, memory and length have to
  /// be multiples of `RecycledMemory.alignment`, and the file may end after `needed` bytes.
  func read(into span: inout MutableRawSpan, at offset: Int, atLeast needed: Int) throws(FormatError) {
    let isRead = try open.useDirect { descriptor throws(FormatError) in
      guard let descriptor, !open.isRefused else { return false }
      return try read(into: &span, at: offset, atLeast: needed, from: descriptor, refusable: true)
    }
    if isRead { return }
    try readThroughCache(into: &span, at: offset, atLeast: needed)
    #if canImport(Glibc)
      // Pages that this has left in the cache.
      try open.use { descriptor throws(FormatError) in
        _ = posix_fadvise(descriptor, off_t(offset), off_t(needed), POSIX_FADV_DONTNEED)
      }
    #endif
  }

  private func readThroughCache(into span: inout MutableRawSpan, at offset: Int, atLeast needed: Int)
    throws(FormatError)
  {
    try open.use { descriptor throws(FormatError) in
      _ = try read(into: &span, at: offset, atLeast: needed, from: descriptor)
    }
  }

  /// - Returns: false when the file system does not take direct reads after all.
  private func read(
    into span: inout MutableRawSpan, at offset: Int, atLeast needed: Int, from descriptor: Int32,
    refusable: Bool = false
  ) throws(FormatError) -> Bool {
    let count = span.byteCount
    var done = 0
    while done < needed {
      let got = unsafe span.withUnsafeMutableBytes { buffer in
        unsafe pread(descriptor, buffer.baseAddress! + done, count - done, off_t(offset + done))
      }
      if got > 0 {
        done += got
      } else if got == 0 {
        throw FormatError(
          path: path, offset: UInt64(offset), expected: "\(needed) bytes",
          found: "the end of the file after \(done)")
      } else if refusable && open.isRefusal(errno) {
        return false
      } else if errno != EINTR {
        throw FormatError.system(path: path, offset: UInt64(offset), "\(needed) bytes to be read")
      }
    }
    return true
  }

  /// Tells the system that only pieces will be read, so it need not read ahead of them.
  public func expectPieces() {
    if remote != nil { return }
    try? open.use { descriptor throws(FormatError) in
      #if canImport(Glibc)
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
      #else
        _ = fcntl(descriptor, F_RDAHEAD, 0)
      #endif
    }
  }

  /// Stretches of a range that take no room on the disk and read as zeros; none where the file system does not tell.
  /// Positioned reads and writes go on as before.
  public func holes(in range: Range<Int>) -> [Range<Int>] {
    if remote != nil { return [] }
    let found = try? open.use { descriptor throws(FormatError) in
      var holes: [Range<Int>] = []
      var from = Int64(range.lowerBound)
      var (start, end): (Int64, Int64) = (0, 0)
      while from < range.upperBound, unsafe ingot_hole(descriptor, from, &start, &end) == 0, end > from {
        holes.append(range.clamped(to: Int(start)..<Int(end)))
        from = end
      }
      return holes
    }
    return found ?? []
  }

  /// Gives back what was reserved behind the first `size` bytes. For files that nobody has mapped yet.
  public func truncate(to size: Int) throws(FormatError) {
    try open.use { descriptor throws(FormatError) in
      guard ftruncate(descriptor, off_t(size)) == 0 else {
        throw FormatError.system(path: path, "an end at byte \(size)")
      }
    }
  }

  /// Waits until what was written is on the disk.
  public func synchronize() throws(FormatError) {
    try open.use { descriptor throws(FormatError) in
      #if canImport(Darwin)
        // fsync on macOS leaves data in the drive's cache.
        if fcntl(descriptor, F_FULLFSYNC) == 0 { return }
      #endif
      while fsync(descriptor) != 0 {
        guard errno == EINTR else { throw FormatError.system(path: path, "fsync to succeed") }
      }
    }
  }
}

extension FormatError {
  /// The error of a system call that has just failed: what was wanted and errno's text.
  package static func system(
    path: String, offset: UInt64? = nil, _ expected: String, code: Int32 = errno
  ) -> FormatError {
    let text = unsafe String(cString: strerror(code))
    var error = FormatError(path: path, offset: offset, expected: expected, found: text)
    error.cause = .system(code)
    return error
  }
}
