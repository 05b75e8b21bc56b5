import IngotModels
import IngotSystem
import IngotTensors

/// Quantized models on their way through some contexts beside the original, layer by layer, to the KL divergence of each.
///
/// Results do not depend on the number of workers.
public struct WholePass: Sendable {
  private var original: Lane
  private var models: [Lane]
  private let workers: Workers
  /// The layer that comes next.
  public private(set) var layer: Int

  /// - Parameter states: where an earlier pass of the same ended (`states`), after `layer` layers; nil to begin.
  public init(
    _ model: Model, _ models: [Model], _ contexts: [Context], workers count: Int, layer: Int = 0,
    states: [[Float]]? = nil
  ) throws(FormatError) {
    workers = Workers(count)
    self.layer = layer
    precondition(
      states.map { $0.count == (1 + models.count) * contexts.count } ?? (layer == 0), "models × contexts")
    func some(_ place: Int) -> [[Float]]? {
      states.map { Array($0[place * contexts.count..<(place + 1) * contexts.count]) }
    }
    original = try Lane(model, contexts, snapshot: some(0))
    var lanes: [Lane] = []
    for (index, quantized) in models.enumerated() {
      lanes.append(try Lane(quantized, contexts, snapshot: some(1 + index)))
    }
    self.models = lanes
  }

  /// All states, to go on from: (1 + models) × contexts.
  public var states: [[Float]] { original.snapshot + models.flatMap(\.snapshot) }

  /// Values of each of the states.
  public static func counts(_ model: Model, _ contexts: [Context], models: Int) -> [Int] {
    let each = passStateCounts(model, contexts)
    return (0...models).flatMap { _ in each }
  }

  /// Takes all models through the next layer.
  public mutating func run() async throws(FormatError) {
    try await original.run(layer: layer, workers)
    for index in models.indices { try await models[index].run(layer: layer, workers) }
    layer += 1
  }

  /// Divergences from the original, once all layers have been passed.
  public func divergences() async throws(FormatError) -> [SensitivityPass.Divergence] {
    precondition(layer == original.blueprint.layerCount, "all layers are passed first")
    var found: [SensitivityPass.Divergence] = []
    for lane in models {
      found.append(try await original.divergence(of: lane, workers))
      // What the head was made with.
      try lane.head.unit?.drop()
    }
    return found
  }
}
