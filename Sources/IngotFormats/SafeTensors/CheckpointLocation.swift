import IngotSystem
import IngotTensors

/// The files of a checkpoint on disk.
struct CheckpointLocation: Sendable {
  static let indexName = "model.safetensors.index.json"

  let folder: String
  /// Weight files by name, in order; the index maps tensors to them when there is one.
  let shards: [String]
  /// Tensor name → shard, by the index; nil for a single file.
  let index: [String: String]?

  /// Finds the checkpoint that `path` means: a folder, one `.safetensors` file, `organization/name` or
  /// `organization/name@revision` in the Hugging Face cache, or that model's folder there.
  init(_ path: String) throws(FormatError) {
    switch Folder.kind(path) {
    case .file:
      guard path.hasSuffix(".safetensors") else {
        throw FormatError(
          path: path, expected: "a folder with SafeTensors, a .safetensors, .gguf or .ingot file",
          found: path.hasSuffix(".bin") || path.hasSuffix(".pt") || path.hasSuffix(".pth")
            ? "a pickle file, which could run any code when read"
            : StandIn.description(try Bytes.mapping(path)) ?? "a file of another kind")
      }
      folder = Folder.parent(of: path)
      shards = [Folder.name(of: path)]
      index = nil
    case .folder:
      folder = try HubCache.snapshot(inFolder: path) ?? path
      (shards, index) = try CheckpointLocation.weights(folder)
    case .nothing:
      guard let snapshot = try HubCache().snapshot(path) else {
        throw FormatError.missing(
          path, expected: "a file, a folder or a model in the Hugging Face cache (\(HubCache().folder))")
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
      throw FormatError.missing(path, expected: "a file")
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
    if let set = try ShardSet.only(files, in: folder) { return (set, nil) }
    let parts = names.filter { $0.hasSuffix(".gguf") }
    if files.isEmpty, let first = parts.first {
      throw FormatError(
        path: folder, expected: "a .safetensors file",
        found: parts.count == 1
          ? "a GGUF file: give its path, \(folder)/\(first)"
          : "\(parts.count) GGUF files: give the path of one, or of the first part of a split one, such as "
            + "\(folder)/\(first)")
    }
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
}
