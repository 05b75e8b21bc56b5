import Models
import Tensors

/// Ordered rules over roles: what each tensor becomes. The first rule that matches a tensor decides; a tensor
/// that no rule matches is carried through as it is.
public struct Recipe: Sendable {
  public var name: String
  public var summary: String
  /// Name of the format it is made for; nil when any format that holds its encodings will do.
  public var format: String?
  public var rules: [Rule]
  /// The YAML it was read from, for provenance.
  public var source: String

  /// One rule: which tensors, and what they become.
  public struct Rule: Sendable {
    /// Parts it is for; nil for every part that may be quantized.
    public var parts: Set<Role.Part>?
    /// Layers it is for; nil for all, and for tensors of the whole model.
    public var layers: [LayerSet]?
    /// Experts it is for; nil for all, and for tensors that no expert owns.
    public var experts: [ClosedRange<Int>]?
    /// How many experts a layer of the model must have; nil for any number.
    public var expertCount: Int?
    /// The encoding; nil to carry the tensor through bit for bit.
    public var encoding: Encoding?
    public var quantizer: Quantizer?
    /// Line in the recipe, for messages.
    public var line: Int

    /// Whether the rule is for such models at all.
    func applies(to numbers: Hyperparameters) -> Bool {
      expertCount ?? numbers.experts.count == numbers.experts.count
    }

    /// Whether it is for a tensor of a model that it applies to.
    ///
    /// - Parameter layerCount: layers of the model.
    func matches(_ role: Role, layerCount: Int) -> Bool {
      guard parts?.contains(role.part) ?? true else { return false }
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
  public static let groups: [(name: String, parts: Set<Role.Part>)] = [
    ("attention", [.query, .key, .value, .attentionOutput]),
    ("experts", [.gate, .up, .down]),
    ("norms", [.attentionNorm, .feedForwardNorm, .finalNorm, .queryNorm, .keyNorm]),
  ]

  /// The plan of this recipe for a model.
  ///
  /// - Throws: FormatError when a rule decides over no tensor, would quantize a part that must stay exact, or asks
  ///   for an encoding that does not fit a tensor.
  public func plan(for model: Model) throws(FormatError) -> Plan {
    let numbers = model.hyperparameters
    let layers = numbers.layers
    let applicable = rules.map { $0.applies(to: numbers) }
    var assignments = [Role: Plan.Assignment](minimumCapacity: model.tensors.count)
    var used = [Int](repeating: 0, count: rules.count)
    var matched = used
    // Rules that lose a tensor to one for models of this number of experts: elsewhere they have it.
    var excused = [Bool](repeating: false, count: rules.count)
    for tensor in model.tensors {
      let exact = model.architecture.exactParts.contains(tensor.role.part)
      var chosen = Plan.Assignment(encoding: tensor.encoding, quantizer: nil)
      var decider: Rule?
      for (index, rule) in rules.enumerated()
      where applicable[index] && rule.matches(tensor.role, layerCount: layers) {
        if exact, let encoding = rule.encoding {
          // A rule for all parts passes over the exact ones; one that names them asks for what must not be.
          guard rule.parts != nil else { continue }
          guard encoding == tensor.encoding else { throw refuse(rule, tensor, encoding) }
        }
        matched[index] += 1
        if let decider {
          if decider.expertCount != nil { excused[index] = true }
          continue
        }
        decider = rule
        used[index] += 1
        if let encoding = rule.encoding, encoding != tensor.encoding {
          guard encoding.planes(tensor.shape) != nil, tensor.encoding.isDecodable else {
            throw tensor.error(
              "a tensor that \(encoding) fits (line \(rule.line) of recipe '\(name)')",
              found: "\(tensor.encoding) \(tensor.shape)")
          }
          guard let quantizer = rule.quantizer ?? Quantizer.filling(encoding).first else {
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
      throw FormatError(
        path: "recipe '\(name)'", expected: "rule \(index + 1) (line \(rule.line)) to decide over a tensor",
        found: matched[index] > 0
          ? "\(matched[index]) matching tensors, all decided by rules before it" : "no tensor that it matches"
      )
    }
    return Plan(name: name, assignments: assignments)
  }

  private func refuse(_ rule: Rule, _ tensor: Tensor, _ encoding: Encoding) -> FormatError {
    tensor.error(
      "\(tensor.role.part.rawValue) to stay exact: it decides the choice of experts or scales a whole layer",
      found: "\(encoding) by line \(rule.line) of recipe '\(name)'")
  }
}
