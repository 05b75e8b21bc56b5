import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A second descriptor of a file that goes past the page cache, opened when it is first wanted. A file system that has
/// no such thing (memory, some networks) is no error: there is none then.
///
/// A conversion reads and writes every byte once; through the cache that is slower, costs several times the processor
/// time and pushes out what others have there.
final class DirectAccess: Sendable {
  private enum State {
    case unknown, none
    case open(Int32)
    case refused(Int32)
  }
  private let path: String
  private let original: Int32
  private let writing: Bool
  private let state = Mutex(State.unknown)

  init(path: String, descriptor: Int32, writing: Bool) {
    self.path = path
    original = descriptor
    self.writing = writing
  }

  /// Closes the descriptor.
  func end() {
    state.withLock { state in
      switch state {
      case .open(let descriptor), .refused(let descriptor):
        if descriptor != original { _ = close(descriptor) }
      case .unknown, .none: break
      }
      state = .none
    }
  }

  /// The descriptor for aligned pieces; nil when there is none.
  var descriptor: Int32? {
    state.withLock { state in
      if case .unknown = state { state = opened() }
      guard case .open(let descriptor) = state else { return nil }
      return descriptor
    }
  }

  /// Whether an error means that the file system does not take direct access; there is none from then on.
  func isRefusal(_ code: Int32) -> Bool {
    guard code == EINVAL || code == EOPNOTSUPP else { return false }
    // Closed with the file only: other tasks may be using it.
    state.withLock { if case .open(let descriptor) = $0 { $0 = .refused(descriptor) } }
    return true
  }

  /// Drops pages that reading through the cache has left there.
  func forget(_ range: Range<Int>) {
    #if canImport(Glibc)
      _ = posix_fadvise(original, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
    #endif
  }

  private func opened() -> State {
    #if canImport(Glibc)
      let descriptor = unsafe open(path, (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | oDirect)
      guard descriptor >= 0 else { return .none }
      // Another file may have got the name meanwhile.
      var (mine, other) = (stat(), stat())
      guard unsafe fstat(original, &mine) == 0, unsafe fstat(descriptor, &other) == 0,
        mine.st_dev == other.st_dev, mine.st_ino == other.st_ino
      else {
        _ = close(descriptor)
        return .none
      }
      return .open(descriptor)
    #else
      // The same descriptor stops caching; mappings are not touched by that.
      return fcntl(original, F_NOCACHE, 1) == 0 ? .open(original) : .none
    #endif
  }
}

#if canImport(Glibc)
  /// O_DIRECT, which Glibc shows to those only who ask for GNU's extensions.
  #if arch(x86_64)
    private let oDirect: Int32 = 0o40000
  #else
    private let oDirect: Int32 = 0o200000
  #endif
#endif
