import CIngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What stands at a path.
public enum PathKind: Sendable { case nothing, file, folder, other }

/// Folders and names: the calls on paths that readers and writers need.
public enum Folder {
  /// What stands at `path`, symbolic links followed.
  public static func kind(_ path: String) -> PathKind {
    if RemoteFiles.isRemote(path) { return RemoteFiles.kind(path) }
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return .nothing }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .folder
    default: return .other
    }
  }

  /// Names in the folder, sorted, without `.` and `..`.
  public static func names(_ path: String) throws(FormatError) -> [String] {
    if RemoteFiles.isRemote(path) { return try RemoteFiles.names(path) }
    guard let handle = unsafe opendir(path) else {
      throw FormatError.system(path: path, "a folder that can be read")
    }
    defer { unsafe _ = closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 1024) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The path with every symbolic link resolved; nil when nothing stands there.
  public static func resolved(_ path: String) -> String? {
    if RemoteFiles.isRemote(path) { return RemoteFiles.kind(path) == .nothing ? nil : path }
    guard let result = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(result) }
    return unsafe String(cString: result)
  }

  /// Creates the folder `path`; its parent must exist and it must not.
  public static func create(_ path: String) throws(FormatError) {
    guard unsafe mkdir(path, 0o755) == 0 else {
      throw FormatError.system(path: path, "a new folder")
    }
  }

  /// Creates the folder `path` and those above it that do not exist.
  public static func createAll(_ path: String) throws(FormatError) {
    if kind(path) == .folder { return }
    let parent = parent(of: path)
    if parent != path, parent != "." { try createAll(parent) }
    do throws(FormatError) {
      try create(path)
    } catch {
      // Another process may have been first.
      guard kind(path) == .folder else { throw error }
    }
  }

  /// Creates a symbolic link at `path`, where nothing may be.
  public static func link(to target: String, at path: String) throws(FormatError) {
    guard unsafe symlink(target, path) == 0 else {
      throw FormatError.system(path: path, "a new symbolic link")
    }
  }

  /// Gives the file or folder at `source` the name `target`, replacing a file there, and makes the
  /// new name durable.
  public static func rename(_ source: String, to target: String) throws(FormatError) {
    #if canImport(Glibc)
      let code = unsafe Glibc.rename(source, target)
    #else
      let code = unsafe Darwin.rename(source, target)
    #endif
    guard code == 0 else {
      throw FormatError.system(path: target, "\(source) to get this name")
    }
    try synchronize(parent(of: target))
  }

  /// The same, unless something stands at `target`: then, and where the system cannot promise it, nothing there is lost.
  ///
  /// A file system without such a rename gets a look and an ordinary one.
  public static func rename(_ source: String, toNew target: String) throws(FormatError) {
    let code = unsafe ingot_rename_to_new(source, target)
    if [EINVAL, ENOSYS, EOPNOTSUPP].contains(code), !exists(target) {
      try rename(source, to: target)
    } else if code == 0 {
      try synchronize(parent(of: target))
    } else {
      throw FormatError.system(path: target, "\(source) to get this name", code: code)
    }
  }

  /// Whether files can be created in the folder.
  public static func isWritable(_ path: String) -> Bool { unsafe access(path, W_OK | X_OK) == 0 }

  /// Whether anything has this name, be it a symbolic link that leads nowhere.
  public static func exists(_ path: String) -> Bool {
    var status = stat()
    return unsafe lstat(path, &status) == 0
  }

  /// Where the symbolic link at `path` leads to, as it says; nil for anything else.
  public static func linkTarget(_ path: String) -> String? {
    var target = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink(path, &target, target.count - 1)
    guard length > 0 else { return nil }
    return String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Removes a file, a symbolic link but not what it leads to, or a folder with the files in it; no error when nothing
  /// stands there.
  public static func remove(_ path: String) {
    if linkTarget(path) == nil, kind(path) == .folder, let names = try? names(path) {
      for name in names { remove(path + "/" + name) }
      unsafe _ = rmdir(path)
    } else {
      unsafe _ = unlink(path)
    }
  }

  /// Waits until the names in the folder are on the disk.
  public static func synchronize(_ path: String) throws(FormatError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FormatError.system(path: path, "a folder that can be opened") }
    defer { _ = close(descriptor) }
    // Some network file systems have no fsync for folders; their rename is durable by itself.
    while fsync(descriptor) != 0 && errno != EINVAL && errno != EBADF {
      guard errno == EINTR else { throw FormatError.system(path: path, "fsync to succeed") }
    }
  }

  /// Free bytes for an unprivileged user on the file system of the folder `path`; nil when unknown.
  public static func freeBytes(_ path: String) -> Int? {
    var status = statvfs()
    guard unsafe statvfs(path, &status) == 0 else { return nil }
    return Int(status.f_bavail) * Int(status.f_frsize)
  }

  /// The folder a path stands in.
  public static func parent(of path: String) -> String {
    let trimmed = trimmingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  /// The last part of a path.
  public static func name(of path: String) -> String {
    let trimmed = trimmingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return trimmed }
    return String(trimmed[trimmed.index(after: slash)...])
  }

  private static func trimmingSlashes(_ path: String) -> String {
    var path = path[...]
    while path.count > 1 && path.hasSuffix("/") { path = path.dropLast() }
    return String(path)
  }
}

/// Hands what was printed to the system.
///
/// - Throws: FormatError when some of it did not reach standard output.
public func flushStandardOutput() throws(FormatError) {
  let code = ingot_flush_output()
  guard code == 0 else {
    throw FormatError.system(path: "standard output", "everything to be written", code: code)
  }
}

extension FormatError {
  /// Nothing stands at `path`, or a symbolic link that leads nowhere.
  package static func missing(_ path: String, expected: String) -> FormatError {
    let target = Folder.linkTarget(path)
    return FormatError(
      path: path, expected: expected,
      found: target.map { "a symbolic link to \($0), where nothing is: download or link the file again" }
        ?? "nothing there")
  }
}
