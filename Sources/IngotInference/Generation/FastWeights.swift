import IngotModels
import IngotSystem
import IngotTensors

/// Which weights of a model are multiplied with activations of 8 bits where that is asked for, and which with those in F32.
public struct FastWeights: Hashable, Sendable {
  /// Bytes of linear layers that are multiplied with rounded activations.
  public private(set) var rounded = 0
  /// Bytes of the others by encoding, most first.
  public private(set) var others: [Other] = []

  public struct Other: Hashable, Sendable {
    public var encoding: String
    public var bytes: Int
  }

  public init(_ model: Model) {
    let blueprint = model.blueprint
    var bytes: [String: Int] = [:]
    for tensor in model.tensors {
      let role = tensor.role
      guard role == blueprint.headRole || (role.layer != nil && blueprint.isLinear(role)) else { continue }
      if tensor.encoding.multipliesRounded(columns: tensor.columns) {
        rounded += tensor.bytes
      } else {
        bytes[tensor.encoding.description, default: 0] += tensor.bytes
      }
    }
    others = bytes.map { Other(encoding: $0.key, bytes: $0.value) }.sorted {
      ($1.bytes, $0.encoding) < ($0.bytes, $1.encoding)
    }
  }

  /// Of the bytes of all linear layers.
  public var share: Double {
    let all = rounded + others.reduce(0) { $0 + $1.bytes }
    return all == 0 ? 0 : Double(rounded) / Double(all)
  }

  /// A line for a person.
  public var text: String {
    let rest = others.prefix(4).map { "\($0.encoding) (\(decimal($0.bytes)))" }
    let more = others.count > 4 ? ", and \(others.count - 4) others" : ""
    return "activations rounded to 8 bits for \(fixed(100 * share, 1)) % of the linear layers' bytes"
      + (rest.isEmpty ? "" : "; in F32 for \(rest.joined(separator: ", "))\(more)")
  }

  public var json: JSON {
    [
      "roundedBytes": JSON(rounded),
      "f32Bytes": .array(others.map { ["encoding": .string($0.encoding), "bytes": JSON($0.bytes)] }),
    ]
  }
}
