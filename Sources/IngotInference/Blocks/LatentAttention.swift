import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension LatentAttention: ExecutableMixer {
  var rotations: [RotaryEmbedding] { [rotary] + (indexer.map { [$0.rotary] } ?? []) }

  func executor(
    _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await LatentExecutor(self, source, layer: layer, workers, withOutput: withOutput)
  }
}

/// Multi-head latent attention of one layer. Keys and values of a context are expanded from the latent, as in the definition;
/// where a sequence is continued, queries and outputs are taken to the latents of the tokens before instead.
private struct LatentExecutor: MixerExecutor {
  let block: LatentAttention
  let rotation: Rotation
  /// Large weights by kind.
  private var weights: [TensorKind: LinearWeights] = [:]
  private var queryNorm: [Float] = []
  private let keyValueNorm: [Float]
  private var queryBias: [Float] = []
  private var keyValueBias: [Float] = []
  private(set) var outputBias: [Float] = []
  private var indexerRotation: Rotation?
  private var indexerNorm: (weight: [Float], bias: [Float]) = ([], [])

  var output: LinearWeights {
    get { weights[.attentionOutput] ?? .none }
    set { weights[.attentionOutput] = newValue }
  }

  var outputInputs: Int { block.heads * block.valueDim }
  var inputWeights: [LinearWeights] {
    let kinds: [TensorKind] = [block.queryRank == nil ? .query : .queryA, .keyValueA]
    return (kinds + (block.indexer == nil ? [] : [.indexerKey, .indexerWeights])).compactMap { weights[$0] }
  }

  init(
    _ block: LatentAttention, _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) {
    self.block = block
    rotation = source.tables[block.rotary]!
    let model = source.model
    keyValueNorm = try model.normWeights(.keyValueANorm, layer: layer, block.norm)
    if block.queryRank != nil { queryNorm = try model.normWeights(.queryANorm, layer: layer, block.norm) }
    if block.hasBias {
      if block.queryRank != nil { queryBias = try model.finiteValues(.queryABias, layer: layer) }
      keyValueBias = try model.finiteValues(.keyValueABias, layer: layer)
      outputBias = try model.finiteValues(.attentionOutputBias, layer: layer)
    }
    if let indexer = block.indexer {
      indexerRotation = source.tables[indexer.rotary]!
      indexerNorm = (
        try model.values(.indexerKeyNorm, layer: layer), try model.values(.indexerKeyNormBias, layer: layer)
      )
    }
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .attentionOutput }
    weights = try await source.weights(
      kinds + (block.indexer == nil ? [] : [.indexerWeights]), layer: layer, workers)
  }

  func run(
    _ inputs: InputRows, tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) throws(FormatError) {
    let (hidden, heads) = (block.hiddenSize, block.heads)
    let (rank, plain, rotated, dim) = (block.keyValueRank, block.plainDim, block.rotatedDim, block.headDim)
    let past = carried.past?.tokens ?? 0
    func product(_ x: InputRows, _ kind: TensorKind, _ inputs: Int, _ outputs: Int) throws(FormatError)
      -> [Float]
    {
      var out: [Float] = []
      try linear(x, weights[kind]!, tokens: tokens, inputs: inputs, outputs: outputs, into: &out)
      return out
    }
    var choice = block.takesChoice ? carried.choice : nil
    if let queryRank = block.queryRank {
      var latent = try product(inputs, .queryA, hidden, queryRank)
      addBias(queryBias, to: &latent, tokens: tokens)
      normalizeRows(&latent, tokens: tokens, weight: queryNorm, eps: block.norm.epsilon)
      show(LatentAttention.queryTap, latent, queryRank)
      buffers.queries = try product(InputRows(latent), .queryB, queryRank, heads * dim)
      if let indexer = block.indexer, tokens > indexer.kept || carried.past != nil {
        var earlier = carried.past?.indexKeys ?? []
        carried.past?.indexKeys = []
        choice = indexer.choice(
          queries: try product(InputRows(latent), .indexerQuery, queryRank, indexer.heads * indexer.dim),
          keys: try product(inputs, .indexerKey, hidden, indexer.dim),
          weights: try product(inputs, .indexerWeights, hidden, indexer.heads), norm: indexerNorm,
          tokens: tokens, indexerRotation!, earlier: &earlier)
        carried.past?.indexKeys = earlier
      }
    } else {
      buffers.queries = try product(inputs, .query, hidden, heads * dim)
    }
    carried.choice = block.leavesChoice ? choice : nil
    var compressed = try product(inputs, .keyValueA, hidden, rank + rotated)
    addBias(keyValueBias, to: &compressed, tokens: tokens)
    // The latent alone, and the key that is rotated and shared by all heads.
    var latent = [Float](repeating: 0, count: tokens * rank)
    var sharedKey = [Float](repeating: 0, count: tokens * rotated)
    for token in 0..<tokens {
      let first = token * (rank + rotated)
      for index in 0..<rank { latent[token * rank + index] = compressed[first + index] }
      for index in 0..<rotated { sharedKey[token * rotated + index] = compressed[first + rank + index] }
    }
    normalizeRows(&latent, tokens: tokens, weight: keyValueNorm, eps: block.norm.epsilon)
    show(LatentAttention.keyValueTap, latent, rank)
    let valueDim = block.valueDim
    rotation.apply(to: &buffers.queries, tokens: tokens, heads: heads, headDim: dim, from: plain, at: past)
    rotation.apply(to: &sharedKey, tokens: tokens, heads: 1, headDim: rotated, at: past)
    if carried.past != nil {
      carried.past!.keys.append(latent, count: latent.count, group: rank)
      carried.past!.values.append(sharedKey, count: sharedKey.count, group: rotated)
      carried.past!.tokens += tokens
      if past > 0 { return try attendLatents(carried.past!, tokens: tokens, choice, &buffers) }
    }
    let expanded = try product(InputRows(latent), .keyValueB, rank, heads * (plain + valueDim))
    buffers.keys.provide(tokens * heads * dim)
    buffers.values.provide(tokens * heads * valueDim)
    for token in 0..<tokens {
      for head in 0..<heads {
        let (row, source) = (token * heads + head, (token * heads + head) * (plain + valueDim))
        for index in 0..<plain { buffers.keys[row * dim + index] = expanded[source + index] }
        for index in 0..<rotated {
          buffers.keys[row * dim + plain + index] = sharedKey[token * rotated + index]
        }
        for index in 0..<valueDim {
          buffers.values[row * valueDim + index] = expanded[source + plain + index]
        }
      }
    }
    attend(
      queries: buffers.queries, keys: buffers.keys, values: buffers.values, tokens: tokens,
      AttentionShape(
        heads: heads, keyValueHeads: heads, headDim: dim, valueDim: valueDim, scale: block.scale),
      choice: choice, scores: &buffers.scores, into: &buffers.attended)
  }

  /// Attention of the last tokens to all of a sequence, by latents.
  ///
  /// A head's key of a token is (U c, r), c being the token's latent, r its rotated key, U the head's rows of the expansion for
  /// keys; so the query (q, p) has the score qᵀU c + pᵀr: all heads share one key (c, r), and the query is (Uᵀq, p). The head's
  /// values are V c, so its output is V times what it attends of the latents. Source: DeepSeek-V2, section 2.1.
  private func attendLatents(_ past: Past, tokens: Int, _ choice: KeyChoice?, _ buffers: inout Buffers)
    throws(FormatError)
  {
    let (heads, rank, rotated, dim) = (block.heads, block.keyValueRank, block.rotatedDim, block.headDim)
    let (plain, valueDim) = (block.plainDim, block.valueDim)
    let (latents, sharedKeys) = (past.keys.values(group: rank), past.values.values(group: rotated))
    let width = rank + rotated
    var keys = [Float](repeating: 0, count: past.tokens * width)
    for token in 0..<past.tokens {
      for index in 0..<rank { keys[token * width + index] = latents[token * rank + index] }
      for index in 0..<rotated { keys[token * width + rank + index] = sharedKeys[token * rotated + index] }
    }
    let expansion = try weights[.keyValueB]!.values()  // (heads · (plain + valueDim), rank)
    var queries = [Float](repeating: 0, count: tokens * heads * width)
    for head in 0..<heads {
      var span = queries.mutableSpan
      gemm(
        m: tokens, n: rank, k: plain, a: buffers.queries.span, aOffset: head * dim, lda: heads * dim,
        b: expansion.span, bOffset: head * (plain + valueDim) * rank, ldb: rank, bTransposed: false, c: &span,
        cOffset: head * width, ldc: heads * width)
      for token in 0..<tokens {
        let (source, target) = ((token * heads + head) * dim + plain, (token * heads + head) * width + rank)
        for index in 0..<rotated { queries[target + index] = buffers.queries[source + index] }
      }
    }
    var attended: [Float] = []
    attend(
      queries: queries, keys: keys, values: latents, tokens: tokens, past: past.tokens - tokens,
      AttentionShape(heads: heads, keyValueHeads: 1, headDim: width, valueDim: rank, scale: block.scale),
      choice: choice, scores: &buffers.scores, into: &attended)
    buffers.attended.provide(tokens * heads * valueDim)
    for head in 0..<heads {
      var span = buffers.attended.mutableSpan
      gemm(
        m: tokens, n: valueDim, k: rank, a: attended.span, aOffset: head * rank, lda: heads * rank,
        b: expansion.span, bOffset: (head * (plain + valueDim) + plain) * rank, ldb: rank, bTransposed: true,
        c: &span, cOffset: head * valueDim, ldc: heads * valueDim)
    }
  }
}
