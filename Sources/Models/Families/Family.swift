import Tensors

/// A model family: which configs it is written for, what its tensors are called and how large they are.
///
/// A family only describes. It refuses every config that asks for something its description, and the
/// forward pass that interprets it, does not do.
public struct Architecture: Sendable {
  /// The family's name in reports and in `.ingot` files.
  public let name: String
  /// Values of `model_type` in config.json.
  public let modelTypes: [String]
  /// Values of `architectures` in config.json.
  public let classNames: [String]
  /// Config to hyperparameters; throws for what the family was not written for.
  public let hyperparameters: @Sendable (Config) throws(FormatError) -> Hyperparameters
  /// Checkpoint names by part. `#` stands for the layer, the second `#` for the expert.
  public let names: [Role.Part: String]
  /// The extents of a part's tensor.
  public let shape: @Sendable (Role.Part, Hyperparameters) -> [Int]
  /// Parts that must stay exact: quantizing them moves the choice of experts or scales everything.
  public let exactParts: Set<Role.Part>
  /// Key of config.json that says how many experts a layer has.
  public let expertCountKey: String

  private let parts: [String: Role.Part]

  public init(
    name: String, modelTypes: [String], classNames: [String], names: [Role.Part: String],
    exactParts: Set<Role.Part>, expertCountKey: String,
    shape: @escaping @Sendable (Role.Part, Hyperparameters) -> [Int],
    hyperparameters: @escaping @Sendable (Config) throws(FormatError) -> Hyperparameters
  ) {
    self.name = name
    self.modelTypes = modelTypes
    self.classNames = classNames
    self.names = names
    self.exactParts = exactParts
    self.expertCountKey = expertCountKey
    self.shape = shape
    self.hyperparameters = hyperparameters
    parts = Dictionary(uniqueKeysWithValues: names.map { ($1, $0) })
  }

  /// The family of a config, by `model_type`.
  public static func of(_ config: Config) throws(FormatError) -> Architecture {
    let known = all.flatMap(\.modelTypes).map { "\"\($0)\"" }.joined(separator: ", ")
    guard let value = config["model_type"] else {
      throw config.error("model_type", "one of \(known)", found: "no such key")
    }
    guard let type = value.string, let family = all.first(where: { $0.modelTypes.contains(type) }) else {
      throw config.error("model_type", "one of \(known)", found: value.kind)
    }
    return family
  }

  /// The role of a checkpoint's tensor; nil when the family does not know the name.
  public func role(of tensor: String, _ numbers: Hyperparameters) -> Role? {
    let (template, indices) = Architecture.template(tensor)
    if let layer = indices.first, tensor.hasPrefix("model.layers."), layer >= numbers.layers {
      // Layers past the last one hold multi-token prediction.
      return layer < numbers.layers + numbers.predictionModules ? Role(.auxiliary, name: tensor) : nil
    }
    guard let part = parts[template] else { return nil }
    if indices.count > 1 && indices[1] >= numbers.experts.count { return nil }
    return Role(part, layer: indices.first, expert: indices.count > 1 ? indices[1] : nil)
  }

  /// The checkpoint's name of a role.
  public func name(of role: Role) -> String {
    if let name = role.name { return name }
    guard let template = names[role.part] else { preconditionFailure("\(self.name) has no \(role.part)") }
    var indices = [role.layer, role.expert].compactMap { $0 }[...]
    return template.split(separator: "#", omittingEmptySubsequences: false).reduce(into: "") { text, piece in
      text += text.isEmpty ? String(piece) : "\(indices.popFirst() ?? 0)\(piece)"
    }
  }

  /// All roles a model with these numbers must have, in the order of the forward pass.
  public func roles(_ numbers: Hyperparameters) -> some Sequence<Role> {
    let perLayer = Role.Part.allCases.filter { names[$0].map { $0.count { $0 == "#" } == 1 } ?? false }
    let perExpert = Role.Part.allCases.filter { names[$0].map { $0.count { $0 == "#" } == 2 } ?? false }
    let inner = (0..<numbers.layers).lazy.flatMap { layer in
      [
        perLayer.map { Role($0, layer: layer) },
        (0..<numbers.experts.count).flatMap { expert in
          perExpert.map { Role($0, layer: layer, expert: expert) }
        },
      ].joined()
    }
    let first = [Role(.embedding)].lazy.filter { names[$0.part] != nil }
    let last = [Role(.finalNorm), Role(.head)].lazy.filter { names[$0.part] != nil }
    return [AnySequence(first), AnySequence(inner), AnySequence(last)].joined()
  }

  /// A name with its numbers replaced by `#`, and the numbers. Parts such as `w1` are no numbers.
  static func template(_ name: String) -> (String, [Int]) {
    var indices: [Int] = []
    var out: [UInt8] = []
    out.reserveCapacity(name.utf8.count)
    for (position, part) in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
      .enumerated()
    {
      if position > 0 { out.append(UInt8(ascii: ".")) }
      let digits = part.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
      // Leading zeros would give two names to one role.
      if digits, !part.isEmpty, part.count < 10, part.count == 1 || part.first != 0x30 {
        indices.append(part.reduce(0) { $0 * 10 + Int($1 - 0x30) })
        out.append(UInt8(ascii: "#"))
      } else {
        out.append(contentsOf: part)
      }
    }
    return (String(decoding: out, as: UTF8.self), indices)
  }
}
