import IngotSystem
import IngotTensors

extension Family.LlamaCppGraph {
  /// What of a mixture llama.cpp's graph takes from keys of a file.
  public struct MixtureKeys: Sendable {
    /// Whether the first layers may be dense, as many as `leading_dense_block_count` says.
    public var hasDenseLayers = false
    /// Whether every so many layers alone are mixtures, as `interleave_moe_layer_step` says.
    public var interleaves = false
    /// Whether weights may be divided by their sum or not (`expert_weights_norm`).
    public var namesNormalization = false
    /// Whether weights have a factor (`expert_weights_scale`).
    public var namesScale = false
    /// Whether experts may be chosen by groups (`expert_group_count`), each counting by its two best.
    public var namesGroups = false
    public var shared = Shared.none

    /// An MLP that all tokens see beside the experts.
    public enum Shared: Sendable {
      case none
      /// Added as it is; as many experts' width as `expert_shared_count` says.
      case plain
      /// Behind a gate, of the width that `expert_shared_feed_forward_length` says.
      case gated
      /// Added as it is, of a dense layer's width.
      case dense
    }

    public init(
      hasDenseLayers: Bool = false, interleaves: Bool = false, namesNormalization: Bool = false,
      namesScale: Bool = false, namesGroups: Bool = false, shared: Shared = .none
    ) {
      self.hasDenseLayers = hasDenseLayers
      self.interleaves = interleaves
      self.namesNormalization = namesNormalization
      self.namesScale = namesScale
      self.namesGroups = namesGroups
      self.shared = shared
    }

    /// DeepSeek's: all of these.
    public static let deepSeek = MixtureKeys(
      hasDenseLayers: true, namesNormalization: true, namesScale: true, namesGroups: true, shared: .plain)
  }
}
