import IngotModels
import IngotPlanning
import IngotSystem
import IngotTensors

/// A plan for people: bits by layer and part, and what to expect.
package struct PlanTable {
  let file: PlanFile
  let plan: Plan
  let model: Model
  /// The model without the experts that the plan drops.
  let left: Model

  package init(file: PlanFile, plan: Plan, model: Model, left: Model) {
    self.file = file
    self.plan = plan
    self.model = model
    self.left = left
  }

  /// Kinds of linear layers that the model's layers have.
  private var columns: [(title: String, kind: TensorKind)] {
    var kinds: [TensorKind] = []
    for layer in model.blueprint.layers {
      for kind in layer.taps.flatMap(\.linears) where !kinds.contains(kind) { kinds.append(kind) }
    }
    return kinds.map { ($0.rawValue.replacing("attention_", with: ""), $0) }
  }

  /// Bits a weight of some tensors, the least and the most of them where they differ.
  private func bits(_ tensors: [Tensor]) -> String {
    let each = tensors.map { tensor in
      8 * Double(plan.assignments[tensor.role]?.encoding.bytes(tensor.shape) ?? 0)
        / Double(max(tensor.count, 1))
    }
    guard let low = each.min(), let high = each.max() else { return "" }
    let mean = each.reduce(0, +) / Double(each.count)
    return low == high ? fixed(mean, 2) : "\(fixed(mean, 2)) (\(fixed(low, 1))-\(fixed(high, 1)))"
  }

  package var text: String {
    var stacks: [Role: [Tensor]] = [:]
    for tensor in left.tensors {
      stacks[Role(tensor.role.kind, layer: tensor.role.layer), default: []].append(tensor)
    }
    var table = Table(["layer"] + columns.map(\.title))
    for layer in 0..<model.blueprint.layerCount {
      table.add(["\(layer)"] + columns.map { bits(stacks[Role($0.kind, layer: layer)] ?? []) })
    }
    var lines = [
      "bits per weight, of experts the mean (least-most)", table.text,
      "embedding \(bits(stacks[Role(.embedding)] ?? [])), head \(bits(stacks[model.blueprint.headRole] ?? []))",
      "",
    ]
    if let dropped = plan.dropped {
      lines += [
        "\(dropped.count) of \(dropped.experts) experts of every layer left out: \(dropped.left) stay, "
          + "\(grouped(left.parameters)) of \(grouped(model.parameters)) weights",
        droppedLines(dropped), "",
      ]
    }
    if let predicted = file.predicted {
      lines.append(
        "\(file.name): \(fixed(predicted.bitsPerWeight, 3)) bits per weight, "
          + "\(grouped(predicted.bytes)) bytes (\(decimal(predicted.bytes))) as \(file.format)")
      if plan.dropped != nil {
        lines.append(
          "bits over all weights of the original; "
            + "\(fixed(8 * Double(predicted.tensorBytes) / Double(max(left.parameters, 1)), 3)) of those that stay"
        )
      }
      if let divergence = predicted.divergence {
        lines.append(
          "predicted KL divergence \(significant(divergence.mean)) "
            + "(90 %: \(significant(divergence.low)) to \(significant(divergence.high)))\(measuredTexts)")
        if let other = divergence.other {
          lines.append(
            "on text of another kind \(significant(other.mean)) (90 %: \(significant(other.low)) to "
              + "\(significant(other.high))), if the model is as sure of it")
        }
      }
      if let gap = predicted.gap {
        lines.append("at most \(fixed(100 * gap, 3)) % above the best choice there is")
      }
    }
    if let nearest = nearestUniform {
      lines.append(nearest)
    }
    return lines.joined(separator: "\n")
  }

  /// The texts that the prediction is of.
  private var measuredTexts: String {
    let names = (file.sensitivity?["texts"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
    return names.isEmpty ? "" : ",\non text like \(printable(names, limit: 80))"
  }

  /// A line for each layer, cut where it would be too long.
  private func droppedLines(_ dropped: DroppedExperts) -> String {
    dropped.layers.enumerated().map { layer, experts in
      var lines = ["  layer \(layer):"]
      for word in Runs.text(experts).split(separator: " ") {
        if lines[lines.count - 1].count + word.count > 98 { lines.append("   ") }
        lines[lines.count - 1] += " \(word)"
      }
      return lines.joined(separator: "\n")
    }.joined(separator: "\n")
  }

  /// The uniform encoding of the same size, to compare with.
  private var nearestUniform: String? {
    guard let predicted = file.predicted, predicted.divergence != nil else { return nil }
    let known = file.uniform.compactMap { entry -> (String, Double, Double)? in
      guard let name = entry["encoding"]?.string, let bits = entry["bitsPerWeight"]?.double,
        let divergence = entry["klDivergence"]?.double
      else { return nil }
      return (name, bits, divergence)
    }
    guard
      let nearest = known.min(by: {
        abs($0.1 - predicted.bitsPerWeight) < abs($1.1 - predicted.bitsPerWeight)
      })
    else { return nil }
    return "for comparison: \(nearest.0) everywhere, \(fixed(nearest.1, 3)) bits, \(significant(nearest.2))"
  }

  package var json: JSONObject {
    var object: JSONObject = ["plan": .string(file.name), "format": .string(file.format)]
    if let predicted = file.predicted {
      object["bytes"] = JSON(predicted.bytes)
      object["tensorBytes"] = JSON(predicted.tensorBytes)
      object["bitsPerWeight"] = JSON(predicted.bitsPerWeight)
      object["sourceBytes"] = JSON(model.bytes)
      if let divergence = predicted.divergence {
        object["klDivergence"] = .object(divergence.json())
      }
      object["gap"] = predicted.gap.map { JSON($0) } ?? .null
    }
    object["experts"] = JSON(left.blueprint.experts.count)
    object["droppedExperts"] = plan.dropped?.json ?? .null
    return object
  }
}
