import IngotModels
import IngotSystem

/// Rotations and other transforms of activations that a checkpoint's config announces. Its weights are made for transformed
/// inputs: without the transform the model computes something else, and nothing else tells.
enum AnnouncedTransforms {
  /// Keys of quantization_config, and of config.json itself, that announce some.
  private static let keys = [
    "transform_config", "rotation_config", "rotation", "rotations", "hadamard_config",
  ]

  /// - Throws: FormatError naming the key, for transforms that are applied while the model runs. Those that are part of the
  ///   weights already need nothing.
  static func refuse(in config: Config) throws(FormatError) {
    for (name, object) in [
      ("", config.object), ("quantization_config, ", config["quantization_config"]?.object ?? [:]),
    ] {
      for key in keys {
        guard let value = object[key], announces(value) else { continue }
        throw config.error(
          name + key, "none: transforms while the model runs are not supported",
          found: printable(value.text(), limit: 120))
      }
    }
  }

  private static func announces(_ value: JSON) -> Bool {
    switch value {
    case .null, .bool(false): false
    case .array(let list): !list.isEmpty
    case .object(let object):
      if let groups = object["config_groups"]?.object {
        // compressed-tensors: where each transform is applied. Those of weights are in the stored ones.
        groups.contains { group in
          let places = group.value["apply"]?.array ?? [.null]
          return places.contains { !["weight_input", "weight_output"].contains($0["location"]?.string) }
        }
      } else {
        object.count > 0
      }
    default: true
    }
  }
}
