import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What quantizing each tensor of a model to each of some encodings does to its output: measured once, by
/// `ingot sensitivity`, and good for every plan.
///
/// KL divergences are means in nats over the tokens it was measured on.
public struct Sensitivity: Sendable {
  /// A KL divergence and its standard error over contexts.
  public struct Measure: Hashable, Sendable {
    public var mean: Double
    public var standardError: Double?

    public init(mean: Double, standardError: Double?) {
      self.mean = mean
      self.standardError = standardError
    }
  }

  /// The model in every tensor of one encoding.
  public struct Uniform: Hashable, Sendable {
    public var encoding: Encoding
    public var divergence: Measure
    /// What the errors of all tensors add up to there.
    public var sum: Double

    public init(encoding: Encoding, divergence: Measure, sum: Double) {
      self.encoding = encoding
      self.divergence = divergence
      self.sum = sum
    }
  }

  /// A plan of some budget, made as artifacts of it are, and what it does to the model on text that it was not chosen by.
  public struct MixedPlan: Hashable, Sendable {
    /// Name of the container that it is for.
    public var format: String
    /// Over all tensors.
    public var bitsPerWeight: Double
    public var divergence: Measure
    /// What the errors of its tensors add up to.
    public var sum: Double
    /// That the divergence was measured on.
    public var tokens: Int
    /// Of each text; empty in files of older versions.
    public var texts: [TextMeasure] = []

    public init(format: String, bitsPerWeight: Double, divergence: Measure, sum: Double, tokens: Int) {
      self.format = format
      self.bitsPerWeight = bitsPerWeight
      self.divergence = divergence
      self.sum = sum
      self.tokens = tokens
    }
  }

  /// Tokens that the router sent to an expert, and the sum of their weights.
  public struct Load: Hashable, Sendable {
    public var tokens: Int
    public var mass: Double

    public init(tokens: Int, mass: Double) {
      self.tokens = tokens
      self.mass = mass
    }
  }

  public var model: ModelName
  public var tokens: Int
  public var texts: [String]
  /// How codes were chosen: `search` or `gptq`.
  public var quantizer: String
  public var candidates: [Encoding]
  /// The encoding that groups were measured at.
  public var reference: Encoding
  /// By stack: the model with only this tensor, or these experts' tensors, quantized.
  public var groups: [Role: Measure]
  public var uniform: [Uniform]
  /// By format, by rising bits; none in files of older versions.
  public var mixedPlans: [MixedPlan] = []
  /// What artifacts say of the statistics that their codes are chosen by; nil without, and in files of older versions.
  public var importance: JSON?
  /// nil in files of older versions.
  public var contexts: MeasuredContexts?
  /// By layer and expert.
  public var loads: [[Load]]
  /// By tensor and candidate: the share of the KL divergence; nil where the candidate does not fit.
  public var errors: [Role: [Double?]]
  /// By layer: what leaving experts out costs; nil where that was not measured.
  public var drops: [Drops]?
  /// The model with so many of every layer left out, on the text that mixtures are measured on.
  public var dropped: Drops.Anchor?
  /// By layer, the share of the KL divergence that is there before anything is quantized: of experts that are left out. Empty for
  /// none.
  public var bases: [Double] = []
  public var base: Double { bases.reduce(0, +) }

  public init(
    model: ModelName, tokens: Int, texts: [String], quantizer: String, candidates: [Encoding],
    reference: Encoding, groups: [Role: Measure], uniform: [Uniform], loads: [[Load]],
    errors: [Role: [Double?]], drops: [Drops]? = nil
  ) {
    self.model = model
    self.tokens = tokens
    self.texts = texts
    self.quantizer = quantizer
    self.candidates = candidates
    self.reference = reference
    self.groups = groups
    self.uniform = uniform
    self.loads = loads
    self.errors = errors
    self.drops = drops
  }

  /// Stacks by name, in the order of the forward pass, each with the roles of its tensors.
  public var stacks: [(name: String, roles: [Role])] {
    groups.keys.sorted { Sensitivity.order($0) < Sensitivity.order($1) }.map { stack in
      let isStack = errors[Role(stack.kind, layer: stack.layer, expert: 0)] != nil
      return (
        StackName.text(stack),
        isStack
          ? (0..<model.experts).map { Role(stack.kind, layer: stack.layer, expert: $0) } : [stack]
      )
    }
  }

  /// What a tensor's error is taken for in an encoding; nil when that was not measured. Carried through, it has none.
  public func error(_ role: Role, _ encoding: Encoding?) -> Double? {
    guard let encoding else { return 0 }
    guard let place = candidates.firstIndex(of: encoding), let all = errors[role] else { return nil }
    return all[place]
  }
}

/// By what a file says which model it is of.
public struct ModelName: Hashable, Sendable {
  public var name: String
  public var layers: Int
  public var experts: Int
  public var parameters: Int
  /// Of its tensors.
  public var bytes: Int

  public init(_ model: Model, name: String) {
    self.name = name
    layers = model.blueprint.layerCount
    experts = model.blueprint.experts.count
    parameters = model.parameters
    bytes = model.bytes
  }

  init?(_ json: JSON) {
    guard let name = json["name"]?.string, let layers = json["layers"]?.int,
      let experts = json["experts"]?.int, let parameters = json["parameters"]?.int,
      let bytes = json["bytes"]?.int
    else { return nil }
    self.name = name
    self.layers = layers
    self.experts = experts
    self.parameters = parameters
    self.bytes = bytes
  }

  public var json: JSON {
    [
      "name": .string(name), "layers": JSON(layers), "experts": JSON(experts),
      "parameters": JSON(parameters), "bytes": JSON(bytes),
    ]
  }

  /// Refuses a file that is of another model.
  func require(_ model: Model, path: String) throws(FormatError) {
    let found = ModelName(model, name: "")
    let facts = [
      ("layers", found.layers, layers), ("experts", found.experts, experts),
      ("parameters", found.parameters, parameters),
    ].filter { $0.1 != $0.2 }
    if facts.isEmpty { return }
    let (mine, theirs) = (facts.map { "\($0.0) \($0.1)" }, facts.map { "\($0.0) \($0.2)" })
    throw FormatError(
      path: path,
      expected: "a file of \(model.path): \(mine.joined(separator: ", ")); make it from this model "
        + "('ingot sensitivity', 'ingot plan')",
      found: "one of another model, \(printable(name)): \(theirs.joined(separator: ", "))")
  }
}

/// A number with five significant digits: more would say nothing.
public func rounded(_ value: Double) -> Double {
  guard value.isFinite, value != 0 else { return value }
  let digits = 4 - Int(log10(abs(value)).rounded(.down))
  guard abs(digits) < 300 else { return 0 }
  // Divided by a power of ten rather than multiplied by its inverse, which is not exact.
  return digits >= 0
    ? (value * pow(10, Double(digits))).rounded() / pow(10, Double(digits))
    : (value / pow(10, Double(-digits))).rounded() * pow(10, Double(-digits))
}
