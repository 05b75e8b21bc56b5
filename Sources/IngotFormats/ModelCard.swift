import IngotModels
import IngotSystem
import IngotTensors

/// The README.md beside the weights of a directory format: what the model was made from, by which recipe, and
/// how large each part is. Depends on model and provenance only, so its length is known before a weight is read.
public struct ModelCard {
  static let name = "README.md"
  /// Name that the source's own card travels under.
  static let originalName = "README.original.md"

  let model: Model
  let options: WriteOptions
  /// `library_name` of the Hugging Face hub, and a tag: `mlx`, `transformers`…
  let library: String
  /// One line on what loads it.
  let use: String

  /// Side files with this card among them, an older one under `README.original.md`.
  func added(to files: [SideFile]) -> [SideFile] {
    var files = files
    if let index = files.firstIndex(where: { $0.name == ModelCard.name }) {
      // A card of ours is no original: the one that came before it is kept.
      if files.contains(where: { $0.name == ModelCard.originalName }) {
        files.remove(at: index)
      } else {
        files[index].name = ModelCard.originalName
      }
    }
    files.append(SideFile(name: ModelCard.name, bytes: Bytes(Array(text.utf8))))
    return files.sorted { $0.name < $1.name }
  }

  var text: String {
    let source = model.sourceName
    var lines = [
      "---", "base_model: \(JSON.string(source).text())", "base_model_relation: quantized",
      "library_name: \(library)", "pipeline_tag: text-generation", "tags:", "- \(library)", "- ingot",
    ]
    lines += keptFrontMatter
    lines += ["---", "", "# \(source), quantized", "", use, ""]
    let recipe = options.provenance["recipe"] ?? model.provenance?["recipe"]
    let tool = options.provenance["tool"]?.string ?? "ingot"
    lines.append(
      "Made from \(source) by \(tool)" + (recipe?["name"]?.string.map { ", recipe \($0)." } ?? "."))
    if let dropped = try? model.droppedExperts() {
      lines += [
        "",
        "Each layer has \(dropped.left) of the original's \(dropped.experts) experts; `\(DroppedExperts.key)` in config.json says "
          + "which are left out.",
      ]
    }
    lines += ["", "| part | encoding | tensors | bytes | bits per weight |", "|---|---|---|---|---|"]
    for row in rows {
      lines.append(
        "| \(row.kind.rawValue) | \(row.encoding) | \(row.tensors) | \(row.bytes) | "
          + "\(ModelCard.bits(row.bytes, row.parameters)) |")
    }
    lines += [
      "",
      "\(model.parameters) parameters, \(model.bytes) bytes of tensors, "
        + "\(ModelCard.bits(model.bytes, model.parameters)) bits per weight.",
    ]
    lines += drift
    if let text = recipe?["text"]?.string {
      lines += ["", "## Recipe", "", "```yaml", text.trimmedNewlines, "```"]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Measured figures, when the provenance has them under `verification` by the names of `ingot verify --json`.
  private var drift: [String] {
    guard let report = options.provenance["verification"] ?? model.provenance?["verification"] else {
      return []
    }
    var figures: [String] = []
    if let value = report["klDivergence"]?["mean"]?.double { figures.append("mean KL divergence \(value)") }
    if let value = report["perplexity"]?["ratio"]?.double { figures.append("perplexity ratio \(value)") }
    if let value = report["sameTop"]?.double { figures.append("same top token \(value)") }
    return figures.isEmpty ? [] : ["", "Against the original: \(figures.joined(separator: ", "))."]
  }

  private struct Row {
    var kind: TensorKind
    var encoding: Encoding
    var tensors = 0
    var parameters = 0
    var bytes = 0
  }

  /// Tensors of one part and encoding together, in the order of the forward pass.
  private var rows: [Row] {
    struct Key: Hashable {
      var kind: TensorKind
      var encoding: Encoding
    }
    var rows: [Row] = []
    var places: [Key: Int] = [:]
    for tensor in model.tensors {
      let key = Key(kind: tensor.role.kind, encoding: tensor.encoding)
      let place = places[key] ?? rows.count
      if place == rows.count {
        places[key] = place
        rows.append(Row(kind: key.kind, encoding: key.encoding))
      }
      rows[place].tensors += 1
      rows[place].parameters += tensor.count
      rows[place].bytes += tensor.bytes
    }
    return rows
  }

  /// Licence and language out of the source's card: what stays true of the quantized model.
  private var keptFrontMatter: [String] {
    let card = model.sideFile(ModelCard.originalName) ?? model.sideFile(ModelCard.name)
    guard let card, card.bytes.count < 1 << 20, let text = String(validating: card.bytes.array, as: UTF8.self)
    else { return [] }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---") else { return [] }
    var kept: [String] = []
    var keeping = false
    for line in lines[1..<end] {
      if let first = line.first, first != " ", first != "-", first != "\t", first != "#" {
        let key = line.prefix { $0 != ":" }
        keeping = ["license", "license_name", "license_link", "language"].contains(key)
      }
      if keeping { kept.append(String(line)) }
    }
    return kept
  }

  /// Bits for each of `parameters`, three digits after the point.
  private static func bits(_ bytes: Int, _ parameters: Int) -> String {
    let thousandths = Int((8000 * Double(bytes) / Double(max(parameters, 1))).rounded())
    let rest = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
  }
}

extension String {
  /// Without newlines at its end.
  fileprivate var trimmedNewlines: String {
    var text = self[...]
    while text.last == "\n" { text = text.dropLast() }
    return String(text)
  }
}
