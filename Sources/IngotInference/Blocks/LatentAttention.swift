import IngotModels
import IngotSystem
import IngotTensors

extension LatentAttention: ExecutableMixer {
  var rotations: [RotaryEmbedding] { [rotary] + (indexer.map { [$0.rotary] } ?? []) }

  func executor(
    _ model: Model, layer: Int, _ tables: [RotaryEmbedding: Rotation], _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await LatentExecutor(self, model, layer: layer, tables, workers, withOutput: withOutput)
  }
}

/// Multi-head latent attention of one layer, its weights decoded to F32. Keys and values are expanded from the latent, as in
/// the definition.
private struct LatentExecutor: MixerExecutor {
  let block: LatentAttention
  let rotation: Rotation
  /// Large weights by kind.
  private var weights: [TensorKind: [Float]] = [:]
  private var queryNorm: [Float] = []
  private let keyValueNorm: [Float]
  private var queryBias: [Float] = []
  private var keyValueBias: [Float] = []
  private(set) var outputBias: [Float] = []
  private var indexerRotation: Rotation?
  private var indexerNorm: (weight: [Float], bias: [Float]) = ([], [])

  var output: [Float] {
    get { weights[.attentionOutput] ?? [] }
    set { weights[.attentionOutput] = newValue }
  }

  var outputInputs: Int { block.heads * block.valueDim }

  init(
    _ block: LatentAttention, _ model: Model, layer: Int, _ tables: [RotaryEmbedding: Rotation],
    _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) {
    self.block = block
    rotation = tables[block.rotary]!
    keyValueNorm = try model.normWeights(.keyValueANorm, layer: layer, block.norm)
    if block.queryRank != nil { queryNorm = try model.normWeights(.queryANorm, layer: layer, block.norm) }
    if block.hasBias {
      if block.queryRank != nil { queryBias = try model.finiteValues(.queryABias, layer: layer) }
      keyValueBias = try model.finiteValues(.keyValueABias, layer: layer)
      outputBias = try model.finiteValues(.attentionOutputBias, layer: layer)
    }
    if let indexer = block.indexer {
      indexerRotation = tables[indexer.rotary]!
      indexerNorm = (
        try model.values(.indexerKeyNorm, layer: layer), try model.values(.indexerKeyNormBias, layer: layer)
      )
    }
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .attentionOutput }
    weights = try await model.decoded(
      kinds + (block.indexer == nil ? [] : [.indexerWeights]), layer: layer, workers)
  }

  func run(
    _ inputs: [Float], tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) {
    let (hidden, heads) = (block.hiddenSize, block.heads)
    let (rank, plain, rotated, dim) = (block.keyValueRank, block.plainDim, block.rotatedDim, block.headDim)
    func product(_ x: [Float], _ kind: TensorKind, _ inputs: Int, _ outputs: Int) -> [Float] {
      var out: [Float] = []
      linear(x, weights[kind]!, tokens: tokens, inputs: inputs, outputs: outputs, into: &out)
      return out
    }
    var choice = block.takesChoice ? carried.choice : nil
    if let queryRank = block.queryRank {
      var latent = product(inputs, .queryA, hidden, queryRank)
      addBias(queryBias, to: &latent, tokens: tokens)
      normalizeRows(&latent, tokens: tokens, weight: queryNorm, eps: block.norm.epsilon)
      show(LatentAttention.queryTap, latent, queryRank)
      buffers.queries = product(latent, .queryB, queryRank, heads * dim)
      if let indexer = block.indexer, tokens > indexer.kept {
        choice = indexer.choice(
          queries: product(latent, .indexerQuery, queryRank, indexer.heads * indexer.dim),
          keys: product(inputs, .indexerKey, hidden, indexer.dim),
          weights: product(inputs, .indexerWeights, hidden, indexer.heads), norm: indexerNorm,
          tokens: tokens, indexerRotation!)
      }
    } else {
      buffers.queries = product(inputs, .query, hidden, heads * dim)
    }
    carried.choice = block.leavesChoice ? choice : nil
    var compressed = product(inputs, .keyValueA, hidden, rank + rotated)
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
    let expanded = product(latent, .keyValueB, rank, heads * (plain + valueDim))
    rotation.apply(to: &buffers.queries, tokens: tokens, heads: heads, headDim: dim, from: plain)
    rotation.apply(to: &sharedKey, tokens: tokens, heads: 1, headDim: rotated)
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
}
