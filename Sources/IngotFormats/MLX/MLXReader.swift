import IngotModels
import IngotSystem
import IngotTensors

/// Reads a folder that mlx-lm or this tool wrote: stacked experts become one tensor an expert, and what config.json
/// says of each module is held against its stored tensors.
struct MLXReader {
  let files: SafeTensorsFiles
  let keepUnknown: Bool
  let family: Family
  let blueprint: Blueprint
  private let schemes: MLXSchemes
  /// Names of stacked tensors.
  private let stacks: [String: (kind: TensorKind, layer: Int)]
  /// Paths of the modules that hold a half of a projection of latents.
  private let latents: [String: Role]

  init(_ path: String, keepUnknown: Bool) throws(FormatError) {
    files = try SafeTensorsFiles(path)
    self.keepUnknown = keepUnknown
    family = try Family.of(files.config).placed(among: files.stored.keys)
    blueprint = try family.blueprint(files.config)
    schemes = try MLXSchemes(files.config)
    stacks = MLXNames.stacks(family, blueprint)
    latents = MLXLatents.modules(family, blueprint)
  }

  /// Whether config.json at `path` speaks of MLX's quantization, or tensors are stacked as MLX does it.
  static func recognizes(_ path: String) -> Bool {
    guard Folder.kind(path) == .folder || path.hasSuffix(".safetensors") || Folder.kind(path) == .nothing,
      let configPath = CheckpointLocation.configPath(path), let bytes = try? Bytes.mapping(configPath),
      let config = try? Config(bytes.array, path: configPath)
    else { return false }
    if let quantization = config["quantization"] { return quantization["quant_method"] == nil }
    let family = Family.known(config)
    // Stacked by MLX; its converter leaves the source's quantization_config where it decodes what that describes.
    let isOthers = config["quantization_config"] != nil
    let marks = MLXNames.marks(family)
    let hasOwnShapes = !isOthers && family?.mlx?.addsOneToNorms == true
    // An index may have 200,000 names: searched as bytes before it is read.
    let mayHold = mayHold(marks, Folder.parent(of: configPath))
    guard mayHold || hasOwnShapes, let location = try? CheckpointLocation(path) else { return false }
    func isOwn(_ names: some Collection<String>) -> Bool {
      names.contains { name in marks.contains { Text.holds(name.utf8, $0) } }
        && !(isOthers && names.contains { name in MLXReader.othersSuffixes.contains { name.hasSuffix($0) } })
    }
    var shards = location.shards
    if let index = location.index {
      if mayHold, isOwn(index.keys) { return true }
      // Of other families an index says enough; of these, the shapes of one shard.
      guard hasOwnShapes,
        let shard = index.lazy.filter({ $0.key.hasSuffix(MLXConvolutions.suffix) }).map(\.value).min()
      else { return false }
      shards = [shard]
    }
    let entries = shards.flatMap { shard in
      let header = try? location.file(shard)
      return header.flatMap { try? SafeTensorsHeader(path: $0).entries } ?? []
    }
    return isOwn(entries.map(\.name))
      || hasOwnShapes && entries.contains { MLXConvolutions.isStored($0.name, $0.shape) }
  }

  /// Whether a folder has no index, or one with a part of a name that only MLX has.
  private static func mayHold(_ marks: [String], _ folder: String) -> Bool {
    guard let bytes = try? Bytes.mapping(folder + "/" + CheckpointLocation.indexName) else { return true }
    return marks.contains { Text.holds(bytes, $0) }
  }

  /// What is found in the place of a tensor that others need.
  private static let absent = "no such tensor; fetch the folder whole, or convert the model again"

  /// What other ways to quantize have beside or in place of a weight.
  private static let othersSuffixes = ["_scale_inv", ".weight_packed", ".weight_scale", ".qweight"]

  func read() throws(FormatError) -> Model {
    var tensors: [Tensor] = []
    var unused = schemes.named
    var halves: [Role: [Tensor]] = [:]
    for (name, stored) in files.ordered {
      let module = MLXModule(of: name)
      if let owner = module.owner {
        // Read with its weight.
        guard files.stored[owner] != nil else {
          throw files.error(name, "'\(owner)' that it belongs to", found: MLXReader.absent)
        }
        guard module.known else {
          throw files.error(
            name, "scales and biases beside codes",
            found: "\(module.suffix), which is not read here: quantize the original model instead")
        }
        guard files.stored[module.path + MLXNames.scales] != nil else {
          throw files.error(name, "'\(module.path)\(MLXNames.scales)' beside it", found: MLXReader.absent)
        }
        continue
      }
      unused.remove(module.path)
      let scheme = try scheme(of: module.path, name)
      let plan = try scheme.map { scheme throws(FormatError) in
        try quantized(name, stored, module.path, scheme)
      }
      if let (kind, layer) = stacks[name] {
        tensors += try unstacked(name, stored, kind, layer, plan)
      } else if let role = latents[module.path] {
        halves[role, default: []].append(try half(name, stored, role, plan))
      } else {
        tensors.append(try single(name, stored, plan))
      }
    }
    for (role, pair) in halves.sorted(by: { $0.key.layer ?? 0 < $1.key.layer ?? 0 }) {
      let split = MLXLatents(role, family, blueprint)!
      let pair = pair.sorted { $0.name < $1.name }
      guard pair.count == 2 else {
        throw pair[0].error(
          "'\(split.paths.embed)' and '\(split.paths.unembed)'",
          found: "one of them; fetch the folder whole, or convert the model again")
      }
      tensors.append(try split.joined(pair[0], pair[1]))
    }
    if let path = unused.min() {
      throw files.config.error(
        "quantization", "modules that are stored",
        found: "'\(path)', of which there is no tensor; fetch the folder whole, or take its entry out")
    }
    return try Model(
      family: family, blueprint: blueprint, tensors: tensors,
      sideFiles: try files.sideFiles(),
      path: files.location.folder, format: Format.mlx.name, weightFiles: files.paths)
  }

  /// A quantized module: its encoding, and the planes and columns of all its rows.
  private struct Quantized {
    var encoding: Encoding
    /// Weight, scales and perhaps biases: rows (and experts) one after the other.
    var planes: [Bytes]
    var columns: Int
  }

  /// What config.json says of a module that has scales; nil for one without.
  private func scheme(of path: String, _ name: String) throws(FormatError) -> MLXScheme? {
    guard files.stored[path + MLXNames.scales] != nil else {
      guard files.stored[name]!.dtype != .u32 else {
        throw files.error(name, "'\(path)\(MLXNames.scales)' beside packed codes", found: MLXReader.absent)
      }
      guard !schemes.named.contains(path) else {
        throw files.error(
          name, "'\(path)\(MLXNames.scales)', since config.json gives a scheme for it",
          found: MLXReader.absent)
      }
      return nil
    }
    guard let scheme = try schemes.scheme(of: path) else {
      throw files.error(
        path + MLXNames.scales, "\"quantization\" in \(files.config.path) to say what its codes are",
        found: "nothing about it")
    }
    return scheme
  }

  /// Holds the stored tensors of a quantized module against its scheme.
  private func quantized(
    _ name: String, _ weight: SafeTensorsFiles.Stored, _ path: String, _ scheme: MLXScheme
  ) throws(FormatError) -> Quantized {
    let scalesName = path + MLXNames.scales
    let biasesName = path + MLXNames.biases
    let scales = files.stored[scalesName]!
    guard weight.dtype == .u32, let words = weight.shape.last, weight.shape.count >= 2 else {
      throw files.error(
        name, "U32 codes with rows and columns beside '\(scalesName)'",
        found: "\(weight.dtype.rawValue) \(weight.shape)")
    }
    // The header has counted the bytes of the words, so bits of a row do not overflow.
    let columns = words * 32 / scheme.bits
    guard words * 32 % scheme.bits == 0, columns % scheme.group == 0 else {
      throw files.error(
        name, "words of whole groups (config.json: \(scheme))",
        found: "\(words) words a row; do config.json and the weights belong together?")
    }
    let grid = Array(weight.shape.dropLast()) + [columns / scheme.group]
    guard scales.shape == grid else {
      throw files.error(
        scalesName, "shape \(grid) for \(columns) columns (config.json: \(scheme))",
        found: "shape \(scales.shape)")
    }
    guard let encoding = scheme.encoding(scale: scales.dtype) else {
      throw files.error(
        scalesName,
        scheme.mode == .affine ? "scales of F16, BF16 or F32" : "scales of U8 (config.json: \(scheme))",
        found: scales.dtype.rawValue)
    }
    let biases = files.stored[biasesName]
    guard scheme.mode == .affine else {
      guard biases == nil else {
        throw files.error(biasesName, "no biases in mode \(scheme.mode.rawValue)", found: "some")
      }
      return Quantized(encoding: encoding, planes: [weight.bytes, scales.bytes], columns: columns)
    }
    guard let biases else {
      throw files.error(name, "biases '\(biasesName)' in mode affine", found: MLXReader.absent)
    }
    guard biases.shape == grid, biases.dtype == scales.dtype else {
      throw files.error(
        biasesName, "\(scales.dtype.rawValue) \(grid) as the scales",
        found: "\(biases.dtype.rawValue) \(biases.shape)")
    }
    return Quantized(
      encoding: encoding, planes: [weight.bytes, scales.bytes, biases.bytes], columns: columns)
  }

  /// The tensor of a module that is not stacked.
  private func single(_ name: String, _ stored: SafeTensorsFiles.Stored, _ quantized: Quantized?)
    throws(FormatError) -> Tensor
  {
    guard let role = family.role(of: name, blueprint) ?? (keepUnknown ? Role(.unknown, name: name) : nil),
      role.expert == nil
    else {
      throw files.error(
        name, "a tensor of \(files.config["model_type"]?.string ?? "this family") as MLX names them",
        found: "a name it does not know", remedy: .keepUnknown)
    }
    guard let quantized else {
      var stored = stored
      if let shape = MLXConvolutions.plain(role, stored.shape) { stored.shape = shape }
      guard
        stored.dtype.isDecodable && stored.dtype.bits >= 16 || role.kind == .unknown
          || role.kind == .auxiliary
      else { throw files.error(name, "values of F32, F16 or BF16", found: stored.dtype.rawValue) }
      let tensor = try files.dense(name, stored, role)
      return MLXNorms.isSum(role, family) ? MLXNorms.subtracted(tensor) : tensor
    }
    return Tensor(
      name: name, role: role, shape: stored.shape.dropLast() + [quantized.columns],
      encoding: quantized.encoding,
      path: stored.path, offset: stored.offset, planes: quantized.planes)
  }

  /// One of the two stacks that a projection of latents is kept in.
  private func half(
    _ name: String, _ stored: SafeTensorsFiles.Stored, _ role: Role, _ quantized: Quantized?
  ) throws(FormatError) -> Tensor {
    let spare = Role(.unknown, name: name)
    guard let quantized else {
      guard stored.dtype.isDecodable, stored.dtype.bits >= 16 else {
        throw files.error(name, "values of F32, F16 or BF16", found: stored.dtype.rawValue)
      }
      return try files.dense(name, stored, spare)
    }
    return Tensor(
      name: name, role: spare, shape: stored.shape.dropLast() + [quantized.columns],
      encoding: quantized.encoding, path: stored.path, offset: stored.offset, planes: quantized.planes)
  }

  /// The experts' tensors of a stacked module.
  private func unstacked(
    _ name: String, _ stored: SafeTensorsFiles.Stored, _ kind: TensorKind, _ layer: Int,
    _ quantized: Quantized?
  ) throws(FormatError) -> [Tensor] {
    let experts = blueprint.layers[layer].feedForward.count
    // Before there is a tensor for each: 65,536 experts without columns take no bytes in a file.
    let expected = blueprint.spec(of: Role(kind, layer: layer, expert: 0))?.shape ?? []
    guard stored.shape.count == expected.count + 1, stored.shape[0] == experts else {
      throw files.error(
        name, "shape [\(experts), rows, columns] for the experts of a layer", found: "shape \(stored.shape)")
    }
    guard quantized != nil || stored.dtype.isDecodable && stored.dtype.bits >= 16 else {
      throw files.error(name, "values of F32, F16 or BF16", found: stored.dtype.rawValue)
    }
    let encoding = quantized?.encoding ?? .dense(stored.dtype)
    let planes = quantized?.planes ?? [stored.bytes]
    let shape = stored.shape.dropFirst().dropLast() + [quantized?.columns ?? stored.shape.last ?? 0]
    guard Array(shape) == expected else {
      throw files.error(
        name, "shape \(expected) by config.json for each expert", found: "shape \(Array(shape))")
    }
    return (0..<experts).map { expert in
      let role = Role(kind, layer: layer, expert: expert)
      // The stack's bytes are its experts', one after the other.
      let mine = planes.map { $0[$0.count / experts * expert..<$0.count / experts * (expert + 1)] }
      return Tensor(
        name: family.name(of: role), role: role, shape: expected, encoding: encoding, path: stored.path,
        offset: stored.offset + UInt64(mine[0].count * expert), planes: mine)
    }
  }
}

/// A stored name seen as a module's path and what of the module it is.
private struct MLXModule {
  var path: String
  var suffix: String
  /// The weight that scales or biases belong to; nil for other tensors.
  var owner: String?
  /// Whether it is one of the tensors that this reader applies.
  var known: Bool

  init(of name: String) {
    for suffix in [MLXNames.scales, MLXNames.biases, ".global_scale"] where name.hasSuffix(suffix) {
      path = String(name.dropLast(suffix.count))
      self.suffix = suffix
      owner = path + MLXNames.weight
      known = suffix != ".global_scale"
      return
    }
    suffix = name.hasSuffix(MLXNames.weight) ? MLXNames.weight : ""
    path = String(name.dropLast(suffix.count))
    owner = nil
    known = true
  }
}
