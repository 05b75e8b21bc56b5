import Models
import Tensors

/// Reads a checkpoint of SafeTensors and config.json as a Model. Weights stay in mapped files.
struct SafeTensorsReader {
  let location: CheckpointLocation
  let keepUnknown: Bool

  /// A stored tensor and the mapping it lies in.
  private struct Stored {
    var entry: SafeTensorsHeader.Entry
    var shard: Int
  }

  init(_ path: String, keepUnknown: Bool) throws(FormatError) {
    location = try CheckpointLocation(path)
    self.keepUnknown = keepUnknown
  }

  func read() throws(FormatError) -> Model {
    let configPath = try location.file("config.json")
    let config = try Config(try Bytes.mapping(configPath).array, path: configPath)
    let architecture = try Architecture.of(config)
    let numbers = try architecture.hyperparameters(config)
    let (stored, files) = try entries()
    let tensors = try Pairing(config, stored.mapValues(\.entry)).tensors(
      role: { name in architecture.role(of: name, numbers) ?? (keepUnknown ? Role(.unknown, name: name) : nil)
      },
      bytes: { name in
        let item = stored[name]!
        return (files[item.shard].path, files[item.shard].bytes[item.entry.range])
      })
    return try Model(
      architecture: architecture, hyperparameters: numbers, tensors: tensors, sideFiles: try sideFiles(),
      path: location.folder, format: Format.safeTensors.name, weightFiles: files.map(\.path))
  }

  /// Every tensor of every shard, held against the index.
  private func entries() throws(FormatError) -> ([String: Stored], [(path: String, bytes: Bytes)]) {
    var stored: [String: Stored] = [:]
    if let index = location.index { stored.reserveCapacity(index.count) }
    var files: [(path: String, bytes: Bytes)] = []
    for (number, shard) in location.shards.enumerated() {
      let path = try location.file(shard)
      let bytes = try Bytes.mapping(path)
      files.append((path, bytes))
      for entry in try SafeTensorsHeader(path: path).entries {
        if let index = location.index, index[entry.name] != shard {
          throw FormatError(
            path: path, tensor: entry.name, offset: entry.headerOffset,
            expected: index[entry.name].map { "the tensor in \($0), as the index says" }
              ?? "only tensors that the index names",
            found: "it in \(shard)")
        }
        guard stored.updateValue(Stored(entry: entry, shard: number), forKey: entry.name) == nil else {
          throw FormatError(
            path: path, tensor: entry.name, offset: entry.headerOffset, expected: "names that occur once",
            found: "a second tensor")
        }
      }
    }
    if let index = location.index, index.count != stored.count {
      let missing = index.keys.filter { stored[$0] == nil }.min()!
      throw FormatError(
        path: location.folder + "/" + index[missing]!, tensor: missing,
        expected: "the tensor that the index places here", found: "none of this name")
    }
    return (stored, files)
  }

  /// Every other file of the folder that is no weights: they travel with the model.
  private func sideFiles() throws(FormatError) -> [SideFile] {
    let weights = [
      ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ingot", ".h5", ".msgpack", ".onnx", ".partial",
    ]
    var files: [SideFile] = []
    for name in try Folder.names(location.folder) {
      guard !name.hasPrefix("."), name != CheckpointLocation.indexName,
        !weights.contains(where: name.hasSuffix),
        Folder.kind(location.folder + "/" + name) == .file
      else { continue }
      let bytes = try Bytes.mapping(try location.file(name))
      guard bytes.count <= SideFile.sizeLimit else {
        throw FormatError(
          path: location.folder + "/" + name, expected: "side files of at most \(SideFile.sizeLimit) bytes",
          found: "\(bytes.count)")
      }
      files.append(SideFile(name: name, bytes: bytes))
    }
    return files
  }
}

extension SideFile {
  /// Largest file that travels beside the weights, in bytes.
  static let sizeLimit = 1 << 30
}
