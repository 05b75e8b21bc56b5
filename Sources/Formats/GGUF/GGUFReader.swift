import Models
import Tensors

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
    let known = GGUFFamily.all
    guard let name = metadata["general.architecture"]?.string,
      let family = known.first(where: { $0.name == name })
    else {
      throw metadata.error(
        "general.architecture", known.map { "\"\($0.name)\"" }.joined(separator: " or "))
    }
    self.family = family
  }

  func read() throws(FormatError) -> Model {
    let json = try GGUFConfig(files.metadata, family).json(vocabulary: vocabulary())
    let text = Array(json.text(indented: true).utf8)
    let config = try Config(text, path: "\(path) (config.json, from its keys)")
    let numbers = try family.architecture.hyperparameters(config)
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
      architecture: family.architecture, hyperparameters: numbers, tensors: try tensors(numbers),
      sideFiles: sideFiles, path: path, format: Format.gguf.name, weightFiles: files.parts.map(\.path),
      provenance: provenance)
  }

  /// Rows of the embedding: the vocabulary's size, which older files do not state in a key.
  private func vocabulary() throws(FormatError) -> Int {
    let name = family.names[.embedding]!
    guard let embedding = files.tensors.first(where: { $0.info.name == name }) else {
      throw FormatError(path: path, tensor: name, expected: "the token embedding", found: "none of this name")
    }
    return embedding.info.shape[0]
  }

  private func tensors(_ numbers: Hyperparameters) throws(FormatError) -> [Tensor] {
    var tensors: [Tensor] = []
    for (part, info) in files.tensors {
      let header = files.parts[part]
      func wrong(_ expected: String, _ found: String) -> FormatError {
        FormatError(
          path: header.path, tensor: info.name, offset: info.infoOffset, expected: expected, found: found)
      }
      guard let encoding = info.type.encoding else {
        throw wrong("a type that can be read", "\(info.type.name)")
      }
      guard let role = family.role(of: info.name) else {
        guard keepUnknown else {
          throw wrong("a tensor of \(family.name)", "a name it does not know (--keep-unknown copies it)")
        }
        tensors.append(
          Tensor(
            name: info.name, role: Role(.unknown, name: info.name), shape: info.shape, encoding: encoding,
            path: header.path, offset: UInt64(info.range.lowerBound), planes: [header.bytes[info.range]]))
        continue
      }
      if let layer = role.layer, layer >= numbers.layers {
        throw wrong("layers below \(numbers.layers)", "layer \(layer)")
      }
      guard GGUFFamily.stacked.contains(role.part) else {
        tensors.append(tensor(role, info.shape, encoding, header, info.range))
        continue
      }
      let shape = family.architecture.shape(role.part, numbers)
      guard info.shape == [numbers.experts.count] + shape else {
        throw wrong("shape \([numbers.experts.count] + shape), experts first", "\(info.shape)")
      }
      let slice = info.range.count / numbers.experts.count
      for expert in 0..<numbers.experts.count {
        let start = info.range.lowerBound + expert * slice
        tensors.append(
          tensor(
            Role(role.part, layer: role.layer, expert: expert), shape, encoding, header, start..<start + slice
          ))
      }
    }
    return tensors
  }

  private func tensor(
    _ role: Role, _ shape: [Int], _ encoding: Encoding, _ header: GGUFHeader, _ range: Range<Int>
  ) -> Tensor {
    Tensor(
      name: family.architecture.name(of: role), role: role, shape: shape, encoding: encoding,
      path: header.path, offset: UInt64(range.lowerBound), planes: [header.bytes[range]])
  }
}
