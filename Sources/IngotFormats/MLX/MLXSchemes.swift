import IngotModels
import IngotSystem
import IngotTensors

/// `quantization` of an MLX config.json: a scheme for all modules, and others for some.
struct MLXSchemes {
  private let config: Config
  private let usual: MLXScheme?
  /// Paths of the modules that are named and quantized.
  let named: Set<String>
  /// By module path; nil for a module that stays as it is.
  private let modules: [String: MLXScheme?]

  /// Keys of the object that are no modules.
  private static let own: Set<String> = ["group_size", "bits", "mode"]

  /// - Throws: FormatError for what MLX does not have, and when the two keys that hold this differ.
  init(_ config: Config) throws(FormatError) {
    self.config = config
    let first = config["quantization"]
    // Converted without quantizing, the source's own description stays: of codes that are decoded.
    var second = config["quantization_config"]
    if first == nil, second?["quant_method"] != nil { second = Optional.none }
    if let first, let second, !first.isEqual(to: second) {
      throw config.error(
        "quantization_config", "the same as 'quantization'",
        found: "\(second.kind) that differs; take out the one that is wrong")
    }
    guard let value = first ?? second else {
      usual = nil
      modules = [:]
      named = []
      return
    }
    guard let object = value.object else {
      throw config.error("quantization", "an object", found: value.kind)
    }
    let usual = try MLXSchemes.scheme(value, "quantization", config)
    var modules: [String: MLXScheme?] = [:]
    for (path, entry) in object where !MLXSchemes.own.contains(path) {
      if entry == false {
        modules[path] = .some(nil)
      } else if entry == true {
        modules[path] = usual
      } else {
        modules[path] = try MLXSchemes.scheme(
          entry, "quantization of '\(printable(path, limit: 100))'", config, isModule: true)
      }
    }
    self.usual = usual
    self.modules = modules
    named = Set(modules.filter { $0.value != nil }.keys)
  }

  /// The scheme of a module that has scales; nil when the config has none for it.
  func scheme(of path: String) throws(FormatError) -> MLXScheme? {
    guard let entry = modules[path] else { return usual }
    guard let entry else {
      throw config.error(
        "quantization", "a scheme for '\(printable(path, limit: 100))', which has scales",
        found: "false; give it an object with group_size and bits")
    }
    return entry
  }

  /// - Parameter isModule: what one module says may leave out, or give as null, what MLX has for its mode.
  private static func scheme(_ value: JSON, _ key: String, _ config: Config, isModule: Bool = false)
    throws(FormatError) -> MLXScheme
  {
    guard value.object != nil else {
      throw config.error(key, "an object with group_size and bits", found: value.kind)
    }
    if let method = value["quant_method"] {
      throw config.error(key, "MLX's group_size, bits and mode", found: "quant_method \(method.text())")
    }
    let name = value["mode"] ?? "affine"
    guard let mode = name.string.flatMap(MLXScheme.Mode.init) else {
      let known = MLXScheme.Mode.allCases.map(\.rawValue).joined(separator: ", ")
      throw config.error("\(key), mode", "one of \(known)", found: name.kind)
    }
    func number(_ key: String, _ usual: Int) -> Int? {
      guard let stated = value[key], !stated.isNull else { return isModule ? usual : nil }
      return stated.int
    }
    guard let bits = number("bits", mode.usual.bits), let group = number("group_size", mode.usual.group),
      let scheme = MLXScheme(mode: mode, bits: bits, group: group)
    else {
      let found = ["bits", "group_size"].map {
        "\($0) \(printable(value[$0]?.text() ?? "missing", limit: 40))"
      }
      throw config.error(
        key, "bits and group_size that mode \(mode.rawValue) has", found: found.joined(separator: ", "))
    }
    return scheme
  }
}
