import IngotModels
import IngotSystem
import IngotTensors

extension GroupedQueryAttention: ExecutableMixer {
  var rotations: [RotaryEmbedding] { rotary.map { [$0] } ?? [] }

  func executor(
    _ model: Model, layer: Int, _ tables: [RotaryEmbedding: Rotation], _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await GroupedQueryExecutor(self, model, layer: layer, tables, workers, withOutput: withOutput)
  }
}

/// Grouped-query attention of one layer, its weights decoded to F32.
private struct GroupedQueryExecutor: MixerExecutor {
  let block: GroupedQueryAttention
  let rotation: Rotation?
  /// (heads · headDim, hidden)
  var query: [Float]
  /// (keyValueHeads · headDim, hidden)
  var key: [Float]
  var value: [Float]
  /// (hidden, heads · headDim)
  var output: [Float]
  var queryBias: [Float] = []
  var keyBias: [Float] = []
  var valueBias: [Float] = []
  var outputBias: [Float] = []
  var queryNorm: [Float] = []
  var keyNorm: [Float] = []
  var sinks: [Float] = []
  /// Projections of the indexer and weights of its norms; empty for none.
  var indexer: (query: [Float], key: [Float], queryNorm: [Float], keyNorm: [Float]) = ([], [], [], [])

  var outputInputs: Int { block.queryWidth }

  init(
    _ block: GroupedQueryAttention, _ model: Model, layer: Int, _ tables: [RotaryEmbedding: Rotation],
    _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) {
    self.block = block
    rotation = block.rotary.map { tables[$0]! }
    var large: [[Float]] = []
    let kinds: [TensorKind] = [.query, .key, .value] + (withOutput ? [.attentionOutput] : [])
    try await workers.inOrder(kinds.count) { index, _ throws(FormatError) in
      try model.values(kinds[index], layer: layer)
    } deliver: { _, values in
      large.append(values)
    }
    (query, key, value, output) = (large[0], large[1], large[2], withOutput ? large[3] : [])
    if block.hasInputBias {
      queryBias = try model.finiteValues(.queryBias, layer: layer)
      keyBias = try model.finiteValues(.keyBias, layer: layer)
      valueBias = try model.finiteValues(.valueBias, layer: layer)
    }
    if block.hasOutputBias { outputBias = try model.finiteValues(.attentionOutputBias, layer: layer) }
    if block.queryKeyNorm != .none {
      queryNorm = try model.normWeights(.queryNorm, layer: layer, block.norm)
      keyNorm = try model.normWeights(.keyNorm, layer: layer, block.norm)
    }
    if block.indexer != nil {
      let projections = try await model.decoded([.indexerQuery, .indexerKey], layer: layer, workers)
      indexer = (
        projections[.indexerQuery]!, projections[.indexerKey]!,
        try model.normWeights(.indexerQueryNorm, layer: layer, block.norm),
        try model.normWeights(.indexerKeyNorm, layer: layer, block.norm)
      )
    }
    if block.hasSinks { sinks = try model.finiteValues(.sinks, layer: layer) }
  }

  func run(
    _ inputs: [Float], tokens: Int, _ buffers: inout Buffers,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) {
    let hidden = block.hiddenSize
    let (width, keyWidth) = (block.queryWidth, block.keyWidth)
    linear(inputs, query, tokens: tokens, inputs: hidden, outputs: block.queryRows, into: &buffers.queries)
    linear(inputs, key, tokens: tokens, inputs: hidden, outputs: keyWidth, into: &buffers.keys)
    linear(inputs, value, tokens: tokens, inputs: hidden, outputs: keyWidth, into: &buffers.values)
    addBias(queryBias, to: &buffers.queries, tokens: tokens)
    var gates: [Float] = []
    if block.hasOutputGate { gates = separateGates(&buffers.queries, tokens: tokens) }
    addBias(keyBias, to: &buffers.keys, tokens: tokens)
    addBias(valueBias, to: &buffers.values, tokens: tokens)
    // Norms come before the rotation; a weight as long as a head normalizes each head, a longer one all together.
    let eps = block.norm.epsilon
    if !queryNorm.isEmpty {
      normalizeRows(&buffers.queries, tokens: tokens * width / queryNorm.count, weight: queryNorm, eps: eps)
      normalizeRows(&buffers.keys, tokens: tokens * keyWidth / keyNorm.count, weight: keyNorm, eps: eps)
    }
    if let rotation {
      rotation.apply(to: &buffers.queries, tokens: tokens, heads: block.heads, headDim: block.headDim)
      rotation.apply(to: &buffers.keys, tokens: tokens, heads: block.keyValueHeads, headDim: block.headDim)
    }
    attend(
      queries: buffers.queries, keys: buffers.keys, values: buffers.values, tokens: tokens,
      AttentionShape(block), sinks: sinks, choice: choice(inputs, tokens: tokens), scores: &buffers.scores,
      into: &buffers.attended)
    for index in gates.indices { buffers.attended[index] *= sigmoid(gates[index]) }
  }

  /// The keys that queries see by the indexer; nil for all.
  private func choice(_ inputs: [Float], tokens: Int) -> KeyChoice? {
    guard let chooser = block.indexer, tokens > chooser.kept * chooser.blockSize else { return nil }
    let (hidden, dim, eps) = (block.hiddenSize, chooser.dim, block.norm.epsilon)
    func projected(_ weights: [Float], heads: Int, norm: [Float]) -> [Float] {
      var out: [Float] = []
      linear(inputs, weights, tokens: tokens, inputs: hidden, outputs: heads * dim, into: &out)
      normalizeRows(&out, tokens: tokens * heads, weight: norm, eps: eps)
      rotation?.apply(to: &out, tokens: tokens, heads: heads, headDim: dim)
      return out
    }
    return chooser.choice(
      queries: projected(indexer.query, heads: chooser.heads, norm: indexer.queryNorm),
      keys: projected(indexer.key, heads: 1, norm: indexer.keyNorm), tokens: tokens)
  }

  /// Takes gates out from behind each head's queries: (tokens, heads · headDim) of both.
  private func separateGates(_ queries: inout [Float], tokens: Int) -> [Float] {
    let dim = block.headDim
    var gates = [Float](repeating: 0, count: tokens * block.queryWidth)
    for head in 0..<tokens * block.heads {
      for index in 0..<dim {
        gates[head * dim + index] = queries[2 * head * dim + dim + index]
        queries[head * dim + index] = queries[2 * head * dim + index]
      }
    }
    return gates
  }
}
