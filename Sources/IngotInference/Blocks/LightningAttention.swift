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
    _ model: Model, layer: Int, _ tables: [RotaryEmbedding: Rotation], _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await LightningExecutor(self, model, layer: layer, workers, withOutput: withOutput)
  }
}

/// Lightning attention of one layer, its weights decoded to F32. Tokens come one after the other, as in the definition.
private struct LightningExecutor: MixerExecutor {
  let block: LightningAttention
  /// Large weights by kind.
  private var weights: [TensorKind: [Float]]
  private let norm: [Float]

  var outputBias: [Float] { [] }
  var outputInputs: Int { block.width }
  var output: [Float] {
    get { weights[.lightningOutput] ?? [] }
    set { weights[.lightningOutput] = newValue }
  }

  init(_ block: LightningAttention, _ model: Model, layer: Int, _ workers: Workers, withOutput: Bool)
    async throws(FormatError)
  {
    self.block = block
    norm = try model.normWeights(.lightningNorm, layer: layer, block.norm)
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .lightningOutput }
    weights = try await model.decoded(kinds, layer: layer, workers)
  }

  func run(
    _ inputs: [Float], tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) {
    let (hidden, width, dim) = (block.hiddenSize, block.width, block.headDim)
    var mixed: [Float] = []  // (tokens, heads × [query, key, value])
    linear(inputs, weights[.lightningQKV]!, tokens: tokens, inputs: hidden, outputs: 3 * width, into: &mixed)
    for index in 0..<tokens * 3 * width { mixed[index] *= sigmoid(mixed[index]) }
    buffers.attended.provide(tokens * width)
    var state = [Float](repeating: 0, count: dim * dim)
    let span = mixed.span
    for head in 0..<block.heads {
      for index in state.indices { state[index] = 0 }
      let decay = Float(exp(-block.decay(head: head)))
      for token in 0..<tokens {
        let first = (token * block.heads + head) * 3 * dim
        var stateSpan = state.mutableSpan
        var out = buffers.attended.mutableSpan
        var target = out._mutatingExtracting(token * width + head * dim..<token * width + (head + 1) * dim)
        linearAttention(
          &stateSpan, query: span.extracting(first..<first + dim),
          key: span.extracting(first + dim..<first + 2 * dim),
          value: span.extracting(first + 2 * dim..<first + 3 * dim), decay: decay, into: &target)
      }
    }
    normalizeRows(&buffers.attended, tokens: tokens, weight: norm, eps: block.norm.epsilon)
    var gates: [Float] = []
    linear(inputs, weights[.lightningGate]!, tokens: tokens, inputs: hidden, outputs: width, into: &gates)
    for index in 0..<tokens * width { buffers.attended[index] *= sigmoid(gates[index]) }
  }
}
