import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// The files of a checkpoint in SafeTensors: config, stored tensors and side files. What the stored tensors mean
/// is up to the format that reads them. Weights stay in mapped files.
struct SafeTensorsFiles {
  let location: CheckpointLocation
  /// A format may read it in another form than the file has.
  var config: Config
  /// Stored tensors by name.
  let stored: [String: Stored]
  /// Paths of the weight files.
  let paths: [String]

  /// A tensor as it stands in a file.
  struct Stored: Sendable {
    var dtype: DType
    var shape: [Int]
    var bytes: Bytes
    var path: String
    /// Index of the file among the weight files.
    var shard: Int
    /// Where its bytes stand in the file.
    var offset: UInt64
    /// Where its entry stands in the file.
    var headerOffset: UInt64
  }

  /// Opens what `path` means and reads headers and config.
  init(_ path: String) throws(FormatError) {
    location = try CheckpointLocation(path)
    let configPath = try location.file("config.json")
    config = try QuantizationConfig.completed(
      try Config(try Bytes.mapping(configPath).array, path: configPath), folder: location.folder)
    try AnnouncedTransforms.refuse(in: config)
    (stored, paths) = try SafeTensorsFiles.entries(location)
  }

  /// Every tensor of every shard, held against the index.
  private static func entries(_ location: CheckpointLocation) throws(FormatError) -> (
    [String: Stored], [String]
  ) {
    var stored: [String: Stored] = [:]
    if let index = location.index { stored.reserveCapacity(index.count) }
    var paths: [String] = []
    for (number, shard) in location.shards.enumerated() {
      let path = try location.file(shard)
      let bytes = try Bytes.mapping(path)
      paths.append(path)
      for entry in try SafeTensorsHeader(path: path).entries {
        if let index = location.index, index[entry.name] != shard {
          throw FormatError(
            path: path, tensor: entry.name, offset: entry.headerOffset,
            expected: index[entry.name].map { "the tensor in \($0), as the index says" }
              ?? "only tensors that the index names",
            found: "it in \(shard)")
        }
        let item = Stored(
          dtype: entry.dtype, shape: entry.shape, bytes: bytes[entry.range], path: path, shard: number,
          offset: UInt64(entry.range.lowerBound), headerOffset: entry.headerOffset)
        guard stored.updateValue(item, forKey: entry.name) == nil else {
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
    return (stored, paths)
  }

  /// Stored tensors in an order that does not depend on hashing: by file, then by place in its header.
  var ordered: [(name: String, stored: Stored)] {
    stored.map { (name: $0.key, stored: $0.value) }
      .sorted { ($0.stored.shard, $0.stored.headerOffset) < ($1.stored.shard, $1.stored.headerOffset) }
  }

  /// An error about a stored tensor.
  func error(_ name: String, _ expected: String, found: String, remedy: FormatError.Remedy? = nil)
    -> FormatError
  {
    FormatError(
      path: stored[name]?.path ?? location.folder, tensor: name, offset: stored[name]?.headerOffset,
      expected: expected, found: found, remedy: remedy)
  }

  /// Every other file of the folder that is no weights, and those in its folder of additional chat templates: they travel
  /// with the model.
  func sideFiles() throws(FormatError) -> [SideFile] {
    let weights = [
      ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".ingot", ".h5", ".msgpack", ".onnx", ".partial",
    ]
    var files: [SideFile] = []
    let templates = location.folder + "/" + ChatTemplates.folder
    let additional =
      Folder.kind(templates) == .folder
      ? try Folder.names(templates).map { ChatTemplates.folder + "/" + $0 }.filter(ChatTemplates.isAdditional)
      : []
    for name in try Folder.names(location.folder) + additional {
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
