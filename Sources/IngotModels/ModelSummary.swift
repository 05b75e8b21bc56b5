import IngotSystem
import IngotTensors

/// What a model's files say it is: the figures that `inspect` prints and claims are held against.
public struct ModelSummary: Sendable {
  public var family: String
  public var blueprint: Blueprint
  /// Experts of its original that it lacks, where its config says so.
  public var dropped: DroppedExperts?
  /// Values of all tensors.
  public var total: Int
  /// Values that take part in computing one token: all but the experts that are not chosen, and without embedding
  /// and head.
  public var active: Int
  /// Values by role class, in the order of the forward pass.
  public var byRole: [(kind: TensorKind, parameters: Int, bytes: Int, tensors: Int)]
  /// Bytes of each encoding of a role class, the most first.
  public private(set) var encodings: [TensorKind: [(encoding: Encoding, bytes: Int)]] = [:]
  /// Bytes by type of stored value.
  public var bytesByType: [(type: DType, bytes: Int)]
  /// Bytes by what the files call it: a type of stored value, or a block type of GGML.
  public var bytesByName: [(name: String, bytes: Int)]
  /// Bytes by encoding.
  public var bytesByEncoding: [(encoding: Encoding, bytes: Int)]
  public var bytes: Int
  /// Tensors of multi-token prediction that the files hold, and their values.
  public var prediction: (tensors: Int, parameters: Int) = (0, 0)
  /// Tensors of other models beside the text model, such as one that sees, and their values.
  public var otherModels: (tensors: Int, parameters: Int) = (0, 0)
  /// Values of all tensors but those of multi-token prediction.
  public var totalWithoutPrediction: Int { total - prediction.parameters }
  public var license: String?

  public init(_ model: Model) {
    family = model.family.name
    blueprint = model.blueprint
    dropped = try? model.droppedExperts()
    var roles: [TensorKind: (Int, Int, Int)] = [:]
    var types: [DType: Int] = [:]
    var encodings: [Encoding: Int] = [:]
    var own: [TensorKind: [Encoding: Int]] = [:]
    var names: [String: Int] = [:]
    var unused = 0
    for tensor in model.tensors {
      if tensor.role.isOutsideBlocks || TensorKind.tables.contains(tensor.role.kind) {
        unused += tensor.count
      }
      let old = roles[tensor.role.kind] ?? (0, 0, 0)
      roles[tensor.role.kind] = (old.0 + tensor.count, old.1 + tensor.bytes, old.2 + 1)
      for plane in tensor.encoding.planes(tensor.shape)! {
        types[plane.dtype, default: 0] += plane.bytes
        var name = plane.dtype.rawValue
        if case .ggml(let type) = tensor.encoding { name = type.description.uppercased() }
        names[name, default: 0] += plane.bytes
      }
      encodings[tensor.encoding, default: 0] += tensor.bytes
      own[tensor.role.kind, default: [:]][tensor.encoding, default: 0] += tensor.bytes
    }
    self.encodings = own.mapValues { all in
      all.map { (encoding: $0.key, bytes: $0.value) }.sorted {
        ($1.bytes, $0.encoding.description) < ($0.bytes, $1.encoding.description)
      }
    }
    let others = Set(roles.keys).subtracting(TensorKind.known).sorted { $0.rawValue < $1.rawValue }
    byRole = (TensorKind.known + others).compactMap { kind in
      roles[kind].map { (kind: kind, parameters: $0.0, bytes: $0.1, tensors: $0.2) }
    }
    bytesByType = types.map { (type: $0.key, bytes: $0.value) }.sorted { $0.bytes > $1.bytes }
    bytesByName = names.map { (name: $0.key, bytes: $0.value) }.sorted {
      ($1.bytes, $0.name) < ($0.bytes, $1.name)
    }
    bytesByEncoding = encodings.map { (encoding: $0.key, bytes: $0.value) }.sorted { $0.bytes > $1.bytes }
    bytes = model.bytes
    total = model.parameters
    for tensor in model.tensors where tensor.role.kind == .auxiliary {
      if model.family.isPrediction(tensor.name, model.blueprint) {
        prediction = (prediction.tensors + 1, prediction.parameters + tensor.count)
      } else {
        otherModels = (otherModels.tensors + 1, otherModels.parameters + tensor.count)
      }
    }
    // Experts that a token does not go to.
    let idle = blueprint.layers.reduce(0) { sum, layer in
      let experts = layer.feedForward.tensors.reduce(0) { $0 + ($1.experts == nil ? 0 : $1.parameters) }
      return sum + experts / layer.feedForward.count * (layer.feedForward.count - layer.feedForward.perToken)
    }
    active = total - idle - unused
    license = ModelSummary.license(model)
  }

  /// Values of multi-token prediction and of what else is no part of the text model, such as vision.
  public var predictionParameters: Int { parameters(of: [.auxiliary]) }

  /// Active values with the matrix that the logits come from: the embedding's where it is tied.
  public var activeWithHead: Int { active + parameters(of: blueprint.isHeadTied ? [.embedding] : [.head]) }

  private func parameters(of kinds: Set<TensorKind>) -> Int {
    byRole.reduce(0) { $0 + (kinds.contains($1.kind) ? $1.parameters : 0) }
  }

  /// Values with embedding and head that one token touches.
  public var activeWithEmbedding: Int {
    active + parameters(of: TensorKind.tables)
  }

  /// The licence by the model card's front matter; else the name of a licence file.
  private static func license(_ model: Model) -> String? {
    if let card = model.sideFile("README.md") {
      let lines = String(decoding: card.bytes.array.prefix(65_536), as: UTF8.self)
        .split(separator: "\n", omittingEmptySubsequences: false)
      if lines.first == "---" {
        for line in lines.dropFirst() {
          if line == "---" { break }
          if line.hasPrefix("license:") {
            return line.dropFirst(8).split(separator: " ").joined(separator: " ")
          }
        }
      }
    }
    return model.sideFiles.first { $0.name.uppercased().hasPrefix("LICENSE") }.map { "file \($0.name)" }
  }

  /// The kinds of attention of all layers, and how many layers have each where they differ.
  public var attentionKind: String {
    var order: [String] = []
    var counts: [String: Int] = [:]
    for layer in blueprint.layers {
      if counts.updateValue((counts[layer.mixer.summary] ?? 0) + 1, forKey: layer.mixer.summary) == nil {
        order.append(layer.mixer.summary)
      }
    }
    if order.count <= 1 { return order.first ?? "none" }
    return order.map { "\($0) (\(counts[$0]!) layers)" }.joined(separator: "; ")
  }

  /// The figures under the names that programs read.
  public func json(claims: [Claim.Verdict] = []) -> JSON {
    var types: JSONObject = [:]
    for (type, bytes) in bytesByType { types[type.rawValue] = JSON(bytes) }
    var roles: JSONObject = [:]
    for role in byRole { roles[role.kind.rawValue] = JSON(role.parameters) }
    var byKind: JSONObject = [:]
    for role in byRole {
      var bytes: JSONObject = [:]
      for own in self.encodings[role.kind] ?? [] { bytes[own.encoding.description] = JSON(own.bytes) }
      byKind[role.kind.rawValue] = .object(bytes)
    }
    var encodings: JSONObject = [:]
    for (encoding, bytes) in bytesByEncoding { encodings["\(encoding)"] = JSON(bytes) }
    let attention = blueprint.headed
    let experts = blueprint.experts
    return [
      "family": .string(family), "layers": JSON(blueprint.layerCount),
      "hiddenSize": JSON(blueprint.hiddenSize),
      "vocabulary": JSON(blueprint.vocabulary), "contextLength": JSON(blueprint.contextLength),
      "attention": [
        "kind": .string(attentionKind), "heads": attention.map { JSON($0.heads) } ?? .null,
        "keyValueHeads": attention.map { JSON($0.keyValueHeads) } ?? .null,
        "headDim": attention.map { JSON($0.headDim) } ?? .null,
      ],
      "slidingWindow": blueprint.slidingWindow.map { JSON($0) } ?? .null,
      "qkNorm": (attention?.queryKeyNorm.rawValue).map { .string($0) } ?? .null,
      "rope": attention?.rotation.map { ["theta": JSON($0.theta), "dims": JSON($0.dims)] } ?? .null,
      "tiedHead": .bool(blueprint.isHeadTied), "mixtureLayers": JSON(blueprint.mixtures.count),
      "intermediateSize": JSON(
        blueprint.layers.first { !$0.feedForward.isMixture }?.feedForward.intermediateSize ?? 0),
      "experts": [
        "count": JSON(experts.count), "active": JSON(experts.perToken),
        "shared": JSON(experts.shared), "width": JSON(experts.intermediateSize),
        "dropped": dropped?.json ?? .null,
      ],
      "parameters": [
        "total": JSON(total), "totalWithoutPrediction": JSON(totalWithoutPrediction), "active": JSON(active),
        "activeWithEmbedding": JSON(activeWithEmbedding),
        "byRole": .object(roles),
      ],
      "predictionModules": [
        "announced": JSON(blueprint.predictionLayers), "tensors": JSON(prediction.tensors),
        "parameters": JSON(prediction.parameters),
      ],
      "otherModels": [
        "tensors": JSON(otherModels.tensors), "parameters": JSON(otherModels.parameters),
      ],
      "encodingsByRole": .object(byKind), "bytes": JSON(bytes), "bytesByDType": .object(types),
      "bytesByEncoding": .object(encodings),
      "kvCacheBytesPerToken": JSON(blueprint.keyValueCacheBytesPerToken), "license": JSON(license),
      "claims": .array(
        claims.map {
          [
            "claim": .string("\($0.claim.name)=\($0.claim.value)"), "holds": .bool($0.holds),
            "actual": .string($0.actual), "readFrom": .string($0.source),
          ]
        }),
    ]
  }
}
