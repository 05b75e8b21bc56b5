import IngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The lock that huggingface_hub takes on a blob while it downloads it, so that two programs do not download it twice. A file
/// system without locks is no error: the other names of unfinished files keep them apart.
struct HubLock {
  private let descriptor: Int32

  /// - Throws: FormatError when the run is told to stop while it waits.
  init(_ path: String, for file: String) throws(FormatError) {
    try Folder.createAll(Folder.parent(of: path))
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a file of a lock") }
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else { return }
      do throws(FormatError) {
        try Hub.sleep(0.2)
      } catch {
        _ = close(descriptor)
        throw error
      }
    }
  }

  func end() { _ = close(descriptor) }
}
