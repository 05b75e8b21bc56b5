import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension ContainerTraits.Sharing {
  /// What stands for a role and those that it is tied to; nil for one that stays as it is.
  func key(_ role: Role, _ blueprint: Blueprint) -> Role? {
    switch self {
    case .none: return role
    case .stacks: return role.stack
    case .fused:
      guard let layer = role.layer, let tap = blueprint.layers[layer].tap(of: role.kind) else { return nil }
      if role.expert != nil { return Role(blueprint.layers[layer].feedForward.projections.gating) }
      return Role(tap.linears[0], layer: layer)
    }
  }
}

/// The choice of an encoding for every tensor of a model: bytes against what the output loses.
public struct Allocation: Sendable {
  private struct Item: Sendable {
    var tensors: [Int]
    /// nil to carry them through.
    var encodings: [Encoding?]
    var choices: [Knapsack.Choice]
  }

  /// A choice for everything.
  public struct Result: Sendable {
    public var plan: Plan
    /// Of all tensors, those that are carried through among them.
    public var tensorBytes: Int
    /// Sum of the tensors' errors.
    public var sum: Double
    public var gap: Double
  }

  private let model: Model
  private let sensitivity: Sensitivity
  private var items: [Item] = []
  /// Bytes of what is not chosen.
  private var fixedBytes = 0
  private let knapsack: Knapsack

  public var itemCount: Int { items.count }

  /// - Parameters:
  ///   - candidates: encodings to choose among; those that were not measured are left out.
  ///   - holds: whether the container can hold an encoding.
  /// - Throws: FormatError when there is nothing to choose among for a tensor.
  public init(
    _ model: Model, _ sensitivity: Sensitivity, _ sharing: ContainerTraits.Sharing, candidates: [Encoding],
    holds: (Encoding) -> Bool
  ) throws(FormatError) {
    self.model = model
    self.sensitivity = sensitivity
    var places: [Role: Int] = [:]
    var members: [[Int]] = []
    for (index, tensor) in model.tensors.enumerated() {
      guard model.canQuantize(tensor), let key = sharing.key(tensor.role, model.blueprint) else {
        fixedBytes += tensor.bytes
        continue
      }
      if let place = places[key] {
        members[place].append(index)
      } else {
        places[key] = members.count
        members.append([index])
      }
    }
    let measured = candidates.filter { sensitivity.candidates.contains($0) && holds($0) }
    for tensors in members {
      var item = Item(tensors: tensors, encodings: [], choices: [])
      let options: [Encoding?] = measured.map { $0 } + [nil]
      for option in options {
        if let choice = Allocation.choice(option, tensors, model, sensitivity, holds) {
          item.encodings.append(option)
          item.choices.append(choice)
        }
      }
      guard !item.choices.isEmpty else {
        let tensor = model.tensors[tensors[0]]
        throw tensor.error(
          "an encoding that was measured, fits it and that the format holds",
          found:
            "none among \(sensitivity.candidates.map(\.description).joined(separator: ", ")); measure more with "
            + "'ingot sensitivity' for such a format or candidates")
      }
      items.append(item)
    }
    knapsack = Knapsack(items.map(\.choices))
  }

  private static func choice(
    _ option: Encoding?, _ tensors: [Int], _ model: Model, _ sensitivity: Sensitivity,
    _ holds: (Encoding) -> Bool
  ) -> Knapsack.Choice? {
    var choice = Knapsack.Choice(bytes: 0, cost: 0)
    for index in tensors {
      let tensor = model.tensors[index]
      let encoding = option ?? tensor.encoding
      guard option != nil || holds(encoding), let bytes = encoding.bytes(tensor.shape),
        let error = sensitivity.error(tensor.role, option)
      else { return nil }
      choice.bytes += bytes
      choice.cost += error
    }
    // Tied tensors that are carried through must be of one encoding too.
    if option == nil, Set(tensors.map { model.tensors[$0].encoding }).count > 1 { return nil }
    return choice
  }

  /// Bytes of all tensors in the smallest choices.
  public var leastBytes: Int { fixedBytes + knapsack.leastBytes }

  /// The best choice within a budget; nil when nothing fits into it.
  ///
  /// - Parameter tensorBytes: of all tensors.
  public func solved(tensorBytes budget: Int, name: String) -> Result? {
    guard let solution = knapsack.solved(budget: budget - fixedBytes) else { return nil }
    var plan = Plan(name: name, assignments: [:])
    plan.assignments.reserveCapacity(model.tensors.count)
    for tensor in model.tensors {
      plan.assignments[tensor.role] = .init(encoding: tensor.encoding, quantizer: nil)
    }
    for (item, chosen) in zip(items, solution.chosen) {
      guard let encoding = item.encodings[chosen] else { continue }
      let quantizer = Quantizer.filling(encoding).first?.rawValue
      for index in item.tensors {
        let tensor = model.tensors[index]
        guard tensor.encoding != encoding else { continue }
        plan.assignments[tensor.role] = .init(encoding: encoding, quantizer: quantizer)
      }
    }
    return Result(
      plan: plan, tensorBytes: fixedBytes + solution.bytes, sum: sensitivity.base + solution.cost,
      gap: solution.gap)
  }
}

extension Sensitivity {
  /// What the errors of a plan's tensors add up to; nil when it has an encoding that was not measured.
  ///
  /// - Parameter ratios: what the errors of an encoding are multiplied by; 1 where nothing is said.
  public func sum(_ plan: Plan, _ model: Model, ratios: [Encoding: Double] = [:]) -> Double? {
    var sum = base
    for tensor in model.tensors where model.canQuantize(tensor) {
      guard let assignment = plan.assignments[tensor.role] else { return nil }
      if assignment.quantizer == nil { continue }
      guard let error = error(tensor.role, assignment.encoding) else { return nil }
      sum += error * (ratios[assignment.encoding] ?? 1)
    }
    return sum
  }
}
