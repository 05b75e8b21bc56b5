import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension GatedDeltaNet: ExecutableMixer {
  var rotations: [RotaryEmbedding] { [] }

  func executor(
    _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool
  ) async throws(FormatError) -> any MixerExecutor {
    try await DeltaExecutor(self, source, layer: layer, workers, withOutput: withOutput)
  }
}

/// Gated DeltaNet of one layer. Tokens come one after the other, as in the definition.
private struct DeltaExecutor: MixerExecutor {
  let block: GatedDeltaNet
  /// Large weights by kind.
  private var weights: [TensorKind: LinearWeights]
  /// Rows of the inputs' projection that hold each channel of the convolution and each gate; empty where they are in order.
  private var order: [Int] = []
  /// (valueHeads, hidden) each.
  private var beta: [Float] = []
  private var alpha: [Float] = []
  /// (channels, kernel)
  private let convolution: [Float]
  /// −e^A of each value head.
  private let decay: [Float]
  private let timeBias: [Float]
  private let norm: [Float]

  var outputBias: [Float] { [] }
  var outputInputs: Int { block.valueWidth }
  var inputWeights: [LinearWeights] {
    [TensorKind.deltaQKVGate, .deltaQKV, .deltaGate].compactMap { weights[$0] }
  }
  var output: LinearWeights {
    get { weights[.deltaOutput] ?? .none }
    set { weights[.deltaOutput] = newValue }
  }

  init(_ block: GatedDeltaNet, _ source: LaneModel, layer: Int, _ workers: Workers, withOutput: Bool)
    async throws(FormatError)
  {
    self.block = block
    let model = source.model
    convolution = try model.finiteValues(.deltaConvolution, layer: layer)
    decay = try model.finiteValues(.deltaDecay, layer: layer).map { -Float(exp(Double($0))) }
    timeBias = try model.finiteValues(.deltaTimeBias, layer: layer)
    norm = try model.normWeights(.deltaNorm, layer: layer, block.norm)
    let kinds = block.taps.flatMap(\.linears).filter { withOutput || $0 != .deltaOutput }
    weights = try await source.weights(kinds, layer: layer, workers)
    guard block.isGrouped else {
      beta = try model.values(.deltaBeta, layer: layer)
      alpha = try model.values(.deltaAlpha, layer: layer)
      return
    }
    let both = try model.values(.deltaBetaAlpha, layer: layer)
    let (share, hidden) = (block.sharing * block.hiddenSize, block.hiddenSize)
    for head in 0..<block.keyHeads {
      let first = 2 * head * block.sharing * hidden
      beta += both[first..<first + share]
      alpha += both[first + share..<first + 2 * share]
    }
    order = DeltaExecutor.groupedRows(block)
  }

  /// The row of a grouped projection that each query, key, value and gate stands in.
  private static func groupedRows(_ block: GatedDeltaNet) -> [Int] {
    let (keyDim, values) = (block.keyDim, block.sharing * block.valueDim)
    let group = 2 * keyDim + 2 * values
    func rows(_ start: Int, _ count: Int) -> [Int] {
      (0..<block.keyHeads).flatMap { head in (0..<count).map { head * group + start + $0 } }
    }
    return rows(0, keyDim) + rows(keyDim, keyDim) + rows(2 * keyDim, values)
      + rows(2 * keyDim + values, values)
  }

  func run(
    _ inputs: InputRows, tokens: Int, _ buffers: inout Buffers, _ carried: inout Carried,
    show: (_ tap: String, _ rows: [Float], _ columns: Int) -> Void
  ) throws(FormatError) {
    let (hidden, channels, valueWidth) = (block.hiddenSize, block.channels, block.valueWidth)
    var mixed: [Float] = []  // (tokens, channels)
    var gates: [Float] = []  // (tokens, valueWidth)
    if block.isGrouped {
      let all = channels + valueWidth
      var stored: [Float] = []
      try linear(inputs, weights[.deltaQKVGate]!, tokens: tokens, inputs: hidden, outputs: all, into: &stored)
      mixed = [Float](repeating: 0, count: tokens * channels)
      gates = [Float](repeating: 0, count: tokens * valueWidth)
      for token in 0..<tokens {
        for (place, row) in order.enumerated() {
          let value = stored[token * all + row]
          if place < channels {
            mixed[token * channels + place] = value
          } else {
            gates[token * valueWidth + place - channels] = value
          }
        }
      }
    } else {
      try linear(
        inputs, weights[.deltaQKV]!, tokens: tokens, inputs: hidden, outputs: channels, into: &mixed)
      try linear(
        inputs, weights[.deltaGate]!, tokens: tokens, inputs: hidden, outputs: valueWidth, into: &gates)
    }
    var betas: [Float] = []
    var alphas: [Float] = []
    linear(inputs.rows, beta, tokens: tokens, inputs: hidden, outputs: block.valueHeads, into: &betas)
    linear(inputs.rows, alpha, tokens: tokens, inputs: hidden, outputs: block.valueHeads, into: &alphas)
    let convolved = convolve(mixed, tokens: tokens, after: carried.past?.convolution ?? [])
    carried.past?.keepInputs(mixed, count: tokens * channels, of: (block.kernel - 1) * channels)
    var states = carried.past?.states ?? []
    carried.past?.states = []
    attend(convolved, betas, alphas, tokens: tokens, &states, into: &buffers.attended)
    carried.past?.states = states
    carried.past?.tokens += tokens
    let (dim, heads) = (block.valueDim, block.valueHeads)
    normalizeRows(&buffers.attended, tokens: tokens * heads, weight: norm, eps: block.norm.epsilon)
    for index in 0..<tokens * heads * dim { buffers.attended[index] *= silu(gates[index]) }
  }

  private func silu(_ x: Float) -> Float { x * sigmoid(x) }

  /// silu of the causal convolution of each channel: (tokens, channels).
  ///
  /// - Parameter earlier: inputs of the last tokens before, as many as there are of kernel − 1.
  private func convolve(_ x: [Float], tokens: Int, after earlier: [Float]) -> [Float] {
    let (channels, kernel) = (block.channels, block.kernel)
    let past = earlier.count / channels
    let x = earlier.isEmpty ? x : earlier + x
    var out = [Float](repeating: 0, count: tokens * channels)
    for token in 0..<tokens {
      for tap in max(0, kernel - 1 - token - past)..<kernel {
        let row = (past + token + tap + 1 - kernel) * channels
        for channel in 0..<channels {
          out[token * channels + channel] += convolution[channel * kernel + tap] * x[row + channel]
        }
      }
      for channel in 0..<channels { out[token * channels + channel] = silu(out[token * channels + channel]) }
    }
    return out
  }

  /// The delta rule of all value heads: (tokens, valueHeads · valueDim).
  ///
  /// - Parameter states: of the heads before these tokens, empty at the beginning; then those behind them.
  private func attend(
    _ x: [Float], _ betas: [Float], _ alphas: [Float], tokens: Int, _ states: inout [Float],
    into attended: inout [Float]
  ) {
    let (keyDim, valueDim, heads) = (block.keyDim, block.valueDim, block.valueHeads)
    let (channels, keyWidth) = (block.channels, block.keyWidth)
    var x = x
    let scale = 1 / Double(keyDim).squareRoot()
    for token in 0..<tokens {
      for head in 0..<2 * block.keyHeads {
        // Queries first, then keys: unit length, queries scaled too.
        let first = token * channels + head * keyDim
        let sum = (0..<keyDim).reduce(0.0) { $0 + Double(x[first + $1]) * Double(x[first + $1]) }
        let factor = Float((head < block.keyHeads ? scale : 1) / (sum + 1e-6).squareRoot())
        for index in first..<first + keyDim { x[index] *= factor }
      }
    }
    attended.provide(tokens * block.valueWidth)
    var out = attended.mutableSpan
    let size = keyDim * valueDim
    if states.isEmpty { states = [Float](repeating: 0, count: heads * size) }
    var scratch = [Float](repeating: 0, count: valueDim)
    let span = x.span
    for head in 0..<heads {
      let keyHead = head / block.sharing
      for token in 0..<tokens {
        let row = token * channels
        let query = row + keyHead * keyDim
        let value = row + 2 * keyWidth + head * valueDim
        let a = Double(alphas[token * heads + head] + timeBias[head])
        let softplus = a > 20 ? a : log1p(exp(a))
        var allStates = states.mutableSpan
        var stateSpan = allStates._mutatingExtracting(head * size..<(head + 1) * size)
        var scratchSpan = scratch.mutableSpan
        let place = token * block.valueWidth + head * valueDim
        var target = out._mutatingExtracting(place..<place + valueDim)
        deltaRule(
          &stateSpan, query: span.extracting(query..<query + keyDim),
          key: span.extracting(query + keyWidth..<query + keyWidth + keyDim),
          value: span.extracting(value..<value + valueDim), decay: Float(exp(Double(decay[head]) * softplus)),
          beta: sigmoid(betas[token * heads + head]), into: &target, scratch: &scratchSpan)
      }
    }
  }
}
