import IngotModels
import IngotSystem
import IngotTensors

/// Reads a GGUF file as a Model: experts unstacked, config and tokenizer written anew from the keys.
struct GGUFReader {
  let path: String
  let files: GGUFFiles
  let keepUnknown: Bool
  private let family: GGUFFamily

  init(_ path: String, keepUnknown: Bool) throws(FormatError) {
    self.path = path
    self.keepUnknown = keepUnknown
    files = try GGUFFiles(path)
    let metadata = files.metadata
    if let type = metadata["general.type"], type.string != "model" {
      throw metadata.error("general.type", "\"model\"")
    }
    family = try GGUFFamily.of(metadata)
  }

  func read() throws(FormatError) -> Model {
    let json = try GGUFConfig(files.metadata, family).json(facts())
    let text = Array(json.text(indented: true).utf8)
    let config = try Config(text, path: "\(path) (config.json, from its keys)")
    let blueprint = try family.family.blueprint(config)
    var sideFiles = [SideFile(name: "config.json", bytes: Bytes(text))]
    let carried = try GGUFSideFiles.read(files.metadata)
    // What was carried is the source's own; what is made of keys stands in for what was not.
    sideFiles += try GGUFTokenizerReader(files.metadata).sideFiles().filter { made in
      !carried.contains { $0.name == made.name }
    }
    sideFiles += carried
    var provenance: JSON?
    if let text = files.metadata[GGUFProvenance.key]?.string {
      provenance = try JSON.parse(Array(text.utf8), path: "\(path) (\(GGUFProvenance.key))")
    }
    return try Model(
      family: family.family, blueprint: blueprint, tensors: try tensors(blueprint),
      sideFiles: sideFiles, path: path, format: Format.gguf.name, weightFiles: files.parts.map(\.path),
      provenance: provenance)
  }

  /// What the tensors say beside the keys.
  private func facts() throws(FormatError) -> GGUFConfig.Facts {
    let names = Set(files.tensors.map(\.info.name))
    func has(_ kinds: [TensorKind]) -> Bool {
      kinds.contains { kind in family.name(of: Role(kind, layer: 0)).map { names.contains($0) } ?? false }
    }
    var factors: [Float] = []
    if let (part, info) = files.tensors.first(where: { $0.info.name == GGUFFamily.frequencyFactors }) {
      let header = files.parts[part]
      guard info.type.name == "F32" else {
        throw FormatError(
          path: header.path, tensor: info.name, offset: info.infoOffset, expected: "F32",
          found: info.type.name)
      }
      factors = ImportanceFile.floats(try header.bytes[info.range].resident())
    }
    return .init(
      vocabulary: try vocabulary(),
      isHeadTied: family.graph.tiesHead && !names.contains(family.name(of: Role(.head)) ?? ""),
      hasQueryKeyNorm: has(GGUFFamily.queryKeyNorms), hasAttentionBias: has(GGUFFamily.attentionBiases),
      hasMLPBias: has(GGUFFamily.mlpBiases),
      frequencyFactors: factors,
      valueLayers: Set(
        names.compactMap { family.role(of: $0)?.role }.filter { GGUFFamily.values.contains($0.kind) }
          .compactMap(\.layer))
    )
  }

  /// Rows of the embedding: the vocabulary's size, which older files do not state in a key.
  private func vocabulary() throws(FormatError) -> Int {
    let name = family.name(of: Role(.embedding))!
    guard let embedding = files.tensors.first(where: { $0.info.name == name }) else {
      throw FormatError(path: path, tensor: name, expected: "the token embedding", found: "none of this name")
    }
    return embedding.info.shape[0]
  }

  /// Refuses types without values that can be had, all of them at once.
  private func requireKnownTypes() throws(FormatError) {
    var sums: [String: (tensors: Int, bytes: Int)] = [:]
    var first: (part: Int, info: GGUFHeader.Info)?
    for (part, info) in files.tensors where info.type.encoding == nil {
      first = first ?? (part, info)
      let sum = sums[info.type.name] ?? (0, 0)
      sums[info.type.name] = (sum.tensors + 1, sum.bytes + info.range.count)
    }
    guard let first else { return }
    throw FormatError(
      path: files.parts[first.part].path, tensor: first.info.name, offset: first.info.infoOffset,
      expected: "tensors of types that can be read",
      found: sums.sorted { $0.key < $1.key }
        .map { "\($0.key) (\($0.value.tensors) tensors, \($0.value.bytes) bytes)" }.joined(separator: ", "))
  }

  private func tensors(_ blueprint: Blueprint) throws(FormatError) -> [Tensor] {
    try requireKnownTypes()
    var (tensors, taken) = try formed(blueprint)
    let prediction = try prediction(blueprint)
    tensors += prediction.tensors
    taken.formUnion(prediction.taken)
    for (part, info) in files.tensors
    where info.name != GGUFFamily.frequencyFactors && !taken.contains(info.name) {
      let header = files.parts[part]
      func wrong(_ expected: String, _ found: String) -> FormatError {
        FormatError(
          path: header.path, tensor: info.name, offset: info.infoOffset, expected: expected, found: found)
      }
      guard let encoding = info.type.encoding else {
        throw wrong("a type that can be read", "\(info.type.name)")
      }
      if isPrediction(info.name, blueprint) {
        tensors.append(
          Tensor(
            name: info.name, role: Role(.auxiliary, name: info.name), shape: info.shape, encoding: encoding,
            path: header.path, offset: UInt64(info.range.lowerBound), planes: [header.bytes[info.range]]))
        continue
      }
      if let pieces = try fused(info, encoding, header, blueprint) {
        tensors += pieces
        continue
      }
      guard let (role, isStack) = family.role(of: info.name) else {
        guard keepUnknown else {
          var error = wrong("a tensor of \(family.name)", "a name it does not know")
          error.remedy = .keepUnknown
          throw error
        }
        tensors.append(
          Tensor(
            name: info.name, role: Role(.unknown, name: info.name), shape: info.shape, encoding: encoding,
            path: header.path, offset: UInt64(info.range.lowerBound), planes: [header.bytes[info.range]]))
        continue
      }
      if let layer = role.layer, layer >= blueprint.layerCount {
        throw wrong("layers below \(blueprint.layerCount)", "layer \(layer)")
      }
      guard isStack else {
        let shape = family.ownShape(info.shape, role, blueprint)
        tensors.append(try inOwnForm(tensor(role, shape, encoding, header, info.range), blueprint))
        continue
      }
      let one = Role(role.kind, layer: role.layer, expert: 0)
      guard let spec = blueprint.spec(of: one), let experts = spec.experts else {
        throw wrong("no tensors of experts in layer \(role.layer ?? 0)", "one")
      }
      guard info.shape == [experts] + spec.shape else {
        throw wrong("shape \([experts] + spec.shape), experts first", "\(info.shape)")
      }
      let slice = info.range.count / experts
      for expert in 0..<experts {
        let start = info.range.lowerBound + expert * slice
        tensors.append(
          tensor(
            Role(role.kind, layer: role.layer, expert: expert), spec.shape, encoding, header,
            start..<start + slice))
      }
    }
    return tensors
  }

  /// Whether a name is of a layer of multi-token prediction; these come after the others.
  private func isPrediction(_ name: String, _ blueprint: Blueprint) -> Bool {
    guard let layer = GGUFFamily.template(name).1 else { return false }
    let key = "\(family.name).nextn_predict_layers"
    return layer >= blueprint.layerCount
      && layer < blueprint.layerCount + (files.metadata[key]?.integer ?? 0)
  }

  /// Layers of multi-token prediction as a checkpoint has them, and the names of their tensors in the file.
  private func prediction(_ blueprint: Blueprint) throws(FormatError) -> (
    tensors: [Tensor], taken: Set<String>
  ) {
    var tensors: [Tensor] = []
    var taken = Set<String>()
    let reader = GGUFPredictionReader(family: family, blueprint: blueprint)
    for (layer, stored) in stored() where layer.map({ $0 >= blueprint.layerCount }) ?? false {
      guard stored.values.allSatisfy({ isPrediction($0.name, blueprint) }),
        let own = try reader.tensors(stored, layer: layer!)
      else { continue }
      tensors += own
      taken.formUnion(stored.values.map(\.name))
    }
    return (tensors, taken)
  }

  /// The file's tensors by layer, nil for none, and by templates of their names.
  private func stored() -> [Int?: [String: Tensor]] {
    var layers: [Int?: [String: Tensor]] = [:]
    for (part, info) in files.tensors {
      guard let encoding = info.type.encoding else { continue }
      let header = files.parts[part]
      let (template, layer) = GGUFFamily.template(info.name)
      layers[layer, default: [:]][template] = Tensor(
        name: info.name, role: Role(.unknown, name: info.name), shape: info.shape, encoding: encoding,
        path: header.path, offset: UInt64(info.range.lowerBound), planes: [header.bytes[info.range]])
    }
    return layers
  }

  /// The tensors that forms make of stored ones, and the names of those.
  private func formed(_ blueprint: Blueprint) throws(FormatError) -> ([Tensor], Set<String>) {
    var tensors: [Tensor] = []
    var taken = Set<String>()
    for (layer, stored) in stored() where layer.map({ $0 < blueprint.layerCount }) ?? true {
      var left = stored
      for form in GGUFForm.all { tensors += try form.tensors(&left, layer, blueprint, family.family.name) }
      for (template, tensor) in stored where left[template] == nil { taken.insert(tensor.name) }
    }
    return (tensors, taken)
  }

  /// Query and key with their rows in the family's order, norms as its checkpoints have them.
  private func inOwnForm(_ tensor: Tensor, _ blueprint: Blueprint) throws(FormatError) -> Tensor {
    guard let (heads, _, rotated) = family.permutation(of: tensor.role, blueprint) else {
      return family.ownNorm(tensor, blueprint)
    }
    return try tensor.permutingHeads(to: .halves, heads: heads, rotated: rotated)
  }

  /// The tensors that a fused one holds; nil for another name.
  private func fused(
    _ info: GGUFHeader.Info, _ encoding: Encoding, _ header: GGUFHeader, _ blueprint: Blueprint
  ) throws(FormatError) -> [Tensor]? {
    let (template, layer) = GGUFFamily.template(info.name)
    guard let kinds = GGUFFamily.fused[template], let layer, blueprint.layers.indices.contains(layer) else {
      return nil
    }
    let specs = kinds.compactMap { blueprint.layers[layer].spec($0) }
    guard specs.count == kinds.count else { return nil }
    let leading = specs[0].experts.map { [$0] } ?? []
    let shape = leading + [specs.reduce(0) { $0 + $1.shape[0] }] + specs[0].shape.dropFirst()
    guard info.shape == shape else {
      throw FormatError(
        path: header.path, tensor: info.name, offset: info.infoOffset, expected: "shape \(shape)",
        found: "\(info.shape)")
    }
    var pieces: [Tensor] = []
    let count = specs[0].experts ?? 1
    let slice = info.range.count / count
    for expert in 0..<count {
      let start = info.range.lowerBound + expert * slice
      let whole = Tensor(
        name: info.name, role: Role(.unknown, name: info.name), shape: Array(shape.dropFirst(leading.count)),
        encoding: encoding, path: header.path, offset: UInt64(start),
        planes: [header.bytes[start..<start + slice]])
      var row = 0
      for (kind, spec) in zip(kinds, specs) {
        let role = Role(kind, layer: layer, expert: spec.experts == nil ? nil : expert)
        let piece = try whole.selectingRows(
          row..<row + spec.shape[0], name: family.family.name(of: role), role: role)
        pieces.append(try inOwnForm(piece, blueprint))
        row += spec.shape[0]
      }
    }
    return pieces
  }

  private func tensor(
    _ role: Role, _ shape: [Int], _ encoding: Encoding, _ header: GGUFHeader, _ range: Range<Int>
  ) -> Tensor {
    Tensor(
      name: family.family.name(of: role), role: role, shape: shape, encoding: encoding,
      path: header.path, offset: UInt64(range.lowerBound), planes: [header.bytes[range]])
  }
}
