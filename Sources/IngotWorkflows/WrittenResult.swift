import IngotModels
import IngotSystem
import IngotTensors

extension WrittenFile {
  /// What a JSON text is that a command wrote into a file, or printed as its result; nil for another one.
  init?(_ json: JSON) {
    if let reports = json["candidates"]?.array, let first = reports.first?["report"] {
      // Several candidates of one original.
      self.init(first)
      figures.append(("candidates", "\(reports.count)"))
      return
    }
    if let recipes = json["recipes"]?.array, recipes.first?["text"]?.string != nil,
      recipes.first?["summary"] != nil
    {
      self.init(.recipes, [("recipes", "\(recipes.count)")])
      return
    }
    guard json.object != nil else { return nil }
    if json["plan"]?.int == 1, json["tensors"]?.object != nil {
      self.init(plan: json)
    } else if json["sensitivity"]?.int == 1 {
      self.init(sensitivity: json)
    } else if let result = Self.results.first(where: { $0.keys.allSatisfy { json[$0] != nil } }) {
      let models = ["model", "candidate", "original"].compactMap { json[$0] }
      self.init(
        result.kind, tool: json["run"]?["tool"]?.string ?? json["tool"]?.string,
        model: models.lazy.compactMap { Self.name($0) ?? $0.string }.first
          ?? (result.kind == .model ? json["family"]?.string : nil),
        Self.figures(json))
    } else {
      return nil
    }
  }

  private init(plan json: JSON) {
    let predicted = json["predicted"]
    self.init(
      .plan, model: json["model"].flatMap(Self.name),
      [
        ("name", json["name"]?.string), ("format", json["format"]?.string),
        ("stacks of tensors", json["tensors"]?.object.map { grouped($0.count) }),
        ("bits per weight", predicted?["bitsPerWeight"]?.double.map { fixed($0, 3) }),
        ("bytes", predicted?["bytes"]?.int.map(grouped)),
        ("predicted KL divergence", predicted?["klDivergence"]?["mean"]?.double.map { significant($0) }),
      ])
    importance = json["sensitivity"]?["importance"]?["name"]?.string
  }

  private init(sensitivity json: JSON) {
    self.init(
      .sensitivity, model: json["model"].flatMap(Self.name),
      [
        ("tokens", json["tokens"]?.int.map(grouped)),
        ("texts", json["texts"]?.array.map { $0.compactMap(\.string).joined(separator: ", ") }),
        ("encodings measured", json["candidates"]?.array.map { "\($0.count)" }),
        ("calibration statistics", json["importance"]?["name"]?.string ?? "none"),
      ])
  }

  /// Results of commands: keys that tell them apart, the first that has all counts.
  private static let results: [(kind: Kind, keys: [String])] = [
    (.verification, ["klDivergence", "perplexity", "candidate", "original"]),
    (.fits, ["cells"]),
    (.fitRecord, ["request", "decision", "artifact"]),
    (.fitDecision, ["machine", "road", "choices", "steps"]),
    (.generation, ["text", "finish", "promptTokens"]),
    (.machineFits, ["machine", "choices"]),
    (.sensitivityResult, ["quantizer", "reference", "uniform", "parts"]),
    (.sensitivityCost, ["rate", "stateBytes", "rows"]),
    (.recipeSize, ["recipe", "rows", "sourceBytes"]),
    (.planSize, ["plan", "format", "droppedExperts"]),
    (.quantized, ["recipe", "files", "replacedNonfinite"]),
    (.converted, ["files", "carried", "rounded"]),
    (.calibrated, ["output", "tokens", "contexts", "coverage"]),
    (.shareMade, ["output", "share", "shares"]),
    (.logitsPlace, ["file", "shape", "seconds"]),
    (.check, ["ok", "problems", "warnings"]),
    (.conversations, ["conversations"]),
    (.model, ["family", "parameters", "claims"]),
    (.tensors, ["format", "tensorCount", "problems"]),
    (.file, ["kind", "madeBy", "figures"]),
    (.error, ["error"]),
  ]

  private static func figures(_ json: JSON) -> [(String, String?)] {
    var list: [(String, String?)] = []
    func add(_ name: String, _ value: String?) {
      list.append((name, value.map { printable($0, limit: 200) }))
    }
    func count(_ key: String) -> String? { json[key]?.int.map(grouped) }
    let divergence = json["klDivergence"]?["mean"]?.double ?? json["klDivergence"]?.double
    add("mean KL divergence", divergence.map { significant($0) })
    add("perplexity ratio", json["perplexity"]?["ratio"]?.double.map { fixed($0, 4) })
    add("same top token", json["sameTop"]?.double.map { significant($0) })
    for key in ["recipe", "plan", "format", "kind"] { add(key, json[key]?.string) }
    add("bits per weight", json["bitsPerWeight"]?.double.map { fixed($0, 3) })
    add("bytes", count("bytes"))
    add("tokens", count("tokens"))
    if json["shares"] != nil { add("share", "\(json["share"]?.int ?? 0) of \(json["shares"]?.int ?? 0)") }
    add("tensors", count("tensors") ?? count("tensorCount"))
    add("parameters", json["parameters"]?["total"]?.int.map(grouped))
    add("machine", json["machine"]?["name"]?.string ?? json["machine"]?.string)
    let decision = json["decision"] ?? json
    for key in ["machine", "engine", "road"] where json["request"] != nil { add(key, decision[key]?.string) }
    if json["road"] != nil { add("road", json["road"]?.string) }
    add("artifact", json["artifact"]?.string)
    add(
      "measured KL divergence",
      json["verification"]?["klDivergence"]?.double.map { significant($0) })
    add("text", json["finish"] == nil ? nil : json["text"]?.string)
    add("output", json["output"]?.string ?? json["file"]?.string)
    add("files", json["files"]?.array?.compactMap(\.string).first)
    if json["ok"] != nil { add("faults", json["problems"]?.array.map { "\($0.count)" }) }
    add("message", json["error"]?["message"]?.string)
    return list
  }
}
