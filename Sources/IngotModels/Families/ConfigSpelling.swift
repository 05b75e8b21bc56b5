import IngotSystem

extension Family {
  /// How config.json of the family spells what others spell otherwise.
  public struct ConfigSpelling: Sendable {
    /// Key for the experts of a layer.
    public var expertCount = "num_experts"
    /// Key for the width of an expert.
    public var expertWidth = "moe_intermediate_size"
    /// Key for the experts that a token goes to.
    public var expertsPerToken = "num_experts_per_tok"
    /// Key for the rotated dimensions of a head; nil where a share of them is given, if at all.
    public var rotatedDims: String?
    /// Keys that every config of the family has with one value, for writing one anew.
    public var constants: JSONObject = [:]
    /// Keys of lists that have one value for each layer.
    public var layerConstants: JSONObject = [:]
    /// Key for whether queries, keys and values have biases.
    public var inputBias = "attention_bias"
    /// Key for the width of a dense layer.
    public var denseWidth = "intermediate_size"
    /// Key that says whether queries and keys have norms.
    public var queryKeyNorm: String?
    /// Key for the width of all shared experts together; nil where their number says it.
    public var sharedWidth: String?
    /// Key of the list that says which layers are "dense" and which "sparse"; nil where a number says it.
    public var feedForwardKinds: String?
    /// `model_type` of a text model alone, where the family's first is that of several models together.
    public var textType: String?

    public init() {}

    public init(
      expertCount: String = "num_experts", expertWidth: String = "moe_intermediate_size",
      expertsPerToken: String = "num_experts_per_tok",
      rotatedDims: String? = nil, constants: JSONObject = [:], layerConstants: JSONObject = [:],
      inputBias: String = "attention_bias", denseWidth: String = "intermediate_size",
      queryKeyNorm: String? = nil, sharedWidth: String? = nil, feedForwardKinds: String? = nil,
      textType: String? = nil
    ) {
      self.expertCount = expertCount
      self.expertWidth = expertWidth
      self.expertsPerToken = expertsPerToken
      self.rotatedDims = rotatedDims
      self.constants = constants
      self.layerConstants = layerConstants
      self.inputBias = inputBias
      self.denseWidth = denseWidth
      self.queryKeyNorm = queryKeyNorm
      self.sharedWidth = sharedWidth
      self.feedForwardKinds = feedForwardKinds
      self.textType = textType
    }
  }
}
