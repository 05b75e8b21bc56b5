import CIngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An open file: positioned reads and writes, size, durability. Closed when the last reference goes.
public final class File: Sendable {
  public let path: String
  let descriptor: Int32
  /// How large pieces are read and written.
  let direct: DirectAccess

  private init(path: String, descriptor: Int32, writing: Bool = false) {
    self.path = path
    self.descriptor = descriptor
    direct = DirectAccess(path: path, descriptor: descriptor, writing: writing)
  }

  deinit {
    direct.end()
    _ = close(descriptor)
  }

  /// Opens a regular file for reading.
  public convenience init(reading path: String) throws(FormatError) {
    let descriptor = File.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a file that can be opened") }
    self.init(path: path, descriptor: descriptor)
    guard try status().st_mode & S_IFMT == S_IFREG else {
      throw FormatError(path: path, expected: "a regular file", found: "a folder or a device")
    }
  }

  /// Creates a file for writing; it must not exist.
  public convenience init(creating path: String) throws(FormatError) {
    let descriptor = File.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a new file") }
    self.init(path: path, descriptor: descriptor, writing: true)
  }

  /// Opens a file that an earlier run has begun, for writing.
  public convenience init(continuing path: String) throws(FormatError) {
    let descriptor = File.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a file that can be written") }
    self.init(path: path, descriptor: descriptor, writing: true)
    guard try status().st_mode & S_IFMT == S_IFREG else {
      throw FormatError(path: path, expected: "a regular file", found: "a folder or a device")
    }
  }

  /// The system's open, again when a signal interrupted it.
  private static func open(_ path: String, _ flags: Int32) -> Int32 {
    while true {
      #if canImport(Glibc)
        let descriptor = unsafe Glibc.open(path, flags, 0o644)
      #else
        let descriptor = unsafe Darwin.open(path, flags, 0o644)
      #endif
      guard descriptor < 0, errno == EINTR else { return descriptor }
    }
  }

  private func status() throws(FormatError) -> stat {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw FormatError.system(path: path, "the file's status")
    }
    return status
  }

  public func size() throws(FormatError) -> Int { Int(try status().st_size) }

  /// When its content changed last, in nanoseconds since 1970.
  public func modified() throws(FormatError) -> Int {
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
    let code = ingot_reserve(descriptor, Int64(size))
    guard code == 0 || code == EOPNOTSUPP || code == EINVAL else {
      throw FormatError.system(path: path, "room for \(size) bytes", code: code)
    }
    if code == 0 && size > 0 { return }
    guard ftruncate(descriptor, off_t(size)) == 0 else {
      throw FormatError.system(path: path, "room for \(size) bytes")
    }
  }

  /// Writes all of `bytes` at `offset`: what is long goes past the page cache where the file system allows it.
  public func write(_ bytes: RawSpan, at offset: Int) throws(FormatError) {
    let unit = RecycledMemory.alignment
    let first = (offset + unit - 1) / unit * unit - offset
    let last = (offset + bytes.byteCount) / unit * unit - offset
    guard last - first >= File.directLength, let descriptor = direct.descriptor else {
      try write(bytes, at: offset, to: self.descriptor)
      return
    }
    // Whole units directly, what is left at both ends through the cache, which holds them until their neighbours come.
    guard try writeDirectly(bytes.extracting(first..<last), at: offset + first, to: descriptor) else {
      try write(bytes, at: offset, to: self.descriptor)
      return
    }
    try write(bytes.extracting(0..<first), at: offset, to: self.descriptor)
    try write(bytes.extracting(last..<bytes.byteCount), at: offset + last, to: self.descriptor)
  }

  /// From this length on the page cache costs more than it gives.
  private static let directLength = 1 << 16

  /// - Returns: false when the file system does not take direct writes after all.
  private func writeDirectly(_ bytes: RawSpan, at offset: Int, to descriptor: Int32) throws(FormatError)
    -> Bool
  {
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
      do throws(FormatError) {
        try write(part, at: offset + start, to: descriptor)
      } catch {
        guard direct.isRefusal(errno) else { throw error }
        return false
      }
    }
    return true
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
      _ = try read(into: &span, at: offset, atLeast: count, from: descriptor)
    }
  }

  /// Fills `span` from `offset` on, past the page cache where that works: then offset, memory and length have to
  /// be multiples of `RecycledMemory.alignment`, and the file may end after `needed` bytes.
  func read(into span: inout MutableRawSpan, at offset: Int, atLeast needed: Int) throws(FormatError) {
    if let descriptor = direct.descriptor,
      try read(into: &span, at: offset, atLeast: needed, from: descriptor, refusable: true)
    {
      return
    }
    _ = try read(into: &span, at: offset, atLeast: needed, from: descriptor)
    direct.forget(offset..<offset + needed)
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
      } else if refusable && direct.isRefusal(errno) {
        return false
      } else if errno != EINTR {
        throw FormatError.system(path: path, offset: UInt64(offset), "\(needed) bytes to be read")
      }
    }
    return true
  }

  /// Tells the system that only pieces will be read, so it need not read ahead of them.
  public func expectPieces() {
    #if canImport(Glibc)
      _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
    #else
      _ = fcntl(descriptor, F_RDAHEAD, 0)
    #endif
  }

  /// Stretches of a range that take no room on the disk and read as zeros; none where the file system does not tell.
  /// Positioned reads and writes go on as before.
  public func holes(in range: Range<Int>) -> [Range<Int>] {
    var holes: [Range<Int>] = []
    var from = Int64(range.lowerBound)
    var (start, end): (Int64, Int64) = (0, 0)
    while from < range.upperBound, unsafe ingot_hole(descriptor, from, &start, &end) == 0, end > from {
      holes.append(range.clamped(to: Int(start)..<Int(end)))
      from = end
    }
    return holes
  }

  /// Gives back what was reserved behind the first `size` bytes. For files that nobody has mapped yet.
  public func truncate(to size: Int) throws(FormatError) {
    guard ftruncate(descriptor, off_t(size)) == 0 else {
      throw FormatError.system(path: path, "an end at byte \(size)")
    }
  }

  /// Waits until what was written is on the disk.
  public func synchronize() throws(FormatError) {
    #if canImport(Darwin)
      // fsync on macOS leaves data in the drive's cache.
      if fcntl(descriptor, F_FULLFSYNC) == 0 { return }
    #endif
    while fsync(descriptor) != 0 {
      guard errno == EINTR else { throw FormatError.system(path: path, "fsync to succeed") }
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
