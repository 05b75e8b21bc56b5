import IngotModels
import IngotSystem
import IngotTensors

/// Writes a folder of SafeTensors shards, index, config and side files: what every format made of SafeTensors shares.
/// A format says which stored tensors there are and what the config becomes.
struct SafeTensorsOutput {
  /// Largest shard when the user gives no size.
  static let defaultShardSize = 5_000_000_000

  /// One stored tensor: planes of one logical tensor, or of several (stacked experts) one after the other, or bytes that
  /// are no plane (the shape beside packed codes).
  struct Item {
    var name: String
    var dtype: DType
    var shape: [Int]
    /// Index of a tensor of the model, and of one of its planes.
    var parts: [(tensor: Int, plane: Int)]
    /// The bytes when there are no parts.
    var constant = Bytes.empty
  }

  let model: Model
  /// What items are made of; the model's tensors unless the format keeps others instead of them.
  let tensors: [Tensor]
  let path: String
  let options: WriteOptions
  /// Stored tensors; those of one inner list stay in one shard.
  let items: [[Item]]
  /// Side files as they are to be written, config.json among them.
  let sideFiles: [SideFile]
  /// `format` in each shard's metadata.
  var label: String
  /// More keys for the index's metadata; with these, an index is written for a single shard too.
  var indexMetadata: JSONObject?

  init(
    model: Model, tensors: [Tensor]? = nil, path: String, options: WriteOptions, items: [[Item]],
    sideFiles: [SideFile], label: String = "pt", indexMetadata: JSONObject? = nil
  ) {
    self.model = model
    self.tensors = tensors ?? model.tensors
    self.path = path
    self.options = options
    self.items = items
    self.sideFiles = sideFiles
    self.label = label
    self.indexMetadata = indexMetadata
  }

  private struct Shard {
    var items: [Item] = []
    var header: [UInt8] = []
    var name = ""
    var bytes = 0
  }

  /// Bytes of all files.
  func plannedBytes() -> Int {
    let shards = self.shards()
    return shards.reduce(0) { $0 + $1.header.count + $1.bytes }
      + (sideFiles + index(shards)).reduce(0) { $0 + $1.bytes.count }
  }

  func write() async throws(FormatError) -> Written {
    if let real = Folder.resolved(path), real == Folder.resolved(model.path) {
      throw FormatError(path: path, expected: "an output beside the source", found: "the source itself")
    }
    if options.force { try Output.requireReplaceable(path) }
    let shards = self.shards()
    let sideFiles = self.sideFiles + index(shards)
    var filling = options
    // There is no place for hashes.
    filling.hashSource = false
    let output = try Output(
      path,
      parts: shards.map { ($0.name, $0.header.count + $0.bytes) }
        + sideFiles.map { ($0.name, $0.bytes.count) },
      isFolder: true,
      identity: try model.identity(
        filling, layout: shards.map { Bytes($0.header) } + sideFiles.map(\.bytes)),
      records: tensors.count, options)
    do throws(FormatError) {
      if !output.isComplete {
        for (shard, file) in zip(shards, output.files) {
          try file.write(shard.header, at: 0)
          try writeConstants(shard, file)
        }
        for (side, file) in zip(sideFiles, output.files[shards.count...]) {
          try file.write(side.bytes.span, at: 0)
        }
        _ = try await fill(
          placements(shards, Array(output.files[..<shards.count])), of: model, filling, output.journal)
      }
      try output.commit()
    } catch {
      throw output.abandoned(error)
    }
    let total = plannedBytes()
    return Written(files: shards.map { path + "/" + $0.name }, bytes: total)
  }

  private func bytes(_ item: Item) -> Int { elementCount(item.shape)! * item.dtype.bits / 8 }

  /// Stored tensors cut into shards. Wide types come first in a shard, so that every tensor is aligned to its type.
  private func shards() -> [Shard] {
    let limit = options.splitSize ?? SafeTensorsOutput.defaultShardSize
    var shards = [Shard()]
    for group in items {
      let size = group.reduce(0) { $0 + bytes($1) }
      if shards[shards.count - 1].bytes > 0 && shards[shards.count - 1].bytes + size > limit {
        shards.append(Shard())
      }
      shards[shards.count - 1].items += group
      shards[shards.count - 1].bytes += size
    }
    for index in shards.indices {
      shards[index].items = shards[index].items.enumerated()
        .sorted { ($1.element.dtype.bits, $0.offset) < ($0.element.dtype.bits, $1.offset) }.map(\.element)
      shards[index].header = header(shards[index].items)
      shards[index].name = shards.count == 1 ? "model.safetensors" : shardName(index, shards.count)
    }
    return shards
  }

  private func shardName(_ index: Int, _ count: Int) -> String {
    func digits(_ number: Int) -> String {
      String(repeating: "0", count: max(5 - "\(number)".count, 0)) + "\(number)"
    }
    return "model-\(digits(index + 1))-of-\(digits(count)).safetensors"
  }

  /// Length field and JSON of a shard, padded so that the buffer begins at a multiple of 8.
  private func header(_ items: [Item]) -> [UInt8] {
    var entries: JSONObject = ["__metadata__": ["format": .string(label)]]
    var position = 0
    for item in items {
      entries[item.name] = [
        "dtype": .string(item.dtype.rawValue), "shape": .array(item.shape.map { JSON($0) }),
        "data_offsets": [JSON(position), JSON(position + bytes(item))],
      ]
      position += bytes(item)
    }
    var text = Array(JSON.object(entries).text().utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    var out = ByteWriter()
    out.put(UInt64(text.count))
    out.put(text)
    return out.bytes
  }

  /// Writes what is no plane of a tensor.
  private func writeConstants(_ shard: Shard, _ file: File) throws(FormatError) {
    var position = shard.header.count
    for item in shard.items {
      if item.parts.isEmpty {
        precondition(item.constant.count == bytes(item), "\(item.name): its bytes do not fill it")
        try file.write(item.constant.span, at: position)
      }
      position += bytes(item)
    }
  }

  private func placements(_ shards: [Shard], _ files: [File]) -> [Placement] {
    let layouts = tensors.map { $0.encoding.planes($0.shape)! }
    var places = layouts.map { [(file: File, offset: Int)?](repeating: nil, count: $0.count) }
    for (shard, file) in zip(shards, files) {
      var position = shard.header.count
      for item in shard.items {
        let end = position + bytes(item)
        for part in item.parts {
          places[part.tensor][part.plane] = (file, position)
          position += layouts[part.tensor][part.plane].bytes
        }
        precondition(position == end || item.parts.isEmpty, "\(item.name): its parts do not fill it")
        position = end
      }
    }
    return zip(tensors, places).map { Placement(tensor: $0, planes: $1.map { $0! }) }
  }

  /// The index, when there is more than one shard or it has something to say.
  private func index(_ shards: [Shard]) -> [SideFile] {
    guard shards.count > 1 || indexMetadata != nil else { return [] }
    var map: JSONObject = [:]
    for shard in shards { for item in shard.items { map[item.name] = .string(shard.name) } }
    let total = shards.reduce(0) { $0 + $1.bytes }
    var metadata: JSONObject = ["total_size": JSON(total)]
    for (key, value) in indexMetadata ?? [:] { metadata[key] = value }
    let index: JSON = ["metadata": .object(metadata), "weight_map": .object(map)]
    return [
      SideFile(name: CheckpointLocation.indexName, bytes: Bytes(Array(index.text(indented: true).utf8)))
    ]
  }
}

extension Model {
  /// Side files with config.json changed by `body`, which gets it without what described the source's quantization.
  func sideFiles(config body: (inout JSONObject) -> Void) throws(FormatError) -> [SideFile] {
    var files = sideFiles
    guard let index = files.firstIndex(where: { $0.name == "config.json" }) else {
      throw FormatError(path: path, expected: "config.json among the side files", found: "none")
    }
    var config = try Config(files[index].bytes.array, path: "\(path) (config.json)").object
    let keys = ["quantization_config", "quantization", "compression_config"]
    for key in keys { config[key] = nil }
    if var text = config["text_config"]?.object {
      for key in keys { text[key] = nil }
      config["text_config"] = .object(text)
    }
    body(&config)
    files[index].bytes = Bytes(Array(JSON.object(config).text(indented: true).utf8))
    // They describe the source's codes.
    return files.filter { !QuantizationConfig.files.contains($0.name) }
  }
}
