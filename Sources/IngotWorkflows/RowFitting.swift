import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension Format {
  /// A plan in which every matrix has an encoding that this format holds at its rows' length: what was asked for where that
  /// fits, else a shorter group, else dense values. `Plan.fallbacks` says where it is another.
  ///
  /// - Parameter model: without experts that the plan drops.
  package func fitted(_ plan: Plan, _ model: Model) -> Plan {
    RowFitting(plan: plan, model: model, rules: rowRules).fitted
  }

  /// Whether a fitted plan still quantizes what is to be quantized in this format, so that it can be recommended.
  package func isWorthwhile(_ plan: Plan, _ model: Model) -> Bool {
    func isQuantized(_ role: Role) -> Bool {
      guard let assignment = plan.assignments[role] else { return false }
      return !assignment.encoding.isDense
    }
    let asked = plan.fallbacks.keys
    guard !asked.isEmpty else { return true }
    guard plan.assignments.keys.contains(where: isQuantized) else { return false }
    return !rowRules.needsExperts || !asked.contains { $0.expert != nil && !isQuantized($0) }
  }
}

/// Finds encodings for rows that groups do not divide.
private struct RowFitting {
  let plan: Plan
  let model: Model
  let rules: RowRules

  /// Matrices that have one encoding.
  private struct Together: Hashable {
    var asked: Encoding
    var group: String
  }

  var fitted: Plan {
    var together: [Together: [Tensor]] = [:]
    for tensor in model.tensors {
      guard let assignment = plan.assignments[tensor.role], assignment.quantizer != nil,
        !assignment.encoding.rowFallbacks.isEmpty
      else { continue }
      together[Together(asked: assignment.encoding, group: group(of: tensor)), default: []].append(tensor)
    }
    guard together.contains(where: { !holds($0.key.asked, $0.value) }) else { return plan }
    let widest = widestOfAll(together)
    var fitted = plan
    for (key, tensors) in together {
      let choices = widest[key.asked] ?? ladder(key.asked, tensors)
      let choice = choices.first { holds($0, tensors) } ?? key.asked
      guard choice != key.asked else { continue }
      for tensor in tensors {
        fitted.assignments[tensor.role] = assignment(choice, tensor)
        fitted.fallbacks[tensor.role] = plan.fallbacks[tensor.role] ?? key.asked
      }
    }
    return fitted
  }

  /// What a tensor has one encoding with.
  private func group(of tensor: Tensor) -> String {
    let role = tensor.role
    guard let layer = role.layer, model.blueprint.isKnown else { return "\(role)" }
    if role.expert != nil, rules.alike != .inputs { return "experts" }
    let tap = role.expert == nil ? model.blueprint.layers[layer].tap(of: role.kind) : nil
    let inputs = tap?.linears ?? [role.kind]
    return "\(layer) \(inputs.map(\.rawValue).joined(separator: " "))"
  }

  /// For a format of one scheme: by encoding the widest that all can have which some narrower one fits, then dense values.
  private func widestOfAll(_ together: [Together: [Tensor]]) -> [Encoding: [Encoding]] {
    guard rules.alike == .model else { return [:] }
    var widest: [Encoding: [Encoding]] = [:]
    for asked in Set(together.keys.map(\.asked)) {
      let choices = ladder(asked, [])
      let groups = together.filter { $0.key.asked == asked }.map(\.value)
      let fitting = groups.filter { group in choices.contains { !$0.isDense && holds($0, group) } }
      let one = choices.first { choice in
        !choice.isDense && !fitting.isEmpty && fitting.allSatisfy { holds(choice, $0) }
      }
      widest[asked] = (one.map { [$0] } ?? []) + choices.filter(\.isDense)
    }
    return widest
  }

  private func ladder(_ asked: Encoding, _ tensors: [Tensor]) -> [Encoding] {
    // What mlx_lm.convert cannot cut into its groups it leaves as it is.
    let isMatched = tensors.contains {
      plan.assignments[$0.role]?.quantizer == Quantizer.matchMLX.rawValue
    }
    return [asked] + (isMatched ? asked.rowFallbacks.filter(\.isDense) : asked.rowFallbacks)
  }

  private func holds(_ encoding: Encoding, _ tensors: [Tensor]) -> Bool {
    tensors.allSatisfy { rules.holds(encoding, $0.rows, $0.columns) }
  }

  /// A tensor's new assignment: with the quantizer it had, where that fills the encoding. Values that are dense already stay.
  private func assignment(_ encoding: Encoding, _ tensor: Tensor) -> Plan.Assignment {
    if encoding.isDense, tensor.encoding.isDense { return .init(encoding: tensor.encoding, quantizer: nil) }
    let quantizers = Quantizer.filling(encoding).map(\.rawValue)
    let own = plan.assignments[tensor.role]?.quantizer
    return .init(
      encoding: encoding, quantizer: own.flatMap { quantizers.contains($0) ? $0 : nil } ?? quantizers.first)
  }
}

extension Encoding {
  fileprivate var isDense: Bool {
    if case .dense = self { return true }
    return false
  }
}

/// Tensors that got another encoding than was asked for, since their rows do not divide into its groups or blocks.
package struct RowFallback {
  package var asked: Encoding
  package var taken: Encoding
  package var columns: Int
  package var tensors: Int
  /// One of them.
  package var example: String

  /// Those of a plan, in the order of the model.
  package static func all(_ plan: Plan, _ model: Model) -> [RowFallback] {
    var list: [RowFallback] = []
    for tensor in model.tensors {
      guard let asked = plan.fallbacks[tensor.role], let taken = plan.assignments[tensor.role]?.encoding
      else { continue }
      let place = list.firstIndex {
        $0.asked == asked && $0.taken == taken && $0.columns == tensor.columns
      }
      if let place {
        list[place].tensors += 1
      } else {
        list.append(
          RowFallback(asked: asked, taken: taken, columns: tensor.columns, tensors: 1, example: tensor.name))
      }
    }
    return list
  }

  package var line: String {
    let which =
      tensors == 1
      ? "rows of \(grouped(columns)) weights, \(printable(example))"
      : "\(grouped(tensors)) tensors with rows of \(grouped(columns)) weights, such as \(printable(example))"
    return
      "\(taken) instead of \(asked) for \(which): these rows, or others that are quantized alike, are no whole number of "
      + "its blocks"
  }

  /// Under the names that programs read.
  package var json: JSON {
    [
      "asked": .string("\(asked)"), "taken": .string("\(taken)"), "columns": JSON(columns),
      "tensors": JSON(tensors), "example": .string(example),
    ]
  }
}
