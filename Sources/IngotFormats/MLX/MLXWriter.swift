import IngotModels
import IngotSystem
import IngotTensors

/// What an MLX folder of a model holds: stored tensors, and the config that tells mlx-lm of them.
struct MLXWriter {
  let model: Model
  let path: String
  let options: WriteOptions
  private let modules: MLXModules
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
    try model.requireMLXClass()
    modules = try MLXModules(model, MLXNames.placed(model.family, try model.config()))
    for stored in modules.stored { try add(stored) }
  }

  /// Adds the stored tensors of a module.
  private mutating func add(_ stored: MLXModules.Stored) throws(FormatError) {
    let members = stored.members.map { modules.tensors[$0] }
    let first = members[0]
    for tensor in members {
      guard tensor.encoding == first.encoding else {
        throw tensor.error(
          "one encoding for \(first.role.kind.rawValue) of all experts of layer \(first.role.layer ?? 0), which MLX "
            + "stacks in one tensor (a recipe without 'experts:' gives that; .ingot and GGUF may tell them apart)",
          found: "\(tensor.encoding) beside \(first.encoding) of \(first.role)")
      }
    }
    let shape = (stored.isStack ? [members.count] : []) + (stored.shape ?? first.shape)
    let planes = first.encoding.planes(first.shape)!
    func item(_ name: String, _ plane: Int, _ type: DType, _ shape: [Int]) -> SafeTensorsOutput.Item {
      .init(name: name, dtype: type, shape: shape, parts: stored.members.map { ($0, plane) })
    }
    if case .dense(let type) = first.encoding {
      items.append([item(stored.name, 0, type, shape)])
      return
    }
    let scheme = try scheme(of: first, stored)
    let path = String(stored.name.dropLast(MLXNames.weight.count))
    schemes[path] = scheme
    bytes[scheme, default: 0] += members.count * first.bytes
    let (rows, columns) = (Array(shape.dropLast()), first.columns)
    let grid = rows + [columns / scheme.group]
    var parts = [item(stored.name, 0, .u32, rows + [columns * scheme.bits / 32])]
    let scale = scheme.mode == .affine ? planes[1].dtype : .u8
    parts.append(item(path + MLXNames.scales, 1, scale, grid))
    if scheme.mode == .affine { parts.append(item(path + MLXNames.biases, 2, scale, grid)) }
    items.append(parts)
  }

  private func scheme(of tensor: Tensor, _ stored: MLXModules.Stored) throws(FormatError) -> MLXScheme {
    guard let scheme = MLXScheme(tensor.encoding) else {
      var error = tensor.error("an encoding that MLX has", found: "\(tensor.encoding)")
      error.remedy = .quantize
      throw error
    }
    guard stored.isQuantizable else {
      throw tensor.error(
        "dense values for \(tensor.role.kind.rawValue), which MLX cannot quantize (a first rule with its name and "
          + "'encoding: bf16' in a recipe leaves it dense)",
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
    let keys = try MLXConfig.keys(model)
    let files = try model.sideFiles { config in
      MLXConfig.complete(&config, keys, model.family)
      guard let quantization else { return }
      config["quantization"] = quantization
      config["quantization_config"] = quantization
    }
    let card = ModelCard(
      model: model, options: options, library: "mlx",
      use: "For MLX: `mlx_lm.generate --model <this folder> --prompt …`")
    let parameters = modules.tensors.reduce(0) { $0 + $1.count }
    return SafeTensorsOutput(
      model: model, tensors: modules.tensors, path: path, options: options, items: items,
      sideFiles: card.added(to: files), label: "mlx",
      indexMetadata: ["total_parameters": JSON(parameters)])
  }
}
