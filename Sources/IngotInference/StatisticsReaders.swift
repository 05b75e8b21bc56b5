import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Sums over what goes into mixer and feed-forward of one context.
struct MixerReader: TapReader {
  /// Lower triangles of Σ x xᵀ over what taps show, up to the feed-forward's input.
  private(set) var products: [LayerStatistics.Field: [Float]] = [:]
  /// BF16 (tokens, hidden): what goes into the feed-forward.
  private(set) var inputs: [UInt8] = []

  private let layer: Blueprint.Layer

  init(_ layer: Blueprint.Layer) { self.layer = layer }

  mutating func read(_ activation: Activation) {
    let (count, columns) = (activation.count, activation.columns)
    let rows = activation.rows.span.extracting(0..<count * columns)
    guard let field = activation.hessian(layer) else { return }
    products[field] = activation.outerProducts
    guard field == .expertInput else { return }
    inputs = Bytes(count: 2 * rows.count) { encode(.bf16, rows, into: &$0) }.array
  }
}

extension Activation {
  /// The Hessian that it is for; nil for what has none.
  func hessian(_ layer: Blueprint.Layer) -> LayerStatistics.Field? {
    switch kind {
    case .input(.mixerInput): LayerStatistics.Field(layer.mixerInput)
    case .input(.mixerOutput): LayerStatistics.Field(layer.mixerOutput)
    case .input(.feedForwardInput): .expertInput
    case .inner(let name): layer.taps.first { $0.name == name }.map { LayerStatistics.Field($0) }
    case .input, .output, .weights: nil
    }
  }

  /// Lower triangle of Σ x xᵀ over its rows: (columns, columns).
  var outerProducts: [Float] {
    var sum = [Float](repeating: 0, count: columns * columns)
    var span = sum.mutableSpan
    addOuterProducts(rows.span.extracting(0..<count * columns), tokens: count, columns: columns, to: &span)
    return sum
  }
}

/// Sums over what goes into the projections of one expert, and over their weights.
struct ExpertReader: TapReader {
  static var readsWeights: Bool { true }

  private let projections: Projections
  /// Lower triangles of Σ x xᵀ over what taps of the shared MLP show, by name; none for an expert.
  private(set) var inner: [String: [Float]] = [:]
  /// Tokens that it saw.
  private var tokens = 0
  /// Sums of squares over its tokens: (hidden), (intermediate size); empty when it had none.
  private var inputSums: [Double] = []
  private var innerSums: [Double] = []
  /// Mean squares over its tokens; empty when it had none.
  var inputSquares: [Float] { inputSums.map { Float($0 / Double(max(tokens, 1))) } }
  var innerSquares: [Float] { innerSums.map { Float($0 / Double(max(tokens, 1))) } }
  /// Largest magnitudes of what goes into its down projection and what up gives, and of what down gives.
  private(set) var innerPeak: Float = 0
  private(set) var outputPeak: Float = 0
  /// Σ w² over the rows of its gate and up projections: (hidden)
  private(set) var columnSquares: [Double] = []
  /// Σ w² over the rows of its down projection: (intermediate size)
  private(set) var downSquares: [Double] = []

  init(_ projections: Projections) { self.projections = projections }

  mutating func read(_ activation: Activation) {
    if activation.count == 0 { return }
    switch activation.kind {
    case .weights(projections.lowering): ExpertReader.addSquares(activation, to: &downSquares)
    case .weights: ExpertReader.addSquares(activation, to: &columnSquares)
    case .input(.feedForwardInput): ExpertReader.addSquares(activation, to: &inputSums)
    case .input(.feedForwardInner):
      ExpertReader.addSquares(activation, to: &innerSums)
      tokens += activation.count
      ExpertReader.peak(activation, &innerPeak)
    case .output(projections.lifting): ExpertReader.peak(activation, &innerPeak)
    case .output(projections.lowering): ExpertReader.peak(activation, &outputPeak)
    case .inner(let tap): addInner(activation.outerProducts, tap)
    case .input, .output: break
    }
  }

  private mutating func addInner(_ products: [Float], _ tap: String) {
    if inner[tap] == nil { inner[tap] = products } else { IngotInference.add(products, to: &inner[tap]!) }
  }

  private static func peak(_ activation: Activation, _ peak: inout Float) {
    let values = activation.rows
    for index in 0..<activation.count * activation.columns { peak = max(peak, abs(values[index])) }
  }

  private static func addSquares(_ activation: Activation, to sums: inout [Double]) {
    let (values, columns) = (activation.rows, activation.columns)
    if sums.isEmpty { sums = [Double](repeating: 0, count: columns) }
    for row in 0..<activation.count {
      for column in 0..<columns {
        let value = Double(values[row * columns + column])
        sums[column] += value * value
      }
    }
  }

  /// Adds what a reader of others of its tokens saw.
  mutating func merge(_ other: ExpertReader) {
    func add(_ values: [Double], to sums: inout [Double]) {
      if sums.isEmpty { sums = values } else { for index in values.indices { sums[index] += values[index] } }
    }
    tokens += other.tokens
    for (tap, products) in other.inner { addInner(products, tap) }
    add(other.inputSums, to: &inputSums)
    add(other.innerSums, to: &innerSums)
    add(other.columnSquares, to: &columnSquares)
    add(other.downSquares, to: &downSquares)
    innerPeak = max(innerPeak, other.innerPeak)
    outputPeak = max(outputPeak, other.outputPeak)
  }
}
