import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

/// What quantizing did to the outputs of each tensor and each expert: shares of their energy, from any task.
final class OutputErrors: Sendable {
  private struct Found {
    /// By the Hessian that codes were chosen with.
    var expected: [Role: Double] = [:]
    /// All projections of an expert together, on tokens of its own.
    var measured: [Place: (tokens: Int, share: Double)] = [:]
  }

  /// An expert of a layer, or its dense MLP, which counts as expert 0.
  private struct Place: Hashable {
    var layer: Int
    var expert: Int
  }

  private let found = Mutex(Found())

  func add(_ role: Role, expected share: Double) { found.withLock { $0.expected[role] = share } }

  func add(layer: Int, expert: Int, tokens: Int, measured share: Double) {
    found.withLock { $0.measured[Place(layer: layer, expert: expert)] = (tokens, share) }
  }

  /// How many experts the table names.
  private static let named = 5

  /// Mean and largest by part, and the experts that come off worst.
  var table: String {
    let found = found.withLock { $0 }
    var table = Table(["output error", "tensors", "mean", "largest", "at"], left: [0, 4])
    let parts = Dictionary(grouping: found.expected, by: \.key.kind)
    for part in TensorKind.known {
      guard let worst = parts[part]?.max(by: { ($0.value, "\($1.key)") < ($1.value, "\($0.key)") }) else {
        continue
      }
      let values = parts[part]!.map(\.value)
      table.add([
        part.rawValue, grouped(values.count), percent(values.reduce(0, +) / Double(values.count)),
        percent(worst.value), place(worst.key),
      ])
    }
    guard !found.measured.isEmpty else { return table.text }
    let kinds = TensorKind.mlpLinears
    var experts = Table(["worst experts", "tokens"] + kinds.map(\.rawValue) + ["measured"])
    func order(_ place: Place) -> String { "layer \(place.layer), expert \(place.expert), " }
    let worst = found.measured.sorted { ($1.value.share, order($0.key)) < ($0.value.share, order($1.key)) }
    for (place, value) in worst.prefix(OutputErrors.named) {
      func expected(_ kind: TensorKind) -> String {
        let share =
          found.expected[Role(kind, layer: place.layer, expert: place.expert)]
          ?? found.expected[Role(kind, layer: place.layer)]
        return share.map(percent) ?? ""
      }
      experts.add(
        ["layer \(place.layer), expert \(place.expert)", grouped(value.tokens)] + kinds.map(expected)
          + [percent(value.share)])
    }
    return table.text + "\n" + experts.text
  }

  private func percent(_ share: Double) -> String { fixed(100 * share, 4) + " %" }

  private func place(_ role: Role) -> String {
    guard let layer = role.layer else { return "" }
    return role.expert.map { "layer \(layer), expert \($0)" } ?? "layer \(layer)"
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
