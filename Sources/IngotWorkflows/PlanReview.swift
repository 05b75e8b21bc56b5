import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// A plan whose encodings are given, with its size and what to expect of it: of a file, perhaps edited, or of a recipe for
/// fewer experts.
package struct PlanReview {
  /// With its prediction.
  package var file: PlanFile
  package var plan: Plan
  package var model: Model
  /// The model without the experts that the plan drops.
  package var left: Model
  /// By stack, shares of the predicted KL divergence; none after an edit.
  package var errors: JSONObject = [:]

  /// An earlier plan.
  ///
  /// - Parameters:
  ///   - sensitivity: path; nil to go by what the file predicts.
  ///   - format: of the artifact whose size is computed; nil for the plan's.
  package init(
    ofFile path: String, _ model: Model, sensitivity: String?, format: String?, _ options: WriteOptions
  ) throws {
    let file = try WrittenFile.plan(path)
    let plan = try file.plan(for: model, path: path)
    let left = try model.dropping(plan.dropped)
    var divergence = file.isAsPredicted ? file.predicted?.divergence : nil
    if let path = sensitivity {
      let sensitivity = try WrittenFile.sensitivity(path, for: model)
      divergence = try PlanReview.expected(plan, file.format, left, sensitivity, path)
      guard divergence != nil else {
        throw FormatError(
          path: path, expected: "every encoding of the plan among those measured",
          found: sensitivity.candidates.map(\.description).joined(separator: ", "), remedy: .measure)
      }
    }
    try self.init(plan, file, model, left, divergence, format: format, options)
    if file.isAsPredicted { errors = file.errors }
  }

  /// A recipe's encodings for a model that lacks its experts of least score. Where the sensitivity knows the encodings, the
  /// divergence is predicted too.
  package init(
    of recipe: Recipe, _ model: Model, sensitivity path: String, drop: DropAmount, format: String?,
    _ options: WriteOptions
  ) throws {
    let sensitivity = try WrittenFile.sensitivity(path, for: model)
    let count = try drop.counts(sensitivity, model, path: path)[0]
    let dropped = sensitivity.least(count)
    let left = try model.dropping(dropped)
    let container = try Format.known(format ?? recipe.format ?? Format.ingot.name)
    var plan = try container.requireFitted(recipe.plan(for: left), left)
    plan.dropped = dropped
    plan.name =
      "\(Folder.name(of: model.sourceName)), \(recipe.name), \(left.blueprint.experts.count) experts"
    var file = PlanFile(plan, format: container.name, for: left)
    file.model = ModelName(model, name: model.sourceName).json
    file.budget = ["asked": .string("recipe \(recipe.name), \(count) experts left out")]
    file.sensitivity = sensitivity.record(path)
    let divergence = try PlanReview.expected(plan, container.name, left, sensitivity, path)
    try self.init(plan, file, model, left, divergence, format: container.name, options)
  }

  private init(
    _ plan: Plan, _ file: PlanFile, _ model: Model, _ left: Model, _ divergence: Prediction.Interval?,
    format: String?, _ options: WriteOptions
  ) throws {
    self.file = file
    self.plan = plan
    self.model = model
    self.left = left
    let quantized = try left.quantized(by: plan)
    let bytes = try PlanBytes(model, format: format ?? file.format, options)
      .bytes(plan, importance: file.sensitivity?["importance"])
    self.file.predicted = .init(
      checksum: PlanFile(plan, format: file.format, for: left).checksum, bytes: bytes,
      tensorBytes: quantized.bytes,
      bitsPerWeight: 8 * Double(quantized.bytes) / Double(model.parameters), divergence: divergence)
  }

  /// The plan as a file of its own, with the new prediction.
  package var rewritten: PlanFile {
    var fresh = PlanFile(plan, format: file.format, for: left)
    (fresh.model, fresh.budget, fresh.sensitivity) = (file.model, file.budget, file.sensitivity)
    (fresh.predicted, fresh.curve, fresh.uniform) = (file.predicted, file.curve, file.uniform)
    return fresh
  }

  /// What a plan's artifact will drift by; nil where one of its encodings was not measured.
  private static func expected(
    _ plan: Plan, _ format: String, _ left: Model, _ sensitivity: Sensitivity, _ path: String
  ) throws(FormatError) -> Prediction.Interval? {
    var sensitivity = sensitivity
    if let dropped = plan.dropped {
      guard let known = sensitivity.without(dropped, left: left, format: format) else {
        throw FormatError(
          path: path,
          expected:
            "scores of experts (\"drops\"), since the plan leaves some out: a sensitivity file of today has them",
          found: "none: it was written before there were any; measure anew with 'ingot sensitivity'")
      }
      sensitivity = known
    }
    return sensitivity.sum(plan, left).map { Prediction(sensitivity, format: format).divergence(sum: $0) }
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
    record["contexts"] = contexts?.json
    return .object(record)
  }
}
