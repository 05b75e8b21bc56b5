import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What a tap shows of a context in a model, lane 0, and in its quantized self, lane 1. x̂ marks the latter's values.
struct PairReader: TapReader {
  /// Lower triangle of Σ x̂ x̂ᵀ.
  private(set) var square: [Float] = []
  /// Σ (x − x̂) x̂ᵀ, up to the feed-forward.
  private(set) var cross: [Float] = []
  /// Σ (r − r̂) x̂ᵀ, r being the residual stream, before the mixer's output projection.
  private(set) var residual: [Float] = []
  /// BF16 (tokens, hidden), before the feed-forward: x, x̂ and r − r̂.
  private(set) var inputs: [UInt8] = []
  private(set) var quantizedInputs: [UInt8] = []
  private(set) var residuals: [UInt8] = []

  private var original: (rows: [Float], state: [Float]) = ([], [])

  mutating func read(_ activation: Activation) {
    guard case .input(let place) = activation.kind else { return }
    if activation.lane == 0 {
      original = (activation.rows, activation.state)
      return
    }
    let (rows, columns) = (activation.rows, activation.columns)
    square = squares(rows, columns)
    func difference(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 - $1 } }
    if place < .feedForwardInput {
      cross = products(difference(original.rows, rows), columns, rows, columns)
    }
    if place == .mixerOutput {
      let hidden = activation.state.count / activation.count
      residual = products(difference(original.state, activation.state), hidden, rows, columns)
    }
    if place == .feedForwardInput {
      inputs = halves(original.rows)
      quantizedInputs = halves(rows)
      residuals = halves(difference(original.state, activation.state))
    }
    original = ([], [])
  }

  /// Lower triangle of xᵀx.
  private func squares(_ x: [Float], _ columns: Int) -> [Float] {
    var sum = [Float](repeating: 0, count: columns * columns)
    var span = sum.mutableSpan
    addOuterProducts(x.span, tokens: x.count / columns, columns: columns, to: &span)
    return sum
  }

  /// aᵀb
  private func products(_ a: [Float], _ rows: Int, _ b: [Float], _ columns: Int) -> [Float] {
    let tokens = a.count / rows
    var turned = a
    for token in 0..<tokens { for row in 0..<rows { turned[row * tokens + token] = a[token * rows + row] } }
    var sum = [Float](repeating: 0, count: rows * columns)
    var span = sum.mutableSpan
    gemm(
      m: rows, n: columns, k: tokens, a: turned.span, lda: tokens, b: b.span, ldb: columns,
      bTransposed: false,
      c: &span, ldc: columns)
    return sum
  }

  private func halves(_ values: [Float]) -> [UInt8] {
    Bytes(count: 2 * values.count) { encode(.bf16, values.span, into: &$0) }.array
  }
}

/// What readers saw of all contexts, in order.
struct PairSums {
  var square: [Float]
  private(set) var cross: [Float] = []
  private(set) var residual: [Float] = []
  private(set) var inputs: [UInt8] = []
  private(set) var quantizedInputs: [UInt8] = []
  private(set) var residuals: [UInt8] = []

  init(at place: LayerPlace, _ layer: Blueprint.Layer) {
    let hidden = layer.mixerInput.columns
    let columns = place == .mixerOutput ? layer.mixerOutput.columns : hidden
    func zeros(_ rows: Int) -> [Float] { [Float](repeating: 0, count: rows * columns) }
    square = zeros(columns)
    if place < .feedForwardInput { cross = zeros(columns) }
    if place == .mixerOutput { residual = zeros(hidden) }
  }

  mutating func add(_ reader: PairReader) {
    IngotInference.add(reader.square, to: &square)
    IngotInference.add(reader.cross, to: &cross)
    IngotInference.add(reader.residual, to: &residual)
    inputs += reader.inputs
    quantizedInputs += reader.quantizedInputs
    residuals += reader.residuals
  }
}
