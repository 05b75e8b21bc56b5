import IngotInference
import IngotModels
import IngotPlanning
import IngotSystem
import IngotTensors

/// What `ingot sensitivity` found, for people: which parts cost most.
package struct SensitivityTable {
  private let found: Sensitivity

  package init(_ found: Sensitivity) { self.found = found }

  private struct Row {
    var kind: TensorKind
    var tensors: Int
    var sum: Double
    var worst: Role
    var largest: Double
  }

  private var rows: [Row] {
    TensorKind.linears.compactMap { part in
      let groups = found.groups.filter { $0.key.kind == part }
      guard let worst = groups.max(by: { ($0.value.mean, "\($1.key)") < ($1.value.mean, "\($0.key)") }) else {
        return nil
      }
      return Row(
        kind: part, tensors: found.errors.keys.reduce(0) { $0 + ($1.kind == part ? 1 : 0) },
        sum: groups.values.map(\.mean).sorted().reduce(0, +), worst: worst.key, largest: worst.value.mean)
    }
  }

  package var text: String {
    var table = Table(["at \(found.reference)", "tensors", "KL divergence", "largest", "in layer"])
    for row in rows {
      table.add([
        row.kind.rawValue, grouped(row.tensors), significant(row.sum), significant(row.largest),
        row.worst.layer.map { "\($0)" } ?? "",
      ])
    }
    var whole = Table(["whole model at", "KL divergence", "±", "sum of parts"])
    for uniform in found.uniform {
      whole.add([
        uniform.encoding.description, significant(uniform.divergence.mean),
        uniform.divergence.standardError.map { significant($0) } ?? "", significant(uniform.sum),
      ])
    }
    var mixedPlans = Table(["plans of", "bits", "KL divergence", "±", "sum of parts"])
    for mixture in found.mixedPlans {
      mixedPlans.add([
        mixture.format, fixed(mixture.bitsPerWeight, 3), significant(mixture.divergence.mean),
        mixture.divergence.standardError.map { significant($0) } ?? "", significant(mixture.sum),
      ])
    }
    var dropped = Table(["experts left out", "KL divergence", "±", "sum of layers"])
    if let anchor = found.dropped {
      dropped.add([
        "\(anchor.count) of \(found.model.experts)", significant(anchor.divergence.mean),
        anchor.divergence.standardError.map { significant($0) } ?? "",
        significant(layersWithout(anchor.count)),
      ])
    }
    return [table.text, whole.text, mixedPlans.text, dropped.text].joined(separator: "\n\n")
  }

  /// Of each layer alone.
  private func layersWithout(_ count: Int) -> Double {
    (found.drops ?? []).reduce(0) { $0 + $1.error(count) }
  }

  package var json: JSONObject {
    [
      "quantizer": .string(found.quantizer), "reference": .string(found.reference.description),
      "tokens": JSON(found.tokens),
      "parts": .array(
        rows.map {
          [
            "role": .string($0.kind.rawValue), "tensors": JSON($0.tensors), "klDivergence": JSON($0.sum),
            "largest": JSON($0.largest), "layer": $0.worst.layer.map { JSON($0) } ?? .null,
          ]
        }),
      "uniform": .array(
        found.uniform.map {
          [
            "encoding": .string($0.encoding.description), "klDivergence": JSON($0.divergence.mean),
            "standardError": $0.divergence.standardError.map { JSON($0) } ?? .null, "sum": JSON($0.sum),
          ]
        }),
      "mixtures": .array(
        found.mixedPlans.map {
          [
            "format": .string($0.format), "bitsPerWeight": JSON($0.bitsPerWeight),
            "klDivergence": JSON($0.divergence.mean),
            "standardError": $0.divergence.standardError.map { JSON($0) } ?? .null, "sum": JSON($0.sum),
            "tokens": JSON($0.tokens),
          ]
        }),
      "dropped": found.dropped.map { anchor in
        [
          "experts": JSON(anchor.count), "klDivergence": JSON(anchor.divergence.mean),
          "standardError": anchor.divergence.standardError.map { JSON($0) } ?? .null,
          "sum": JSON(layersWithout(anchor.count)),
        ]
      } ?? .null,
    ]
  }
}
