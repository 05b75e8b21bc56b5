import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What comes behind the feed-forward of a layer, decoded: an input of the layer's own, then a factor on the state.
///
/// The input of layer l is p = (norm(P_l s / √hidden) + √width · E_l[token]) / √2, s being the state before the first layer; the
/// state x becomes x + norm(W (gelu(G x) ∘ p)). Source: transformers' `gemma4`.
struct LayerTail: Sendable {
  private let layer: Int
  private let hidden: Int
  private let scale: Float
  /// nil for a layer without an input of its own.
  private let input: Input?

  private struct Input: Sendable {
    let width: Int
    let statePart: [Float]
    let stateNorm: DecodedNorm
    let gate: [Float]
    let projection: [Float]
    let norm: DecodedNorm
    let activation: GatedActivation
    /// The token's part by token.
    let embedding: [Int: [Float]]
  }

  /// - Returns: nil for a layer that ends with its feed-forward.
  init?(_ source: LaneModel, layer index: Int, _ contexts: [Context]) throws(FormatError) {
    let (model, blueprint) = (source.model, source.blueprint)
    let layer = blueprint.layers[index]
    guard layer.hasScale || blueprint.layerInputWidth != nil else { return nil }
    self.layer = index
    hidden = blueprint.hiddenSize
    scale = layer.hasScale ? try model.finiteValues(.layerScale, layer: index)[0] : 1
    guard let width = blueprint.layerInputWidth else {
      input = nil
      return
    }
    let norm = layer.feedForwardNorm
    let table = try model.required(.layerInputEmbedding)
    var rows: [Int: [Float]] = [:]
    var buffer: [Float] = []
    let step = table.rowStep
    for token in Set(contexts.flatMap(\.tokens)).sorted() {
      let first = token / step * step
      try table.decode(rows: first..<min(first + step, table.rows), into: &buffer)
      let start = (token - first) * table.columns + index * width
      rows[token] = Array(buffer[start..<start + width])
    }
    let states = try model.required(.layerInputStateProjection)
    input = Input(
      width: width, statePart: try states.floats(rows: index * width..<(index + 1) * width),
      stateNorm: try model.norm(.layerInputStateNorm, norm),
      gate: try model.values(.layerInputGate, layer: index),
      projection: try model.values(.layerInputProjection, layer: index),
      norm: try model.norm(.layerInputNorm, layer: index, norm), activation: layer.feedForward.activation,
      embedding: rows)
  }

  /// - Parameter state: (tokens, hidden)
  func apply(to state: inout [Float], _ carried: Carried, _ context: Context) {
    if let input {
      let (tokens, width) = (context.tokens.count, input.width)
      var own: [Float] = []
      linear(
        carried.embedded, input.statePart, tokens: tokens, inputs: hidden, outputs: width, into: &own)
      let share = 1 / Float(hidden).squareRoot()
      for index in own.indices { own[index] *= share }
      own = input.stateNorm.rows(own)
      let (root, half) = (Float(width).squareRoot(), Float(0.5).squareRoot())
      for (position, token) in context.tokens.enumerated() {
        let row = input.embedding[token]!
        for column in 0..<width {
          own[position * width + column] = (own[position * width + column] + root * row[column]) * half
        }
      }
      var gated: [Float] = []
      linear(state, input.gate, tokens: tokens, inputs: hidden, outputs: width, into: &gated)
      activate(&gated, own, count: tokens * width, input.activation)
      var outputs: [Float] = []
      linear(gated, input.projection, tokens: tokens, inputs: width, outputs: hidden, into: &outputs)
      IngotInference.add(input.norm.rows(outputs), to: &state)
    }
    if scale != 1 { for index in state.indices { state[index] *= scale } }
  }
}
