import IngotModels
import IngotSystem
import IngotTensors

/// What an MLX folder of a model holds: stored tensors, and the config that tells mlx-lm of them.
struct MLXWriter {
  let model: Model
  let path: String
  let options: WriteOptions
  /// Scheme of each quantized module, by path.
  private var schemes: [String: MLXScheme] = [:]
  /// Bytes of the modules of each scheme: the one with most is the config's default.
  private var bytes: [MLXScheme: Int] = [:]
  private var items: [[SafeTensorsOutput.Item]] = []

  /// - Throws: FormatError for the first tensor that MLX has no place for.
  init(_ model: Model, _ path: String, _ options: WriteOptions) throws(FormatError) {
    self.model = model
    self.path = path
    self.options = options
    try model.requireMLXNames()
    for members in try modules() { try add(members) }
  }

  /// The model's tensors by module: an expert's part with that of all experts of its layer, others alone.
  private func modules() throws(FormatError) -> [(path: String, tensors: [Int])] {
    var modules: [(path: String, tensors: [Int])] = []
    var places: [String: Int] = [:]
    for (index, tensor) in model.tensors.enumerated() {
      let role = tensor.role
      guard !role.isOutsideBlocks else {
        throw tensor.error(
          "a tensor that mlx-lm has a module for", found: "\(role), which it refuses to load")
      }
      guard role.expert != nil, let layer = role.layer else {
        let name = model.family.name(of: role)
        modules.append((name.hasSuffix(MLXNames.weight) ? String(name.dropLast(7)) : name, [index]))
        continue
      }
      guard let path = MLXNames.stack(role.kind, layer: layer, model.family) else {
        throw tensor.error("a gate, up or down projection of an expert", found: "\(role)")
      }
      if let place = places[path] {
        modules[place].tensors.append(index)
      } else {
        places[path] = modules.count
        modules.append((path, [index]))
      }
    }
    return modules
  }

  /// Adds the stored tensors of a module.
  private mutating func add(_ module: (path: String, tensors: [Int])) throws(FormatError) {
    let first = model.tensors[module.tensors[0]]
    let stacked = first.role.expert != nil
    let members = stacked ? module.tensors.sorted { expert($0) < expert($1) } : module.tensors
    for index in members {
      let tensor = model.tensors[index]
      guard tensor.encoding == first.encoding else {
        throw tensor.error(
          "one encoding for \(first.role.kind.rawValue) of all experts of layer \(first.role.layer ?? 0), which MLX "
            + "stacks in one tensor (a recipe without 'experts:' gives that; .ingot and GGUF may tell them apart)",
          found: "\(tensor.encoding) beside \(first.encoding) of \(first.role)")
      }
    }
    let leading = stacked ? [members.count] : []
    let planes = first.encoding.planes(first.shape)!
    func item(_ suffix: String, _ plane: Int, _ type: DType, _ shape: [Int]) -> SafeTensorsOutput.Item {
      .init(
        name: module.path + suffix, dtype: type, shape: leading + shape, parts: members.map { ($0, plane) })
    }
    if case .dense(let type) = first.encoding {
      let name = stacked || model.family.name(of: first.role).hasSuffix(MLXNames.weight)
      items.append([item(name ? MLXNames.weight : "", 0, type, first.shape)])
      return
    }
    let scheme = try scheme(of: first)
    schemes[module.path] = scheme
    bytes[scheme, default: 0] += members.count * first.bytes
    let (rows, columns) = (first.rows, first.columns)
    var stored = [item(MLXNames.weight, 0, .u32, [rows, columns * scheme.bits / 32])]
    let scale = scheme.mode == .affine ? planes[1].dtype : .u8
    stored.append(item(MLXNames.scales, 1, scale, [rows, columns / scheme.group]))
    if scheme.mode == .affine {
      stored.append(item(MLXNames.biases, 2, scale, [rows, columns / scheme.group]))
    }
    items.append(stored)
  }

  private func expert(_ index: Int) -> Int { model.tensors[index].role.expert ?? 0 }

  private func scheme(of tensor: Tensor) throws(FormatError) -> MLXScheme {
    guard let scheme = MLXScheme(tensor.encoding) else {
      throw tensor.error("an encoding that MLX has", found: "\(tensor.encoding)")
    }
    guard model.blueprint.isLinear(tensor.role) || Mixture.perExpertRows.contains(tensor.role.kind),
      tensor.shape.count == 2
    else {
      throw tensor.error(
        "dense values for \(tensor.role.kind.rawValue), which MLX cannot quantize",
        found: "\(tensor.encoding)")
    }
    guard tensor.columns % scheme.group == 0, tensor.columns > 0 else {
      let fitting = MLXScheme.groups.filter { tensor.columns % $0 == 0 }.map { "g\($0)" }
      throw tensor.error(
        "columns that are a multiple of group_size \(scheme.group)"
          + (fitting.isEmpty ? " (keep this part dense)" : " (\(fitting.joined(separator: " or ")) fits)"),
        found: "\(tensor.columns)")
    }
    return scheme
  }

  /// The scheme that most bytes have; among equals the one of the first module's name.
  private var defaultScheme: MLXScheme? {
    let most = bytes.values.max()
    return schemes.sorted { $0.key < $1.key }.first { bytes[$0.value] == most }?.value
  }

  /// `quantization` of config.json: the default, and every module that differs from it.
  private var quantization: JSON? {
    guard let usual = defaultScheme, case .object(var object) = usual.json else { return nil }
    for (path, scheme) in schemes.sorted(by: { $0.key < $1.key }) where scheme != usual {
      object[path] = scheme.json
    }
    return .object(object)
  }

  /// The folder as it will be written.
  func output() throws(FormatError) -> SafeTensorsOutput {
    let files = try model.sideFiles { config in
      // mlx-lm has no defaults for these, and does not look into rope_parameters.
      for (key, value) in neededKeys(config) where config[key] ?? .null == .null { config[key] = value }
      guard let quantization else { return }
      config["quantization"] = quantization
      config["quantization_config"] = quantization
    }
    let card = ModelCard(
      model: model, options: options, library: "mlx",
      use: "For MLX: `mlx_lm.generate --model <this folder> --prompt …`")
    return SafeTensorsOutput(
      model: model, path: path, options: options, items: items, sideFiles: card.added(to: files),
      label: "mlx", indexMetadata: ["total_parameters": JSON(model.parameters)])
  }

  /// Keys that mlx-lm's classes have no default for, or another one than the config's class.
  private func neededKeys(_ config: JSONObject) -> [(String, JSON)] {
    let blueprint = model.blueprint
    var keys: [(String, JSON)] = []
    if let attention = blueprint.attention {
      if let rotary = attention.rotary {
        keys.append(("rope_theta", JSON(rotary.theta)))
        if let name = model.family.config.rotatedDims {
          keys.append((name, JSON(rotary.dims)))
        } else if rotary.dims != attention.headDim {
          keys.append(("partial_rotary_factor", JSON(Double(rotary.dims) / Double(attention.headDim))))
        }
        if rotary.scaling != .none, let scaling = config["rope_parameters"] {
          keys.append(("rope_scaling", scaling))
        }
      }
      keys.append(("head_dim", JSON(attention.headDim)))
      keys.append(("num_key_value_heads", JSON(attention.keyValueHeads)))
    }
    if let window = blueprint.slidingWindow, blueprint.layers.contains(where: { $0.mixer.window == nil }) {
      // mlx-lm's classes have a window where the config says which layers; never in all of them.
      keys.append(("sliding_window", JSON(window)))
      let types = blueprint.layers.map { $0.mixer.window == nil ? "full_attention" : "sliding_attention" }
      keys.append(("layer_types", .array(types.map { .string($0) })))
    }
    if !blueprint.mixtures.isEmpty {
      keys.append((model.family.config.expertCount, JSON(blueprint.experts.count)))
    }
    keys.append(("tie_word_embeddings", .bool(blueprint.isHeadTied)))
    for (key, value) in model.family.config.constants { keys.append((key, value)) }
    return keys
  }
}
