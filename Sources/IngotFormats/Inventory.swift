import IngotModels
import IngotSystem
import IngotTensors

/// What stands in files, whatever model they are of: every stored tensor by name, and metadata. No config is needed, no
/// family is asked, no weight is read. A broken file is a problem of its own; what is whole is listed all the same.
public struct Inventory: Sendable {
  /// A stored tensor, as its file's header says.
  public struct Entry: Sendable {
    public var name: String
    /// As the format spells it: `BF16`, `Q4_K`.
    public var type: String
    public var shape: [Int]
    public var bytes: Int
    public var path: String
    /// Where its bytes begin in the file.
    public var offset: Int
  }

  /// A part of the model that cannot be read.
  public struct Problem: Sendable {
    public var path: String
    public var error: FormatError
  }

  /// Name of the files' format: safetensors, gguf, ingot.
  public var format: String
  public var entries: [Entry] = []
  /// Keys and values of a GGUF file, or of a SafeTensors header; arrays are shortened.
  public var metadata: [(key: String, value: String)] = []
  public var problems: [Problem] = []
  /// Files that were looked at.
  public var files: [String] = []

  public var bytes: Int { entries.reduce(0) { $0 + $1.bytes } }
  public var values: Int { entries.reduce(0) { $0 + (elementCount($1.shape) ?? 0) } }

  /// Lists what is at `path`: a file, or a folder with weight files.
  ///
  /// - Throws: FormatError when nothing there can be listed at all.
  public init(_ path: String) throws(FormatError) {
    let snapshot =
      Folder.kind(path) == .nothing ? try HubCache().snapshot(path) : try HubCache.snapshot(inFolder: path)
    let path = snapshot ?? path
    switch Folder.kind(path) {
    case .file:
      format = ""
      try add(file: path)
    case .folder:
      format = ""
      let names = try Folder.names(path).filter { name in Inventory.suffixes.contains { name.hasSuffix($0) } }
      guard !names.isEmpty else {
        throw FormatError(
          path: path,
          expected: "a folder with files of weights (\(Inventory.suffixes.joined(separator: ", ")))",
          found: "none")
      }
      for name in names.sorted() {
        do throws(FormatError) {
          try add(file: path + "/" + name)
        } catch {
          problems.append(Problem(path: path + "/" + name, error: error))
        }
      }
      compareWithIndex(path)
    case .nothing, .other:
      throw FormatError.missing(path, expected: "a file or a folder")
    }
    entries.sort { ($0.path, $0.offset, $0.name) < ($1.path, $1.offset, $1.name) }
  }

  /// Whether a file begins as SafeTensors does: the header's length, then the header, an object.
  private static func mayBeSafeTensors(_ path: String) -> Bool {
    guard let file = try? File(reading: path), let head = try? file.read(9, at: 0),
      let size = try? file.size()
    else { return false }
    return head[8] == UInt8(ascii: "{") && head.span.littleEndian(UInt64.self, at: 0) <= UInt64(size - 8)
  }

  private static let suffixes = [".safetensors", ".gguf", ".ingot"]

  /// Adds the tensors of one file.
  private mutating func add(file path: String) throws(FormatError) {
    files.append(path)
    if path.hasSuffix(".safetensors") || Inventory.mayBeSafeTensors(path) {
      let header = try SafeTensorsHeader(path: path)
      if format.isEmpty { format = Format.safeTensors.name }
      for entry in header.entries {
        entries.append(
          Entry(
            name: entry.name, type: entry.dtype.rawValue, shape: entry.shape, bytes: entry.range.count,
            path: path, offset: entry.range.lowerBound))
      }
      for (key, value) in header.metadata.sorted(by: { $0.key < $1.key })
      where !metadata.contains(where: { $0.key == key }) {
        metadata.append((key, printable(value, limit: 200)))
      }
      return
    }
    let bytes = try Bytes.mapping(path)
    if GGUFHeader.begins(bytes) {
      let header = try GGUFHeader(bytes, path: path)
      if format.isEmpty { format = Format.gguf.name }
      for info in header.tensors {
        entries.append(
          Entry(
            name: info.name, type: info.type.name, shape: info.shape, bytes: info.range.count, path: path,
            offset: info.range.lowerBound))
      }
      if metadata.isEmpty {
        metadata = header.metadata.entries.map { ($0.key, printable($0.value.text, limit: 200)) }
      }
      return
    }
    guard path.hasSuffix(".ingot") || Format.begins(path, IngotLayout.magic) else {
      throw FormatError(
        path: path, expected: "a file of weights: .safetensors, .gguf or .ingot",
        found: StandIn.description(bytes) ?? "another kind of file")
    }
    let file = try IngotFile(path)
    if format.isEmpty { format = Format.ingot.name }
    for tensor in file.directory.tensors {
      entries.append(
        Entry(
          name: tensor.name, type: "\(tensor.encoding)", shape: tensor.shape, bytes: tensor.length,
          path: file.parts[tensor.part].path, offset: tensor.offset))
    }
  }

  /// Names tensors that an index places in a file that lacks them.
  private mutating func compareWithIndex(_ folder: String) {
    let path = folder + "/" + CheckpointLocation.indexName
    guard Folder.kind(path) == .file else { return }
    let index: [String: String]
    do throws(FormatError) {
      index = try CheckpointLocation.readIndex(path)
    } catch {
      problems.append(Problem(path: path, error: error))
      return
    }
    let known = Set(entries.map(\.name))
    let broken = Set(problems.map(\.path))
    for shard in Set(index.values).sorted() where !broken.contains(folder + "/" + shard) {
      let missing = index.filter { $0.value == shard && !known.contains($0.key) }.keys.sorted()
      guard let first = missing.first else { continue }
      let exists = Folder.kind(folder + "/" + shard) == .file
      problems.append(
        Problem(
          path: folder + "/" + shard,
          error: FormatError(
            path: folder + "/" + shard, tensor: first,
            expected: "\(missing.count) tensors that the index places here",
            found: exists ? "none of these names" : "no such file")))
    }
  }

  /// Entries by name with numbers replaced by `#`, and type: how a model is built, in a few lines.
  public var patterns: [(pattern: String, type: String, shape: [Int], count: Int, bytes: Int)] {
    struct Key: Hashable {
      var pattern: String
      var type: String
      var shape: [Int]
    }
    var order: [Key] = []
    var counts: [Key: (Int, Int)] = [:]
    for entry in entries {
      let key = Key(pattern: TensorNames.template(entry.name).0, type: entry.type, shape: entry.shape)
      let old = counts[key]
      if old == nil { order.append(key) }
      counts[key] = ((old?.0 ?? 0) + 1, (old?.1 ?? 0) + entry.bytes)
    }
    return order.map { ($0.pattern, $0.type, $0.shape, counts[$0]!.0, counts[$0]!.1) }
  }

  /// Bytes by type, the largest first.
  public var bytesByType: [(type: String, bytes: Int)] {
    var sums: [String: Int] = [:]
    for entry in entries { sums[entry.type, default: 0] += entry.bytes }
    return sums.map { ($0.key, $0.value) }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }
  }
}
