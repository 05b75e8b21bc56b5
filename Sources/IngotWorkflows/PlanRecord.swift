import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors

/// What the page of a plan shows: its file, where the bytes go, and bits and expected error of each expert.
package struct PlanRecord {
  private var object: JSONObject
  /// What the share of experts that are left out is called.
  package static let dropped = "dropped"

  /// - Parameters:
  ///   - left: the model without the experts that the plan drops.
  ///   - errors: by stack, shares of the predicted KL divergence, one number an expert; none after an edit.
  ///   - printed: what `--json` prints of it.
  package init(
    file: PlanFile, plan: Plan, model: Model, left: Model, errors: JSONObject, _ printed: JSONObject
  ) throws(FormatError) {
    object = printed
    var content = try JSON.parse(Array(file.text.utf8), path: file.name).object ?? [:]
    content["errors"] = nil
    object["file"] = .object(content)
    object["model"] = model.planRecord
    let planned = try left.quantized(by: plan)
    object["parts"] = planned.byteRecord
    object["expertBits"] = planned.expertBits(dropped: plan.dropped)
    guard errors.count > 0 else { return }
    let layers = model.blueprint.layerCount
    let experts = max(model.blueprint.experts.count, 1)
    func values(_ layer: Int, _ kind: TensorKind) -> [Double] {
      let value = errors["layers.\(layer).\(kind.rawValue)"] ?? .null
      return value.array?.map { $0.double ?? 0 } ?? value.double.map { [$0] } ?? []
    }
    var rows: [JSON] = []
    var sums: [JSON] = []
    for layer in 0..<layers {
      var each = [Double](repeating: 0, count: experts)
      for kind in TensorKind.mlpLinears {
        for (expert, value) in values(layer, kind).prefix(experts).enumerated() { each[expert] += value }
      }
      let attention = TensorKind.attentionLinears.reduce(0) { $0 + values(layer, $1).reduce(0, +) }
      let gone = Set(plan.dropped?.layers[layer] ?? [])
      rows.append(.array(each.enumerated().map { gone.contains($0) ? .null : JSON($1) }))
      var sum: JSONObject = ["experts": JSON(each.reduce(0, +)), "attention": JSON(attention)]
      if let share = errors["layers.\(layer).\(PlanRecord.dropped)"] { sum[PlanRecord.dropped] = share }
      sums.append(.object(sum))
    }
    object["expertErrors"] = .array(rows)
    object["layerErrors"] = .array(sums)
  }

  package var html: String { PlanFilePage(.object(object)).html }
}
