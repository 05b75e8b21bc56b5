import IngotModels
import IngotSystem
import IngotTensors

/// Ordered rules over roles: what each tensor becomes. The first rule that matches a tensor decides; a tensor
/// that no rule matches is carried through as it is.
public struct Recipe: Sendable {
  public var name: String
  public var summary: String
  /// Name of the format it is made for; nil when any format that holds its encodings will do.
  public var format: String?
  public var rules: [Rule]
  /// What a tensor becomes whose rows an encoding does not fit, before what is usual (`Encoding.rowFallbacks`).
  public var fallbacks: [Encoding: Encoding] = [:]
  /// The YAML it was read from, for provenance.
  public var source: String

  /// A kind of tensor, of experts or of what a layer has once where a group says which.
  public struct Part: Hashable, Sendable {
    public var kind: TensorKind
    public var isExpert: Bool?

    public init(_ kind: TensorKind, isExpert: Bool? = nil) {
      self.kind = kind
      self.isExpert = isExpert
    }

    func matches(_ role: Role) -> Bool {
      kind == role.kind && isExpert ?? (role.expert != nil) == (role.expert != nil)
    }
  }

  /// One rule: which tensors, and what they become.
  public struct Rule: Sendable {
    /// Tensors it is for; nil for every kind that may be quantized.
    public var parts: Set<Part>?
    /// Patterns of names it is for, in which `*` stands for any text; nil for all.
    public var names: [String]?
    /// Layers it is for; nil for all, and for tensors of the whole model.
    public var layers: [LayerSet]?
    /// Experts it is for; nil for all, and for tensors that no expert owns.
    public var experts: [ClosedRange<Int>]?
    /// How many experts a layer of the model must have; nil for any number.
    public var expertCount: Int?
    /// How many experts it must have at least; nil for any number.
    public var leastExperts: Int?
    /// How many query heads must share a key at least; nil for any number.
    public var queriesPerKey: Int?
    /// The encoding; nil to carry the tensor through bit for bit.
    public var encoding: Encoding?
    public var quantizer: Quantizer?
    /// Line in the recipe, for messages.
    public var line: Int

    /// Whether it is for some models only.
    var hasCondition: Bool { expertCount != nil || leastExperts != nil || queriesPerKey != nil }

    /// Whether the rule is for such models at all.
    func applies(to blueprint: Blueprint) -> Bool {
      guard expertCount ?? blueprint.experts.count == blueprint.experts.count else { return false }
      guard blueprint.experts.count >= leastExperts ?? 0 else { return false }
      guard let queriesPerKey else { return true }
      return blueprint.attention.map { $0.heads >= queriesPerKey * $0.keyValueHeads } ?? false
    }

    /// Whether it is for a tensor of a model that it applies to.
    ///
    /// - Parameters:
    ///   - layerCount: layers of the model.
    ///   - tiedHead: whether the embedding is the head, too: rules for either match it.
    func matches(_ tensor: Tensor, layerCount: Int, tiedHead: Bool) -> Bool {
      let role = tensor.role
      guard names?.contains(where: { NamePattern($0).matches(tensor.name) }) ?? true else { return false }
      guard
        parts?.contains(where: { part in
          part.matches(role) || tiedHead && role.kind == .embedding && part.kind == .head
        }) ?? true
      else { return false }
      if let layers {
        guard let layer = role.layer, layers.contains(where: { $0.contains(layer, of: layerCount) }) else {
          return false
        }
      }
      guard let experts else { return true }
      return role.expert.map { expert in experts.contains { $0.contains(expert) } } ?? false
    }
  }

  /// Names that stand for several parts in a recipe.
  public static let groups: [(name: String, parts: [Part])] = [
    ("attention", TensorKind.attentionLinears.map { Part($0) }),
    ("experts", TensorKind.mlpLinears.map { Part($0, isExpert: true) }),
    ("mlp", TensorKind.mlpLinears.map { Part($0, isExpert: false) }),
    ("norms", TensorKind.norms.map { Part($0) }),
  ]

  /// The plan of this recipe for a model.
  ///
  /// - Throws: FormatError when a rule decides over no tensor, would quantize a part that must stay exact, or asks
  ///   for an encoding that does not fit a tensor.
  public func plan(for model: Model) throws(FormatError) -> Plan {
    let blueprint = model.blueprint
    let layers = blueprint.layerCount
    let applicable = rules.map { $0.applies(to: blueprint) }
    var assignments = [Role: Plan.Assignment](minimumCapacity: model.tensors.count)
    var asked: [Role: Encoding] = [:]
    var used = [Int](repeating: 0, count: rules.count)
    var matched = used
    // Rules that lose a tensor to one that is for some models only: in others they have it.
    var excused = [Bool](repeating: false, count: rules.count)
    for tensor in model.tensors {
      let exact = model.isExact(tensor)
      var chosen = Plan.Assignment(encoding: tensor.encoding, quantizer: nil)
      var decider: Rule?
      for (index, rule) in rules.enumerated()
      where applicable[index] && rule.matches(tensor, layerCount: layers, tiedHead: blueprint.isHeadTied) {
        if exact, let encoding = rule.encoding {
          // A rule for all parts passes over the exact ones; one that names them asks for what must not be.
          // Of a family that is not known, names decide over any matrix.
          if model.blueprint.isKnown || rule.names == nil || tensor.shape.count != 2 {
            guard rule.parts != nil || rule.names != nil && model.blueprint.isKnown else { continue }
            guard encoding == tensor.encoding else { throw refuse(rule, tensor, encoding) }
          }
        }
        matched[index] += 1
        if let decider {
          if decider.hasCondition { excused[index] = true }
          continue
        }
        decider = rule
        used[index] += 1
        guard let wanted = rule.encoding else { continue }
        let encoding = fitting(wanted, tensor)
        if encoding != wanted { asked[tensor.role] = wanted }
        if encoding != tensor.encoding {
          guard encoding.planes(tensor.shape) != nil, tensor.encoding.isDecodable else {
            throw tensor.error(
              "a tensor that \(encoding) fits (line \(rule.line) of recipe '\(name)')",
              found: "\(tensor.encoding) \(tensor.shape)")
          }
          let quantizers = Quantizer.filling(encoding)
          guard
            let quantizer = rule.quantizer.flatMap({ quantizers.contains($0) ? $0 : nil }) ?? quantizers.first
          else {
            throw tensor.error(
              "an encoding that can be quantized to", found: "\(encoding), line \(rule.line)")
          }
          chosen = Plan.Assignment(encoding: encoding, quantizer: quantizer.rawValue)
        }
      }
      assignments[tensor.role] = chosen
    }
    for (index, rule) in rules.enumerated() where applicable[index] && !excused[index] && used[index] == 0 {
      if let sets = rule.layers, sets.allSatisfy({ $0.mayBeEmpty(of: layers) }) { continue }
      // Recipes for mixtures are of use to dense models too, and the other way round; a tied head is the embedding.
      if let parts = rule.parts, parts.allSatisfy({ isAbsent($0, blueprint) }) { continue }
      throw FormatError(
        path: "recipe '\(name)'", expected: "rule \(index + 1) (line \(rule.line)) to decide over a tensor",
        found: matched[index] > 0
          ? "\(matched[index]) matching tensors, all decided by rules before it" : "no tensor that it matches"
      )
    }
    if !blueprint.isKnown, rules.contains(where: { $0.encoding != nil }),
      assignments.values.allSatisfy({ $0.quantizer == nil })
    {
      throw FormatError(
        path: "recipe '\(name)'",
        expected: "a rule for a model of an unknown family: without 'parts', or with 'names'",
        found: "none that decides over one of its \(model.tensors.count) tensors")
    }
    var plan = Plan(name: name, assignments: assignments)
    plan.fallbacks = asked
    return plan
  }

  /// The encoding, or what fits the tensor's rows instead: the recipe's own fallback, else the usual ones.
  private func fitting(_ encoding: Encoding, _ tensor: Tensor) -> Encoding {
    var (own, tried) = (encoding, Set<Encoding>())
    while own.planes(tensor.shape) == nil, let next = fallbacks[own], tried.insert(next).inserted {
      own = next
    }
    guard own.planes(tensor.shape) == nil else { return own }
    return encoding.rowFallbacks.first { $0.planes(tensor.shape) != nil } ?? encoding
  }

  /// Whether a model of this kind has no such tensors, so that a rule for them is no mistake of the recipe's.
  private func isAbsent(_ part: Part, _ blueprint: Blueprint) -> Bool {
    // Of a family that is not known no kinds are known either: rules without kinds, or with names, decide.
    guard blueprint.isKnown else { return true }
    return switch part.isExpert {
    case true?: blueprint.mixtures.isEmpty
    case false?: blueprint.mixtures.count == blueprint.layerCount
    case nil: part.kind == blueprint.headRole.kind ? false : part.kind == .head
    }
  }

  private func refuse(_ rule: Rule, _ tensor: Tensor, _ encoding: Encoding) -> FormatError {
    tensor.error(
      "\(tensor.role.kind.rawValue) to stay exact: it decides the choice of experts or scales a whole layer",
      found: "\(encoding) by line \(rule.line) of recipe '\(name)'")
  }
}
