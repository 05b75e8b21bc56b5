import IngotModels
import IngotSystem
import IngotTensors

extension Format {
  /// AWQ checkpoints in the GEMM layout.
  public static let awq = Format(
    name: "awq",
    summary:
      "folder as AWQ tools write it (GEMM): int4 with zero points and F16 scales, one scheme for the model",
    traits: ContainerTraits(sharing: nil, engines: ["vLLM", "transformers"]),
    rowRules: .columnPacked(.awq),
    recognizes: { path in CheckpointLocation.quantizationMethod(path) == "awq" },
    read: { path, options throws(FormatError) in
      try AWQConfig.reader(path).read("awq", keepUnknown: options.keepUnknown)
    },
    adapt: { model throws(FormatError) in
      try model.requireEngineNames("awq").mapTensors { $0.columnPacked(.awq) ?? $0 }
    },
    refusal: { encoding in
      if case .columnPacked(let scheme) = encoding {
        return scheme.layout == .awq && scheme.scale == .f16 ? nil : AWQConfig.advice
      }
      return ColumnPackedWriter.refusal(encoding, AWQConfig.advice)
    },
    measure: { model, path, options throws(FormatError) in
      try AWQConfig.output(model, path, options).plannedBytes()
    },
    write: { model, path, options async throws(FormatError) in
      try await AWQConfig.output(model, path, options).write()
    })
}

/// `quantization_config` of an AWQ checkpoint.
enum AWQConfig {
  static let advice =
    "AWQ holds 4 bits in groups that divide the columns, with F16 scales; recipe 'awq-4bit' writes these"

  static func output(_ model: Model, _ path: String, _ options: WriteOptions) throws(FormatError)
    -> SafeTensorsOutput
  {
    let writer = try ColumnPackedWriter(model, format: "awq", recipe: "awq-4bit")
    let config: JSON = [
      "quant_method": "awq", "version": "gemm", "bits": 4, "group_size": JSON(writer.scheme.group ?? -1),
      "zero_point": true, "modules_to_not_convert": .array(model.denseModules.map { .string($0) }),
    ]
    return try writer.output(
      path, options, use: "A AWQ (GEMM) checkpoint, for vLLM and SGLang.", config: config)
  }

  static func reader(_ path: String) throws(FormatError) -> ColumnPackedReader {
    let files = try SafeTensorsFiles(path)
    let config = files.config
    let quantization = config["quantization_config"] ?? .null
    func value(_ keys: String...) -> JSON { keys.lazy.compactMap { quantization[$0] }.first ?? .null }
    let version = quantization["version"] ?? "gemm"
    guard version.string?.lowercased() == "gemm" else {
      throw config.error(
        "quantization_config", "version: \"gemm\"",
        found: "\(version.kind), another layout of codes: quantize the original model instead")
    }
    guard value("bits", "w_bit") == 4 else {
      throw config.error(
        "quantization_config", "bits 4, the only width of AWQ", found: value("bits", "w_bit").kind)
    }
    let hasZeros = quantization["zero_point"] ?? true
    guard let hasZeros = hasZeros.isNull ? true : hasZeros.bool else {
      throw config.error("quantization_config", "zero_point true or false", found: hasZeros.kind)
    }
    guard let group = value("group_size", "q_group_size").int, group == -1 || group > 0 else {
      throw config.error(
        "quantization_config", "group_size: −1 (one group a row) or above 0",
        found: value("group_size", "q_group_size").kind)
    }
    return ColumnPackedReader(
      files: files, layout: .awq, offset: hasZeros ? .zeroPoint : .symmetric, activationOrder: false, bits: 4,
      group: group)
  }
}
