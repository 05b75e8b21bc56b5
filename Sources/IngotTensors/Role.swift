import IngotSystem

/// What a tensor is for: `layer 12, expert 37, down`. Names of checkpoints and of formats meet here.
public struct Role: Hashable, Sendable, CustomStringConvertible {
  public var kind: TensorKind
  /// Index of the layer, from 0; nil for tensors of the whole model.
  public var layer: Int?
  /// Index of the expert in its layer, from 0; nil for tensors that experts share.
  public var expert: Int?
  /// Name in the checkpoint, for tensors that no block has, which only it tells apart.
  public var name: String?

  public init(_ kind: TensorKind, layer: Int? = nil, expert: Int? = nil, name: String? = nil) {
    self.kind = kind
    self.layer = layer
    self.expert = expert
    self.name = name
  }

  /// Whether no block of the model has this tensor: it is carried along, not computed with.
  public var isOutsideBlocks: Bool { name != nil }

  public var description: String {
    if let name { return "\(kind.rawValue) '\(printable(name))'" }
    var text = ""
    if let layer { text += "layer \(layer), " }
    if let expert { text += "expert \(expert), " }
    return text + kind.rawValue
  }
}
