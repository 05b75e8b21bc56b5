import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

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
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .attentionOutput }
    let large = try await model.decoded(kinds, layer: layer, workers)
    (query, key, value, output) = (
      large[.query]!, large[.key] ?? [], large[.value] ?? [], large[.attentionOutput] ?? []
    )
    let (hasKey, hasValue) = (large[.key] != nil, large[.value] != nil)
    if block.hasInputBias {
      queryBias = try model.finiteValues(.queryBias, layer: layer)
      if hasKey { keyBias = try model.finiteValues(.keyBias, layer: layer) }
      if hasValue { valueBias = try model.finiteValues(.valueBias, layer: layer) }
    }
    if block.hasOutputBias { outputBias = try model.finiteValues(.attentionOutputBias, layer: layer) }
    switch block.queryKeyNorm {
    case .none: break
    case .perHeadPlain:
      queryNorm = [Float](repeating: 1, count: block.headDim)
      keyNorm = queryNorm
    case .perLayer, .perHead:
      queryNorm = try model.normWeights(.queryNorm, layer: layer, block.norm)
      if hasKey { keyNorm = try model.normWeights(.keyNorm, layer: layer, block.norm) }
    }
    if block.indexer != nil {
      indexer = (
        large[.indexerQuery]!, large[.indexerKey]!,
        try model.normWeights(.indexerQueryNorm, layer: layer, block.norm),
        try model.normWeights(.indexerKeyNorm, layer: layer, block.norm)
      )
    }
    if block.hasSinks { sinks = try model.finiteValues(.sinks, layer: layer) }
  }

  func run(
    _ inputs: [Float], tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) {
    let hidden = block.hiddenSize
    let (width, keyWidth) = (block.queryWidth, block.keyWidth)
    linear(inputs, query, tokens: tokens, inputs: hidden, outputs: block.queryRows, into: &buffers.queries)
    addBias(queryBias, to: &buffers.queries, tokens: tokens)
    var gates: [Float] = []
    if block.hasOutputGate { gates = separateGates(&buffers.queries, tokens: tokens) }
    // Norms come before the rotation; a weight as long as a head normalizes each head, a longer one all together.
    let eps = block.norm.epsilon
    if !queryNorm.isEmpty {
      normalizeRows(&buffers.queries, tokens: tokens * width / queryNorm.count, weight: queryNorm, eps: eps)
    }
    rotation?.apply(to: &buffers.queries, tokens: tokens, heads: block.heads, headDim: block.headDim)
    if let temperature = block.temperature { heat(&buffers.queries, tokens: tokens, temperature) }
    if let shared = block.shared, shared.takes {
      (buffers.keys, buffers.values) = carried.keyValues[shared.place]!
    } else {
      projectKeyValues(inputs, tokens: tokens, keyWidth, &buffers)
      if let shared = block.shared {
        let count = tokens * keyWidth
        carried.keyValues[shared.place] = (
          Array(buffers.keys.prefix(count)), Array(buffers.values.prefix(count))
        )
      }
    }
    attend(
      queries: buffers.queries, keys: buffers.keys, values: buffers.values, tokens: tokens,
      AttentionShape(block), sinks: sinks, choice: choice(inputs, tokens: tokens), scores: &buffers.scores,
      into: &buffers.attended)
    for index in gates.indices { buffers.attended[index] *= sigmoid(gates[index]) }
  }

  /// Keys and values of all tokens, as they go into attention.
  private func projectKeyValues(_ inputs: [Float], tokens: Int, _ width: Int, _ buffers: inout Buffers) {
    let (hidden, eps) = (block.hiddenSize, block.norm.epsilon)
    linear(inputs, key, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.keys)
    addBias(keyBias, to: &buffers.keys, tokens: tokens)
    if block.valueIsKey {
      buffers.values = buffers.keys
    } else {
      linear(inputs, value, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.values)
      addBias(valueBias, to: &buffers.values, tokens: tokens)
    }
    if block.hasValueNorm {
      let ones = [Float](repeating: 1, count: block.headDim)
      normalizeRows(&buffers.values, tokens: tokens * block.keyValueHeads, weight: ones, eps: eps)
    }
    if !keyNorm.isEmpty {
      normalizeRows(&buffers.keys, tokens: tokens * width / keyNorm.count, weight: keyNorm, eps: eps)
    }
    rotation?.apply(to: &buffers.keys, tokens: tokens, heads: block.keyValueHeads, headDim: block.headDim)
  }

  /// Multiplies queries by what their position makes of the temperature.
  private func heat(_ queries: inout [Float], tokens: Int, _ temperature: GroupedQueryAttention.Temperature) {
    for token in 0..<tokens {
      let steps = (Double(token + 1) / temperature.floor).rounded(.down)
      let factor = Float(1 + temperature.scale * log1p(steps))
      for index in token * block.queryWidth..<(token + 1) * block.queryWidth { queries[index] *= factor }
    }
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
