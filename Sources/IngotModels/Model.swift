import IngotSystem
import IngotTensors

/// A model: its numbers, its tensors, and every other file that came with it. What a format reads and writes and
/// what quantization maps.
public struct Model: Sendable {
  public var family: Family
  /// What it is made of, by its config.
  public var blueprint: Blueprint
  /// In the order of the forward pass: embedding, layers with their experts, final norm, head, then the rest.
  public private(set) var tensors: [Tensor]
  /// config.json, tokenizer, chat template, licence… as they came.
  public var sideFiles: [SideFile]
  /// The file or folder it was read from.
  public var path: String
  /// Name of the format it was read from.
  public var format: String
  /// Paths of the files that hold its weights.
  public var weightFiles: [String]
  /// What its reader has to tell a user who goes on with it; nil for nothing.
  public var remark: String?
  /// Where an artifact came from; nil for an original checkpoint.
  public var provenance: JSON?

  private var indices: [Role: Int]

  /// - Throws: FormatError when a tensor is missing, stands twice or has another shape than the config says.
  public init(
    family: Family, blueprint: Blueprint, tensors: [Tensor], sideFiles: [SideFile],
    path: String, format: String, weightFiles: [String], provenance: JSON? = nil
  ) throws(FormatError) {
    self.family = family
    self.blueprint = blueprint
    self.sideFiles = sideFiles
    self.path = path
    self.format = format
    self.weightFiles = weightFiles
    self.provenance = provenance
    var found = [Role: Int](minimumCapacity: tensors.count)
    for (index, tensor) in tensors.enumerated() {
      guard found.updateValue(index, forKey: tensor.role) == nil else {
        throw tensor.error("one tensor for \(tensor.role)", found: "a second one")
      }
    }
    var ordered: [Tensor] = []
    ordered.reserveCapacity(tensors.count)
    var roles = [Role: Int](minimumCapacity: tensors.count)
    try blueprint.forEachTensor { role, spec throws(FormatError) in
      guard let index = found.removeValue(forKey: role) else {
        throw FormatError(
          path: path, tensor: family.name(of: role), expected: "the tensor of \(role)",
          found: "none of this name")
      }
      guard tensors[index].shape == spec.shape else {
        throw tensors[index].error(
          "shape \(spec.shape) by config.json", found: "shape \(tensors[index].shape)")
      }
      roles[role] = ordered.count
      ordered.append(tensors[index])
    }
    for index in found.values.sorted(by: { tensors[$0].name < tensors[$1].name }) {
      guard tensors[index].role.isOutsideBlocks else {
        throw tensors[index].error("a role that config.json has", found: "\(tensors[index].role)")
      }
      roles[tensors[index].role] = ordered.count
      ordered.append(tensors[index])
    }
    self.tensors = ordered
    indices = roles
  }

  /// The tensor of a role; nil when there is none.
  public subscript(role: Role) -> Tensor? { indices[role].map { tensors[$0] } }

  public subscript(kind: TensorKind, layer layer: Int? = nil, expert expert: Int? = nil) -> Tensor? {
    self[Role(kind, layer: layer, expert: expert)]
  }

  /// The same model with other encodings or values: `body` gives each tensor's successor of the same role
  /// and shape.
  public func mapTensors(_ body: (Tensor) throws(FormatError) -> Tensor) throws(FormatError) -> Model {
    var model = self
    for (index, tensor) in tensors.enumerated() {
      let next = try body(tensor)
      precondition(next.role == tensor.role && next.shape == tensor.shape, "a map keeps role and shape")
      model.tensors[index] = next
    }
    return model
  }

  /// The model with one expert's tensor for all of a layer that are alike in kind, shape and encoding, and for how many
  /// each stands: enough for sums over encodings that do not depend on the expert.
  package var representatives: (model: Model, counts: [Role: Int]) {
    struct Class: Hashable {
      var kind: TensorKind
      var layer: Int?
      var shape: [Int]
      var encoding: Encoding
    }
    var model = self
    var counts: [Role: Int] = [:]
    var first: [Class: Role] = [:]
    model.tensors = tensors.filter { tensor in
      let role = tensor.role
      guard role.expert != nil else { return true }
      let alike = Class(kind: role.kind, layer: role.layer, shape: tensor.shape, encoding: tensor.encoding)
      let representative = first[alike] ?? role
      first[alike] = representative
      counts[representative, default: 0] += 1
      return representative == role
    }
    model.indices = Dictionary(uniqueKeysWithValues: model.tensors.enumerated().map { ($1.role, $0) })
    return (model, counts)
  }

  /// Whether a tensor is one whose encoding may be chosen: a linear layer, or the embedding.
  public func canQuantize(_ tensor: Tensor) -> Bool {
    tensor.encoding.isDecodable && !isExact(tensor)
  }

  /// Whether a tensor stays exact unless a recipe names it: all but linear layers and the embedding; of a model of an unknown
  /// family, what `Family.keptNames` says.
  public func isExact(_ tensor: Tensor) -> Bool {
    blueprint.isKnown ? blueprint.isExact(tensor.role) : !Family.isGenericLinear(tensor)
  }

  /// The tensor whose rows are multiplied into logits: the head, or the embedding where both are one.
  public var headTensor: Tensor? { self[blueprint.headRole] }

  /// The work of making its tensors, in their order.
  public var workUnits: [WorkUnit] { tensors.workUnits }

  /// The calibration statistics that tensors of a layer are made with; nil for none.
  public func statistics(layer: Int) -> WorkUnit.Statistics? {
    tensors.lazy.filter { $0.role.layer == layer }.compactMap { $0.unit?.statistics }.first
  }

  public func sideFile(_ name: String) -> SideFile? { sideFiles.first { $0.name == name } }

  /// Bytes of all tensors.
  public var bytes: Int { tensors.reduce(0) { $0 + $1.bytes } }
  /// Values of all tensors.
  public var parameters: Int { tensors.reduce(0) { $0 + $1.count } }
}

/// A file of a checkpoint that holds no tensors.
public struct SideFile: Sendable {
  /// Name in the folder, without a path but for files of `additional_chat_templates`.
  public var name: String
  public var bytes: Bytes

  public init(name: String, bytes: Bytes) {
    self.name = name
    self.bytes = bytes
  }
}
