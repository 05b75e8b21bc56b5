import IngotModels
import IngotSystem
import IngotTensors

extension WrittenFile {
  /// What a JSON text is that a command wrote into a file, or printed with `--json`; nil for another one.
  init?(_ json: JSON) {
    if let recipes = json.array, recipes.first?["text"]?.string != nil, recipes.first?["summary"] != nil {
      self.init(
        "the list of recipes", madeBy: "ingot recipes --json", [("recipes", "\(recipes.count)")],
        use: "ingot recipes NAME, which prints one")
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
        result.kind, madeBy: Self.by(result.command + " --json", json["run"]?["tool"]?.string),
        model: models.lazy.compactMap { Self.name($0) ?? $0.string }.first
          ?? (result.command == "ingot inspect" ? json["family"]?.string : nil),
        Self.figures(json), use: result.use)
    } else {
      return nil
    }
  }

  private init(plan json: JSON) {
    let predicted = json["predicted"]
    self.init(
      "a plan", madeBy: "ingot plan -o", model: json["model"].flatMap(Self.name),
      [
        ("name", json["name"]?.string), ("format", json["format"]?.string),
        ("stacks of tensors", json["tensors"]?.object.map { grouped($0.count) }),
        ("bits per weight", predicted?["bitsPerWeight"]?.double.map { fixed($0, 3) }),
        ("bytes", predicted?["bytes"]?.int.map(grouped)),
        ("predicted KL divergence", predicted?["klDivergence"]?["mean"]?.double.map { significant($0) }),
      ],
      use: "ingot quantize MODEL --plan FILE"
        + (json["sensitivity"]?["importance"]?["name"]?.string.map { " --importance \($0)" } ?? "")
        + ", and ingot verify --plan FILE")
  }

  private init(sensitivity json: JSON) {
    self.init(
      "a sensitivity file", madeBy: "ingot sensitivity", model: json["model"].flatMap(Self.name),
      [
        ("tokens", json["tokens"]?.int.map(grouped)),
        ("texts", json["texts"]?.array.map { $0.compactMap(\.string).joined(separator: ", ") }),
        ("encodings measured", json["candidates"]?.array.map { "\($0.count)" }),
        ("calibration statistics", json["importance"]?["name"]?.string ?? "none"),
      ], use: "ingot plan MODEL --sensitivity FILE --bits N, --size or --fit")
  }

  /// Results of commands: keys that tell them apart, the first that has all counts.
  private static let results: [(kind: String, command: String, keys: [String], use: String?)] = [
    ("a verification", "ingot verify", ["klDivergence", "perplexity", "candidate", "original"], nil),
    ("what fits where", "ingot plan", ["cells"], "ingot plan MODEL --fit MACHINE"),
    ("what fits a machine", "ingot plan --machine or --fit", ["machine", "choices"], "ingot quantize"),
    (
      "the sensitivity of a model, in short", "ingot sensitivity",
      ["quantizer", "reference", "uniform", "parts"],
      "the file under \"output\" with ingot plan --sensitivity"
    ),
    ("the cost of a sensitivity run", "ingot sensitivity --cost", ["rate", "stateBytes", "rows"], nil),
    (
      "the size of a recipe's result", "ingot plan --recipe", ["recipe", "rows", "sourceBytes"],
      "ingot quantize --recipe"
    ),
    (
      "the size of a plan", "ingot plan", ["plan", "format", "droppedExperts"],
      "the file under \"output\" with ingot quantize --plan"
    ),
    (
      "what was quantized", "ingot quantize", ["recipe", "files", "replacedNonfinite"],
      "ingot verify on these files"
    ),
    ("what was converted", "ingot convert", ["files", "carried", "rounded"], "ingot check on these files"),
    (
      "what was calibrated", "ingot calibrate", ["output", "tokens", "contexts", "coverage"],
      "the file under \"output\" with ingot quantize --importance"
    ),
    ("where logits were written", "ingot logits", ["file", "shape", "seconds"], nil),
    ("what a check found", "ingot check", ["ok", "problems", "warnings"], nil),
    ("conversations as the model reads them", "ingot inspect --render", ["conversations"], nil),
    ("what a model is", "ingot inspect", ["family", "parameters", "claims"], nil),
    (
      "the tensors of a model's files", "ingot inspect --tensors", ["format", "tensorCount", "problems"], nil
    ),
    ("what a file is", "ingot inspect", ["kind", "madeBy", "figures"], nil),
    ("an error", Self.tool, ["error"], nil),
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
    add("tensors", count("tensors") ?? count("tensorCount"))
    add("parameters", json["parameters"]?["total"]?.int.map(grouped))
    add("machine", json["machine"]?["name"]?.string)
    add("output", json["output"]?.string ?? json["file"]?.string)
    add("files", json["files"]?.array?.compactMap(\.string).first)
    if json["ok"] != nil { add("faults", json["problems"]?.array.map { "\($0.count)" }) }
    add("message", json["error"]?["message"]?.string)
    return list
  }
}
