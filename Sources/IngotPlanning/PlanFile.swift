import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

/// A plan as people read, compare and edit it: JSON, one line for each tensor or stack of experts' tensors.
///
/// What decides an artifact is `format` and `tensors`; the rest tells how the plan was found and what is expected of it.
public struct PlanFile: Sendable {
  public var name: String
  /// Name of the container.
  public var format: String
  public var model: JSON?
  public var budget: JSON?
  public var sensitivity: JSON?
  public var predicted: Predicted?
  /// The best plans by rising budget, and models of one encoding: objects with `bitsPerWeight`, `tensorBytes` and
  /// `klDivergence`, the latter with `encoding` too.
  public var curve: [JSON] = []
  public var uniform: [JSON] = []
  /// By layer: its name, and the experts that are left out of it, such as `0-6, 9`. The whole file numbers experts as the original
  /// does.
  public private(set) var dropped: JSONObject
  /// By stack: its name, and its line.
  public private(set) var tensors: JSONObject
  /// By stack: the share of the predicted KL divergence, one number an expert, null for one that is dropped.
  public var errors: JSONObject = [:]

  /// What a plan's artifact is expected to be.
  public struct Predicted: Hashable, Sendable {
    /// Of the tensors that this was predicted for.
    public var checksum: String
    public var bytes: Int
    public var tensorBytes: Int
    public var bitsPerWeight: Double
    public var divergence: Prediction.Interval?
    public var gap: Double?

    public init(
      checksum: String, bytes: Int, tensorBytes: Int, bitsPerWeight: Double,
      divergence: Prediction.Interval? = nil, gap: Double? = nil
    ) {
      self.checksum = checksum
      self.bytes = bytes
      self.tensorBytes = tensorBytes
      self.bitsPerWeight = bitsPerWeight
      self.divergence = divergence
      self.gap = gap
    }
  }

  static let keys = [
    "plan", "name", "format", "model", "budget", "sensitivity", "predicted", "curve", "uniform", "dropped",
    "tensors", "errors",
  ]

  init(name: String, format: String, tensors: JSONObject, dropped: JSONObject = [:]) {
    self.name = name
    self.format = format
    self.tensors = tensors
    self.dropped = dropped
  }

  /// The file of a plan.
  ///
  /// - Parameter model: without the experts that the plan drops.
  public init(_ plan: Plan, format: String, for model: Model) {
    var stacks: [Role: [Encoding?: [Int]]] = [:]
    var order: [Role] = []
    let kept = plan.dropped.map { dropped in dropped.layers.indices.map { dropped.kept($0) } }
    for tensor in model.tensors where model.canQuantize(tensor) {
      let stack = tensor.role.stack
      if stacks[stack] == nil { order.append(stack) }
      let assignment = plan.assignments[tensor.role]
      let encoding = assignment?.quantizer == nil ? nil : assignment?.encoding
      let expert = tensor.role.expert ?? 0
      let number = tensor.role.expert == nil ? 0 : kept?[tensor.role.layer ?? 0][expert] ?? expert
      stacks[stack, default: [:]][encoding, default: []].append(number)
    }
    var lines: JSONObject = [:]
    for stack in order {
      func name(_ encoding: Encoding?) -> String { encoding?.description ?? "keep" }
      let runs = stacks[stack]!
      if runs.count == 1 {
        lines[StackName.text(stack)] = .string(name(runs.first!.key))
        continue
      }
      var line: JSONObject = [:]
      for (encoding, experts) in runs.sorted(by: { name($0.key) < name($1.key) }) {
        line[name(encoding)] = .string(Runs.text(experts))
      }
      lines[StackName.text(stack)] = .object(line)
    }
    var dropped: JSONObject = [:]
    for (layer, experts) in (plan.dropped?.layers ?? []).enumerated() {
      dropped[StackName.text(layer: layer)] = .string(Runs.text(experts))
    }
    self.init(name: plan.name, format: format, tensors: lines, dropped: dropped)
  }

  /// XXH3-64 of the tensors' lines and of what is dropped.
  public var checksum: String {
    let text = JSON.object(tensors).text() + (dropped.count > 0 ? JSON.object(dropped).text() : "")
    return hexDigits(XXH3.hash(Bytes(Array(text.utf8)).span))
  }

  /// Whether the tensors are those that the prediction is of.
  public var isAsPredicted: Bool { predicted?.checksum == checksum }

  public var text: String {
    var object: JSONObject = ["plan": 1, "name": .string(name), "format": .string(format)]
    object["model"] = model
    object["budget"] = budget
    object["sensitivity"] = sensitivity
    object["predicted"] = predicted?.json
    if !curve.isEmpty { object["curve"] = .array(curve) }
    if !uniform.isEmpty { object["uniform"] = .array(uniform) }
    if dropped.count > 0 { object["dropped"] = .object(dropped) }
    object["tensors"] = .object(tensors)
    if errors.count > 0 { object["errors"] = .object(errors) }
    return linesOfJSON(object, opening: ["predicted", "curve", "uniform", "dropped", "tensors", "errors"])
  }
}

extension PlanFile.Predicted {
  var json: JSON {
    var object: JSONObject = [
      "checksum": .string(checksum), "bytes": JSON(bytes), "tensorBytes": JSON(tensorBytes),
      "bitsPerWeight": JSON(rounded(bitsPerWeight)),
    ]
    if let divergence {
      object["klDivergence"] = .object(divergence.json(rounded))
    }
    if let gap { object["gap"] = JSON(rounded(gap)) }
    return .object(object)
  }

  init?(_ json: JSON) {
    guard let checksum = json["checksum"]?.string, let bytes = json["bytes"]?.int,
      let tensorBytes = json["tensorBytes"]?.int, let bits = json["bitsPerWeight"]?.double
    else { return nil }
    self.init(checksum: checksum, bytes: bytes, tensorBytes: tensorBytes, bitsPerWeight: bits)
    gap = json["gap"]?.double
    guard let found = json["klDivergence"] else { return }
    guard let mean = found["mean"]?.double, let low = found["low"]?.double, let high = found["high"]?.double
    else { return nil }
    divergence = .init(mean: mean, low: low, high: high)
    if let other = found["otherText"], let mean = other["mean"]?.double, let low = other["low"]?.double,
      let high = other["high"]?.double
    {
      divergence?.other = .init(mean: mean, low: low, high: high)
    }
    divergence?.uncertainty = found["uncertainty"]?.double
  }
}

extension Prediction.Interval {
  /// Under the names of plan files; `low` and `high` are for text like that which was measured.
  ///
  /// - Parameter value: makes a number what it is in the file.
  public func json(_ value: (Double) -> Double = { $0 }) -> JSONObject {
    var object: JSONObject = ["mean": JSON(value(mean)), "low": JSON(value(low)), "high": JSON(value(high))]
    if let other {
      object["otherText"] = [
        "mean": JSON(value(other.mean)), "low": JSON(value(other.low)), "high": JSON(value(other.high)),
      ]
    }
    if let uncertainty { object["uncertainty"] = JSON(value(uncertainty)) }
    return object
  }
}
