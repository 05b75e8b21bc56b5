import IngotFormats
import IngotSystem

/// What the cache has of a model.
enum HubSnapshot {
  /// The path of a model in the cache that can be read without the network; else perhaps why not.
  static func find(_ name: HubName, _ cache: HubCache) -> (path: String?, problem: FormatError?) {
    do throws(FormatError) {
      let id = name.repository + (name.revision.map { "@" + $0 } ?? "")
      guard let snapshot = try cache.snapshot(id) else { return (nil, nil) }
      let path = snapshot + (name.file.map { "/" + $0 } ?? "")
      if let missing = try missing(path) {
        return (nil, .missing(missing, expected: "all files of the model in the cache"))
      }
      return (path, nil)
    } catch {
      return (nil, error)
    }
  }

  /// The first file that is missing of what should be at `path`; nil when all that can be known of is there.
  private static func missing(_ path: String) throws(FormatError) -> String? {
    switch Folder.kind(path) {
    case .file:
      for part in parts(path) where Folder.kind(part) != .file { return part }
      return nil
    case .folder:
      let names = try Folder.names(path)
      let index = path + "/" + "model.safetensors.index.json"
      if Folder.kind(index) == .file {
        let json = try JSON.parse(try Bytes.mapping(index).array, path: index)
        var shards: Set<String> = []
        for (_, shard) in json["weight_map"]?.object ?? [:] {
          if let shard = shard.string { shards.insert(shard) }
        }
        for shard in shards.sorted() where Folder.kind(path + "/" + shard) != .file {
          return path + "/" + shard
        }
        return shards.isEmpty ? index : nil
      }
      for name in names where HubFile.isWeights(name) && Folder.kind(path + "/" + name) != .file {
        return path + "/" + name
      }
      return names.contains(where: HubFile.isWeights) ? nil : path + "/model.safetensors"
    case .nothing, .other: return path
    }
  }

  /// All numbered parts of the set that a GGUF file is of; the file itself else.
  private static func parts(_ path: String) -> [String] {
    guard let match = path.wholeMatch(of: /(.+)-[0-9]{5}-of-([0-9]{5})\.gguf/), let count = Int(match.2),
      (1...10_000).contains(count)
    else { return [path] }
    return (1...count).map { number in
      let digits = String(number)
      return
        "\(match.1)-\(String(repeating: "0", count: 5 - min(digits.count, 5)))\(digits)-of-\(match.2).gguf"
    }
  }
}
