import IngotSystem
import IngotTensors

extension Family {
  /// How mlx-lm's class of a family keeps what checkpoints hold, where that is not by their names and shapes.
  ///
  /// Source: the `sanitize` of mlx-lm 0.32.2's classes, which `mlx_lm.convert` has applied to what it writes.
  public struct MLXClass: Sendable {
    /// Values of `model_type` whose class has the text model inside another one: `language_model.model.layers…`.
    public var nestedTypes: Set<String>
    /// Values of `model_type` that mlx-lm calls otherwise.
    public var typeNames: [String: String]
    /// Where the stacked experts of a layer stand; nil for `switch_mlp` beside where the checkpoint has `experts`.
    public var experts: String?
    /// Whether the projection of keys and values from their latent is kept as two stacks of a matrix for each head.
    public var splitsLatents: Bool
    /// Whether norms that multiply by 1 + w are kept as 1 + w.
    public var addsOneToNorms: Bool
    /// Whether the class counts layers between those without a window.
    public var hasWindowPattern: Bool
    /// Whether the class takes a key for how many layers are dense first, with a default of none.
    public var countsDenseLayers: Bool
    /// Whether the class reads its rotation from `rope_parameters`, as only transformers 5 writes it.
    public var readsRopeParameters: Bool
    /// Keys that the class has no default for, or another one than transformers' class.
    public var constants: JSONObject

    public init(
      nestedTypes: Set<String> = [], typeNames: [String: String] = [:], experts: String? = nil,
      splitsLatents: Bool = false, addsOneToNorms: Bool = false, hasWindowPattern: Bool = false,
      countsDenseLayers: Bool = false, readsRopeParameters: Bool = false, constants: JSONObject = [:]
    ) {
      self.nestedTypes = nestedTypes
      self.typeNames = typeNames
      self.experts = experts
      self.splitsLatents = splitsLatents
      self.addsOneToNorms = addsOneToNorms
      self.hasWindowPattern = hasWindowPattern
      self.countsDenseLayers = countsDenseLayers
      self.readsRopeParameters = readsRopeParameters
      self.constants = constants
    }
  }
}
