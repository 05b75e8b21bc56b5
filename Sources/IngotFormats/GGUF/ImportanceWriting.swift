import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension ImportanceFile {
  /// Writes the importance for a model of this family; it appears under its name when it is complete.
  ///
  /// Sums are means times tokens, one token where their number is not known. In the legacy form an expert without
  /// importance stands with ones, as llama.cpp writes it.
  /// - Throws: FormatError when something stands at `path` and `force` does not replace it, or writing fails.
  public func write(
    _ path: String, for model: Model, as form: Form = .gguf, force: Bool = false,
    inputs: InputFiles = InputFiles()
  ) throws(FormatError) {
    let entries = try stackedEntries(model, path)
    let content = form == .gguf ? gguf(entries, path) : legacy(entries)
    try WholeFile.write(content, to: path, force: force, inputs: inputs)
  }

  /// Entries by GGUF's names, experts stacked, in the order of the names' bytes.
  private func stackedEntries(_ model: Model, _ path: String) throws(FormatError) -> [Entry] {
    let family = try GGUFFamily.of(model.family, path: path)
    var entries: [String: Entry] = [:]
    for tensor in model.tensors {
      if let stored = GGUFForm.importance(of: tensor.role, model.blueprint) {
        guard let means = importance.columns[tensor.role] else { continue }
        for (template, columns) in stored {
          let name = GGUFFamily.name(template, layer: tensor.role.layer)
          entries[name] = Entry(
            name: name, means: columns?.map { means[$0] } ?? means,
            counts: [importance.tokens[tensor.role] ?? 1], offset: 0)
        }
        continue
      }
      guard let name = family.name(of: tensor.role) else { continue }
      let means = importance.columns[tensor.role]
      let stacked = tensor.role.expert != nil
      guard means != nil || stacked else { continue }
      precondition(means == nil || means!.count == tensor.columns, "\(name): importance for each column")
      var entry = entries[name] ?? Entry(name: name, means: [], counts: [], offset: 0)
      entry.means += means ?? [Float](repeating: 0, count: tensor.columns)
      entry.counts.append(means == nil ? 0 : importance.tokens[tensor.role] ?? 1)
      entries[name] = entry
    }
    return entries.values.filter { $0.counts.contains { $0 != 0 } }
      .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  private func gguf(_ entries: [Entry], _ path: String) -> [UInt8] {
    var metadata = GGUFMetadata(path: path)
    metadata["general.type"] = .string(ImportanceFile.type)
    metadata[ImportanceFile.datasetsKey] = .strings(datasets)
    metadata[ImportanceFile.chunkCountKey] = .uint32(UInt32(clamping: chunks))
    metadata[ImportanceFile.chunkSizeKey] = .uint32(UInt32(clamping: chunkSize))
    var infos: [(name: String, shape: [Int], type: GGUFType, offset: Int)] = []
    var data = ByteWriter()
    let float = GGUFType.named("F32")!
    func add(_ name: String, _ rows: Int, _ values: [Float]) {
      infos.append((name, [rows, values.count / rows], float, data.bytes.count))
      for value in values { data.put(value.bitPattern) }
      data.pad(to: GGUFHeader.align(data.bytes.count, to: GGUFHeader.defaultAlignment))
    }
    for entry in entries {
      let width = entry.means.count / entry.counts.count
      let sums = entry.means.enumerated().map { $1 * Float(entry.counts[$0 / width] ?? 1) }
      add(entry.name + ImportanceFile.sumSuffix, entry.counts.count, sums)
      add(entry.name + ImportanceFile.countSuffix, entry.counts.count, entry.counts.map { Float($0 ?? 1) })
    }
    return GGUFHeader.encoded(metadata, infos) + data.bytes
  }

  private func legacy(_ entries: [Entry]) -> [UInt8] {
    var writer = ByteWriter()
    func put(_ text: String) {
      writer.put(Int32(text.utf8.count))
      writer.put(Array(text.utf8))
    }
    writer.put(Int32(entries.count))
    for entry in entries {
      put(entry.name)
      let most = entry.counts.reduce(0) { max($0, $1 ?? 1) }
      let calls = max(Int32(clamping: (most + max(chunkSize, 1) - 1) / max(chunkSize, 1)), 1)
      writer.put(calls)
      writer.put(Int32(entry.means.count))
      let width = entry.means.count / entry.counts.count
      for (index, mean) in entry.means.enumerated() {
        let known = entry.counts[index / width] != 0
        writer.put((known ? mean * Float(calls) : Float(calls)).bitPattern)
      }
    }
    writer.put(Int32(clamping: chunks))
    put(datasets.last ?? "")
    return writer.bytes
  }
}
