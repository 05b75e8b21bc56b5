import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// What becomes of each tensor: by a recipe, or by a plan that was made for the model.
public enum PlanChoice: Sendable {
  /// Name of a built-in recipe or path of a YAML file; `matchingMLX` chooses the codes that mlx_lm.convert would.
  case recipe(String, matchingMLX: Bool = false)
  /// Path of a plan file.
  case plan(String)

  /// A plan, and what is to be said of where it comes from.
  struct Chosen {
    var plan: Plan
    /// The format it is made for; nil for any.
    var format: String?
    var provenance: JSON
    /// `recipe` or `plan`.
    var kind: String
  }

  func chosen(for model: Model) throws(FormatError) -> Chosen {
    switch self {
    case .plan(let path):
      let file = try PlanFile.read(path)
      let plan = try file.plan(for: model, path: path)
      // By what it does, not by how its lines are written.
      let same = PlanFile(plan, format: file.format, for: try model.dropping(plan.dropped))
      return Chosen(plan: plan, format: file.format, provenance: same.provenance, kind: "plan")
    case .recipe(let name, let matchingMLX):
      var recipe = try Recipe.named(name)
      if matchingMLX { recipe = try recipe.matchingMLX() }
      return Chosen(
        plan: try recipe.plan(for: model), format: recipe.format, provenance: recipe.provenance,
        kind: "recipe")
    }
  }
}

extension Format {
  /// The format that was asked for by name, else the suggested one, else the one that an output's name says.
  ///
  /// - Throws: RequestError for an unknown name.
  package static func chosen(_ name: String?, forOutput path: String, suggested: String? = nil)
    throws(RequestError) -> Format
  {
    guard let name = name ?? suggested else { return Format.of(path) }
    return try known(name)
  }

  /// - Throws: RequestError for an unknown name.
  package static func known(_ name: String) throws(RequestError) -> Format {
    guard let format = Format.named(name) else {
      throw RequestError(
        .format, "expected one of \(Format.all.map(\.name).joined(separator: ", ")), found '\(name)'")
    }
    return format
  }
}

extension Recipe {
  /// What an artifact says of the recipe that made it.
  package var provenance: JSON { ["name": .string(name), "text": .string(source)] }
}

extension PlanFile {
  /// What an artifact says of the plan that made it.
  package var provenance: JSON { ["name": .string(name), "plan": .string(checksum)] }
}
