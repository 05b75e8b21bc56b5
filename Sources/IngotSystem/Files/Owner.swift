import CIngotSystem
import IngotKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The right to write an output: a name beside it, which one run at a time has.
///
/// No locks: many network file systems have none that hold. The name is a symbolic link, created whole or not at all
/// even there, whose target says who made it: host, its start, process and the process's start. A run that finds
/// another's name leaves when that one may be alive. It is dead for certain when it ran on this host and has ended, or
/// this host has been started anew; then its number is followed by the next, which again one run only can create.
package struct Owner: Sendable {
  /// Who runs: equal only for the same process.
  package struct Identity: Hashable, Sendable, CustomStringConvertible {
    var host: String
    /// The host's start and, where processes are numbered apart (containers), which numbers are meant.
    var boot: String
    var process: Int32
    var start: UInt64

    package static let current: Identity = {
      var name = [CChar](repeating: 0, count: 256)
      let known = unsafe gethostname(&name, name.count - 1) == 0
      let process = getpid()
      return Identity(
        host: known ? text(name).filter { $0 != " " } : "unknown", boot: Owner.boot, process: process,
        start: ingot_process_start(process))
    }()

    package var description: String { "\(host) \(boot) \(process) \(start)" }

    init(host: String, boot: String, process: Int32, start: UInt64) {
      (self.host, self.boot, self.process, self.start) = (host, boot, process, start)
    }

    init?(_ text: String) {
      let parts = text.split(separator: " ")
      guard parts.count == 4, let process = Int32(parts[2]), process > 0, let start = UInt64(parts[3]) else {
        return nil
      }
      self.init(host: String(parts[0]), boot: String(parts[1]), process: process, start: start)
    }

    /// Whether this process has ended, for certain.
    var hasEnded: Bool {
      let current = Identity.current
      guard host == current.host else { return false }
      let (mine, other) = (current.boot.split(separator: "/"), boot.split(separator: "/"))
      guard mine.first == other.first else { return true }
      // Another container's processes cannot be seen from here.
      guard mine == other else { return false }
      if self == current { return false }
      if kill(process, 0) != 0 && errno == ESRCH { return true }
      let start = ingot_process_start(process)
      return self.start != 0 && start != self.start
    }
  }

  /// The system's present start: nothing that was in memory only is there after the next.
  static let boot: String = {
    var name = [CChar](repeating: 0, count: 128)
    let boot = unsafe ingot_boot_name(&name, UInt(name.count)) == 0 ? text(name) : "unknown"
    var space = [CChar](repeating: 0, count: 128)
    let length = unsafe readlink("/proc/self/ns/pid", &space, space.count - 1)
    return length > 0 ? boot + "/" + text(space) : boot
  }()

  private static func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private let path: String

  /// Becomes the owner of the output whose unfinished form is at `path`.
  ///
  /// - Parameter takeOver: the user's word that a run on another host has ended.
  /// - Throws: FormatError when another run may be alive, or for what the system says.
  package init(of path: String, takeOver: Bool) throws(FormatError) {
    let prefix = Folder.name(of: path) + ".owner"
    let folder = Folder.parent(of: path)
    func others() throws(FormatError) -> [(number: Int, path: String)] {
      try Folder.names(folder).compactMap { name in
        guard name.hasPrefix(prefix + "."), let number = Int(name.dropFirst(prefix.count + 1)) else {
          return nil
        }
        return (number, folder + "/" + name)
      }
    }
    let earlier = try others()
    for owner in earlier { try Owner.requireDead(owner.path, of: path, takeOver) }
    let number = (earlier.map(\.number).max() ?? 0) + 1
    self.path = folder + "/" + prefix + ".\(number)"
    try Owner.create(self.path, of: path)
    do throws(FormatError) {
      // Whoever came between has a name by now; both leave then.
      for other in try others() where other.path != self.path {
        try Owner.requireDead(other.path, of: path, takeOver)
        unsafe _ = unlink(other.path)
      }
    } catch {
      release()
      throw error
    }
  }

  /// Lets the next run have the output.
  package func release() { unsafe _ = unlink(path) }

  private static func create(_ name: String, of path: String) throws(FormatError) {
    let text = "\(Identity.current)"
    if unsafe symlink(text, name) == 0 { return }
    guard [EPERM, EOPNOTSUPP, ENOSYS].contains(errno) else {
      if errno == EEXIST { throw refusal(path, "another that has just begun") }
      throw FormatError.system(path: name, "a name that says who writes the output")
    }
    // A file system without symbolic links.
    let file: File
    do throws(FormatError) {
      file = try File(creating: name)
    } catch {
      throw error.cause == .system(EEXIST) ? refusal(path, "another that has just begun") : error
    }
    try file.write(Array(text.utf8), at: 0)
  }

  private static func requireDead(_ name: String, of path: String, _ takeOver: Bool) throws(FormatError) {
    guard let text = content(name) else { return }
    let identity = Identity(text)
    guard let identity, identity.hasEnded else {
      if takeOver && identity?.host != Identity.current.host { return }
      let who = identity.map { "process \($0.process) on \($0.host)" } ?? "one that cannot be told (\(name))"
      let isHere = identity?.host == Identity.current.host
      var error = refusal(path, who)
      if !isHere { error.remedy = .takeOver }
      throw error
    }
  }

  private static func refusal(_ path: String, _ found: String) -> FormatError {
    FormatError(path: path, expected: "no other run that writes this output", found: found)
  }

  /// What a name says; nil when it is gone.
  private static func content(_ name: String) -> String? {
    var target = [CChar](repeating: 0, count: 1024)
    if unsafe readlink(name, &target, target.count - 1) > 0 { return text(target) }
    guard Folder.exists(name) else { return nil }
    return (try? File(reading: name)).flatMap { file in
      (try? file.size()).flatMap { try? file.read(min($0, 1024), at: 0) }
    }.map { String(decoding: $0.array, as: UTF8.self) } ?? ""
  }
}
