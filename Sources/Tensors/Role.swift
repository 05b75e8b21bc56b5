/// What a tensor is for: `layer 12, expert 37, down`. Names of checkpoints and of formats meet here.
public struct Role: Hashable, Sendable, CustomStringConvertible {
  /// The part a tensor plays, the same in every layer and expert.
  ///
  /// Raw values are stable: they stand in files.
  public enum Part: String, CaseIterable, Hashable, Sendable {
    case embedding, head
    case finalNorm = "final_norm"
    case attentionNorm = "attention_norm"
    case feedForwardNorm = "feed_forward_norm"
    case query, key, value
    case attentionOutput = "attention_output"
    case queryNorm = "query_norm"
    case keyNorm = "key_norm"
    case router
    case routerBias = "router_bias"
    case gate, up, down
    /// A tensor of the family that the forward pass does not use (multi-token prediction).
    case auxiliary
    /// A tensor no family knows, kept because the user said so.
    case unknown
  }

  public var part: Part
  /// Index of the layer, from 0; nil for tensors of the whole model.
  public var layer: Int?
  /// Index of the expert in its layer, from 0; nil for tensors that experts share.
  public var expert: Int?
  /// Name in the checkpoint, for the parts `auxiliary` and `unknown`, which only it tells apart.
  public var name: String?

  public init(_ part: Part, layer: Int? = nil, expert: Int? = nil, name: String? = nil) {
    self.part = part
    self.layer = layer
    self.expert = expert
    self.name = name
  }

  public var description: String {
    if let name { return "\(part.rawValue) '\(printable(name))'" }
    var text = ""
    if let layer { text += "layer \(layer), " }
    if let expert { text += "expert \(expert), " }
    return text + part.rawValue
  }
}
