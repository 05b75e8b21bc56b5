import IngotModels
import IngotSystem
import IngotTensors

/// Where tools say how a checkpoint is quantized: `quantization_config` of config.json, or a file of its own beside it.
enum QuantizationConfig {
  /// AutoGPTQ's, AutoAWQ's, ModelOpt's and ExLlamaV3's files.
  static let files = [
    "quantize_config.json", "quant_config.json", "hf_quant_config.json", "quantization_config.json",
  ]

  /// config.json with `quantization_config`, taken from where the checkpoint has it.
  ///
  /// - Throws: FormatError for such a file that is no JSON object, where config.json says nothing.
  static func completed(_ config: Config, folder: String) throws(FormatError) -> Config {
    guard config["quantization_config"] == nil, config["quantization"] == nil else { return config }
    if let old = config["compression_config"]?.object {
      return config.replacing([
        "quantization_config": .object(
          old.with("quant_method", or: .string(Format.compressedTensors.name)))
      ])
    }
    for name in files {
      let path = folder + "/" + name
      guard Folder.kind(path) == .file else { continue }
      let json = try JSON.parse(try Bytes.mapping(path).array, path: path)
      guard let object = json.object else {
        throw FormatError(path: path, expected: "a JSON object", found: json.kind)
      }
      return config.replacing(["quantization_config": .object(described(object, by: name))])
    }
    return config
  }

  private static func described(_ object: JSONObject, by file: String) -> JSONObject {
    if let inner = object["quantization"]?.object {
      return inner.with("quant_method", or: "modelopt")
    }
    let isAWQ = object["w_bit"] != nil || object["q_group_size"] != nil
    return object.with(
      "quant_method",
      or: .string(isAWQ || file == "quant_config.json" ? Format.awq.name : Format.gptq.name))
  }

  /// What a user should know of a checkpoint whose activations engines quantize too; nil where only weights are quantized, and for
  /// FP8 in blocks without numbers for activations, which every engine treats in its own way.
  static func remark(_ config: Config, hasScales: Bool) -> String? {
    let quantization = config["quantization_config"]
    let inputs = quantization?["config_groups"]?.object?.contains {
      !($0.value["input_activations"] ?? .null).isNull
    }
    let algorithm = quantization?["quant_algo"]?.string ?? ""
    guard
      hasScales || inputs ?? false || quantization?["activation_scheme"] == "static"
        || ["FP8", "NVFP4"].contains(algorithm)
    else { return nil }
    return
      "engines quantize activations or the key-value cache of this checkpoint too; here its weights are read as they are, "
      + "and activations are not quantized"
  }
}

extension JSONObject {
  /// With a value for a key that has none.
  fileprivate func with(_ key: String, or value: JSON) -> JSONObject {
    var object = self
    if (object[key] ?? .null).isNull { object[key] = value }
    return object
  }
}
