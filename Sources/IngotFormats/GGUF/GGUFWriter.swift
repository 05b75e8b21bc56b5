import IngotModels
import IngotSystem
import IngotTensors

/// Lays a model out as GGUF and writes it.
struct GGUFWriter {
  let model: Model
  let path: String
  let options: WriteOptions
  private let family: GGUFFamily

  init(_ model: Model, path: String, options: WriteOptions) throws(FormatError) {
    self.model = model
    self.path = path
    self.options = options
    family = try GGUFFamily.of(model.family, path: path)
  }

  /// Bytes of all files.
  func plannedBytes() throws(FormatError) -> Int { try layout().layout.sizes.reduce(0, +) }

  func write() async throws(FormatError) -> Written {
    let (layout, metadata) = try layout()
    let paths = GGUFWriter.paths(path, parts: layout.sizes.count)
    let output = try Output(
      path, parts: Array(zip(paths, layout.sizes)),
      identity: try model.identity(
        options, layout: paths.indices.map { Bytes(layout.header($0, metadata: metadata)) }),
      records: layout.stored.reduce(0) { $0 + $1.tensors.count }, options)
    do throws(FormatError) {
      if !output.isComplete {
        let filled = try await fill(placements(layout, output.files), of: model, options, output.journal)
        var known = metadata
        known[GGUFProvenance.key] = .string(
          try Provenance.of(model, options, hashes: filled.sourceHashes).text())
        // Headers last: an interrupted file never looks like a model.
        for (number, file) in output.files.enumerated() {
          let header = layout.header(number, metadata: known)
          guard header.count == layout.dataStarts[number] else {
            throw FormatError(
              path: model.path, expected: "weight files of the sizes that they had when the run began",
              found: "other sizes: the source was changed meanwhile; run the command again")
          }
          try file.write(header, at: 0)
        }
      }
      try output.commit()
    } catch {
      throw output.abandoned(error)
    }
    return Written(files: paths, bytes: layout.sizes.reduce(0, +))
  }

  /// Names of the files: `path` itself, or numbered ones beside it.
  static func paths(_ path: String, parts: Int) -> [String] {
    guard parts > 1 else { return [path] }
    let stem = path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path
    return (0..<parts).map { stem + GGUFFiles.partSuffix($0, of: parts) }
  }

  /// The layout, and the metadata with zeros for hashes that are known last.
  private func layout() throws(FormatError) -> (layout: GGUFLayout, metadata: GGUFMetadata) {
    let stored = try stacks()
    let matrices = stored.filter { $0.shape.count > 1 && model.blueprint.isLinear($0.role) }
    var metadata = GGUFMetadata(path: path)
    GGUFGeneral(model: model, family: family, options: options).add(
      fileType: GGUFFileType.number(matrices.map { ($0.type, $0.role.kind, $0.bytes) }),
      provenance: try Provenance.of(model, options, hashes: nil), to: &metadata)
    try GGUFConfig.add(model, family, to: &metadata)
    let tokenizer = GGUFTokenizerKeys(model: model)
    try tokenizer.addSampling(to: &metadata)
    try tokenizer.add(to: &metadata)
    GGUFSideFiles.add(model, to: &metadata)
    return (
      try GGUFLayout(stored, metadata: metadata, splitSize: options.splitSize, path: path), metadata
    )
  }

  /// The model's tensors under GGUF's names, experts stacked.
  private func stacks() throws(FormatError) -> [GGUFLayout.Stored] {
    var stored: [GGUFLayout.Stored] = []
    var places: [String: Int] = [:]
    for tensor in model.tensors {
      if let pieces = try GGUFForm.pieces(of: tensor, model) {
        for piece in pieces {
          guard let type = GGUFType(piece.tensor.encoding) else {
            throw piece.tensor.error("an encoding that GGUF holds", found: "\(piece.tensor.encoding)")
          }
          stored.append(
            .init(
              name: GGUFFamily.name(piece.template, layer: tensor.role.layer), shape: piece.shape, type: type,
              role: tensor.role, tensors: [piece.tensor], slice: piece.tensor.bytes))
        }
        continue
      }
      guard let name = family.name(of: tensor.role), let type = GGUFType(tensor.encoding) else {
        throw tensor.error(
          "a tensor that llama.cpp's \(family.name) has a place for", found: "\(tensor.role)")
      }
      let isPrediction = tensor.role.kind == .auxiliary
      let isTable = TensorKind.tables.contains(tensor.role.kind)
      guard isPrediction || isTable || model.blueprint.isLinear(tensor.role) || type.name == "F32" else {
        throw tensor.error(
          "F32, which llama.cpp computes \(tensor.role.kind.rawValue) with", found: type.name)
      }
      if let place = places[name] {
        let first = stored[place].tensors[0]
        guard first.encoding == tensor.encoding else {
          throw tensor.error(
            "one type for the \(tensor.role.kind.rawValue) projections of all experts of layer "
              + "\(tensor.role.layer ?? 0), which are one tensor in GGUF (\(first.encoding) by expert "
              + "\(first.role.expert ?? 0)); use a recipe without rules for single experts",
            found: "\(tensor.encoding) for expert \(tensor.role.expert ?? 0)")
        }
        stored[place].tensors.append(tensor)
        stored[place].shape[0] += 1
      } else {
        places[name] = stored.count
        let stacked = tensor.role.expert != nil
        stored.append(
          .init(
            name: name,
            shape: isPrediction
              ? tensor.shape : (stacked ? [1] : []) + family.storedShape(tensor, model.blueprint),
            type: type, role: tensor.role, tensors: [tensor], slice: tensor.bytes))
      }
    }
    for index in stored.indices {
      stored[index].tensors.sort { ($0.role.expert ?? 0) < ($1.role.expert ?? 0) }
    }
    return stored
  }

  /// Expert E of a stack stands E slices behind its beginning.
  private func placements(_ layout: GGUFLayout, _ files: [File]) -> [Placement] {
    var placements: [Placement] = []
    placements.reserveCapacity(model.tensors.count)
    for stored in layout.stored {
      let start = layout.dataStarts[stored.file] + stored.offset
      for (number, tensor) in stored.tensors.enumerated() {
        placements.append(
          Placement(
            tensor: tensor,
            planes: [(file: files[stored.file], offset: start + number * stored.slice)]))
      }
    }
    return placements
  }
}
