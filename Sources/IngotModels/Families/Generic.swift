import IngotSystem
import IngotTensors

extension Family {
  /// Name of the family of checkpoints that none is written for.
  public static let genericName = "unknown"

  /// A `model_type` that nobody has written a family for: named tensors and nothing else. Such a model is read, checked,
  /// quantized by names and written by containers that take names as they are; what needs a forward pass is refused.
  public static func generic(_ modelType: String?) -> Family {
    Family(
      name: genericName, modelTypes: modelType.map { [$0] } ?? [], classNames: [], names: TensorNames([]),
      auxiliary: []
    ) { _ in .unknown }
  }

  /// Whether nothing but names is known.
  public var isGeneric: Bool { name == Family.genericName }

  /// The family of a config, or the generic one for a `model_type` that no family is written for.
  ///
  /// - Throws: FormatError for a config without a `model_type` that is text.
  public static func any(_ config: Config) throws(FormatError) -> Family {
    if let family = known(config) { return family }
    guard let value = config["model_type"] else {
      throw config.error("model_type", "the name of a model family", found: "no such key")
    }
    guard let type = value.string else { throw config.error("model_type", "text", found: value.kind) }
    return generic(type)
  }

  /// What a generic model may have quantized by default: matrices of at least so many values…
  public static let leastGenericValues = 1 << 12
  /// … whose names have none of these pieces. Embeddings, heads, routers, norms, convolutions and what decides more than it
  /// weighs stay as they are; a recipe's rule with `names` asks for any other matrix.
  public static let keptNames = [
    "embed", "wte", "wpe", "lm_head", "output_proj_head", "head.weight", "score", "classifier", "norm", "ln_",
    "router", ".gate.weight", "gate_inp", "shared_expert_gate", "bias", "conv", "a_log", "dt_", "time_",
    "pos_",
    "position", "rotary", "inv_freq", "sinks", "lora", "adapter", "vision", "visual", "image", "audio", "mm_",
    "projector", "patch",
  ]

  static func isGenericLinear(_ tensor: Tensor) -> Bool {
    guard tensor.shape.count == 2, tensor.count >= leastGenericValues else { return false }
    if case .dense(let type) = tensor.encoding, !type.isDecodable { return false }
    return !isKept(tensor.name)
  }

  /// Pieces of `keptNames` by their first byte: a checkpoint has up to 200,000 names, and every recipe asks for each.
  private static let keptByFirstByte: [[[UInt8]]] = {
    var pieces = [[[UInt8]]](repeating: [], count: 256)
    for piece in keptNames.map({ Array($0.utf8) }) { pieces[Int(piece[0])].append(piece) }
    return pieces
  }()

  /// Whether a name has one of the pieces, in upper or lower case.
  package static func isKept(_ name: String) -> Bool {
    let bytes = name.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    return bytes.indices.contains { start in
      keptByFirstByte[Int(bytes[start])].contains { bytes[start...].starts(with: $0) }
    }
  }
}

extension Blueprint {
  /// A model of which nothing is known but its tensors' names.
  public static let unknown = Blueprint(
    hiddenSize: 0, vocabulary: 0, contextLength: 0, layers: [], finalNorm: Norm(epsilon: 0), isKnown: false)
}

extension Model {
  /// Refuses a model whose forward pass nobody has written, saying what would make it known.
  public func requireForwardPass() throws(FormatError) {
    guard blueprint.isKnown else {
      let type = family.modelTypes.first.map { "model_type \"\(printable($0))\"" } ?? "an unknown model_type"
      throw FormatError(
        path: path,
        expected: "a family with a forward pass: \(Family.all.flatMap(\.modelTypes).joined(separator: ", "))",
        found:
          "\(type); inspect, check, quantize and convert work, and a file in Sources/IngotModels/Families makes it known"
      )
    }
    // Kept for the user, or for multi-token prediction, the pass can do without it; what a block should compute with, it cannot.
    let missing = tensors.first {
      $0.role.isOutsideBlocks && ![.auxiliary, .unknown, .activationScale].contains($0.role.kind)
    }
    if let missing {
      throw missing.error(
        "kinds of tensors that a block of this build computes with",
        found: "'\(missing.role.kind.rawValue)'; inspect, check, quantize and convert work")
    }
  }
}
