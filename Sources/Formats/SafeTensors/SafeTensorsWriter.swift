import Models
import Tensors

/// Writes a Model as a folder of SafeTensors shards, index, config.json and side files.
struct SafeTensorsWriter {
  /// Largest shard when the user gives no size.
  static let defaultShardSize = 5_000_000_000

  let model: Model
  let path: String
  let options: WriteOptions

  /// One stored tensor: a plane of a logical one.
  private struct Item {
    var name: String
    var tensor: Int
    var plane: Int
    var dtype: DType
    var shape: [Int]
    var bytes: Int
  }

  /// Why SafeTensors cannot hold an encoding; nil when it can.
  static func refusal(_ encoding: Encoding) -> String? {
    switch encoding {
    case .dense, .blockScaled: nil
    case .affine: "a SafeTensors checkpoint has no such codes; --decode bf16 writes rounded values instead"
    }
  }

  /// Bytes of all files.
  func plannedBytes() throws(FormatError) -> Int {
    let shards = self.shards()
    let names = SafeTensorsWriter.names(shards.count)
    return zip(shards.map(header), shards).reduce(0) { $0 + $1.0.count + $1.1.reduce(0) { $0 + $1.bytes } }
      + (try sideFiles(shards, names)).reduce(0) { $0 + $1.bytes.count }
  }

  func write() async throws(FormatError) -> Written {
    if let real = Folder.resolved(path), real == Folder.resolved(model.path) {
      throw FormatError(path: path, expected: "an output beside the source", found: "the source itself")
    }
    try Output.requireReplaceable(path)
    let shards = self.shards()
    let names = SafeTensorsWriter.names(shards.count)
    let headers = shards.map(header)
    let sizes = zip(headers, shards).map { $0.count + $1.reduce(0) { $0 + $1.bytes } }
    let sideFiles = try self.sideFiles(shards, names)
    let total = sizes.reduce(0, +) + sideFiles.reduce(0) { $0 + $1.bytes.count }
    try Output.requireRoom(total, path)
    let output = try Output(path, force: options.force)
    do throws(FormatError) {
      try Folder.create(output.temporary)
      var files: [File] = []
      for (name, size) in zip(names, sizes) {
        let file = try File(creating: output.temporary + "/" + name)
        try file.preallocate(size)
        files.append(file)
      }
      for (file, header) in zip(files, headers) { try file.write(header, at: 0) }
      _ = try await fill(placements(shards, headers, files), options)
      for side in sideFiles {
        let file = try File(creating: output.temporary + "/" + side.name)
        try file.write(side.bytes.span, at: 0)
        files.append(file)
      }
      for file in files { try file.synchronize() }
      try output.commitFolder()
    } catch {
      output.discard()
      throw error
    }
    return Written(files: names.map { path + "/" + $0 }, bytes: total)
  }

  /// Stored tensors cut into shards: planes of one tensor stay together; wide types come first in a shard, so
  /// that every tensor is aligned to its type.
  private func shards() -> [[Item]] {
    let limit = options.splitSize ?? SafeTensorsWriter.defaultShardSize
    var shards: [[Item]] = [[]]
    var size = 0
    for (index, tensor) in model.tensors.enumerated() {
      let items = self.items(index, tensor)
      let bytes = items.reduce(0) { $0 + $1.bytes }
      if size > 0 && size + bytes > limit {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1] += items
      size += bytes
    }
    return shards.map { shard in
      shard.enumerated().sorted { ($1.element.dtype.bits, $0.offset) < ($0.element.dtype.bits, $1.offset) }
        .map(\.element)
    }
  }

  private func items(_ index: Int, _ tensor: Tensor) -> [Item] {
    let planes = tensor.encoding.planes(tensor.shape)!
    return planes.enumerated().map { number, plane in
      let codes = number == 0
      let shape = codes ? tensor.shape : [plane.rows, plane.bytesPerRow * 8 / plane.dtype.bits]
      return Item(
        name: codes ? tensor.name : tensor.name + Pairing.scaleSuffix, tensor: index, plane: number,
        dtype: plane.dtype, shape: shape, bytes: plane.bytes)
    }
  }

  /// Length field and JSON of a shard, padded so that the buffer begins at a multiple of 8.
  private func header(_ items: [Item]) -> [UInt8] {
    var entries: JSONObject = ["__metadata__": ["format": "pt"]]
    var position = 0
    for item in items {
      entries[item.name] = [
        "dtype": .string(item.dtype.rawValue), "shape": .array(item.shape.map { JSON($0) }),
        "data_offsets": [JSON(position), JSON(position + item.bytes)],
      ]
      position += item.bytes
    }
    var text = Array(JSON.object(entries).text().utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    var out = ByteWriter()
    out.put(UInt64(text.count))
    out.put(text)
    return out.bytes
  }

  private func placements(_ shards: [[Item]], _ headers: [[UInt8]], _ files: [File]) -> [Placement] {
    var places = model.tensors.map { tensor in
      [(file: File, offset: Int)?](repeating: nil, count: tensor.encoding.planes(tensor.shape)!.count)
    }
    for (shard, items) in shards.enumerated() {
      var position = headers[shard].count
      for item in items {
        places[item.tensor][item.plane] = (files[shard], position)
        position += item.bytes
      }
    }
    return zip(model.tensors, places).map { Placement(tensor: $0, planes: $1.map { $0! }) }
  }

  /// Config, index and everything that came with the model.
  private func sideFiles(_ shards: [[Item]], _ names: [String]) throws(FormatError) -> [SideFile] {
    var files = model.sideFiles
    let scaled = model.tensors.contains { if case .blockScaled = $0.encoding { true } else { false } }
    if let index = files.firstIndex(where: { $0.name == "config.json" }), !scaled {
      let config = try Config(files[index].bytes.array, path: "config.json")
      files[index].bytes = Bytes(
        Array(SafeTensorsWriter.denseConfig(config.object).text(indented: true).utf8))
    }
    guard shards.count > 1 else { return files }
    var map: JSONObject = [:]
    for (name, items) in zip(names, shards) { for item in items { map[item.name] = .string(name) } }
    let total = shards.joined().reduce(0) { $0 + $1.bytes }
    let index: JSON = ["metadata": ["total_size": JSON(total)], "weight_map": .object(map)]
    files.append(
      SideFile(name: CheckpointLocation.indexName, bytes: Bytes(Array(index.text(indented: true).utf8))))
    return files
  }

  /// A config without what described the source's quantization.
  private static func denseConfig(_ config: JSONObject) -> JSON {
    var config = config
    for key in ["quantization_config", "quantization", "compression_config"] { config[key] = nil }
    return .object(config)
  }

  private static func names(_ count: Int) -> [String] {
    count == 1 ? ["model.safetensors"] : (0..<count).map { shardName($0, count) }
  }

  private static func shardName(_ index: Int, _ count: Int) -> String {
    func digits(_ number: Int) -> String {
      String(repeating: "0", count: max(5 - "\(number)".count, 0)) + "\(number)"
    }
    return "model-\(digits(index + 1))-of-\(digits(count)).safetensors"
  }
}

extension Format {
  /// SafeTensors shards with config.json: what checkpoints are published as.
  public static let safeTensors = Format(
    name: "safetensors",
    summary: "folder of SafeTensors shards with config.json; FP8 carried through, or dense with --decode",
    recognizes: { _ in false },
    read: { path, options throws(FormatError) in
      try SafeTensorsReader(path, keepUnknown: options.keepUnknown).read()
    },
    refusal: SafeTensorsWriter.refusal,
    measure: { model, path, options throws(FormatError) in
      try SafeTensorsWriter(model: model, path: path, options: options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await SafeTensorsWriter(model: model, path: path, options: options).write()
    })
}
