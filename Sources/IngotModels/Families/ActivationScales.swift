import IngotSystem
import IngotTensors

extension Family {
  /// Last pieces of names that quantizers of activations and of the key-value cache give to numbers beside a module's weights.
  static let activationScaleNames: Set<Substring> = [
    "input_scale", "input_zero_point", "input_global_scale", "output_scale", "output_zero_point",
    "output_global_scale", "activation_scale", "act_scale", "q_scale", "k_scale", "v_scale",
    "kv_scale",
    "prob_output_scale", "q_zero_point", "k_zero_point", "v_zero_point", "kv_cache_scaling_factor",
  ]

  /// Whether a stored tensor is a number that activations or the key-value cache are quantized with in engines. It changes no weight.
  public static func isActivationScale(_ name: String) -> Bool {
    guard let dot = name.lastIndex(of: ".") else { return false }
    return activationScaleNames.contains(name[name.index(after: dot)...])
  }
}

extension Model {
  /// What it has of numbers that activations are quantized with.
  public var activationScales: [Tensor] { tensors.filter { $0.role.kind == .activationScale } }

  /// The model without numbers that activations are quantized with.
  public func withoutActivationScales() throws(FormatError) -> Model {
    guard tensors.contains(where: { $0.role.kind == .activationScale }) else { return self }
    return try Model(
      family: family, blueprint: blueprint,
      tensors: tensors.filter { $0.role.kind != .activationScale },
      sideFiles: sideFiles, path: path, format: format, weightFiles: weightFiles,
      provenance: provenance)
  }
}
