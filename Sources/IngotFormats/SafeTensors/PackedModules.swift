import IngotModels
import IngotSystem
import IngotTensors

/// Reads a checkpoint in which a quantized linear layer is several tensors `<module>.<part>` in place of
/// `<module>.weight`, and everything else is dense.
struct PackedModules {
  let files: SafeTensorsFiles
  /// The part that every quantized module has.
  let main: String
  /// The parts that may stand beside it.
  let beside: Set<String>
  /// Reads modules whose codes stand under the weight's own name; nil where there are none.
  var scaled: ScaledWeights?

  /// A quantized module.
  struct Module {
    let name: String
    let role: Role
    let main: SafeTensorsFiles.Stored
    let files: SafeTensorsFiles

    /// Name of the logical tensor.
    var weight: String { name + ".weight" }

    subscript(part: String) -> SafeTensorsFiles.Stored? { files.stored["\(name).\(part)"] }

    /// A part that must be there, and be of a type and shape.
    func part(_ part: String, _ types: [DType], _ shape: [Int]) throws(FormatError)
      -> SafeTensorsFiles.Stored
    {
      let expected = "\(types.map(\.rawValue).joined(separator: " or ")) \(shape)"
      guard let stored = self[part] else { throw error(part, expected, found: "none of this name") }
      guard types.contains(stored.dtype), stored.shape == shape else {
        throw error(part, expected, found: "\(stored.dtype.rawValue) \(stored.shape)")
      }
      return stored
    }

    func error(_ part: String, _ expected: String, found: String) -> FormatError {
      files.error("\(name).\(part)", expected, found: found)
    }
  }

  /// The model; `tensor` makes the logical tensor of a quantized module.
  func model(
    _ format: String, keepUnknown: Bool, tensor: (Module) throws(FormatError) -> Tensor
  ) throws(FormatError) -> Model {
    let family = try Family.any(files.config).placed(among: files.stored.keys)
    let blueprint = try family.blueprint(files.config)
    var tensors: [Tensor] = []
    for (name, stored) in files.ordered where !Family.isDerived(name) {
      let dot = name.lastIndex(of: ".") ?? name.startIndex
      let (module, part) = (String(name[..<dot]), String(name[dot...].dropFirst()))
      if beside.contains(part) {
        guard
          files.stored["\(module).\(main)"] != nil || scaled != nil && files.stored["\(module).weight"] != nil
        else {
          throw files.error(name, "a tensor '\(module).\(main)' beside it", found: "none of this name")
        }
        continue
      }
      if Family.isActivationScale(name) {
        tensors.append(try files.dense(name, stored, Role(.activationScale, name: name)))
        continue
      }
      if try scaled?.owner(name) != nil { continue }
      let logical = part == main ? module + ".weight" : name
      if part != main, family.role(of: logical, blueprint) == nil,
        let pieces = try family.logical(try plain(name, stored, Role(.unknown, name: name)), blueprint)
      {
        tensors += pieces
        continue
      }
      guard
        let role = family.role(of: logical, blueprint)
          ?? (keepUnknown || family.isGeneric ? Role(.unknown, name: logical) : nil)
      else {
        throw files.error(
          name, "a tensor of \(files.config["model_type"]?.string ?? "this family")",
          found: "a name it does not know", remedy: .keepUnknown)
      }
      if part == main {
        tensors.append(try tensor(Module(name: module, role: role, main: stored, files: files)))
        continue
      }
      let tensor = try plain(name, stored, role)
      let isBareFP8 = tensor.encoding == .dense(.f8e4m3) || tensor.encoding == .dense(.f8e5m2)
      guard tensor.encoding.isDecodable && !isBareFP8 || role.isOutsideBlocks else {
        throw files.error(
          name, "F32, F16 or BF16 values beside \(format) modules", found: stored.dtype.rawValue)
      }
      tensors.append(tensor)
    }
    var model = try Model(
      family: family, blueprint: blueprint, tensors: tensors,
      sideFiles: try files.sideFiles(),
      path: files.location.folder, format: format, weightFiles: files.paths)
    model.remark = QuantizationConfig.remark(files.config, hasScales: !model.activationScales.isEmpty)
    return model
  }

  /// A tensor under a weight's own name: codes with scales beside them, or values.
  private func plain(_ name: String, _ stored: SafeTensorsFiles.Stored, _ role: Role) throws(FormatError)
    -> Tensor
  {
    if let tensor = try scaled?.tensor(name, stored, role) { return tensor }
    return try files.dense(name, stored, role)
  }
}

extension CheckpointLocation {
  /// config.json of the checkpoint that `path` means, found without reading an index; nil when there is none.
  static func configPath(_ path: String) -> String? {
    let folder: String? =
      switch Folder.kind(path) {
      case .folder: (try? HubCache.snapshot(inFolder: path)) ?? path
      case .file: path.hasSuffix(".safetensors") ? Folder.parent(of: path) : nil
      case .nothing: (try? CheckpointLocation(path))?.folder
      case .other: nil
      }
    guard let file = folder.map({ $0 + "/config.json" }), Folder.kind(file) == .file else { return nil }
    return file
  }

  /// `quant_method` in the config of the checkpoint that `path` means; nil when there is none or no such checkpoint.
  /// AutoRound's own is named by the layout that it packs into: `gptq` or `awq`.
  static func quantizationMethod(_ path: String) -> String? {
    guard let file = configPath(path), let bytes = try? Bytes.mapping(file),
      let own = try? Config(bytes.array, path: file)
    else { return nil }
    let config = (try? QuantizationConfig.completed(own, folder: Folder.parent(of: file))) ?? own
    let quantization = config["quantization_config"]
    let method = quantization?["quant_method"]?.string
    guard method == "auto-round", let packing = quantization?["packing_format"]?.string else { return method }
    if packing == "auto_round:auto_awq" { return Format.awq.name }
    return GPTQConfig.autoRoundLayouts[packing] == nil ? method : Format.gptq.name
  }
}
