import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension Format {
  /// A fitted plan that quantizes something: where no row fits, all would be written dense, wider than a source of FP8 has it.
  ///
  /// - Throws: RequestError naming rows, groups and what fits instead.
  package func requireFitted(_ plan: Plan, _ model: Model) throws(RequestError) -> Plan {
    let fitted = fitted(plan, model)
    guard !fitted.fallbacks.isEmpty, !fitted.quantizesSomething else { return fitted }
    throw RequestError(
      .recipe,
      "\(printable(plan.name)) would quantize nothing of this model in \(name): \(reason(plan, fitted, model)); choose "
        + ways(model).joined(separator: ", or "))
  }

  private func reason(_ plan: Plan, _ fitted: Plan, _ model: Model) -> String {
    let tensors = model.tensors.filter { fitted.fallbacks[$0.role] != nil }
    let encodings = Set(fitted.fallbacks.values).flatMap { asked in
      [asked] + (plan.isMatched ? [] : asked.rowFallbacks)
    }
    let blocks = Set(encodings.compactMap(\.block)).sorted(by: >)
    let odd = tensors.filter { tensor in blocks.allSatisfy { tensor.columns % $0 != 0 } }
    guard let example = odd.first ?? tensors.first else { return "no row fits" }
    guard !odd.isEmpty else {
      return "no matrix fits its codes, such as \(printable(example.name)) of shape \(example.shape)"
    }
    let widths = Set(odd.map(\.columns)).sorted().map { grouped($0) }
    return
      "rows of \(widths.prefix(6).joined(separator: ", "))\(widths.count > 6 ? " …" : "") weights, such as of "
      + "\(printable(example.name)), are no whole number of its groups of "
      + blocks.map(String.init).joined(separator: " or ")
  }

  /// Recipes that fit, those of this format first, one for each format.
  private func ways(_ model: Model) -> [String] {
    let model = model.representatives.model
    var ways: [String] = []
    for format in [self] + Format.all.filter({ $0.name != name }) {
      let fitting = Recipe.builtIn.filter { recipe in
        guard recipe.format ?? Format.ingot.name == format.name,
          let plan = try? format.fitted(recipe.plan(for: model), model)
        else { return false }
        return plan.quantizesSomething && format.isWorthwhile(plan, model)
      }.map(\.name)
      let usual = PlanChoice.usualRecipe(forOutput: "", format: format.name)
      guard let recipe = fitting.contains(usual) ? usual : fitting.first else { continue }
      let place = format.traits.suffix.map { "an output that ends in \($0)" } ?? "a folder of \(format.name)"
      ways.append("recipe \(recipe) for \(place)")
    }
    return ways + ["'ingot convert', which keeps the weights as they are"]
  }
}

extension Plan {
  /// Whether it gives a tensor codes.
  fileprivate var quantizesSomething: Bool {
    assignments.values.contains { $0.quantizer != nil && $0.encoding.block != nil }
  }

  /// Whether MLX's own groups are asked for, which do not get shorter.
  fileprivate var isMatched: Bool {
    assignments.values.contains { $0.quantizer == Quantizer.matchMLX.rawValue }
  }
}

extension Encoding {
  /// Weights of a row that share a scale; 1 where all of a row or all of a tensor do, nil for dense values.
  fileprivate var block: Int? {
    switch self {
    case .affine(let scheme): scheme.group ?? 1
    case .microScaled(let scheme): scheme.group
    case .ggml(let type): type.blockWeights
    case .blockScaled, .columnPacked, .trellis, .tiles: 1
    case .dense: nil
    }
  }
}
