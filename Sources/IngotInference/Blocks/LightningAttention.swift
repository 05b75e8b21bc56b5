import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension LightningAttention: ExecutableMixer {
  var rotations: [RotaryEmbedding] { [] }

  func executor(
    _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await LightningExecutor(self, source, layer: layer, workers, withOutput: withOutput)
  }
}

/// Lightning attention of one layer. Tokens come one after the other, as in the definition.
private struct LightningExecutor: MixerExecutor {
  let block: LightningAttention
  /// Large weights by kind.
  private var weights: [TensorKind: LinearWeights]
  private let norm: [Float]

  var outputBias: [Float] { [] }
  var outputInputs: Int { block.width }
  var inputWeights: [LinearWeights] {
    [TensorKind.lightningQKV, .lightningGate].compactMap { weights[$0] }
  }
  var output: LinearWeights {
    get { weights[.lightningOutput] ?? .none }
    set { weights[.lightningOutput] = newValue }
  }

  init(_ block: LightningAttention, _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool)
    async throws(FormatError)
  {
    self.block = block
    let model = source.model
    norm = try model.normWeights(.lightningNorm, layer: layer, block.norm)
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .lightningOutput }
    weights = try await source.weights(kinds, layer: layer, workers)
  }

  func run(
    _ inputs: InputRows, tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) throws(FormatError) {
    let (hidden, width, dim) = (block.hiddenSize, block.width, block.headDim)
    var mixed: [Float] = []  // (tokens, heads × [query, key, value])
    try linear(
      inputs, weights[.lightningQKV]!, tokens: tokens, inputs: hidden, outputs: 3 * width, into: &mixed)
    for index in 0..<tokens * 3 * width { mixed[index] *= sigmoid(mixed[index]) }
    buffers.attended.provide(tokens * width)
    // Of the heads before these tokens, then behind them.
    var states = carried.past?.states ?? []
    carried.past?.states = []
    if states.isEmpty { states = [Float](repeating: 0, count: block.heads * dim * dim) }
    let span = mixed.span
    for head in 0..<block.heads {
      let decay = Float(exp(-block.decay(head: head)))
      for token in 0..<tokens {
        let first = (token * block.heads + head) * 3 * dim
        var allStates = states.mutableSpan
        var stateSpan = allStates._mutatingExtracting(head * dim * dim..<(head + 1) * dim * dim)
        var out = buffers.attended.mutableSpan
        var target = out._mutatingExtracting(token * width + head * dim..<token * width + (head + 1) * dim)
        linearAttention(
          &stateSpan, query: span.extracting(first..<first + dim),
          key: span.extracting(first + dim..<first + 2 * dim),
          value: span.extracting(first + 2 * dim..<first + 3 * dim), decay: decay, into: &target)
      }
    }
    carried.past?.states = states
    carried.past?.tokens += tokens
    normalizeRows(&buffers.attended, tokens: tokens, weight: norm, eps: block.norm.epsilon)
    var gates: [Float] = []
    try linear(
      inputs, weights[.lightningGate]!, tokens: tokens, inputs: hidden, outputs: width, into: &gates)
    for index in 0..<tokens * width { buffers.attended[index] *= sigmoid(gates[index]) }
  }
}
