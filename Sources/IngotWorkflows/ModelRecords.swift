import IngotFormats
import IngotModels
import IngotReports
import IngotSystem
import IngotTensors

/// What reports say of a model.
extension Model {
  /// What a report calls a model by.
  package var record: JSONObject {
    [
      "name": .string(Folder.name(of: path)), "format": .string(format), "bytes": JSON(bytes),
      "parameters": JSON(parameters),
      "bitsPerWeight": JSON(8 * Double(bytes) / Double(max(parameters, 1))),
      "recipe": provenance?["recipe"]?["name"] ?? .null, "madeBy": provenance?["tool"] ?? .null,
    ]
  }

  /// What pages of plans call a model by.
  package var planRecord: JSON {
    [
      "name": .string(sourceName), "layers": JSON(blueprint.layerCount),
      "experts": JSON(blueprint.experts.count), "parameters": JSON(parameters), "bytes": JSON(bytes),
      "contextLength": JSON(blueprint.contextLength),
    ]
  }

  /// Where the bytes go.
  package var byteRecord: JSON {
    let assignments = tensors.map { ($0.role, Plan.Assignment(encoding: $0.encoding, quantizer: nil)) }
    let plan = Plan(name: "", assignments: Dictionary(uniqueKeysWithValues: assignments))
    return ByteRecord(plan.rows(self)).json
  }

  /// Bits per weight of each expert's three projections together: layers × experts.
  package var expertBits: JSON { expertBits(dropped: nil) }

  /// The same in the numbers of the original, null for experts that are gone.
  package func expertBits(dropped: DroppedExperts?) -> JSON {
    let layers = blueprint.layerCount
    let experts = dropped?.experts ?? blueprint.experts.count
    let kept = dropped.map { dropped in (0..<layers).map { dropped.kept($0) } }
    var bits = [Int](repeating: 0, count: layers * experts)
    var weights = bits
    for tensor in tensors {
      guard let layer = tensor.role.layer, let own = tensor.role.expert else { continue }
      let expert = kept?[layer][own] ?? own
      bits[layer * experts + expert] += 8 * tensor.bytes
      weights[layer * experts + expert] += tensor.count
    }
    return .array(
      (0..<layers).map { layer in
        .array(
          (layer * experts..<(layer + 1) * experts).map {
            weights[$0] > 0 ? JSON(Double(bits[$0]) / Double(weights[$0])) : .null
          })
      })
  }
}
