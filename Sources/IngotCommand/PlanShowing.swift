import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotWorkflows

/// Plans whose encodings are given: those of a file, perhaps edited, and those of a recipe for fewer experts.
extension PlanCommand {
  func showPlan(_ path: String) throws {
    let model = try Model.read(model, reading.options)
    try show(
      PlanReview(
        ofFile: path, model, sensitivity: budget.sensitivity, format: format.format, layout.options))
  }

  func planRecipe(_ recipe: Recipe, _ path: String) throws {
    let model = try Model.read(model, reading.options)
    try show(
      PlanReview(
        of: recipe, model, sensitivity: path, drop: budget.allowDrop!, format: format.format, layout.options))
  }

  private func show(_ review: PlanReview) throws {
    if let output = budget.output {
      try write(plan: review.rewritten.text, to: output)
    }
    let table = PlanTable(file: review.file, plan: review.plan, model: review.model, left: review.left)
    try writer.write {
      () throws(FormatError) in
      try PlanRecord(
        file: review.file, plan: review.plan, model: review.model, left: review.left, errors: review.errors,
        table.json
      ).html
    }
    print(json.json ? JSON.object(table.json).text(indented: true) : table.text)
  }
}
