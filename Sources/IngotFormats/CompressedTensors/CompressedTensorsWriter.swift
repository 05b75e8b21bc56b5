import IngotModels
import IngotSystem
import IngotTensors

/// Lays a model out as compressed-tensors: each quantized module's codes, scales and shape, and the config that
/// describes them.
struct CompressedTensorsWriter {
  let model: Model
  private let experts: Encoding

  /// - Throws: FormatError naming a tensor that engines would not load.
  init(_ model: Model) throws(FormatError) {
    self.model = model
    experts = try model.requireFusible(
      Format.compressedTensors.name, recipe: "w4a16",
      needsExperts: Format.compressedTensors.rowRules.needsExperts)
  }

  func output(_ path: String, _ options: WriteOptions) throws(FormatError) -> SafeTensorsOutput {
    var items: [[SafeTensorsOutput.Item]] = []
    items.reserveCapacity(model.tensors.count)
    for (index, tensor) in model.tensors.enumerated() { items.append(try self.items(index, tensor)) }
    let config = quantizationConfig
    let card = ModelCard(
      model: model, options: options, library: "transformers",
      use: "Loads in vLLM, SGLang and transformers through the compressed-tensors library.")
    return SafeTensorsOutput(
      model: model, path: path, options: options, items: items,
      sideFiles: card.added(to: try model.sideFiles { $0["quantization_config"] = config }))
  }

  /// The stored tensors of one logical tensor.
  private func items(_ index: Int, _ tensor: Tensor) throws(FormatError) -> [SafeTensorsOutput.Item] {
    let name = model.family.name(of: tensor.role)
    switch tensor.encoding {
    case .affine(let scheme):
      try requireModule(tensor, name)
      guard tensor.columns % (scheme.group ?? 32) == 0 else {
        throw tensor.error(
          "groups that divide \(tensor.columns) columns for compressed-tensors", found: "\(tensor.encoding)")
      }
      return [
        .init(
          name: name + "_packed", dtype: .i32, shape: [tensor.rows, tensor.columns * scheme.bits / 32],
          parts: [(index, 0)]),
        .init(
          name: name + "_scale", dtype: scheme.scale, shape: [tensor.rows, scheme.groups(tensor.columns)],
          parts: [(index, 1)]),
        .init(name: name + "_shape", dtype: .i64, shape: [2], parts: [], constant: extents(tensor.shape)),
      ]
    case .microScaled(let scheme):
      try requireModule(tensor, name)
      guard tensor.columns % scheme.group == 0 else {
        throw tensor.error(
          "groups that divide \(tensor.columns) columns for compressed-tensors", found: "\(tensor.encoding)")
      }
      let groups = [tensor.rows, scheme.groups(tensor.columns)]
      // Powers of two stand as U8: that is the type engines look for.
      let scales = scheme.scale == .f8e8m0 ? DType.u8 : scheme.scale
      var items: [SafeTensorsOutput.Item] = [
        .init(
          name: name + "_packed", dtype: .u8, shape: [tensor.rows, tensor.columns / 2], parts: [(index, 0)]),
        .init(name: name + "_scale", dtype: scales, shape: groups, parts: [(index, 1)]),
      ]
      if scheme.hasGlobal {
        items.append(.init(name: name + "_global_scale", dtype: .f32, shape: [1], parts: [(index, 2)]))
      }
      return items
    case .dense(let type):
      return [.init(name: name, dtype: type, shape: tensor.shape, parts: [(index, 0)])]
    case .blockScaled, .columnPacked, .ggml, .trellis, .tiles:
      preconditionFailure("\(tensor.encoding) is refused before")
    }
  }

  private func requireModule(_ tensor: Tensor, _ name: String) throws(FormatError) {
    guard name.hasSuffix(".weight"), tensor.shape.count == 2 else {
      throw tensor.error(
        "a module's weight of two extents for compressed-tensors", found: "shape \(tensor.shape)")
    }
  }

  /// Extents as I64.
  private func extents(_ shape: [Int]) -> Bytes {
    var out = ByteWriter()
    for extent in shape { out.put(UInt64(extent)) }
    return Bytes(out.bytes)
  }

  /// `quantization_config` of config.json. The experts' scheme is that of every `Linear`; attention of another scheme
  /// has a group of its own by module names, which engines prefer to classes.
  var quantizationConfig: JSON {
    let main = CompressedTensorsScheme(encoding: experts)
    var groups: JSONObject = ["group_0": main.configGroup(targets: ["Linear"])]
    var formats: Set<String?> = [main.format]
    for (number, (encoding, targets)) in attentionTargets.enumerated() {
      let scheme = CompressedTensorsScheme(encoding: encoding)
      groups["group_\(number + 1)"] = scheme.configGroup(targets: targets)
      formats.insert(scheme.format)
    }
    return [
      "quant_method": "compressed-tensors",
      "format": formats.count == 1 ? JSON(main.format) : "mixed-precision",
      "quantization_status": "compressed", "config_groups": .object(groups),
      "ignore": .array(ignored.map { .string($0) }), "kv_cache_scheme": nil,
    ]
  }

  /// Modules that stay dense, by name. In a checkpoint of several models, engines' classes call the text model's modules
  /// otherwise than the files do, and each other: then expressions over how all these names end, and one for each of the other
  /// models.
  private var ignored: [String] {
    let place = model.family.place
    guard place != .whole else { return model.denseModules }
    var expressions: [String] = []
    for module in model.denseModules {
      // A tied head has no name in the files.
      let plain = place.plain(module) ?? (module.contains(".") ? nil : module)
      let name = plain ?? module
      let pieces = (name.hasPrefix("model.") ? name.dropFirst("model.".count) : name[...]).split(
        separator: ".")
      let end = plain == nil ? "\(pieces[0])\\..*" : pieces.joined(separator: "\\.") + "$"
      if !expressions.contains("re:(.*\\.)?" + end) { expressions.append("re:(.*\\.)?" + end) }
    }
    return expressions
  }

  /// Encodings of linear layers that are not the main one, each with expressions over the modules that have it, as vLLM (which
  /// fuses layers of one input under `qkv_proj` and `gate_up_proj`) and transformers name them.
  private var attentionTargets: [(Encoding, [String])] {
    guard model.blueprint.isKnown else { return namedTargets }
    var order: [Encoding] = []
    var layers: [Encoding: [(tap: Tap, layers: [Int])]] = [:]
    for (layer, block) in model.blueprint.layers.enumerated() {
      for tap in block.taps {
        guard let first = tap.linears.first, let tensor = model[first, layer: layer] else { continue }
        if case .dense = tensor.encoding { continue }
        if tensor.encoding == experts { continue }
        if layers[tensor.encoding] == nil { order.append(tensor.encoding) }
        var known = layers[tensor.encoding] ?? []
        if let place = known.firstIndex(where: { $0.tap.linears == tap.linears }) {
          known[place].layers.append(layer)
        } else {
          known.append((tap, [layer]))
        }
        layers[tensor.encoding] = known
      }
    }
    return order.map { encoding in
      let targets = layers[encoding]!.map { tap, layers in
        let all = layers.count == model.blueprint.layerCount
        let numbers = all ? "\\d+" : "(\(layers.map(String.init).joined(separator: "|")))"
        return "re:.*layers\\.\(numbers)\\.\(modules(tap))$"
      }
      return (encoding, targets)
    }
  }

  /// Modules by their own names, where no family says which belong together.
  private var namedTargets: [(Encoding, [String])] {
    var order: [Encoding] = []
    var names: [Encoding: [String]] = [:]
    for tensor in model.tensors where tensor.encoding != experts && tensor.name.hasSuffix(".weight") {
      if case .dense = tensor.encoding { continue }
      if names[tensor.encoding] == nil { order.append(tensor.encoding) }
      names[tensor.encoding, default: []].append(String(tensor.name.dropLast(".weight".count)))
    }
    return order.map { ($0, names[$0]!) }
  }

  /// The modules of a tap as the end of an expression: `self_attn\\.(q|k|v|qkv)_proj`.
  private func modules(_ tap: Tap) -> String {
    let names = tap.linears.map { kind -> (module: String, projection: String) in
      let pieces = (model.family.names.template(kind, indices: 1) ?? "").split(separator: ".").map(
        String.init)
      let name = pieces.count > 2 ? pieces[pieces.count - 2] : ""
      return (pieces.dropFirst(3).dropLast(2).joined(separator: "\\."), name)
    }
    let suffix = "_proj"
    let module = names[0].module
    guard names.count > 1, names.allSatisfy({ $0.projection.hasSuffix(suffix) && $0.module == module }) else {
      let list = names.map(\.projection)
      return module + "\\." + (list.count == 1 ? list[0] : "(\(list.joined(separator: "|")))")
    }
    let stems = names.map { String($0.projection.dropLast(suffix.count)) }
    // Engines' name of the fused module: qkv, gate_up.
    let fused = stems.allSatisfy { $0.count == 1 } ? stems.joined() : stems.joined(separator: "_")
    return module + "\\.(\((stems + [fused]).joined(separator: "|")))" + suffix
  }
}
