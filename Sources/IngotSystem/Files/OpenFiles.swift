import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The descriptors of a file. Few files are open at a time, however many there are: those used longest ago are closed
/// and opened again when they are needed, which checks that the name still leads to the same file.
///
/// Beside the ordinary descriptor there may be a second one that goes past the page cache, opened when it is first
/// wanted. A file system that has no such thing (memory, some networks) is no error: there is none then. A conversion
/// reads and writes every byte once; through the cache that is slower, costs several times the processor time and
/// pushes out what others have there.
final class OpenFile: Sendable {
  let path: String
  private let key: Int
  private let flags: Int32
  private let device: UInt64
  private let inode: UInt64

  /// What is open of a file.
  fileprivate struct Entry {
    var descriptor: Int32
    var direct: Int32?
    /// Calls under way with one of the descriptors.
    var users = 0
    var lastUse = 0
    /// Whether its name stays, so that it can be closed and opened again.
    var isReopenable: Bool

    func close() {
      if let direct, direct != descriptor { closeDescriptor(direct) }
      closeDescriptor(descriptor)
    }
  }

  private struct State {
    var entries: [Int: Entry] = [:]
    /// Files whose file system takes no direct access.
    var refused: Set<Int> = []
    var nextKey = 0
    var clock = 0
  }
  private static let state = Mutex(State())

  /// Files that are open at most, as long as others can be closed: each takes two descriptors.
  private static let limit: Int = {
    var limit = rlimit()
    guard unsafe getrlimit(openFilesLimit, &limit) == 0 else { return 64 }
    return max(4, min((Int(clamping: limit.rlim_cur) - 64) / 4, 512))
  }()

  /// - Parameter isReopenable: false for a file that is given another name while it is used.
  init(_ path: String, flags: Int32, isReopenable: Bool, _ expected: String) throws(FormatError) {
    self.path = path
    // Never created or emptied a second time.
    self.flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC)
    let descriptor = OpenFile.openMakingRoom(path, flags)
    guard descriptor >= 0 else { throw FormatError.system(path: path, expected) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      let error = FormatError.system(path: path, "the file's status")
      _ = close(descriptor)
      throw error
    }
    (device, inode) = (UInt64(truncatingIfNeeded: status.st_dev), UInt64(status.st_ino))
    key = OpenFile.state.withLock { state in
      OpenFile.makeRoom(&state)
      state.nextKey += 1
      state.clock += 1
      state.entries[state.nextKey] = Entry(
        descriptor: descriptor, lastUse: state.clock, isReopenable: isReopenable)
      return state.nextKey
    }
  }

  deinit {
    OpenFile.state.withLock { state in
      state.entries.removeValue(forKey: key)?.close()
      state.refused.remove(key)
    }
  }

  /// Runs `body` with the descriptor, which stays open until it returns.
  func use<Result>(_ body: (Int32) throws(FormatError) -> Result) throws(FormatError) -> Result {
    let descriptor = try borrow()
    defer { giveBack() }
    return try body(descriptor)
  }

  /// Runs `body` with the descriptor for aligned pieces, or with nil when there is none.
  func useDirect<Result>(_ body: (Int32?) throws(FormatError) -> Result) throws(FormatError) -> Result {
    let descriptor = try borrow()
    defer { giveBack() }
    let direct = OpenFile.state.withLock { state -> Int32? in
      if let open = state.entries[key]?.direct { return open }
      guard !state.refused.contains(key), let open = openDirectly(descriptor) else {
        state.refused.insert(key)
        return nil
      }
      state.entries[key]!.direct = open
      return open
    }
    return try body(direct)
  }

  /// Whether an error means that the file system does not take direct access; there is none from then on.
  func isRefusal(_ code: Int32) -> Bool {
    guard code == EINVAL || code == EOPNOTSUPP else { return false }
    // Other tasks may be using the descriptor: it is closed with the file.
    OpenFile.state.withLock { _ = $0.refused.insert(key) }
    return true
  }

  /// Whether direct access was refused.
  var isRefused: Bool { OpenFile.state.withLock { $0.refused.contains(key) } }

  /// Whether the file can be read under its name: it is open, or the name still leads to it.
  var isReachable: Bool {
    let found: Void? = try? use { (_: Int32) throws(FormatError) in }
    return found != nil
  }

  private func borrow() throws(FormatError) -> Int32 {
    let result = OpenFile.state.withLock { state -> Result<Int32, FormatError> in
      state.clock += 1
      if state.entries[key] == nil {
        OpenFile.makeRoom(&state)
        do throws(FormatError) {
          state.entries[key] = Entry(descriptor: try reopened(), isReopenable: true)
        } catch {
          return .failure(error)
        }
      }
      state.entries[key]!.users += 1
      state.entries[key]!.lastUse = state.clock
      return .success(state.entries[key]!.descriptor)
    }
    return try result.get()
  }

  private func giveBack() { OpenFile.state.withLock { $0.entries[key]!.users -= 1 } }

  private func reopened() throws(FormatError) -> Int32 {
    let descriptor = OpenFile.open(path, flags)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a file that can be opened again") }
    guard isSame(descriptor) else {
      _ = close(descriptor)
      throw FormatError(
        path: path, expected: "the file that was opened here before", found: "another one of this name")
    }
    return descriptor
  }

  private func isSame(_ descriptor: Int32) -> Bool {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 && UInt64(truncatingIfNeeded: status.st_dev) == device
      && UInt64(status.st_ino) == inode
  }

  private func openDirectly(_ original: Int32) -> Int32? {
    #if canImport(Glibc)
      let descriptor = OpenFile.open(path, flags & ~O_NONBLOCK | oDirect)
      guard descriptor >= 0 else { return nil }
      // Another file may have got the name meanwhile.
      guard isSame(descriptor) else {
        _ = close(descriptor)
        return nil
      }
      return descriptor
    #else
      // The same descriptor stops caching; mappings are not touched by that.
      return fcntl(original, F_NOCACHE, 1) == 0 ? original : nil
    #endif
  }

  /// Closes the file used longest ago when there are as many as may be. What was written to it and not yet synchronized
  /// is not lost: an error of that shows at the next fsync of the file, by whatever descriptor.
  private static func makeRoom(_ state: inout State) {
    guard state.entries.count >= limit else { return }
    let idle = state.entries.filter { $0.value.users == 0 && $0.value.isReopenable }
    guard let oldest = idle.min(by: { $0.value.lastUse < $1.value.lastUse }) else { return }
    oldest.value.close()
    state.entries[oldest.key] = nil
  }

  /// Opens a file, after closing others when the process has no descriptor left.
  private static func openMakingRoom(_ path: String, _ flags: Int32) -> Int32 {
    let descriptor = open(path, flags)
    guard descriptor < 0, errno == EMFILE else { return descriptor }
    state.withLock { state in
      for (key, entry) in state.entries where entry.users == 0 && entry.isReopenable {
        entry.close()
        state.entries[key] = nil
      }
    }
    return open(path, flags)
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
}

private func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }

#if canImport(Glibc)
  private let openFilesLimit = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
#else
  private let openFilesLimit = RLIMIT_NOFILE
#endif

/// Lets the process have more files open, as far as the system allows it without asking: 256 is the usual limit on macOS.
public func raiseOpenFileLimit() {
  var limit = rlimit()
  guard unsafe getrlimit(openFilesLimit, &limit) == 0 else { return }
  let wanted = min(limit.rlim_max, 8192)
  guard limit.rlim_cur < wanted else { return }
  limit.rlim_cur = wanted
  unsafe _ = setrlimit(openFilesLimit, &limit)
}

#if canImport(Glibc)
  /// O_DIRECT, which Glibc shows to those only who ask for GNU's extensions.
  #if arch(x86_64)
    private let oDirect: Int32 = 0o40000
  #else
    private let oDirect: Int32 = 0o200000
  #endif
#endif
