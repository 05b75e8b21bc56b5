import Tensors

/// What a model's files say it is: the figures that `inspect` prints and claims are held against.
public struct ModelSummary: Sendable {
  public var family: String
  public var numbers: Hyperparameters
  /// Experts of its original that it lacks, where its config says so.
  public var dropped: DroppedExperts?
  /// Values of all tensors.
  public var total: Int
  /// Values that take part in computing one token: all but the experts that are not chosen, and without embedding
  /// and head.
  public var active: Int
  /// Values by role class, in the order of the forward pass.
  public var byRole: [(part: Role.Part, parameters: Int, bytes: Int, tensors: Int)]
  /// Bytes by type of stored value.
  public var bytesByType: [(type: DType, bytes: Int)]
  /// Bytes by encoding.
  public var bytesByEncoding: [(encoding: Encoding, bytes: Int)]
  public var bytes: Int
  /// Tensors of multi-token prediction that the files hold.
  public var predictionTensors: Int
  public var license: String?

  public init(_ model: Model) {
    family = model.architecture.name
    numbers = model.hyperparameters
    dropped = try? model.droppedExperts()
    var roles: [Role.Part: (Int, Int, Int)] = [:]
    var types: [DType: Int] = [:]
    var encodings: [Encoding: Int] = [:]
    for tensor in model.tensors {
      let old = roles[tensor.role.part] ?? (0, 0, 0)
      roles[tensor.role.part] = (old.0 + tensor.count, old.1 + tensor.bytes, old.2 + 1)
      for plane in tensor.encoding.planes(tensor.shape)! { types[plane.dtype, default: 0] += plane.bytes }
      encodings[tensor.encoding, default: 0] += tensor.bytes
    }
    byRole = Role.Part.allCases.compactMap { part in
      roles[part].map { (part: part, parameters: $0.0, bytes: $0.1, tensors: $0.2) }
    }
    bytesByType = types.map { (type: $0.key, bytes: $0.value) }.sorted { $0.bytes > $1.bytes }
    bytesByEncoding = encodings.map { (encoding: $0.key, bytes: $0.value) }.sorted { $0.bytes > $1.bytes }
    bytes = model.bytes
    total = model.parameters
    predictionTensors = roles[.auxiliary]?.2 ?? 0
    func count(_ parts: [Role.Part]) -> Int { parts.reduce(0) { $0 + (roles[$1]?.0 ?? 0) } }
    let experts = count([.gate, .up, .down])
    let outside = count([.embedding, .head, .auxiliary, .unknown])
    active = total - experts - outside + experts / numbers.experts.count * numbers.experts.active
    license = ModelSummary.license(model)
  }

  /// Values with embedding and head that one token touches.
  public var activeWithEmbedding: Int {
    active + byRole.filter { [.embedding, .head].contains($0.part) }.reduce(0) { $0 + $1.parameters }
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

  public var attentionKind: String {
    let attention = numbers.attention
    let grouped = attention.heads == attention.keyValueHeads ? "multi-head" : "grouped-query"
    return "\(attention.slidingWindow == nil ? "full causal" : "sliding window"), \(grouped)"
  }

  /// The figures under the names that programs read.
  public func json(claims: [Claim.Verdict] = []) -> JSON {
    var types: JSONObject = [:]
    for (type, bytes) in bytesByType { types[type.rawValue] = JSON(bytes) }
    var roles: JSONObject = [:]
    for role in byRole { roles[role.part.rawValue] = JSON(role.parameters) }
    var encodings: JSONObject = [:]
    for (encoding, bytes) in bytesByEncoding { encodings["\(encoding)"] = JSON(bytes) }
    let attention = numbers.attention
    return [
      "family": .string(family), "layers": JSON(numbers.layers), "hiddenSize": JSON(numbers.hiddenSize),
      "vocabulary": JSON(numbers.vocabulary), "contextLength": JSON(numbers.contextLength),
      "attention": [
        "kind": .string(attentionKind), "heads": JSON(attention.heads),
        "keyValueHeads": JSON(attention.keyValueHeads), "headDim": JSON(attention.headDim),
      ],
      "slidingWindow": attention.slidingWindow.map { JSON($0) } ?? .null,
      "qkNorm": .string(attention.queryKeyNorm.rawValue),
      "rope": ["theta": JSON(attention.ropeTheta), "dims": JSON(attention.rotaryDims)],
      "experts": [
        "count": JSON(numbers.experts.count), "active": JSON(numbers.experts.active),
        "shared": JSON(numbers.experts.shared), "width": JSON(numbers.experts.width),
        "dropped": dropped?.json ?? .null,
      ],
      "parameters": [
        "total": JSON(total), "active": JSON(active), "activeWithEmbedding": JSON(activeWithEmbedding),
        "byRole": .object(roles),
      ],
      "predictionModules": [
        "announced": JSON(numbers.predictionModules), "tensors": JSON(predictionTensors),
      ],
      "bytes": JSON(bytes), "bytesByDType": .object(types), "bytesByEncoding": .object(encodings),
      "kvCacheBytesPerToken": JSON(numbers.keyValueCacheBytesPerToken), "license": JSON(license),
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
