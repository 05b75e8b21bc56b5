import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The files of a checkpoint on disk.
struct CheckpointLocation: Sendable {
  static let indexName = "model.safetensors.index.json"

  let folder: String
  /// Weight files by name, in order; the index maps tensors to them when there is one.
  let shards: [String]
  /// Tensor name → shard, by the index; nil for a single file.
  let index: [String: String]?

  /// Finds the checkpoint that `path` means: a folder, one `.safetensors` file, or `organization/name` in the
  /// Hugging Face cache under $HF_HOME.
  init(_ path: String) throws(FormatError) {
    switch Folder.kind(path) {
    case .file:
      guard path.hasSuffix(".safetensors") else {
        throw FormatError(
          path: path, expected: "a folder with SafeTensors, a .safetensors file or an .ingot file",
          found: path.hasSuffix(".bin") || path.hasSuffix(".pt") || path.hasSuffix(".pth")
            ? "a pickle file, which could run any code when read" : "a file of another name")
      }
      folder = Folder.parent(of: path)
      shards = [Folder.name(of: path)]
      index = nil
    case .folder:
      folder = path
      (shards, index) = try CheckpointLocation.weights(path)
    case .nothing:
      guard let snapshot = try CheckpointLocation.cached(path) else {
        throw FormatError(
          path: path, expected: "a file, a folder or a model in the Hugging Face cache",
          found: "nothing there")
      }
      folder = snapshot
      (shards, index) = try CheckpointLocation.weights(snapshot)
    case .other:
      throw FormatError(path: path, expected: "a file or a folder", found: "a device, pipe or socket")
    }
    for shard in shards { _ = try file(shard) }
  }

  /// Path of the file `name` in the folder, after a check that it does not lead outside.
  func file(_ name: String) throws(FormatError) -> String {
    try CheckpointLocation.file(name, in: folder)
  }

  /// Path of a file in a folder, or in a folder within that, after a check that it does not lead outside.
  static func file(_ name: String, in folder: String) throws(FormatError) -> String {
    let path = folder + "/" + name
    guard let real = Folder.resolved(path), let home = Folder.resolved(folder) else {
      throw FormatError(path: path, expected: "a file", found: "nothing there")
    }
    let place = Folder.parent(of: real)
    if place == Folder.parent(of: home + "/" + name) { return path }
    // The Hugging Face cache: snapshots/REVISION/NAME → ../../blobs/HASH.
    let snapshots = Folder.parent(of: home)
    if Folder.name(of: snapshots) == "snapshots", place == Folder.parent(of: snapshots) + "/blobs" {
      return path
    }
    throw FormatError(
      path: path, expected: "a file inside its folder", found: "a symbolic link to \(real)")
  }

  /// Weight files and index of a folder.
  private static func weights(_ folder: String) throws(FormatError) -> ([String], [String: String]?) {
    let names = try Folder.names(folder)
    if names.contains(indexName) {
      let index = try readIndex(folder + "/" + indexName)
      return (Set(index.values).sorted(), index)
    }
    let files = names.filter { $0.hasSuffix(".safetensors") }
    if files.contains("model.safetensors") { return (["model.safetensors"], nil) }
    if files.count == 1 { return (files, nil) }
    if files.isEmpty, let pickle = names.first(where: { $0.hasSuffix(".bin") || $0.hasSuffix(".pth") }) {
      throw FormatError(
        path: folder + "/" + pickle, expected: "SafeTensors",
        found: "PyTorch pickle files, which could run any code when read; convert them to SafeTensors first")
    }
    throw FormatError(
      path: folder,
      expected: files.isEmpty ? "a .safetensors file" : "\(indexName) beside \(files.count) files",
      found: "none")
  }

  /// `weight_map` of an index file.
  static func readIndex(_ path: String) throws(FormatError) -> [String: String] {
    var scanner = JSONScanner(try Bytes.mapping(path).array, path: path)
    var map: [String: String]?
    var keys = Set<String>()
    var safe = Set<String>()
    try scanner.beginObject()
    while true {
      let at = scanner.offset
      guard let key = try scanner.nextKey() else { break }
      guard keys.insert(key).inserted else {
        throw FormatError(
          path: path, offset: at, expected: "keys that occur once", found: "'\(printable(key))' a second time"
        )
      }
      guard key == "weight_map" else {
        _ = try scanner.value()
        continue
      }
      var entries: [String: String] = [:]
      try scanner.beginObject()
      while true {
        let at = scanner.offset
        guard let tensor = try scanner.nextKey() else { break }
        let file = try scanner.string()
        if !safe.contains(file) {
          guard isPlainName(file) else {
            throw FormatError(
              path: path, tensor: tensor, offset: at,
              expected: "the name of a .safetensors file in this folder",
              found: "'\(file)'")
          }
          safe.insert(file)
        }
        guard entries.updateValue(file, forKey: tensor) == nil else {
          throw FormatError(
            path: path, tensor: tensor, offset: at, expected: "names that occur once", found: "a second entry"
          )
        }
      }
      map = entries
    }
    try scanner.end()
    guard let map, !map.isEmpty else {
      throw FormatError(
        path: path, expected: "a weight_map with entries", found: map == nil ? "none" : "an empty one")
    }
    return map
  }

  /// Whether `name` is one path component, without anything that a system could read as more.
  static func isPlainName(_ name: String) -> Bool {
    name.hasSuffix(".safetensors") && !name.hasPrefix(".") && name.utf8.count <= 255
      && name.unicodeScalars.allSatisfy {
        $0.value >= 0x20 && $0 != "/" && $0 != "\\" && $0 != ":" && $0.value != 0x7F
      }
  }

  /// The snapshot of `organization/name` in the Hugging Face cache; nil when `id` is no such name or is not there.
  private static func cached(_ id: String) throws(FormatError) -> String? {
    let parts = id.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && !$0.hasPrefix(".") }) else { return nil }
    func variable(_ name: String) -> String? {
      unsafe getenv(name).map { unsafe String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    let hub =
      variable("HF_HUB_CACHE") ?? (variable("HF_HOME") ?? (variable("HOME") ?? ".") + "/.cache/huggingface")
      + "/hub"
    let root = hub + "/models--" + parts.joined(separator: "--")
    guard Folder.kind(root) == .folder else { return nil }
    let reference = root + "/refs/main"
    if Folder.kind(reference) == .file {
      let text = String(decoding: try Bytes.mapping(reference).array, as: UTF8.self)
      let revision = text.filter { !$0.isWhitespace }
      guard revision.allSatisfy({ $0.isHexDigit }), Folder.kind(root + "/snapshots/" + revision) == .folder
      else {
        throw FormatError(
          path: reference, expected: "the name of a folder in snapshots", found: "'\(revision)'")
      }
      return root + "/snapshots/" + revision
    }
    let snapshots = try Folder.names(root + "/snapshots")
    guard snapshots.count == 1 else {
      throw FormatError(
        path: root, expected: "refs/main or one snapshot", found: "\(snapshots.count) snapshots")
    }
    return root + "/snapshots/" + snapshots[0]
  }
}
