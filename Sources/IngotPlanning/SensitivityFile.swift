import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension Sensitivity {
  /// The file's text: JSON, a line for each stack of tensors.
  public var text: String {
    func measure(_ measure: Measure) -> JSON {
      [
        "klDivergence": JSON(rounded(measure.mean)),
        "standardError": measure.standardError.map { JSON(rounded($0)) } ?? .null,
      ]
    }
    var groupLines: JSONObject = [:]
    var errorLines: JSONObject = [:]
    for (name, roles) in stacks {
      groupLines[name] = measure(groups[roles[0].stack]!)
      errorLines[name] = .array(
        roles.map { role in
          .array((errors[role] ?? []).map { $0.map { JSON(rounded($0)) } ?? .null })
        })
    }
    var loadLines: JSONObject = [:]
    for (layer, experts) in loads.enumerated() {
      loadLines["layers.\(layer)"] = [
        "tokens": .array(experts.map { JSON($0.tokens) }),
        "mass": .array(experts.map { JSON(rounded($0.mass)) }),
      ]
    }
    var object: JSONObject = [
      "sensitivity": 1, "model": model.json, "tokens": JSON(tokens),
      "texts": .array(texts.map { .string($0) }), "quantizer": .string(quantizer),
      "candidates": .array(candidates.map { .string($0.description) }),
      "reference": .string(reference.description),
      "uniform": .array(
        uniform.map {
          [
            "encoding": .string($0.encoding.description), "klDivergence": JSON(rounded($0.divergence.mean)),
            "standardError": $0.divergence.standardError.map { JSON(rounded($0)) } ?? .null,
            "sum": JSON(rounded($0.sum)),
          ]
        }),
      "groups": .object(groupLines), "experts": .object(loadLines), "errors": .object(errorLines),
    ]
    if let importance { object["importance"] = importance }
    if let contexts { object["contexts"] = contexts.json }
    if let drops {
      var lines: JSONObject = [:]
      for (layer, drop) in drops.enumerated() { lines[StackName.text(layer: layer)] = drop.json }
      lines["model"] = dropped?.json
      object["drops"] = .object(lines)
    }
    if !mixedPlans.isEmpty {
      object["mixtures"] = .array(
        mixedPlans.map {
          var line: JSONObject = [
            "format": .string($0.format), "bitsPerWeight": JSON(rounded($0.bitsPerWeight)),
            "klDivergence": JSON(rounded($0.divergence.mean)),
            "standardError": $0.divergence.standardError.map { JSON(rounded($0)) } ?? .null,
            "sum": JSON(rounded($0.sum)), "tokens": JSON($0.tokens),
          ]
          if !$0.texts.isEmpty { line["texts"] = .array($0.texts.map(\.json)) }
          return .object(line)
        })
    }
    return linesOfJSON(object, opening: ["uniform", "mixtures", "groups", "experts", "errors", "drops"])
  }

  /// Order of the forward pass.
  static func order(_ stack: Role) -> Int {
    guard let layer = stack.layer else { return stack == Role(.embedding) ? -1 : Int.max }
    let kinds = TensorKind.known
    return layer * kinds.count + (kinds.firstIndex(of: stack.kind) ?? 0)
  }

  private static let sizeLimit = 1 << 30

  /// Reads what `ingot sensitivity` wrote about a model.
  ///
  /// - Throws: FormatError naming what was expected and found, for another model's file too.
  public static func read(_ path: String, for model: Model) throws(FormatError) -> Sensitivity {
    let bytes = try Bytes.mapping(path)
    guard bytes.count <= sizeLimit else {
      throw FormatError(path: path, expected: "at most \(sizeLimit) bytes", found: "\(bytes.count)")
    }
    return try SensitivityReader(path: path, json: try JSON.parse(bytes.array, path: path)).read(model)
  }
}

private struct SensitivityReader {
  let path: String
  let json: JSON

  func wrong(_ expected: String, _ found: JSON?) -> FormatError {
    FormatError(path: path, expected: expected, found: found?.kind ?? "none")
  }

  private static let keys: Set<String> = [
    "sensitivity", "model", "tokens", "texts", "quantizer", "candidates", "reference", "uniform", "groups",
    "experts", "errors", "mixtures", "importance", "drops", "contexts",
  ]

  func read(_ model: Model) throws(FormatError) -> Sensitivity {
    guard json["sensitivity"]?.int == 1 else {
      throw wrong("\"sensitivity\": 1, as 'ingot sensitivity' writes", json["sensitivity"])
    }
    for (key, _) in json.object! where !SensitivityReader.keys.contains(key) {
      throw FormatError(
        path: path, expected: "one of the keys \(SensitivityReader.keys.sorted().joined(separator: ", "))",
        found: "'\(printable(key))', perhaps of a newer version")
    }
    guard let name = json["model"].flatMap(ModelName.init) else {
      throw wrong("\"model\" with name, layers, experts, parameters and bytes", json["model"])
    }
    try name.require(model, path: path)
    guard let tokens = json["tokens"]?.int, tokens > 0 else { throw wrong("\"tokens\"", json["tokens"]) }
    var candidates: [Encoding] = []
    for value in json["candidates"]?.array ?? [] { candidates.append(try encoding(value, "candidates")) }
    guard !candidates.isEmpty, Set(candidates).count == candidates.count else {
      throw wrong("\"candidates\", encodings that occur once", json["candidates"])
    }
    var result = Sensitivity(
      model: name, tokens: tokens, texts: (json["texts"]?.array ?? []).compactMap(\.string),
      quantizer: json["quantizer"]?.string ?? "", candidates: candidates,
      reference: try encoding(json["reference"], "reference"), groups: [:], uniform: [], loads: [],
      errors: [:])
    for value in json["uniform"]?.array ?? [] {
      guard let sum = value["sum"]?.double, sum >= 0 else {
        throw wrong("\"sum\" of a uniform model, at least 0", value["sum"])
      }
      result.uniform.append(
        .init(encoding: try encoding(value["encoding"], "uniform"), divergence: try measure(value), sum: sum))
    }
    result.importance = json["importance"]
    if let importance = result.importance, importance.object == nil {
      throw wrong("an object in \"importance\"", importance)
    }
    if let value = json["contexts"] {
      guard let contexts = Sensitivity.MeasuredContexts(value) else {
        throw wrong("\"contexts\": measured and judged ones, and their novelty", value)
      }
      result.contexts = contexts
    }
    for value in json["mixtures"]?.array ?? [] {
      guard let format = value["format"]?.string, let sum = value["sum"]?.double, sum >= 0,
        let bits = value["bitsPerWeight"]?.double, let tokens = value["tokens"]?.int
      else { throw wrong("a mixed plan with format, bitsPerWeight, sum of at least 0 and tokens", value) }
      var plan = Sensitivity.MixedPlan(
        format: format, bitsPerWeight: bits, divergence: try measure(value), sum: sum, tokens: tokens)
      for text in value["texts"]?.array ?? [] {
        guard let measured = Sensitivity.TextMeasure(text) else {
          throw wrong("a mixed plan's texts with klDivergence and uncertainty of 0 to 1", text)
        }
        plan.texts.append(measured)
      }
      result.mixedPlans.append(plan)
    }
    for (key, value) in json["groups"]?.object ?? [:] {
      guard let stack = StackName.role(key) else { throw wrong("a stack's name in \"groups\"", .string(key)) }
      result.groups[stack] = try measure(value)
    }
    for layer in 0..<name.layers {
      let entry = json["experts"]?["layers.\(layer)"]
      let (tokens, mass) = (entry?["tokens"]?.array ?? [], entry?["mass"]?.array ?? [])
      let count = model.blueprint.layers[layer].feedForward.count
      guard tokens.count == count, mass.count == count else {
        throw wrong("tokens and mass of \(count) experts of layer \(layer)", entry)
      }
      result.loads.append(
        zip(tokens, mass).map { .init(tokens: $0.int ?? 0, mass: $1.double ?? 0) })
    }
    if let lines = json["drops"] {
      var drops: [Sensitivity.Drops] = []
      for layer in 0..<name.layers {
        let line = lines[StackName.text(layer: layer)]
        let experts = model.blueprint.layers[layer].feedForward.isMixture ? name.experts : 0
        guard let drop = Sensitivity.Drops(line, experts: experts) else {
          throw wrong(
            "scores and squares of \(experts) experts, rising counts with errors, and what was measured in "
              + "\"drops\" of layer \(layer)", line)
        }
        drops.append(drop)
      }
      result.drops = drops
      if let line = lines["model"] {
        guard let dropped = Sensitivity.Drops.Anchor(line) else {
          throw wrong("count and klDivergence of the whole model in \"drops\"", line)
        }
        result.dropped = dropped
      }
    }
    try readErrors(model, &result)
    return result
  }

  private func readErrors(_ model: Model, _ result: inout Sensitivity) throws(FormatError) {
    for (key, value) in json["errors"]?.object ?? [:] {
      guard let stack = StackName.role(key) else { throw wrong("a stack's name in \"errors\"", .string(key)) }
      let spec = model.blueprint.spec(
        of: Role(stack.kind, layer: stack.layer, expert: stack.layer == nil ? nil : 0))
      let isStack = spec?.experts != nil
      let count = spec?.experts ?? 1
      guard let rows = value.array, rows.count == count else {
        throw wrong("\(count) rows of errors of \(key)", value)
      }
      for (index, row) in rows.enumerated() {
        guard let numbers = row.array, numbers.count == result.candidates.count else {
          throw wrong("\(result.candidates.count) errors in each row of \(key)", row)
        }
        var errors: [Double?] = []
        for number in numbers {
          if number.isNull {
            errors.append(nil)
          } else if let error = number.double, error >= 0, error.isFinite {
            errors.append(error)
          } else {
            throw wrong("an error of at least 0 or null in \(key)", number)
          }
        }
        result.errors[Role(stack.kind, layer: stack.layer, expert: isStack ? index : nil)] = errors
      }
    }
    for tensor in model.tensors where model.canQuantize(tensor) && result.errors[tensor.role] == nil {
      throw FormatError(
        path: path, expected: "errors of \(StackName.text(tensor.role.stack))", found: "none")
    }
  }

  private func encoding(_ value: JSON?, _ key: String) throws(FormatError) -> Encoding {
    guard let text = value?.string, let encoding = Encoding(name: text) else {
      throw wrong("an encoding in \"\(key)\"", value)
    }
    return encoding
  }

  private func measure(_ value: JSON) throws(FormatError) -> Sensitivity.Measure {
    guard let mean = value["klDivergence"]?.double, mean >= 0, mean.isFinite else {
      throw wrong("\"klDivergence\", at least 0", value["klDivergence"])
    }
    return .init(mean: mean, standardError: value["standardError"]?.double)
  }
}
