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

  /// The recipe for who names none: one of 4 bits in the format that the name of the output, or `format`, says.
  package static func usualRecipe(forOutput path: String, format: String?) -> String {
    let usual = ["q4_k_m", "mlx-4bit", "int4"]
    let name = format ?? Format.all.first { $0.traits.suffix.map(path.hasSuffix) ?? false }?.name
    return usual.first { recipe in Recipe.builtIn.contains { $0.name == recipe && $0.format == name } }
      ?? "int4"
  }

  /// The file that is read for it, if any, and what that is.
  var file: (what: String, path: String?) {
    switch self {
    case .plan(let path): ("the plan", path)
    case .recipe(let name, _):
      ("the recipe", Recipe.builtIn.contains { $0.name == name } ? nil : name)
    }
  }

  /// A plan, and what is to be said of where it comes from.
  struct Chosen {
    var plan: Plan
    /// The format it is made for; nil for any.
    var format: String?
    var provenance: JSON
    /// `recipe` or `plan`.
    var kind: String
    /// The statistics that a plan was measured with, as its file says.
    var importance: JSON?

    /// Gives rows that the format's groups do not divide what fits them. A plan's file says what it means itself.
    ///
    /// - Throws: RequestError when no row fits.
    mutating func fit(_ format: Format, _ model: Model) throws(RequestError) {
      if kind == "recipe" { plan = try format.requireFitted(plan, model) }
    }
  }

  func chosen(for model: Model) throws(FormatError) -> Chosen {
    switch self {
    case .plan(let path):
      let file = try WrittenFile.plan(path)
      let plan = try file.plan(for: model, path: path)
      // By what it does, not by how its lines are written.
      let same = PlanFile(plan, format: file.format, for: try model.dropping(plan.dropped))
      return Chosen(
        plan: plan, format: file.format, provenance: same.provenance, kind: "plan",
        importance: file.sensitivity?["importance"])
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
  /// - Throws: RequestError for an unknown name, and for an output whose name says another format: its readers, this tool
  ///   among them, would take it for that.
  package static func chosen(_ name: String?, forOutput path: String, suggested: String? = nil)
    throws(RequestError) -> Format
  {
    let format =
      try (name ?? suggested).map { name throws(RequestError) in try known(name) }
      ?? all.first { $0.traits.suffix.map(path.hasSuffix) ?? false } ?? .safeTensors
    try format.requireName(path)
    return format
  }

  /// Suffixes of files, which no folder's name has.
  private static var fileSuffixes: [String] {
    all.compactMap(\.traits.suffix) + OutputKind.suffixes.sorted() + [".jsonl", ".txt"]
  }

  private func requireName(_ path: String) throws(RequestError) {
    let stated = Format.fileSuffixes.first(where: path.hasSuffix)
    guard stated != traits.suffix || path.hasSuffix("/") && stated != nil else { return }
    let other = Format.all.first { $0.traits.suffix != nil && $0.traits.suffix == stated }
    let kind = traits.suffix.map { "a \($0) file" } ?? "a folder"
    let stem = stated.map { String(path.dropLast($0.count)) } ?? path
    var message =
      "format \(name) is \(kind), found '\(printable(path))': name it "
      + (traits.suffix.map { "\(stem)\($0)" } ?? "without a file's suffix, such as \(suggestedName(stem))")
    if let other {
      message += ", or choose format \(other.name), or a recipe for it ('ingot recipes')"
    } else if traits.suffix != nil {
      message += ", or choose a format that is a folder, or a recipe for one ('ingot recipes')"
    }
    throw RequestError(.output, message)
  }

  /// Refuses a recipe or plan whose encodings the format has no place for, before anything is read for it.
  ///
  /// - Parameter model: as the plan makes it.
  package func requireHolds(_ model: Model, _ kind: String, _ plan: Plan) throws(RequestError) {
    guard let refused = model.refusedEncoding(of: self) else { return }
    let other = Format.all.first { $0.name != name && model.refusedEncoding(of: $0) == nil }
    let recipes = Recipe.builtIn.filter { $0.format == name }.map(\.name)
    var ways: [String] = []
    if let other {
      ways.append(other.traits.suffix.map { "an output that ends in \($0)" } ?? "format \(other.name)")
    }
    if !recipes.isEmpty {
      ways.append("a recipe for \(name) (\(recipes.prefix(5).joined(separator: ", ")) … of 'ingot recipes')")
    }
    if name == Format.safeTensors.name {
      ways.append(
        "an output and recipe of another format: .gguf with q4_k_m, a folder with mlx-4bit or w4a16")
    }
    throw RequestError(
      .recipe,
      "\(kind) \(plan.name) writes \(refused), which \(name) cannot hold: choose \(ways.joined(separator: ", or "))"
    )
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
