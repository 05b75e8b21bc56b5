import IngotKernels
import IngotSystem
import IngotTensors

/// What went into the linear layers of one layer of a model while it read a text: what quantizers need to weigh their
/// errors by what these do to the layer's outputs.
///
/// The inputs of the experts are kept, not their Hessians: a layer of MiniMax-M2 has 256 experts, whose Hessians take
/// 12 GB, while 65,000 tokens take 0.4 GB, and every expert's Hessian follows from the tokens it got. Inputs of down
/// projections follow from these and the weights, so they need no place at all.
public struct LayerStatistics: Sendable {
  /// One kind of statistics. Raw values are names in files.
  ///
  /// Hessians, F32 (columns, columns), are means of x xᵀ over what goes into the linear layers of a tap; the others are of the
  /// experts, or of a dense layer's gated MLP as if it were one expert.
  public struct Field: RawRepresentable, Hashable, Sendable {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }

    /// The Hessian of what a tap shows.
    public init(_ tap: Tap) { rawValue = tap.name + Field.hessian }

    private static let hessian = ".hessian"

    /// The Hessian of what goes into router and gated MLPs, over all tokens: (hidden, hidden).
    public static let expertInput = Field(rawValue: "experts.input.hessian")
    /// BF16 (tokens, hidden): what goes into router and experts.
    public static let inputs = Field(rawValue: "experts.inputs")
    /// I32 (tokens, active): experts of each token, ascending.
    public static let chosen = Field(rawValue: "experts.chosen")
    /// F32 (tokens, active): their weights.
    public static let weights = Field(rawValue: "experts.weights")
    /// I32 (forced tokens, 2): expert and token of each routed token that was forced, by experts, then tokens: the router had not
    /// chosen the expert, and what it would have said is in no output. Only where there are any.
    public static let forced = Field(rawValue: "experts.forced")
    /// F32 (forced tokens): their weights, the gate's value of the expert divided by the sum of the chosen ones'.
    public static let forcedWeights = Field(rawValue: "experts.forced.weights")
    /// F32 (experts, hidden): mean of x² over the tokens of each expert, forced ones among them.
    public static let inputSquares = Field(rawValue: "experts.input.squares")
    /// F32 (experts, width): likewise for what goes into its down projection.
    public static let innerSquares = Field(rawValue: "experts.inner.squares")
    /// F32 (experts): the largest magnitude among what goes into its down projection and what its up projection gives.
    public static let innerPeaks = Field(rawValue: "experts.inner.peaks")
    /// F32 (experts): the largest magnitude among what its down projection gives.
    public static let outputPeaks = Field(rawValue: "experts.output.peaks")
    /// F32 (hidden): sum of w² over the rows of all gate and up projections.
    public static let columnSquares = Field(rawValue: "experts.column.squares")
    /// F32 (experts, width): sum of w² over the rows of each down projection.
    public static let downSquares = Field(rawValue: "experts.down.squares")
    /// Of the last layer only, the Hessian of what goes into the head: (hidden, hidden).
    public static let headInput = Field(rawValue: "head.input.hessian")

    public var dtype: DType {
      switch self {
      case .inputs: .bf16
      case .chosen, .forced: .i32
      default: .f32
      }
    }

    /// Whether it is a matrix that equals its transpose.
    public var isSymmetric: Bool { rawValue.hasSuffix(Field.hessian) }

    /// - Parameter forced: routed tokens that were forced in the layer.
    public func shape(_ blueprint: Blueprint, layer: Int, tokens: Int, forced: Int = 0) -> [Int] {
      let (hidden, layer) = (blueprint.hiddenSize, blueprint.layers[layer])
      let experts = layer.feedForward
      switch self {
      case .headInput: return [hidden, hidden]
      case .inputs: return [tokens, hidden]
      case .chosen, .weights: return [tokens, experts.perToken]
      case .inputSquares: return [experts.count, hidden]
      case .innerSquares, .downSquares: return [experts.count, experts.intermediateSize]
      case .innerPeaks, .outputPeaks: return [experts.count]
      case .forced: return [forced, 2]
      case .forcedWeights: return [forced]
      case .columnSquares: return [hidden]
      default:
        guard let tap = layer.taps.first(where: { Field($0) == self }) else {
          preconditionFailure("\(rawValue) is of no tap of the layer")
        }
        return [tap.columns, tap.columns]
      }
    }

    /// Whether an importance matrix is made from it.
    public var isForImportance: Bool {
      switch self {
      case .chosen, .weights, .forced, .forcedWeights, .inputSquares, .innerSquares: true
      case .headInput: false
      default: isSymmetric
      }
    }
  }

  /// What a layer of a model has statistics of, with or without forced tokens.
  public static func fields(layer index: Int, _ blueprint: Blueprint, isForced: Bool = false) -> [Field] {
    let layer = blueprint.layers[index]
    var fields = layer.mixer.taps.map { Field($0) } + [.expertInput]
    fields += layer.observedTaps.map { Field($0) }.filter { !fields.contains($0) }
    fields += [.inputs, .chosen, .weights]
    if isForced { fields += [.forced, .forcedWeights] }
    fields += [.inputSquares, .innerSquares, .innerPeaks, .outputPeaks, .columnSquares, .downSquares]
    return index == blueprint.layerCount - 1 ? fields + [.headInput] : fields
  }

  /// A token on its way to an expert.
  public struct RoutedToken: Hashable, Sendable {
    public var token: Int
    /// Weight of the expert's output in the token's sum; of a forced token, what it would be beside the chosen experts.
    public var weight: Float
    /// Whether the router had not chosen the expert: seen only because the expert had too few tokens.
    public var isForced: Bool

    public init(token: Int, weight: Float, isForced: Bool = false) {
      self.token = token
      self.weight = weight
      self.isForced = isForced
    }
  }

  public var layer: Int
  /// Tokens of the text.
  public var tokens: Int
  /// Little endian, of each field's type and shape.
  public var fields: [Field: Bytes]
  /// What the original model has here, where the statistics are of one that is quantized up to this layer.
  public var targets: Targets?

  /// How the original model's inputs differ from those of a model that is quantized up to here. x and y are what goes into
  /// attention and output projection, r is the state that the layer began with, a hat marks the quantized model.
  public struct Targets: Sendable {
    /// Mean of (x − x̂) x̂ᵀ over what taps of the mixer show, by the field of their Hessian.
    public var cross: [Field: [Float]] = [:]
    /// Mean of (r − r̂) ŷᵀ: (hidden, what goes into the output projection). Empty where the projection's outputs are not
    /// added to r as they are.
    public var attentionResidual: [Float] = []
    /// BF16 (tokens, hidden): what goes into router and experts in the original.
    public var inputs = Bytes.empty
    /// BF16 (tokens, hidden): state after the attention, the original's less the quantized model's. Nil where outputs of the
    /// experts are not added to it as they are.
    public var residuals: Bytes?

    public init() {}
  }

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

  /// Visits that were forced in this layer.
  public var forcedCount: Int { (fields[.forced]?.count ?? 0) / 8 }

  /// Experts of the forced tokens, in order.
  private var forcedExperts: [Int] {
    guard let bytes = fields[.forced] else { return [] }
    return (0..<bytes.count / 8).map { Int(bytes.span.littleEndian(Int32.self, at: 8 * $0)) }
  }

  /// The tokens of one expert, in order, and behind them those that were forced.
  public func routedTokens(of expert: Int) -> [RoutedToken] {
    let bytes = fields[.chosen]!
    let chosen = bytes.span
    let count = bytes.count / 4
    let active = tokens == 0 ? 1 : count / tokens
    var routedTokens: [RoutedToken] = []
    for index in 0..<count where chosen.littleEndian(Int32.self, at: 4 * index) == Int32(expert) {
      routedTokens.append(RoutedToken(token: index / active, weight: 0))
    }
    let weightBytes = fields[.weights]!
    let weights = weightBytes.span
    var next = 0
    for index in 0..<count where chosen.littleEndian(Int32.self, at: 4 * index) == Int32(expert) {
      routedTokens[next].weight = Float(bitPattern: weights.littleEndian(UInt32.self, at: 4 * index))
      next += 1
    }
    guard let forced = fields[.forced], let forcedWeights = fields[.forcedWeights] else {
      return routedTokens
    }
    for (index, other) in forcedExperts.enumerated() where other == expert {
      let token = Int(forced.span.littleEndian(Int32.self, at: 8 * index + 4))
      guard (0..<tokens).contains(token) else { continue }
      let weight = Float(bitPattern: forcedWeights.span.littleEndian(UInt32.self, at: 4 * index))
      routedTokens.append(RoutedToken(token: token, weight: weight, isForced: true))
    }
    return routedTokens
  }
}

/// Statistics of a whole model, read layer by layer.
public struct CalibrationStatistics: Sendable {
  /// Tokens it was gathered from.
  public var tokens: Int
  public var layers: Int
  /// Names of the texts.
  public var texts: [String]
  /// The contexts that it was gathered from; nil for files of older versions, which do not say.
  public var contexts: SeenContexts?
  /// A layer's statistics: those that are loaded, else read anew for each call.
  ///
  /// - Throws: FormatError when the file that it stands in is broken there.
  public let layer: @Sendable (Int) throws(FormatError) -> LayerStatistics
  let held: HeldLayers

  public init(
    tokens: Int, layers: Int, texts: [String], contexts: SeenContexts? = nil,
    layer: @escaping @Sendable (Int) throws(FormatError) -> LayerStatistics
  ) {
    self.tokens = tokens
    self.layers = layers
    self.texts = texts
    self.contexts = contexts
    let held = HeldLayers(layer)
    self.held = held
    self.layer = { layer throws(FormatError) in try held.layer(layer) }
  }
}

extension LayerStatistics {
  /// Tokens that the router sent to each expert, the sum of their weights, and tokens that were forced.
  public func load(experts count: Int) -> [(tokens: Int, mass: Double, forced: Int)] {
    var load = [(tokens: Int, mass: Double, forced: Int)](repeating: (0, 0, 0), count: count)
    let chosenBytes = fields[.chosen]!
    let chosen = chosenBytes.span
    for (index, weight) in floats(.weights).enumerated() {
      let expert = Int(chosen.littleEndian(Int32.self, at: 4 * index))
      guard load.indices.contains(expert) else { continue }
      load[expert].tokens += 1
      load[expert].mass += Double(weight)
    }
    for expert in forcedExperts where load.indices.contains(expert) { load[expert].forced += 1 }
    return load
  }

  /// Mean squares of the inputs of this layer's linear layers, by role; experts that no token reached have none.
  public func importance(_ blueprint: Blueprint) -> Importance {
    var importance = Importance()
    let block = blueprint.layers[layer].feedForward
    for tap in blueprint.layers[layer].observedTaps {
      let n = tap.columns
      let matrix = floats(Field(tap))
      let means = (0..<n).map { matrix[$0 * n + $0] }
      for kind in tap.linears {
        importance.columns[Role(kind, layer: layer)] = means
        importance.tokens[Role(kind, layer: layer)] = tokens
      }
    }
    let (hidden, width) = (blueprint.hiddenSize, block.intermediateSize)
    for (expert, load) in load(experts: block.count).enumerated() where load.tokens + load.forced > 0 {
      let seen = load.tokens + load.forced
      let inputs = floats(.inputSquares, expert * hidden..<(expert + 1) * hidden)
      for kind in block.projections.inputs {
        importance.columns[block.role(kind, layer: layer, expert: expert)] = inputs
        importance.tokens[block.role(kind, layer: layer, expert: expert)] = seen
      }
      let lowering = block.role(block.projections.lowering, layer: layer, expert: expert)
      importance.columns[lowering] = floats(.innerSquares, expert * width..<(expert + 1) * width)
      importance.tokens[lowering] = seen
    }
    return importance
  }
}
