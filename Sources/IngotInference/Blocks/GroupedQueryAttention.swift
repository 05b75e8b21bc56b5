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
    _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await GroupedQueryExecutor(self, source, layer: layer, workers, withOutput: withOutput)
  }
}

/// Grouped-query attention of one layer.
private struct GroupedQueryExecutor: MixerExecutor {
  let block: GroupedQueryAttention
  let rotation: Rotation?
  /// (heads · headDim, hidden)
  var query: LinearWeights
  /// (keyValueHeads · headDim, hidden)
  var key: LinearWeights
  var value: LinearWeights
  /// (hidden, heads · headDim)
  var output: LinearWeights
  var queryBias: [Float] = []
  var keyBias: [Float] = []
  var valueBias: [Float] = []
  var outputBias: [Float] = []
  var queryNorm: [Float] = []
  var keyNorm: [Float] = []
  var sinks: [Float] = []
  /// Projections of the indexer and weights of its norms; empty for none.
  var indexer: (query: LinearWeights, key: LinearWeights, queryNorm: [Float], keyNorm: [Float]) = (
    .none, .none, [], []
  )

  var outputInputs: Int { block.queryWidth }
  var inputWeights: [LinearWeights] { [query, key, value, indexer.query, indexer.key] }

  init(
    _ block: GroupedQueryAttention, _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) {
    self.block = block
    rotation = block.rotary.map { source.tables[$0]! }
    let model = source.model
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .attentionOutput }
    let large = try await source.weights(kinds, layer: layer, workers)
    (query, key, value, output) = (
      large[.query]!, large[.key] ?? .none, large[.value] ?? .none, large[.attentionOutput] ?? .none
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
    _ inputs: InputRows, tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) throws(FormatError) {
    let hidden = block.hiddenSize
    let (width, keyWidth) = (block.queryWidth, block.keyWidth)
    let past = carried.past?.tokens ?? 0
    try linear(
      inputs, query, tokens: tokens, inputs: hidden, outputs: block.queryRows, into: &buffers.queries)
    addBias(queryBias, to: &buffers.queries, tokens: tokens)
    var gates: [Float] = []
    if block.hasOutputGate { gates = separateGates(&buffers.queries, tokens: tokens) }
    // Norms come before the rotation; a weight as long as a head normalizes each head, a longer one all together.
    let eps = block.norm.epsilon
    if !queryNorm.isEmpty {
      normalizeRows(&buffers.queries, tokens: tokens * width / queryNorm.count, weight: queryNorm, eps: eps)
    }
    rotation?.apply(
      to: &buffers.queries, tokens: tokens, heads: block.heads, headDim: block.headDim, at: past)
    if let temperature = block.temperature { heat(&buffers.queries, tokens: tokens, past: past, temperature) }
    let shape = AttentionShape(block)
    var dropped = 0
    var (keys, values): ([Float], [Float]) = ([], [])
    if let shared = block.shared, shared.takes {
      (keys, values, dropped) = carried.keyValues[shared.place]!
    } else {
      try projectKeyValues(inputs, tokens: tokens, keyWidth, past: past, &buffers)
      let count = tokens * keyWidth
      if carried.past != nil {
        carried.past!.add(buffers.keys, buffers.values, count: count, width: keyWidth, block, shape, tokens)
        (keys, values) = carried.past!.keyValues(group: block.headDim)
        dropped = carried.past!.keys.dropped
      } else if block.shared != nil {
        (keys, values) = (Array(buffers.keys.prefix(count)), Array(buffers.values.prefix(count)))
      } else {
        (keys, values) = (buffers.keys, buffers.values)
      }
      if let shared = block.shared { carried.keyValues[shared.place] = (keys, values, dropped) }
    }
    let choice = try choice(inputs, tokens: tokens, &carried.past)
    carried.past?.tokens += tokens
    attend(
      queries: buffers.queries, keys: keys, values: values, tokens: tokens, past: past,
      dropped: dropped, shape, sinks: sinks, choice: choice, scores: &buffers.scores,
      into: &buffers.attended)
    for index in gates.indices { buffers.attended[index] *= sigmoid(gates[index]) }
  }

  /// Keys and values of all tokens, as they go into attention.
  private func projectKeyValues(
    _ inputs: InputRows, tokens: Int, _ width: Int, past: Int, _ buffers: inout Buffers
  ) throws(FormatError) {
    let (hidden, eps) = (block.hiddenSize, block.norm.epsilon)
    try linear(inputs, key, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.keys)
    addBias(keyBias, to: &buffers.keys, tokens: tokens)
    if block.valueIsKey {
      buffers.values = buffers.keys
    } else {
      try linear(inputs, value, tokens: tokens, inputs: hidden, outputs: width, into: &buffers.values)
      addBias(valueBias, to: &buffers.values, tokens: tokens)
    }
    if block.hasValueNorm {
      let ones = [Float](repeating: 1, count: block.headDim)
      normalizeRows(&buffers.values, tokens: tokens * block.keyValueHeads, weight: ones, eps: eps)
    }
    if !keyNorm.isEmpty {
      normalizeRows(&buffers.keys, tokens: tokens * width / keyNorm.count, weight: keyNorm, eps: eps)
    }
    rotation?.apply(
      to: &buffers.keys, tokens: tokens, heads: block.keyValueHeads, headDim: block.headDim, at: past)
  }

  /// Multiplies queries by what their position makes of the temperature.
  private func heat(
    _ queries: inout [Float], tokens: Int, past: Int, _ temperature: GroupedQueryAttention.Temperature
  ) {
    for token in 0..<tokens {
      let steps = (Double(past + token + 1) / temperature.floor).rounded(.down)
      let factor = Float(1 + temperature.scale * log1p(steps))
      for index in token * block.queryWidth..<(token + 1) * block.queryWidth { queries[index] *= factor }
    }
  }

  /// The keys that queries see by the indexer; nil for all.
  private func choice(_ inputs: InputRows, tokens: Int, _ past: inout Past?) throws(FormatError) -> KeyChoice?
  {
    guard let chooser = block.indexer, past != nil || tokens > chooser.kept * chooser.blockSize else {
      return nil
    }
    let before = past?.tokens ?? 0
    let (hidden, dim, eps) = (block.hiddenSize, chooser.dim, block.norm.epsilon)
    func projected(_ weights: LinearWeights, heads: Int, norm: [Float]) throws(FormatError) -> [Float] {
      var out: [Float] = []
      try linear(inputs, weights, tokens: tokens, inputs: hidden, outputs: heads * dim, into: &out)
      normalizeRows(&out, tokens: tokens * heads, weight: norm, eps: eps)
      rotation?.apply(to: &out, tokens: tokens, heads: heads, headDim: dim, at: before)
      return out
    }
    var keys = try projected(indexer.key, heads: 1, norm: indexer.keyNorm)
    if past != nil {
      past!.indexKeys += keys
      keys = past!.indexKeys
    }
    return chooser.choice(
      queries: try projected(indexer.query, heads: chooser.heads, norm: indexer.queryNorm), keys: keys,
      tokens: tokens, past: before)
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
