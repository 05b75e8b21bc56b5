import Kernels
import Tensors

/// What went into the linear layers of one layer of a model while it read a text: what quantizers need to weigh their
/// errors by what these do to the layer's outputs.
///
/// The inputs of the experts are kept, not their Hessians: a layer of MiniMax-M2 has 256 experts, whose Hessians take
/// 12 GB, while 65,000 tokens take 0.4 GB, and every expert's Hessian follows from the tokens it got. Inputs of down
/// projections follow from these and the weights, so they need no place at all.
public struct LayerEvidence: Sendable {
  /// One kind of evidence. Raw values are names in files.
  public enum Field: String, CaseIterable, Sendable {
    /// F32 (hidden, hidden): mean of x xᵀ over what goes into query, key and value.
    case attentionInput = "attention.input.hessian"
    /// F32 (heads · headDim, the same): likewise for what goes into the attention's output projection.
    case attentionOutput = "attention.output.hessian"
    /// F32 (hidden, hidden): likewise for what goes into router and experts, over all tokens.
    case expertInput = "experts.input.hessian"
    /// BF16 (tokens, hidden): what goes into router and experts.
    case inputs = "experts.inputs"
    /// I32 (tokens, active): experts of each token, ascending.
    case chosen = "experts.chosen"
    /// F32 (tokens, active): their weights.
    case weights = "experts.weights"
    /// F32 (experts, hidden): mean of x² over the tokens of each expert.
    case inputSquares = "experts.input.squares"
    /// F32 (experts, width): likewise for what goes into its down projection.
    case innerSquares = "experts.inner.squares"
    /// F32 (experts): the largest magnitude among what goes into its down projection.
    case innerPeaks = "experts.inner.peaks"
    /// F32 (hidden): sum of w² over the rows of all gate and up projections.
    case columnSquares = "experts.column.squares"
    /// F32 (experts, width): sum of w² over the rows of each down projection.
    case downSquares = "experts.down.squares"
    /// F32 (hidden, hidden), of the last layer only: mean of x xᵀ over what goes into the head.
    case headInput = "head.input.hessian"

    public var dtype: DType {
      switch self {
      case .inputs: .bf16
      case .chosen: .i32
      default: .f32
      }
    }

    public func shape(_ numbers: Hyperparameters, tokens: Int) -> [Int] {
      let (hidden, experts) = (numbers.hiddenSize, numbers.experts)
      let attention = numbers.attention.heads * numbers.attention.headDim
      return switch self {
      case .attentionInput, .expertInput, .headInput: [hidden, hidden]
      case .attentionOutput: [attention, attention]
      case .inputs: [tokens, hidden]
      case .chosen, .weights: [tokens, experts.active]
      case .inputSquares: [experts.count, hidden]
      case .innerSquares, .downSquares: [experts.count, experts.width]
      case .innerPeaks: [experts.count]
      case .columnSquares: [hidden]
      }
    }
  }

  /// What a layer of a model has evidence of.
  public static func fields(layer: Int, _ numbers: Hyperparameters) -> [Field] {
    Field.allCases.filter { $0 != .headInput || layer == numbers.layers - 1 }
  }

  /// A token on its way to an expert.
  public struct Visit: Sendable {
    public var token: Int
    /// Weight of the expert's output in the token's sum.
    public var weight: Float

    public init(token: Int, weight: Float) {
      self.token = token
      self.weight = weight
    }
  }

  public var layer: Int
  /// Tokens of the text.
  public var tokens: Int
  /// Little endian, of each field's type and shape.
  public var fields: [Field: Bytes]

  public init(layer: Int, tokens: Int, fields: [Field: Bytes]) {
    self.layer = layer
    self.tokens = tokens
    self.fields = fields
  }

  /// Values of a field in F32, or of a range of them.
  public func floats(_ field: Field, _ range: Range<Int>? = nil) -> [Float] {
    let bytes = fields[field]!
    let width = field.dtype.bits / 8
    let range = range ?? 0..<bytes.count / width
    var values = [Float](repeating: 0, count: range.count)
    var span = values.mutableSpan
    let cut = bytes[range.lowerBound * width..<range.upperBound * width]
    decode(field.dtype.floatFormat!, cut.span, into: &span)
    return values
  }

  /// The tokens of one expert, in order.
  public func visits(of expert: Int) -> [Visit] {
    let bytes = fields[.chosen]!
    let chosen = bytes.span
    let count = bytes.count / 4
    let active = tokens == 0 ? 1 : count / tokens
    var visits: [Visit] = []
    for index in 0..<count where chosen.littleEndian(Int32.self, at: 4 * index) == Int32(expert) {
      visits.append(Visit(token: index / active, weight: 0))
    }
    let weightBytes = fields[.weights]!
    let weights = weightBytes.span
    var next = 0
    for index in 0..<count where chosen.littleEndian(Int32.self, at: 4 * index) == Int32(expert) {
      visits[next].weight = Float(bitPattern: weights.littleEndian(UInt32.self, at: 4 * index))
      next += 1
    }
    return visits
  }
}

/// Evidence of a whole model, read layer by layer.
public struct Evidence: Sendable {
  /// Tokens it was gathered from.
  public var tokens: Int
  public var layers: Int
  /// Names of the texts.
  public var texts: [String]
  public let layer: @Sendable (Int) -> LayerEvidence

  public init(
    tokens: Int, layers: Int, texts: [String],
    layer: @escaping @Sendable (Int) -> LayerEvidence
  ) {
    self.tokens = tokens
    self.layers = layers
    self.texts = texts
    self.layer = layer
  }
}

extension LayerEvidence {
  /// Tokens of each expert and the sum of their weights.
  public func load(experts count: Int) -> [(tokens: Int, mass: Double)] {
    var load = [(tokens: Int, mass: Double)](repeating: (0, 0), count: count)
    let chosenBytes = fields[.chosen]!
    let chosen = chosenBytes.span
    for (index, weight) in floats(.weights).enumerated() {
      let expert = Int(chosen.littleEndian(Int32.self, at: 4 * index))
      guard load.indices.contains(expert) else { continue }
      load[expert].tokens += 1
      load[expert].mass += Double(weight)
    }
    return load
  }

  /// Mean squares of the inputs of this layer's linear layers, by role; experts that no token reached have none.
  public func importance(_ numbers: Hyperparameters) -> Importance {
    var importance = Importance()
    func diagonal(_ field: Field, _ parts: [Role.Part]) {
      let n = field.shape(numbers, tokens: tokens)[0]
      let matrix = floats(field)
      let means = (0..<n).map { matrix[$0 * n + $0] }
      for part in parts {
        importance.columns[Role(part, layer: layer)] = means
        importance.tokens[Role(part, layer: layer)] = tokens
      }
    }
    diagonal(.attentionInput, [.query, .key, .value])
    diagonal(.attentionOutput, [.attentionOutput])
    let (hidden, width) = (numbers.hiddenSize, numbers.experts.width)
    for (expert, load) in load(experts: numbers.experts.count).enumerated() where load.tokens > 0 {
      let inputs = floats(.inputSquares, expert * hidden..<(expert + 1) * hidden)
      for part in [Role.Part.gate, .up] {
        importance.columns[Role(part, layer: layer, expert: expert)] = inputs
        importance.tokens[Role(part, layer: layer, expert: expert)] = load.tokens
      }
      importance.columns[Role(.down, layer: layer, expert: expert)] = floats(
        .innerSquares, expert * width..<(expert + 1) * width)
      importance.tokens[Role(.down, layer: layer, expert: expert)] = load.tokens
    }
    return importance
  }
}
