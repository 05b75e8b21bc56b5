import Synchronization

/// A file that another machine has: its size is known, its bytes come in ranges when they are asked for.
public protocol RemoteFile: AnyObject, Sendable {
  /// `hf://…`, as messages name it.
  var path: String { get }
  var size: Int { get }
  /// Its SHA-256 in hexadecimal, as its host states it; nil where that does not.
  var sha256: String? { get }
  /// What tells this content from every other: the same for as long as the content is.
  var identity: String { get }

  /// All of it, for a file that is kept in memory; nil for one whose ranges are read when they are needed.
  func content() throws(FormatError) -> Bytes?
  /// Fills `span` with the bytes from `offset` on.
  func read(into span: inout MutableRawSpan, at offset: Int) throws(FormatError)
}

/// The files of one revision of a model that is on another machine.
public struct RemoteFolder: Sendable {
  /// `hf://ORGANIZATION/NAME@COMMIT`.
  public let path: String
  /// `ORGANIZATION/NAME`.
  public let repository: String
  public let commit: String
  /// By their names, which may have folders in them.
  public let files: [String: any RemoteFile]

  public init(path: String, repository: String, commit: String, files: [any RemoteFile]) {
    self.path = path
    self.repository = repository
    self.commit = commit
    var byName: [String: any RemoteFile] = [:]
    for file in files { byName[String(file.path.dropFirst(path.utf8.count + 1))] = file }
    self.files = byName
  }
}

/// Remote folders that paths lead into: whoever opens a path of theirs as a file or folder gets what is there, so that readers
/// of files need not know where these are.
public enum RemoteFiles {
  /// What paths of remote files begin with.
  public static let scheme = "hf://"
  /// Ranges that are read side by side: what one connection carries is bounded by how far away the other machine is.
  public static let connections = 16
  private static let folders = Mutex<[String: RemoteFolder]>([:])

  /// Makes the files of `folder` available under its path, as long as the process runs.
  public static func mount(_ folder: RemoteFolder) { folders.withLock { $0[folder.path] = folder } }

  public static func isRemote(_ path: String) -> Bool { path.hasPrefix(scheme) }

  /// The folder that `path` is, or leads into, and the rest of the path.
  public static func folder(of path: String) -> (folder: RemoteFolder, name: String)? {
    guard isRemote(path) else { return nil }
    // hf://ORGANIZATION/NAME@COMMIT/…
    let parts = path.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: true)
    guard parts.count >= 2 else { return nil }
    let root = scheme + parts[0] + "/" + parts[1]
    return folders.withLock { $0[root] }.map { ($0, parts.dropFirst(2).joined(separator: "/")) }
  }

  /// The remote file at `path`; nil when there is none.
  public static func file(_ path: String) -> (any RemoteFile)? {
    folder(of: path).flatMap { folder, name in folder.files[name] }
  }

  static func kind(_ path: String) -> PathKind {
    guard let (folder, name) = folder(of: path) else { return .nothing }
    if name.isEmpty { return .folder }
    if folder.files[name] != nil { return .file }
    return folder.files.keys.contains { $0.hasPrefix(name + "/") } ? .folder : .nothing
  }

  static func names(_ path: String) throws(FormatError) -> [String] {
    guard kind(path) == .folder, let (folder, name) = folder(of: path) else {
      throw FormatError(path: path, expected: "a folder that can be read", found: "none")
    }
    let prefix = name.isEmpty ? "" : name + "/"
    let names = folder.files.keys.filter { $0.hasPrefix(prefix) }.map { key in
      String(key.dropFirst(prefix.count).prefix { $0 != "/" })
    }
    return Set(names).sorted()
  }

  // ---- bytes that cannot be had ------------------------------------------------------------------------------------

  private static let handler = Mutex<(@Sendable (FormatError) -> Never)?>(nil)

  /// What becomes of the process when bytes that are needed at once cannot be had, as when a mapped file cannot be read:
  /// by default it traps with the error. Readers that can throw the error do that instead.
  public static func whenUnreadable(_ body: @escaping @Sendable (FormatError) -> Never) {
    handler.withLock { $0 = body }
  }

  static func unreadable(_ error: FormatError) -> Never {
    if let body = handler.withLock({ $0 }) { body(error) }
    fatalError(error.description)
  }
}
