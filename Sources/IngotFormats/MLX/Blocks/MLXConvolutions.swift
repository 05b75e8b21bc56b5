import IngotModels
import IngotTensors

/// Causal convolutions of single channels: a checkpoint has [channels, 1, taps], MLX [channels, taps, 1], the same bytes.
enum MLXConvolutions {
  private static let kinds: Set<TensorKind> = [.deltaConvolution]

  /// How names of their weights end.
  static let suffix = ".conv1d.weight"

  /// The stored shape of a tensor; nil for one that is stored as it is.
  static func stored(_ role: Role, _ shape: [Int]) -> [Int]? {
    guard kinds.contains(role.kind), shape.count == 3, shape[1] == 1 else { return nil }
    return [shape[0], shape[2], 1]
  }

  /// Whether a stored tensor is a convolution as MLX has it, by its name.
  static func isStored(_ name: String, _ shape: [Int]) -> Bool {
    name.hasSuffix(suffix) && shape.count == 3 && shape[2] == 1
  }

  /// The shape that a stored one stands for; nil for another tensor, or a stored shape that is none of MLX's.
  static func plain(_ role: Role, _ shape: [Int]) -> [Int]? {
    guard kinds.contains(role.kind), shape.count == 3, shape[2] == 1 else { return nil }
    return [shape[0], 1, shape[1]]
  }
}
