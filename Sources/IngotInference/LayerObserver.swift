import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What one context showed of the inputs of mixer and feed-forward.
struct SeenByAttention: Sendable {
  /// Lower triangles of Σ x xᵀ over what goes into the mixer, into its output projection, and into the feed-forward.
  var input: [Float]
  var output: [Float]
  var expertInput: [Float]
}

/// What one expert showed.
struct SeenByExpert: Sendable {
  /// Tokens that it saw.
  private var tokens = 0
  /// Sums of squares over its tokens: (hidden), (width); empty when it had none.
  private var inputSums: [Double] = []
  private var innerSums: [Double] = []
  /// Mean squares over its tokens; empty when it had none.
  var inputSquares: [Float] { inputSums.map { Float($0 / Double(max(tokens, 1))) } }
  var innerSquares: [Float] { innerSums.map { Float($0 / Double(max(tokens, 1))) } }
  /// Largest magnitudes of what goes into its down projection and what up gives, and of what down gives.
  var innerPeak: Float = 0
  var outputPeak: Float = 0
  /// Σ w² over the rows of its gate and up projections: (hidden)
  var columnSquares: [Double] = []
  /// Σ w² over the rows of its down projection: (width)
  var downSquares: [Double] = []

  mutating func addColumns(_ weights: [Float], rows: Int, columns: Int) {
    SeenByExpert.add(weights, rows, columns, to: &columnSquares)
  }

  mutating func addDownColumns(_ weights: [Float], rows: Int, columns: Int) {
    SeenByExpert.add(weights, rows, columns, to: &downSquares)
  }

  private static func add(_ weights: [Float], _ rows: Int, _ columns: Int, to sums: inout [Double]) {
    if sums.isEmpty { sums = [Double](repeating: 0, count: columns) }
    for row in 0..<rows {
      for column in 0..<columns {
        let w = Double(weights[row * columns + column])
        sums[column] += w * w
      }
    }
  }

  /// What groups of its tokens brought: inputs (tokens, hidden), what up gives and what goes into down (tokens, width).
  mutating func take(
    _ groups: [(inputs: [Float], lifted: [Float], inner: [Float], tokens: Int)], _ hidden: Int, _ width: Int
  ) {
    guard groups.contains(where: { $0.tokens > 0 }) else { return }
    SeenByExpert.addSquares(groups.map { ($0.inputs, $0.tokens) }, hidden, to: &inputSums)
    SeenByExpert.addSquares(groups.map { ($0.inner, $0.tokens) }, width, to: &innerSums)
    tokens += groups.reduce(0) { $0 + $1.tokens }
    for group in groups {
      peak(group.lifted, group.tokens * width, &innerPeak)
      peak(group.inner, group.tokens * width, &innerPeak)
    }
  }

  mutating func takeOutputs(_ outputs: [Float], count: Int) { peak(outputs, count, &outputPeak) }

  private func peak(_ values: [Float], _ count: Int, _ peak: inout Float) {
    for index in 0..<count { peak = max(peak, abs(values[index])) }
  }

  private static func addSquares(
    _ groups: [(x: [Float], tokens: Int)], _ columns: Int, to sums: inout [Double]
  ) {
    if sums.isEmpty { sums = [Double](repeating: 0, count: columns) }
    for (x, tokens) in groups {
      for token in 0..<tokens {
        for column in 0..<columns {
          let value = Double(x[token * columns + column])
          sums[column] += value * value
        }
      }
    }
  }

  /// Adds what others of its tokens showed; sums over weights stay this one's.
  mutating func merge(_ other: SeenByExpert) {
    func add(_ values: [Double], to sums: inout [Double]) {
      if sums.isEmpty { sums = values } else { for index in values.indices { sums[index] += values[index] } }
    }
    tokens += other.tokens
    add(other.inputSums, to: &inputSums)
    add(other.innerSums, to: &innerSums)
    innerPeak = max(innerPeak, other.innerPeak)
    outputPeak = max(outputPeak, other.outputPeak)
  }
}

/// Gathers the evidence of one layer while the forward pass goes through it. Contexts and experts come in order, so the
/// sums do not depend on the number of workers.
struct LayerObserver {
  private let layer: Int
  private let blueprint: Blueprint
  /// Tokens that every expert is to be seen with, be it by force; nil for those that come.
  let coverage: Int?
  private var input: [Float]
  private var output: [Float]
  private var expertInput: [Float]
  private var inputs: [UInt8] = []
  private var chosen: [UInt8] = []
  private var weights: [Float] = []
  private var inputSquares: [Float]
  private var innerSquares: [Float]
  private var innerPeaks: [Float]
  private var outputPeaks: [Float]
  private var columnSquares: [Double]
  private var downSquares: [Float]
  private var forced: [UInt8] = []
  private var forcedWeights: [Float] = []
  private var tokens = 0

  init(layer: Int, _ blueprint: Blueprint, coverage: Int? = nil) {
    self.coverage = coverage
    func zeros(_ field: LayerEvidence.Field) -> [Float] {
      [Float](repeating: 0, count: elementCount(field.shape(blueprint, layer: layer, tokens: 0))!)
    }
    self.layer = layer
    self.blueprint = blueprint
    input = zeros(.attentionInput)
    output = zeros(.attentionOutput)
    expertInput = zeros(.expertInput)
    inputSquares = zeros(.inputSquares)
    innerSquares = zeros(.innerSquares)
    innerPeaks = zeros(.innerPeaks)
    outputPeaks = innerPeaks
    columnSquares = [Double](repeating: 0, count: blueprint.hiddenSize)
    downSquares = zeros(.downSquares)
  }

  mutating func take(_ seen: SeenByAttention, _ normalized: [Float], _ routing: Routing) {
    add(seen.input, to: &input)
    add(seen.output, to: &output)
    add(seen.expertInput, to: &expertInput)
    let rounded = Bytes(count: 2 * normalized.count) { encode(.bf16, normalized.span, into: &$0) }
    inputs += rounded.array
    for expert in routing.experts { LayerObserver.put(expert, &chosen) }
    weights += routing.weights
    tokens += routing.tokens
  }

  private static func put(_ value: Int32, _ bytes: inout [UInt8]) {
    for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> Int32(shift))) }
  }

  /// Visits that were forced, by expert.
  mutating func take(forced visits: [[Visit]], _ contexts: [Context]) {
    var first = [0]
    for context in contexts { first.append(first.last! + context.tokens.count) }
    for (expert, own) in visits.enumerated() {
      for visit in own {
        LayerObserver.put(Int32(expert), &forced)
        LayerObserver.put(Int32(first[visit.context] + visit.token), &forced)
        forcedWeights.append(visit.weight)
      }
    }
  }

  mutating func take(_ seen: SeenByExpert, of expert: Int) {
    let (hidden, width) = (blueprint.hiddenSize, blueprint.layers[layer].feedForward.intermediateSize)
    for (column, value) in seen.inputSquares.enumerated() { inputSquares[expert * hidden + column] = value }
    for (column, value) in seen.innerSquares.enumerated() { innerSquares[expert * width + column] = value }
    for (column, value) in seen.downSquares.enumerated() {
      downSquares[expert * width + column] = Float(value)
    }
    innerPeaks[expert] = seen.innerPeak
    outputPeaks[expert] = seen.outputPeak
    for (column, value) in seen.columnSquares.enumerated() { columnSquares[column] += value }
  }

  /// The evidence, once the layer has been passed.
  func evidence() -> LayerEvidence {
    func mean(_ sums: [Float], _ n: Int) -> Bytes {
      var matrix = sums
      let share = 1 / Float(max(tokens, 1))
      for index in matrix.indices { matrix[index] *= share }
      var span = matrix.mutableSpan
      mirrorLowerTriangle(&span, n: n)
      return floats(matrix)
    }
    func floats(_ values: [Float]) -> Bytes {
      Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }
    }
    let hidden = blueprint.hiddenSize
    var evidence = LayerEvidence(
      layer: layer, tokens: tokens,
      fields: [
        .attentionInput: mean(input, hidden),
        .attentionOutput: mean(output, blueprint.layers[layer].mixerOutput.columns),
        .expertInput: mean(expertInput, hidden), .inputs: Bytes(inputs), .chosen: Bytes(chosen),
        .weights: floats(weights), .inputSquares: floats(inputSquares), .innerSquares: floats(innerSquares),
        .innerPeaks: floats(innerPeaks), .outputPeaks: floats(outputPeaks),
        .columnSquares: floats(columnSquares.map { Float($0) }),
        .downSquares: floats(downSquares),
      ])
    if !forced.isEmpty {
      evidence.fields[.forced] = Bytes(forced)
      evidence.fields[.forcedWeights] = floats(forcedWeights)
    }
    return evidence
  }
}

extension ForwardPass {
  /// Products of what went into the attention of one context, which the buffers and `inputs` still hold.
  func seenByAttention(
    context: Int, layer: Int, _ weights: LayerWeights, _ buffers: Buffers, _ inputs: [Float]
  )
    -> SeenByAttention
  {
    let (hidden, tokens) = (blueprint.hiddenSize, contexts[context].tokens.count)
    let width = weights.mixer.outputInputs
    func products(_ x: [Float], _ columns: Int) -> [Float] {
      var sum = [Float](repeating: 0, count: columns * columns)
      var span = sum.mutableSpan
      addOuterProducts(x.span.extracting(0..<tokens * columns), tokens: tokens, columns: columns, to: &span)
      return sum
    }
    return SeenByAttention(
      input: products(mixerInputs(context: context, layer: layer, weights), hidden),
      output: products(buffers.attended, width), expertInput: products(inputs, hidden))
  }
}
