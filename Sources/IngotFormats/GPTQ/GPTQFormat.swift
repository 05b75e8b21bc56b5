import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// GPTQ checkpoints: symmetric ones in the first layout, which every engine reads, others in the second, whose zero
  /// points may be 0.
  public static let gptq = Format(
    name: "gptq",
    summary:
      "folder as GPTQ tools write it: int2, int3, int4, int8 with F16 scales, one scheme for the model",
    traits: ContainerTraits(sharing: nil, engines: ["vLLM", "transformers"]),
    rowRules: .columnPacked(.gptq),
    recognizes: { path in CheckpointLocation.quantizationMethod(path) == "gptq" },
    read: { path, options throws(FormatError) in
      try GPTQConfig.reader(path).read("gptq", keepUnknown: options.keepUnknown)
    },
    adapt: { model throws(FormatError) in
      let layout = GPTQConfig.layout(model)
      return try model.requireEngineNames("gptq").mapTensors { tensor in
        // The first layout's tensors beside others: by way of rows apart.
        if case .columnPacked(let scheme) = tensor.encoding, scheme.layout == .gptq, layout == .gptqV2 {
          return tensor.rowPacked?.columnPacked(layout) ?? tensor
        }
        return tensor.columnPacked(layout) ?? tensor
      }
    },
    refusal: { encoding in
      if case .columnPacked(let scheme) = encoding {
        if scheme.layout == .awq { return "AWQ's layout" }
        return scheme.scale == .f16 ? nil : GPTQConfig.advice
      }
      return ColumnPackedWriter.refusal(encoding, GPTQConfig.advice)
    },
    measure: { model, path, options throws(FormatError) in
      try GPTQConfig.output(model, path, options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await GPTQConfig.output(model, path, options).write()
    })
}

/// `quantization_config` of a GPTQ checkpoint.
enum GPTQConfig {
  static let advice =
    "GPTQ holds 2, 3, 4 or 8 bits in groups that divide the columns, with F16 scales; recipe 'gptq-4bit' writes these"

  /// AutoRound's `packing_format` for GPTQ's layouts.
  static let autoRoundLayouts: [String: ColumnPacked.Layout] = [
    "auto_round:auto_gptq": .gptq, "auto_round:gptqmodel": .gptqV2, "auto_round": .gptqV2,
  ]

  /// The layout for a model: the first one where zero points are the middle, or stand in it already.
  static func layout(_ model: Model) -> ColumnPacked.Layout {
    for tensor in model.tensors {
      switch tensor.encoding {
      case .columnPacked(let scheme) where scheme.layout == .gptqV2: return .gptqV2
      case .affine(let scheme) where scheme.offset == .zeroPoint: return .gptqV2
      default: break
      }
    }
    return .gptq
  }

  static func output(_ model: Model, _ path: String, _ options: WriteOptions) throws(FormatError)
    -> SafeTensorsOutput
  {
    let writer = try ColumnPackedWriter(model, format: "gptq", recipe: "gptq-4bit")
    let scheme = writer.scheme
    let config: JSON = [
      "quant_method": "gptq", "bits": JSON(scheme.bits), "group_size": JSON(scheme.group ?? -1),
      "desc_act": .bool(scheme.activationOrder), "sym": .bool(scheme.offset == .symmetric), "lm_head": false,
      "checkpoint_format": scheme.layout == .gptq ? "gptq" : "gptq_v2", "pack_dtype": "int32",
      "modules_to_not_convert": .array(model.denseModules.map { .string($0) }),
    ]
    return try writer.output(
      path, options, use: "A GPTQ checkpoint, for vLLM and SGLang.", config: config)
  }

  static func reader(_ path: String) throws(FormatError) -> ColumnPackedReader {
    let files = try SafeTensorsFiles(path)
    let config = files.config
    let quantization = config["quantization_config"] ?? .null
    let name =
      quantization["packing_format"] ?? quantization["checkpoint_format"] ?? quantization["format"] ?? "gptq"
    let layouts = autoRoundLayouts.merging(["gptq": .gptq, "gptq_v2": .gptqV2]) { $1 }
    guard let layout = name.string.flatMap({ layouts[$0] }) else {
      throw config.error(
        "quantization_config", "checkpoint_format \"gptq\" or \"gptq_v2\"",
        found: "\(name.kind), another layout of codes: quantize the original model instead")
    }
    guard let bits = quantization["bits"]?.int, [2, 3, 4, 8].contains(bits) else {
      throw config.error(
        "quantization_config", "bits 2, 3, 4 or 8", found: (quantization["bits"] ?? .null).kind)
    }
    guard let group = quantization["group_size"]?.int, group == -1 || group > 0 else {
      throw config.error(
        "quantization_config", "group_size: −1 (one group a row) or above 0",
        found: (quantization["group_size"] ?? .null).kind)
    }
    // `dynamic` and AutoRound's `extra_config` give modules schemes of their own: their shapes say which.
    let own = ["dynamic", "extra_config"].compactMap { quantization[$0]?.object }.filter { $0.count > 0 }
    let dynamic = !own.isEmpty
    let isSymmetric =
      quantization["sym"] == true && own.allSatisfy { $0.allSatisfy { ($0.value["sym"] ?? true) == true } }
    return ColumnPackedReader(
      files: files,
      layout: try GPTQZeroPoints(files, bits: dynamic ? nil : bits, layout).layout(isSymmetric: isSymmetric),
      offset: isSymmetric ? .symmetric : .zeroPoint,
      activationOrder: quantization["desc_act"] == true, bits: dynamic ? nil : bits,
      group: dynamic ? nil : group)
  }
}

extension ColumnPackedWriter {
  /// Why a checkpoint of column-packed modules cannot hold an encoding that is none of them; nil for dense values.
  static func refusal(_ encoding: Encoding, _ advice: String) -> String? {
    switch encoding {
    case .dense(.f8e4m3), .dense(.f8e5m2): "FP8 values without scales"
    case .dense: nil
    default: advice
    }
  }
}
