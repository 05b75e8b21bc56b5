import IngotModels
import IngotSystem
import IngotTensors

/// Quantized models on their way through some contexts beside the original, layer by layer, to the KL divergence of each.
///
/// Results do not depend on the number of workers.
public struct WholePass: Sendable {
  private var original: ForwardPass
  private var models: [ForwardPass]
  /// The layer that comes next.
  public private(set) var layer: Int

  /// - Parameter states: where an earlier pass of the same ended (`states`), after `layer` layers; nil to begin.
  public init(
    _ model: Model, _ models: [Model], _ contexts: [Context], workers count: Int, layer: Int = 0,
    states: [[Float]]? = nil
  ) throws(FormatError) {
    let workers = Workers(count)
    self.layer = layer
    precondition(
      states.map { $0.count == (1 + models.count) * contexts.count } ?? (layer == 0), "models × contexts")
    func some(_ place: Int) -> [[Float]]? {
      states.map { Array($0[place * contexts.count..<(place + 1) * contexts.count]) }
    }
    original = try ForwardPass(model, contexts, workers, states: some(0))
    var passes: [ForwardPass] = []
    for (index, quantized) in models.enumerated() {
      passes.append(try ForwardPass(quantized, contexts, workers, states: some(1 + index)))
    }
    self.models = passes
  }

  /// All states, to go on from: (1 + models) × contexts.
  public var states: [[Float]] { original.states + models.flatMap(\.states) }

  /// Values of each of the states.
  public static func counts(_ model: Model, _ contexts: [Context], models: Int) -> [Int] {
    let each = contexts.map { $0.tokens.count * model.blueprint.hiddenSize }
    return (0...models).flatMap { _ in each }
  }

  /// Takes all models through the next layer.
  public mutating func run() async throws(FormatError) {
    _ = try await original.run(layer: layer)
    for index in models.indices { _ = try await models[index].run(layer: layer) }
    layer += 1
  }

  /// Divergences from the original, once all layers have been passed.
  public func divergences() async throws(FormatError) -> [SensitivityPass.Divergence] {
    precondition(layer == original.blueprint.layerCount, "all layers are passed first")
    var found: [SensitivityPass.Divergence] = []
    for pass in models { found.append(try await original.divergence(of: pass)) }
    return found
  }
}
