import IngotSystem
import IngotTensors

/// Experts that a model leaves out of the one it was made from: as many in every layer, not the same ones.
public struct DroppedExperts: Hashable, Sendable {
  /// Experts that a layer of the original has.
  public let experts: Int
  /// By layer: numbers in the original, ascending.
  public let layers: [[Int]]

  /// - Parameter layers: ascending, without repetitions, as many in each.
  public init(experts: Int, layers: [[Int]]) {
    let count = layers.map(\.count).max() ?? 0
    precondition(
      layers.allSatisfy { numbers in
        (numbers.isEmpty || numbers.count == count) && numbers.allSatisfy { (0..<experts).contains($0) }
          && zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 }
      }, "as many of \(experts) experts in each layer that drops some, ascending")
    self.experts = experts
    self.layers = layers
  }

  /// How many each layer lacks.
  public var count: Int { layers.map(\.count).max() ?? 0 }
  /// How many each layer has left.
  public var left: Int { experts - count }

  /// Numbers in the original of the experts that a layer has left, in their order.
  public func kept(_ layer: Int) -> [Int] {
    let dropped = Set(layers[layer])
    return (0..<experts).filter { !dropped.contains($0) }
  }

  /// The role that a tensor of the original has in the model that is left; nil for an expert that is gone.
  public func role(_ role: Role) -> Role? {
    guard let layer = role.layer, let expert = role.expert else { return role }
    let dropped = layers[layer]
    guard !dropped.contains(expert) else { return nil }
    var role = role
    role.expert = expert - dropped.count { $0 < expert }
    return role
  }

  /// What is left out of the first model when `next` is left out of the one that this leaves.
  public func followed(by next: DroppedExperts) -> DroppedExperts {
    precondition(next.experts == left && next.layers.count == layers.count, "of the model that is left")
    return DroppedExperts(
      experts: experts,
      layers: layers.indices.map { layer in
        let kept = kept(layer)
        return (layers[layer] + next.layers[layer].map { kept[$0] }).sorted()
      })
  }

  // MARK: In files

  /// Key of config.json, and of an artifact's provenance.
  public static let key = "dropped_experts"

  /// For each layer numbers such as `0-6, 9`.
  public var json: JSON { .array(layers.map { .string(Runs.text($0)) }) }

  /// Reads what `json` gives.
  ///
  /// - Parameters:
  ///   - left: experts that a layer of the model has.
  ///   - path: of the file, for messages.
  public init(_ json: JSON, left: Int, layers count: Int, path: String) throws(FormatError) {
    func wrong(_ found: String) -> FormatError {
      FormatError(
        path: path,
        expected: "\(DroppedExperts.key): for each of \(count) layers as many numbers such as \"0-6, 9\"",
        found: found)
    }
    guard let texts = json.array, texts.count == count else { throw wrong(json.kind) }
    var layers: [[Int]] = []
    for text in texts {
      guard let numbers = text.string.flatMap({ $0.isEmpty ? [] : Runs.numbers($0) }),
        numbers.count == Set(numbers).count
      else { throw wrong(text.kind) }
      layers.append(numbers.sorted())
    }
    // A dense layer has none to drop.
    let first = layers.firstIndex { !$0.isEmpty } ?? 0
    let usual = layers.isEmpty ? 0 : layers[first].count
    let experts = left + usual
    for (layer, numbers) in layers.enumerated() {
      guard numbers.count == usual || numbers.isEmpty else {
        throw wrong("\(usual) in layer \(first), \(numbers.count) in layer \(layer)")
      }
      guard numbers.last ?? 0 < experts else { throw wrong("expert \(numbers.last!) of \(experts)") }
    }
    self.init(experts: experts, layers: layers)
  }
}

extension Model {
  /// Which experts of its original this model lacks, as its config.json says; nil when it says nothing.
  public func droppedExperts() throws(FormatError) -> DroppedExperts? {
    guard let file = sideFile("config.json") else { return nil }
    let path = "\(path) (config.json)"
    guard let json = try Config(file.bytes.array, path: path)[DroppedExperts.key] else { return nil }
    return try DroppedExperts(
      json, left: blueprint.experts.count, layers: blueprint.layerCount, path: path)
  }

  /// The model without some experts: those left are numbered anew in their order, rows of routers and their biases are those of
  /// the experts that are left, and config.json says how many these are and which are gone. Nothing is read.
  ///
  /// What this gives computes what the model would if its routers could not choose these experts.
  ///
  /// - Parameter dropped: of this model's experts; nil for none.
  /// - Throws: FormatError when fewer are left than a token goes to, and for a model of another size.
  public func dropping(_ dropped: DroppedExperts?) throws(FormatError) -> Model {
    guard let dropped, dropped.count > 0 else { return self }
    let experts = blueprint.experts
    guard dropped.layers.count == blueprint.layerCount, dropped.experts == experts.count else {
      throw FormatError(
        path: path, expected: "\(dropped.layers.count) layers of \(dropped.experts) experts to drop some of",
        found: "\(blueprint.layerCount) layers of \(experts.count)")
    }
    guard dropped.left >= experts.perToken else {
      throw FormatError(
        path: path, expected: "at least \(experts.perToken) experts left, that a token goes to",
        found: "\(dropped.left) of \(dropped.experts)")
    }
    var blueprint = blueprint
    for layer in blueprint.mixtures {
      guard dropped.layers[layer].count == dropped.count,
        var mixture = blueprint.layers[layer].feedForward as? Mixture
      else {
        throw FormatError(
          path: path, expected: "\(dropped.count) experts to drop in layer \(layer), as in the others",
          found: "\(dropped.layers[layer].count)")
      }
      mixture.count = dropped.left
      blueprint.layers[layer].feedForward = mixture
    }
    var tensors: [Tensor] = []
    tensors.reserveCapacity(self.tensors.count)
    // Numbers for activations are those of the original's experts.
    for tensor in self.tensors where tensor.role.kind != .activationScale {
      // Its experts and its router would be at odds with config.json.
      guard !isPrediction(tensor), !tensor.role.isOutsideBlocks || tensor.role.expert == nil else {
        throw tensor.error(
          "a model without layers of multi-token prediction, which share the number of experts",
          found: "\(tensor.role)")
      }
      guard let layer = tensor.role.layer, let role = dropped.role(tensor.role) else {
        if tensor.role.layer == nil { tensors.append(tensor) }
        continue
      }
      var tensor = tensor
      if Mixture.perExpertRows.contains(role.kind) {
        tensor = try tensor.selecting(dropped.kept(layer))
      } else if role.expert != nil {
        tensor.role = role
        tensor.name = family.name(of: role)
      }
      tensors.append(tensor)
    }
    let files = try sideFiles(without: dropped)
    return try Model(
      family: family, blueprint: blueprint, tensors: tensors, sideFiles: files, path: path,
      format: format, weightFiles: weightFiles, provenance: provenance)
  }

  private func isPrediction(_ tensor: Tensor) -> Bool {
    tensor.role.kind == .auxiliary && family.isPrediction(tensor.name, blueprint)
  }

  /// Whether it has layers of multi-token prediction, which share the number of experts, so that none can be left out.
  public var hasPrediction: Bool { tensors.contains { isPrediction($0) } }

  private func sideFiles(without dropped: DroppedExperts) throws(FormatError) -> [SideFile] {
    var files = sideFiles
    guard let index = files.firstIndex(where: { $0.name == "config.json" }) else { return files }
    var config = try Config(files[index].bytes.array, path: "\(path) (config.json)").object
    var text = config["text_config"]?.object ?? [:]
    for key in Set([family.config.expertCount, "num_experts", "num_local_experts"]).sorted() {
      if config[key] != nil { config[key] = JSON(dropped.left) }
      if text[key] != nil { text[key] = JSON(dropped.left) }
    }
    if config["text_config"]?.object != nil { config["text_config"] = .object(text) }
    // Of the first original, whose numbers a report is about.
    let all = try droppedExperts()?.followed(by: dropped) ?? dropped
    config[DroppedExperts.key] = all.json
    files[index].bytes = Bytes(Array(JSON.object(config).text(indented: true).utf8))
    return files
  }
}

extension Importance {
  /// By the numbers of the experts that are left.
  public func dropping(_ dropped: DroppedExperts?) -> Importance {
    guard let dropped else { return self }
    var found = Importance()
    for (role, means) in columns { if let left = dropped.role(role) { found.columns[left] = means } }
    for (role, count) in tokens { if let left = dropped.role(role) { found.tokens[left] = count } }
    return found
  }
}
