import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// Plans whose encodings are given: those of a file, perhaps edited, and those of a recipe for fewer experts.
extension PlanCommand {
  /// An earlier plan: its size, and what to expect when there is a sensitivity to go by.
  func showPlan(_ path: String) throws {
    let model = try Model.read(model, reading.options)
    let file = try PlanFile.read(path)
    let plan = try file.plan(for: model, path: path)
    let left = try model.dropping(plan.dropped)
    var divergence = file.isAsPredicted ? file.predicted?.divergence : nil
    if let path = budget.sensitivity {
      let sensitivity = try Sensitivity.read(path, for: model)
      divergence = try expected(plan, file.format, left, sensitivity, path)
      guard divergence != nil else {
        throw FormatError(
          path: path, expected: "every encoding of the plan among those measured",
          found: sensitivity.candidates.map(\.description).joined(separator: ", "))
      }
    }
    try show(plan, file, model, left, divergence, errors: file.isAsPredicted ? file.errors : [:])
  }

  /// A recipe's encodings for a model that lacks its experts of least score. Where the sensitivity knows the encodings, the divergence
  /// is predicted too.
  func planRecipe(_ recipe: Recipe, _ path: String) throws {
    let model = try Model.read(model, reading.options)
    let sensitivity = try Sensitivity.read(path, for: model)
    let count = try budget.allowDrop!.counts(sensitivity, model, path: path)[0]
    let dropped = sensitivity.least(count)
    let left = try model.dropping(dropped)
    var plan = try recipe.plan(for: left)
    plan.dropped = dropped
    plan.name =
      "\(Folder.name(of: model.sourceName)), \(recipe.name), \(left.blueprint.experts.count) experts"
    let format = try format.format(forOutput: "plan.ingot", recipe).name
    var file = PlanFile(plan, format: format, for: left)
    file.model = ModelName(model, name: model.sourceName).json
    file.budget = ["asked": .string("recipe \(recipe.name), \(count) experts left out")]
    file.sensitivity = sensitivity.record(path)
    try show(plan, file, model, left, try expected(plan, format, left, sensitivity, path), errors: [:])
  }

  /// What a plan's artifact will drift by; nil where one of its encodings was not measured.
  private func expected(
    _ plan: Plan, _ format: String, _ left: Model, _ sensitivity: Sensitivity, _ path: String
  ) throws(FormatError) -> Prediction.Interval? {
    var sensitivity = sensitivity
    if let dropped = plan.dropped {
      guard let known = sensitivity.without(dropped, left: left, format: format) else {
        throw FormatError(
          path: path,
          expected:
            "scores of experts (\"drops\"), since the plan leaves some out: 'ingot sensitivity' measures them",
          found: "none: it was written before there were any")
      }
      sensitivity = known
    }
    return sensitivity.sum(plan, left).map { Prediction(sensitivity, format: format).divergence(sum: $0) }
  }

  private func show(
    _ plan: Plan, _ file: PlanFile, _ model: Model, _ left: Model, _ divergence: Prediction.Interval?,
    errors: JSONObject
  ) throws {
    let quantized = try left.quantized(by: plan)
    let bytes = try PlanBytes(model, format: format.format ?? file.format, layout.options)
      .bytes(plan, importance: file.sensitivity?["importance"])
    var (file, fresh) = (file, PlanFile(plan, format: file.format, for: left))
    file.predicted = .init(
      checksum: fresh.checksum, bytes: bytes, tensorBytes: quantized.bytes,
      bitsPerWeight: 8 * Double(quantized.bytes) / Double(model.parameters), divergence: divergence)
    if let output = budget.output {
      (fresh.model, fresh.budget, fresh.sensitivity) = (file.model, file.budget, file.sensitivity)
      (fresh.predicted, fresh.curve, fresh.uniform) = (file.predicted, file.curve, file.uniform)
      try WholeFile.write(Array(fresh.text.utf8), to: output, force: budget.force)
    }
    let table = PlanTable(file: file, plan: plan, model: model, left: left)
    try writer.write(
      PlanRecord(file: file, plan: plan, model: model, left: left, errors: errors, table.json))
    print(json.json ? JSON.object(table.json).text(indented: true) : table.text)
  }
}

extension Sensitivity {
  /// What a plan says of what it was made by.
  func record(_ path: String) -> JSON {
    var record: JSONObject = [
      "name": .string(Folder.name(of: path)), "quantizer": .string(quantizer), "tokens": JSON(tokens),
      "texts": .array(texts.map { .string($0) }),
    ]
    record["importance"] = importance
    return .object(record)
  }
}
