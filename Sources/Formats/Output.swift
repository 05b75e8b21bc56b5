import Tensors

/// An output that stands under a temporary name until it is complete: a file beside its final place.
///
/// The temporary name is fixed, so two runs on one output refuse each other, and what a killed run left
/// behind is found.
struct Output: Sendable {
  let path: String
  let temporary: String

  /// - Throws: FormatError when a run's temporary file or folder is there and `force` does not say to discard it.
  init(_ path: String, force: Bool) throws(FormatError) {
    self.path = path
    temporary = path + ".partial"
    if Folder.kind(temporary) != .nothing {
      guard force else {
        throw FormatError(
          path: temporary,
          expected: "no unfinished output (another run may be writing it; --force discards it)",
          found: "one")
      }
      Folder.remove(temporary)
    }
  }

  /// Creates the temporary file with `size` bytes reserved, after a look at the free room.
  func file(size: Int) throws(FormatError) -> File {
    try Output.requireRoom(size, path)
    let file = try File(creating: temporary)
    do {
      try file.preallocate(size)
    } catch {
      discard()
      throw error
    }
    return file
  }

  static func requireRoom(_ size: Int, _ path: String) throws(FormatError) {
    if let free = Folder.freeBytes(Folder.parent(of: path)), free < size {
      throw FormatError(path: path, expected: "\(size) bytes free on its disk", found: "\(free)")
    }
  }

  /// Makes a complete temporary file durable and gives it its name.
  func commit(_ file: File) throws(FormatError) {
    try file.synchronize()
    try Folder.rename(temporary, to: path)
  }

  func discard() { Folder.remove(temporary) }
}

extension Output {
  /// Refuses to replace a folder that is not a checkpoint: what stands in it would be lost.
  static func requireReplaceable(_ path: String) throws(FormatError) {
    guard Folder.kind(path) != .nothing else { return }
    let names = Folder.kind(path) == .folder ? try Folder.names(path) : []
    guard names.contains("config.json"), names.allSatisfy({ Folder.kind(path + "/" + $0) == .file }) else {
      throw FormatError(
        path: path, expected: "a folder with config.json and files only, which --force may replace",
        found: Folder.kind(path) == .folder ? "another folder" : "a file")
    }
  }

  /// Makes the complete temporary folder durable and gives it its name, an older folder stepping aside first.
  func commitFolder() throws(FormatError) {
    try Folder.synchronize(temporary)
    guard Folder.kind(path) == .folder else {
      try Folder.rename(temporary, to: path)
      return
    }
    let old = path + ".replaced"
    try Folder.rename(path, to: old)
    try Folder.rename(temporary, to: path)
    Folder.remove(old)
  }
}
