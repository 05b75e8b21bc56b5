import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Immutable bytes: a slice of a mapped file or of memory, counted, cheap to copy and to cut.
///
/// The bytes of a mapped file are read when they are touched. The file must not be truncated while it is
/// mapped; nothing in this package ever does so. Those of a file on another machine are fetched by `fetched()`, which can
/// throw, or else when they are touched.
public struct Bytes: @unchecked Sendable {
  /// Keeps the memory alive. Immutable after its creation, hence safe to share.
  @safe private final class Storage: @unchecked Sendable {
    let pointer: UnsafeRawPointer?
    /// The file that this is a mapping of; nil for memory of our own.
    let file: File?
    /// The file on another machine whose bytes these are; there is no memory then.
    let remote: (any RemoteFile)?
    /// What was touched of a remote file.
    private let touched = Mutex<[Range<Int>: Bytes]>([:])
    /// What was fetched of it and will be wanted again soon.
    let kept = Mutex<[Range<Int>: Bytes]>([:])
    private let release: () -> Void

    init(
      pointer: UnsafeRawPointer?, file: File? = nil, remote: (any RemoteFile)? = nil,
      release: @escaping () -> Void
    ) {
      unsafe self.pointer = pointer
      self.file = file
      self.remote = remote
      self.release = release
    }

    deinit { release() }

    /// Where `range` of a remote file is in memory, which it is for as long as this lives.
    func touch(_ range: Range<Int>) -> UnsafeRawPointer? {
      let bytes = touched.withLock { touched in
        if let known = touched[range] { return known }
        do throws(FormatError) {
          let bytes = try Bytes.read(remote!, range)
          touched[range] = bytes
          return bytes
        } catch {
          RemoteFiles.unreadable(error)
        }
      }
      return unsafe bytes.storage.pointer
    }
  }

  private let storage: Storage
  private let start: Int
  public let count: Int

  private init(storage: Storage, start: Int, count: Int) {
    self.storage = storage
    self.start = start
    self.count = count
  }

  /// A copy of `array` in memory of its own.
  public init(_ array: [UInt8]) {
    self.init(count: array.count) { output in
      unsafe output.withUnsafeMutableBytes { target in
        unsafe array.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
      }
    }
  }

  /// `count` bytes that `fill` writes; they are zero before.
  public init<E: Error>(count: Int, fill: (inout MutableRawSpan) throws(E) -> Void) throws(E) {
    precondition(count >= 0)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
    var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
    do {
      try fill(&span)
    } catch {
      unsafe buffer.deallocate()
      throw error
    }
    let owner = unsafe Storage(pointer: UnsafeRawPointer(buffer.baseAddress)) {
      unsafe buffer.deallocate()
    }
    self.init(storage: owner, start: 0, count: count)
  }

  /// `count` bytes in recycled memory, all of which `fill` writes: anything may stand there before.
  public init<E: Error>(overwriting count: Int, fill: (inout MutableRawSpan) throws(E) -> Void) throws(E) {
    precondition(count >= 0)
    let memory = RecycledMemory.take(count)
    var span = unsafe MutableRawSpan(
      _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: memory.block[..<count]))
    do {
      try fill(&span)
    } catch {
      memory.giveBack()
      throw error
    }
    let owner = unsafe Storage(pointer: UnsafeRawPointer(memory.block.baseAddress)) { memory.giveBack() }
    self.init(storage: owner, start: 0, count: count)
  }

  public static let empty = Bytes([])

  private static func read(_ remote: any RemoteFile, _ range: Range<Int>) throws(FormatError) -> Bytes {
    try Bytes(overwriting: range.count) { (span: inout MutableRawSpan) throws(FormatError) in
      try remote.read(into: &span, at: range.lowerBound)
    }
  }

  /// Maps the whole file read-only; of a file on another machine nothing is read yet.
  ///
  /// - Throws: FormatError when the file cannot be opened, is no regular file, cannot be mapped, or is a pointer of Git LFS.
  public static func mapping(_ path: String) throws(FormatError) -> Bytes {
    if let remote = RemoteFiles.file(path) {
      if let content = try remote.content() { return content }
      guard remote.size > 0 else { return .empty }
      let storage = unsafe Storage(pointer: nil, remote: remote) {}
      return Bytes(storage: storage, start: 0, count: remote.size)
    }
    let file = try File(reading: path)
    let size = try file.size()
    guard size > 0 else { return .empty }
    let address = try unsafe file.map(size)
    let owner = unsafe Storage(pointer: address, file: file) {
      unsafe _ = munmap(UnsafeMutableRawPointer(mutating: address), size)
    }
    let bytes = Bytes(storage: owner, start: 0, count: size)
    if let pointer = StandIn.pointer(bytes) {
      throw FormatError(path: path, expected: "the file itself", found: pointer)
    }
    return bytes
  }

  public var span: RawSpan {
    @_lifetime(borrow self)
    get {
      let base =
        unsafe storage.remote == nil || count == 0
        ? storage.pointer.map { unsafe $0 + start } : storage.touch(start..<start + count)
      let buffer = unsafe UnsafeRawBufferPointer(start: base, count: count)
      let span = unsafe RawSpan(_unsafeBytes: buffer)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes `range` of these, sharing the memory.
  public subscript(range: Range<Int>) -> Bytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "slice out of bounds")
    return Bytes(storage: storage, start: start + range.lowerBound, count: range.count)
  }

  public subscript(index: Int) -> UInt8 {
    span.unsafeLoad(fromByteOffset: index, as: UInt8.self, checked: ())
  }

  /// A copy as an array.
  public var array: [UInt8] {
    unsafe span.withUnsafeBytes { unsafe Array($0) }
  }

  /// Tells the system that these bytes will not be needed soon, so it may drop its pages of a mapped file.
  /// They can still be read; bytes in memory stay as they are.
  public func release() {
    if let (address, length) = unsafe pages(inside: true) {
      unsafe _ = madvise(address, length, MADV_DONTNEED)
    }
  }

  /// The pages of a mapped file that lie inside of these bytes, or all that have some of them; nil for none, and for memory of our
  /// own.
  @unsafe
  func pages(inside: Bool) -> (address: UnsafeMutableRawPointer, length: Int)? {
    let page = Int(getpagesize())
    guard storage.file != nil, count > 0, let base = unsafe storage.pointer else { return nil }
    let address = Int(bitPattern: base) + start
    let first = (inside ? address + page - 1 : address) / page * page
    let last = (inside ? address + count : address + count + page - 1) / page * page
    guard last > first, let pointer = unsafe UnsafeMutableRawPointer(bitPattern: first) else { return nil }
    return unsafe (pointer, last - first)
  }

  /// The open file that these bytes are a slice of, and where they are in it.
  var filePlace: (file: File, offset: Int)? { storage.file.map { ($0, start) } }
}

extension Bytes {
  /// Slices of files shorter than this are left to the page cache: scales, norms.
  private static let fetchedLength = 1 << 18

  /// Where these bytes stand in the file that they are a slice of; nil for memory of our own.
  public var place: (path: String, range: Range<Int>)? {
    (storage.file?.path ?? storage.remote?.path).map { ($0, start..<start + count) }
  }

  /// Whether `fetched` copies these bytes.
  public var isFetchable: Bool { storage.file != nil && isLong || isRemote }

  /// Whether it pays to read them alone, instead of with what lies around them.
  public var isLong: Bool { count >= Bytes.fetchedLength }

  /// Whether they are on another machine.
  public var isRemote: Bool { storage.remote != nil && count > 0 }

  /// These bytes where they are, or fetched if that is on another machine: the network's errors are thrown here then.
  public func resident() throws(FormatError) -> Bytes { isRemote ? try fetched() : self }

  /// A long slice of a file as a copy in recycled memory, read in one piece and past the page cache where the file
  /// system allows that; a slice of any length of a remote file; other bytes as they are.
  ///
  /// Pages of a mapping come 4 KiB or a little more at a time, which costs several times the processor time.
  public func fetched() throws(FormatError) -> Bytes {
    if isRemote, let remote = storage.remote {
      let range = start..<start + count
      if let kept = storage.kept.withLock({ $0[range] }) { return kept }
      return try Bytes.read(remote, range)
    }
    // A file that was moved or replaced is still whole in its mapping.
    guard isFetchable, let file = storage.file, file.isReachable else { return self }
    let unit = RecycledMemory.alignment
    let first = start / unit * unit
    let last = (start + count + unit - 1) / unit * unit
    let wanted = start + count - first
    let copy = try Bytes(overwriting: last - first) { (span: inout MutableRawSpan) throws(FormatError) in
      try file.read(into: &span, at: first, atLeast: wanted)
    }
    return copy[start - first..<wanted]
  }
}

extension Bytes {
  /// Keeps `copy`, which `fetched` gave for these bytes, for whoever fetches the same ones before `forget`.
  public func keep(_ copy: Bytes) {
    if isRemote { storage.kept.withLock { $0[start..<start + count] = copy } }
  }

  public func forget() { if isRemote { storage.kept.withLock { $0[start..<start + count] = nil } } }
}

extension Bytes {
  /// Bytes that come piece by piece, in any order and from any thread. Nobody sees them before they are all there.
  public final class Gathering: Sendable {
    private let bytes: Mutex<Bytes>

    /// `count` bytes, which are zero where no piece comes.
    public init(count: Int) { bytes = Mutex(Bytes(count: count) { _ in }) }

    public func put(_ piece: Bytes, at offset: Int) {
      bytes.withLock { bytes in
        precondition(offset >= 0 && offset + piece.count <= bytes.count, "piece out of bounds")
        guard piece.count > 0, let base = unsafe bytes.storage.pointer else { return }
        let target = unsafe UnsafeMutableRawPointer(mutating: base + bytes.start + offset)
        unsafe piece.span.withUnsafeBytes { source in
          unsafe target.copyMemory(from: source.baseAddress!, byteCount: source.count)
        }
      }
    }

    /// What has come; to be called once.
    public func take() -> Bytes {
      bytes.withLock { bytes in
        defer { bytes = .empty }
        return bytes
      }
    }
  }
}

extension RawSpan {
  /// A value at a byte offset, aligned or not, after a check of bounds.
  fileprivate func unsafeLoad<T: BitwiseCopyable>(fromByteOffset offset: Int, as type: T.Type, checked: ())
    -> T
  {
    precondition(offset >= 0 && offset + MemoryLayout<T>.size <= byteCount, "read out of bounds")
    return unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: type)
  }

  /// The little-endian integer at `offset`; the bytes need no alignment.
  public func littleEndian<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
    T(littleEndian: unsafeLoad(fromByteOffset: offset, as: type, checked: ()))
  }
}

/// Copies all of `source` into `out`, to the bytes from `offset` on.
package func copy(_ source: RawSpan, into out: inout MutableRawSpan, at offset: Int) {
  let count = source.byteCount
  precondition(
    offset >= 0 && offset <= out.byteCount && count <= out.byteCount - offset, "copy out of bounds")
  guard count > 0 else { return }
  unsafe source.withUnsafeBytes { source in
    unsafe out.withUnsafeMutableBytes { target in
      unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + count]).copyMemory(from: source)
    }
  }
}
