import IngotModels
import IngotSystem
import IngotTensors

/// A mixer that this build can run. A kind of block conforms in its own file; one that does not is described, converted
/// and checked, but not run.
protocol ExecutableMixer: Mixer {
  /// Rotations that tables are to be made of, once for a pass.
  var rotations: [RotaryEmbedding] { get }
  /// The block's weights of a layer, decoded.
  ///
  /// - Parameter withOutput: whether the projection that ends the block is wanted; else it is empty.
  func executor(
    _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor
}

/// The weights of a mixer at work.
protocol MixerExecutor: Sendable {
  /// Values of a token that go into the output projection.
  var outputInputs: Int { get }
  /// (hidden, outputInputs)
  var output: LinearWeights { get set }
  /// (hidden); empty for none.
  var outputBias: [Float] { get }
  /// Large weights that read the mixer's input, whose products several sequences may take together.
  var inputWeights: [LinearWeights] { get }
  /// Leaves what goes into the output projection in `buffers.attended`: (tokens, outputInputs).
  ///
  /// - Parameters:
  ///   - inputs: normalized states, (tokens, hidden), of one context from its first position on, or from behind the tokens that
  ///     `carried.past` has.
  ///   - carried: what earlier layers left, and what this one leaves. A past gets these tokens too.
  ///   - show: is shown what taps within the block have, by name: (tokens, columns).
  func run(
    _ inputs: InputRows, tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void) throws(FormatError)
}

extension LaneModel {
  /// Large weights of a layer by kind, decoded side by side, or as they are stored where products take them so.
  func weights(_ kinds: [TensorKind], layer: Int, _ workers: Workers) async throws(FormatError)
    -> [TensorKind: LinearWeights]
  {
    var weights: [TensorKind: LinearWeights] = [:]
    if let products {
      for kind in kinds { weights[kind] = .stored(try model.required(kind, layer: layer), products) }
      return weights
    }
    let model = model
    try await workers.inOrder(kinds.count) { index, _ throws(FormatError) in
      try model.values(kinds[index], layer: layer)
    } deliver: { index, values in
      weights[kinds[index]] = .decoded(values)
    }
    return weights
  }
}

extension Blueprint {
  /// The mixer of a layer to run.
  func executable(layer: Int, of model: Model) throws(FormatError) -> any ExecutableMixer {
    guard let mixer = layers[layer].mixer as? any ExecutableMixer else {
      throw FormatError(
        path: model.path, expected: "a kind of attention that can be run",
        found: "\(layers[layer].mixer.summary) in layer \(layer)")
    }
    return mixer
  }

  /// Tables of all rotations of the model.
  func rotations(positions: Int) -> [RotaryEmbedding: Rotation] {
    var tables: [RotaryEmbedding: Rotation] = [:]
    for layer in layers {
      for rotation in (layer.mixer as? any ExecutableMixer)?.rotations ?? [] where tables[rotation] == nil {
        tables[rotation] = Rotation(rotation, positions: positions)
      }
    }
    return tables
  }
}
