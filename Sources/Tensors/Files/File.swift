#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An open file: positioned reads and writes, size, durability. Closed when the last reference goes.
public final class File: Sendable {
  public let path: String
  let descriptor: Int32

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { _ = close(descriptor) }

  /// Opens a regular file for reading.
  public convenience init(reading path: String) throws(FormatError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a file that can be opened") }
    self.init(path: path, descriptor: descriptor)
    guard try status().st_mode & S_IFMT == S_IFREG else {
      throw FormatError(path: path, expected: "a regular file", found: "a folder or a device")
    }
  }

  /// Creates a file for writing; it must not exist.
  public convenience init(creating path: String) throws(FormatError) {
    let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a new file") }
    self.init(path: path, descriptor: descriptor)
  }

  private func status() throws(FormatError) -> stat {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw FormatError.system(path: path, "the file's status")
    }
    return status
  }

  public func size() throws(FormatError) -> Int { Int(try status().st_size) }

  /// Reserves `size` bytes on disk and makes the file that long.
  ///
  /// File systems that cannot reserve get a file of that length with holes.
  /// - Throws: FormatError when the disk has not that much room.
  public func preallocate(_ size: Int) throws(FormatError) {
    #if canImport(Glibc)
      let code = posix_fallocate(descriptor, 0, off_t(size))
      if code == 0 || size == 0 { return }
      guard code == EOPNOTSUPP || code == EINVAL else {
        throw FormatError.system(path: path, "room for \(size) bytes", code: code)
      }
    #endif
    guard ftruncate(descriptor, off_t(size)) == 0 else {
      throw FormatError.system(path: path, "room for \(size) bytes")
    }
  }

  /// Writes all of `bytes` at `offset`, however many calls that takes.
  public func write(_ bytes: RawSpan, at offset: Int) throws(FormatError) {
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
      var done = 0
      while done < count {
        let got = unsafe span.withUnsafeMutableBytes { buffer in
          unsafe pread(descriptor, buffer.baseAddress! + done, count - done, off_t(offset + done))
        }
        if got > 0 {
          done += got
        } else if got == 0 {
          throw FormatError(
            path: path, offset: UInt64(offset), expected: "\(count) bytes",
            found: "the end of the file after \(done)")
        } else if errno != EINTR {
          throw FormatError.system(path: path, offset: UInt64(offset), "\(count) bytes to be read")
        }
      }
    }
  }

  /// Tells the system that only pieces will be read, so it need not read ahead of them.
  public func expectPieces() {
    #if canImport(Glibc)
      _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
    #else
      _ = fcntl(descriptor, F_RDAHEAD, 0)
    #endif
  }

  /// Waits until what was written is on the disk.
  public func synchronize() throws(FormatError) {
    #if canImport(Darwin)
      // fsync on macOS leaves data in the drive's cache.
      if fcntl(descriptor, F_FULLFSYNC) == 0 { return }
    #endif
    guard fsync(descriptor) == 0 else { throw FormatError.system(path: path, "fsync to succeed") }
  }
}

extension FormatError {
  /// The error of a system call that has just failed: what was wanted and errno's text.
  static func system(
    path: String, offset: UInt64? = nil, _ expected: String, code: Int32 = errno
  ) -> FormatError {
    let text = unsafe String(cString: strerror(code))
    return FormatError(path: path, offset: offset, expected: expected, found: text)
  }
}
