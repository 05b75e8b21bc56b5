import Kernels
import Models
import Tensors

/// What one context showed of the attention's inputs.
struct SeenByAttention: Sendable {
  /// Lower triangles of Σ x xᵀ: (hidden, hidden), (heads · headDim)², (hidden, hidden).
  var input: [Float]
  var output: [Float]
  var expertInput: [Float]
}

/// What one expert showed.
struct SeenByExpert: Sendable {
  /// Mean squares over its tokens: (hidden), (width); empty when it had none.
  var inputSquares: [Float] = []
  var innerSquares: [Float] = []
  var innerPeak: Float = 0
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

  mutating func take(inputs: [Float], inner: [Float], tokens: Int, _ hidden: Int, _ width: Int) {
    inputSquares = meanSquares(inputs, tokens, hidden)
    innerSquares = meanSquares(inner, tokens, width)
    for index in 0..<tokens * width { innerPeak = max(innerPeak, abs(inner[index])) }
  }

  private func meanSquares(_ x: [Float], _ tokens: Int, _ columns: Int) -> [Float] {
    var sums = [Double](repeating: 0, count: columns)
    for token in 0..<tokens {
      for column in 0..<columns {
        let value = Double(x[token * columns + column])
        sums[column] += value * value
      }
    }
    return sums.map { Float($0 / Double(max(tokens, 1))) }
  }
}

/// Gathers the evidence of one layer while the forward pass goes through it. Contexts and experts come in order, so the
/// sums do not depend on the number of workers.
struct LayerObserver {
  private let layer: Int
  private let numbers: Hyperparameters
  private var input: [Float]
  private var output: [Float]
  private var expertInput: [Float]
  private var inputs: [UInt8] = []
  private var chosen: [UInt8] = []
  private var weights: [Float] = []
  private var inputSquares: [Float]
  private var innerSquares: [Float]
  private var innerPeaks: [Float]
  private var columnSquares: [Double]
  private var downSquares: [Float]
  private var tokens = 0

  init(layer: Int, _ numbers: Hyperparameters) {
    func zeros(_ field: LayerEvidence.Field) -> [Float] {
      [Float](repeating: 0, count: elementCount(field.shape(numbers, tokens: 0))!)
    }
    self.layer = layer
    self.numbers = numbers
    input = zeros(.attentionInput)
    output = zeros(.attentionOutput)
    expertInput = zeros(.expertInput)
    inputSquares = zeros(.inputSquares)
    innerSquares = zeros(.innerSquares)
    innerPeaks = zeros(.innerPeaks)
    columnSquares = [Double](repeating: 0, count: numbers.hiddenSize)
    downSquares = zeros(.downSquares)
  }

  mutating func take(_ seen: SeenByAttention, _ normalized: [Float], _ routing: Routing) {
    add(seen.input, to: &input)
    add(seen.output, to: &output)
    add(seen.expertInput, to: &expertInput)
    let rounded = Bytes(count: 2 * normalized.count) { encode(.bf16, normalized.span, into: &$0) }
    inputs += rounded.array
    for expert in routing.experts {
      for shift in [0, 8, 16, 24] { chosen.append(UInt8(truncatingIfNeeded: expert >> Int32(shift))) }
    }
    weights += routing.weights
    tokens += routing.tokens
  }

  mutating func take(_ seen: SeenByExpert, of expert: Int) {
    let (hidden, width) = (numbers.hiddenSize, numbers.experts.width)
    for (column, value) in seen.inputSquares.enumerated() { inputSquares[expert * hidden + column] = value }
    for (column, value) in seen.innerSquares.enumerated() { innerSquares[expert * width + column] = value }
    for (column, value) in seen.downSquares.enumerated() {
      downSquares[expert * width + column] = Float(value)
    }
    innerPeaks[expert] = seen.innerPeak
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
    let hidden = numbers.hiddenSize
    return LayerEvidence(
      layer: layer, tokens: tokens,
      fields: [
        .attentionInput: mean(input, hidden),
        .attentionOutput: mean(output, numbers.attention.heads * numbers.attention.headDim),
        .expertInput: mean(expertInput, hidden), .inputs: Bytes(inputs), .chosen: Bytes(chosen),
        .weights: floats(weights), .inputSquares: floats(inputSquares), .innerSquares: floats(innerSquares),
        .innerPeaks: floats(innerPeaks), .columnSquares: floats(columnSquares.map { Float($0) }),
        .downSquares: floats(downSquares),
      ])
  }
}

extension ForwardPass {
  /// Products of what went into the attention of one context, which the buffers and `inputs` still hold.
  func seenByAttention(context: Int, _ weights: LayerWeights, _ buffers: Buffers, _ inputs: [Float])
    -> SeenByAttention
  {
    let (hidden, tokens) = (numbers.hiddenSize, contexts[context].tokens.count)
    let width = numbers.attention.heads * numbers.attention.headDim
    func products(_ x: [Float], _ columns: Int) -> [Float] {
      var sum = [Float](repeating: 0, count: columns * columns)
      var span = sum.mutableSpan
      addOuterProducts(x.span.extracting(0..<tokens * columns), tokens: tokens, columns: columns, to: &span)
      return sum
    }
    return SeenByAttention(
      input: products(normalizedRows(states[context], weight: weights.attentionNorm), hidden),
      output: products(buffers.attended, width), expertInput: products(inputs, hidden))
  }
}

/// What calibration is told.
public struct CalibrationOptions: Sendable {
  /// Units of work done at once.
  public var workers = 1
  /// Hears how far the run is.
  public var progress: (@Sendable (VerificationProgress) -> Void)?

  public init() {}
}

/// Takes a model through contexts, layer by layer, and hands over what went into each layer's linear layers.
///
/// - Parameter deliver: gets each layer's evidence, in order.
/// - Throws: FormatError for contexts the model does not take, values that are not finite, and what `deliver` throws.
public func calibrate(
  _ model: Model, _ contexts: [Context], _ options: CalibrationOptions = .init(),
  deliver: (LayerEvidence) throws(FormatError) -> Void
) async throws(FormatError) {
  var pass = try ForwardPass(model, contexts, Workers(options.workers))
  var meter = Meter([model], options.progress)
  for layer in 0..<model.hyperparameters.layers {
    var observer: LayerObserver? = LayerObserver(layer: layer, model.hyperparameters)
    _ = try await pass.run(layer: layer, observer: &observer) { meter.pass($0) }
    meter.endLayer()
    var evidence = observer!.evidence()
    if layer == model.hyperparameters.layers - 1 { evidence.fields[.headInput] = try pass.headInput() }
    try deliver(evidence)
  }
}

extension ForwardPass {
  /// Mean of x xᵀ over what goes into the head, once all layers have been passed: F32 (hidden, hidden).
  func headInput() throws(FormatError) -> Bytes {
    let hidden = numbers.hiddenSize
    let norm = try model.values(.finalNorm)
    var sum = [Float](repeating: 0, count: hidden * hidden)
    var span = sum.mutableSpan
    let tokens = contexts.reduce(0) { $0 + $1.tokens.count }
    for state in states {
      let x = normalizedRows(state, weight: norm)
      addOuterProducts(
        x.span, tokens: x.count / hidden, columns: hidden, alpha: 1 / Float(max(tokens, 1)), to: &span)
    }
    mirrorLowerTriangle(&span, n: hidden)
    return Bytes(count: 4 * sum.count) { encode(.f32, sum.span, into: &$0) }
  }
}
