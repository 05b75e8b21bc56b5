import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// What quantizing did to the outputs of each tensor and each expert: shares of their energy, from any task.
package final class OutputErrors: Sendable {
  private struct Found {
    /// By the Hessian that codes were chosen with.
    var expected: [Role: Double] = [:]
    /// All projections of an expert together, on tokens of its own.
    var measured: [Place: (tokens: Int, share: Double)] = [:]
  }

  /// An expert of a layer, or its dense MLP, which counts as expert 0.
  package struct Place: Hashable, Sendable {
    package let layer: Int
    package let expert: Int
  }

  private let found = Mutex(Found())

  func add(_ role: Role, expected share: Double) { found.withLock { $0.expected[role] = share } }

  func add(layer: Int, expert: Int, tokens: Int, measured share: Double) {
    found.withLock { $0.measured[Place(layer: layer, expert: expert)] = (tokens, share) }
  }

  /// Expected errors by tensor, and those measured by expert, so far.
  package var all: (expected: [Role: Double], measured: [Place: (tokens: Int, share: Double)]) {
    found.withLock { ($0.expected, $0.measured) }
  }

  /// By part over all layers.
  var parts: JSON {
    let parts = Dictionary(grouping: found.withLock { $0.expected }, by: \.key.kind)
    return .array(
      TensorKind.known.compactMap { part -> JSON? in
        guard let values = parts[part]?.map(\.value), let largest = values.max() else { return nil }
        return [
          "part": .string(part.rawValue), "tensors": JSON(values.count),
          "mean": JSON(values.reduce(0, +) / Double(values.count)), "largest": JSON(largest),
        ]
      })
  }

  /// By layer: expected errors of the attention's projections, and of each expert's with what was measured.
  var layers: JSON {
    let found = found.withLock { $0 }
    let layers = Dictionary(grouping: found.expected.filter { $0.key.layer != nil }, by: { $0.key.layer! })
    return .array(
      layers.sorted { $0.key < $1.key }.map { layer, entries in
        let experts = Dictionary(grouping: entries.filter { $0.key.expert != nil }, by: { $0.key.expert! })
        var object = errors(entries.filter { $0.key.expert == nil })
        object["layer"] = JSON(layer)
        object["experts"] = .array(
          experts.sorted { $0.key < $1.key }.map { expert, entries in
            var object = errors(entries)
            object["expert"] = JSON(expert)
            if let measured = found.measured[Place(layer: layer, expert: expert)] {
              object["tokens"] = JSON(measured.tokens)
              object["measured"] = JSON(measured.share)
            }
            return .object(object)
          })
        return .object(object)
      })
  }

  private func errors(_ entries: [Dictionary<Role, Double>.Element]) -> JSONObject {
    var object: JSONObject = [:]
    for part in TensorKind.known {
      if let entry = entries.first(where: { $0.key.kind == part }) {
        object[part.rawValue] = JSON(entry.value)
      }
    }
    return object
  }
}
