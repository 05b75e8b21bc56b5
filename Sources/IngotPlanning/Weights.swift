import IngotModels
import IngotSystem
import IngotTensors

/// Bytes of a model's weights by where they may lie and how often a token reads them.
public struct Weights: Sendable {
  /// All experts of all layers.
  public var experts = 0
  /// Experts of the layer that has the most.
  public var largestLayer = 0
  /// Attention, norms and routers of all layers.
  public var shared = 0
  public var embedding = 0
  public var head = 0
  /// Values in a group of the experts' encoding; nil when a row may be cut anywhere or experts differ.
  public var expertGroup: Int?

  public var total: Int { experts + shared + embedding + head }

  public init() {}

  public init(_ model: Model, _ plan: Plan) { self.init(model, plan, counts: [:]) }

  /// - Parameter counts: for how many tensors one stands, where it is not for itself alone.
  package init(_ model: Model, _ plan: Plan, counts: [Role: Int]) {
    var layers = [Int](repeating: 0, count: model.blueprint.layerCount)
    var groups = Set<Int>()
    for tensor in model.tensors {
      let encoding = plan.assignments[tensor.role]?.encoding ?? tensor.encoding
      let bytes = (encoding.bytes(tensor.shape) ?? tensor.bytes) * (counts[tensor.role] ?? 1)
      if tensor.role.expert != nil {
        experts += bytes
        if let layer = tensor.role.layer { layers[layer] += bytes }
        if let group = encoding.group { groups.insert(group) }
      } else if tensor.role == model.blueprint.headRole {
        // A tied embedding is read whole for every token.
        head += bytes
      } else if tensor.role == Role(.embedding) {
        embedding += bytes
      } else {
        shared += bytes
      }
    }
    largestLayer = layers.max() ?? 0
    expertGroup = groups.max()
  }

  /// Bytes of weights that one token reads, experts and the rest apart: `active` experts of each layer, the head, and a
  /// row of the embedding, which is not counted.
  func read(_ blueprint: Blueprint) -> (experts: Double, rest: Double) {
    (
      Double(experts) * Double(blueprint.experts.perToken) / Double(max(blueprint.experts.count, 1)),
      Double(shared + head)
    )
  }
}

extension Encoding {
  /// Values along a row that share a scale and so must not be cut apart; nil when there are none such.
  var group: Int? {
    switch self {
    case .dense, .trellis: nil
    case .tiles: 128
    case .blockScaled(let scheme): scheme.blockColumns
    case .affine(let scheme): scheme.group
    case .microScaled(let scheme): scheme.group
    case .columnPacked(let scheme): scheme.group
    case .ggml(let type): type.blockWeights
    }
  }
}

/// Precision of keys and values in the cache.
public enum CachePrecision: String, CaseIterable, Sendable {
  case f16, fp8
  case q80 = "q8_0"
  case q40 = "q4_0"

  /// Bits a value, scales included: blocks of 32 share an F16.
  public var bits: Double {
    switch self {
    case .f16: 16
    case .fp8: 8
    case .q80: 8.5
    case .q40: 4.5
    }
  }
}

extension Blueprint {
  /// Bytes of keys and values of a context of so many tokens; a sliding window holds no more than its own.
  public func cacheBytes(context: Int, _ precision: CachePrecision) -> Int {
    let values = layers.reduce(0) { sum, layer in
      sum + layer.mixer.cachedValuesPerToken * min(context, layer.mixer.window ?? context)
    }
    return Int((Double(2 * values) * precision.bits / 16).rounded(.up))
  }

  /// Values that one token takes in the layer that takes most, beside the residual stream: the mixer's, and what gated MLPs
  /// take in, make inside and give back.
  var mostActivations: Int {
    layers.map { layer in
      layer.mixer.activationsPerToken
        + layer.feedForward.perToken * (2 * hiddenSize + 3 * layer.feedForward.intermediateSize)
    }.max() ?? 0
  }
}
