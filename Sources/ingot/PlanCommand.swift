import ArgumentParser
import Fitting
import Formats
import Models
import Quantization
import Reports
import Tensors

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what fits where, or what a recipe makes of a model, before a weight is read.",
    usage: "ingot plan <model> [--recipe <recipe> | --machine <name> | --fit <name or size>] [options]",
    discussion: """
      Without --recipe: a table of built-in recipes and machines, with the longest context that fits.
      With --machine: what every recipe takes of that machine, part by part.
      With --fit: the recipe of most bits that fits into a machine or a size, and how to make it.
      With --recipe: what becomes of each tensor, and the exact size.
      """)

  @Argument(help: "Folder, .safetensors, .gguf or .ingot file, or name in the HF cache.")
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp("Name of a recipe (see 'ingot recipes') or path of a YAML file.", valueName: "recipe"))
  var recipe: String?

  @Flag(
    name: .long, help: "Choose the codes that mlx_lm.convert would, bit for bit, instead of closer ones.")
  var matchMlx = false

  @OptionGroup var format: FormatOption
  @OptionGroup var fit: FitOptions
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var json: JSONOption
  @OptionGroup var page: PageOption

  func validate() throws {
    guard [recipe, fit.machine, fit.fit].compactMap({ $0 }).count <= 1 else {
      throw ValidationError("--recipe, --machine and --fit exclude each other.")
    }
  }

  func run() throws {
    try page.check()
    guard let recipe else {
      try FitTables(model: Model.read(model, reading.options), options: fit, format: format.format)
        .show(json: json.json, page: page)
      return
    }
    try show(matchMlx ? Recipe.named(recipe).matchingMLX() : Recipe.named(recipe))
  }

  /// The tensors of a recipe's plan and the size of its artifact.
  private func show(_ recipe: Recipe) throws {
    let model = try Model.read(model, reading.options)
    let plan = try recipe.plan(for: model)
    let quantized = try model.quantized(by: plan)
    var options = layout.options
    options.provenance["recipe"] = recipe.provenance
    let format = try format.format(forOutput: "plan.ingot", recipe)
    let bytes = try quantized.plannedBytes(as: format, options)
    let rows = plan.rows(model)
    let bits = 8 * Double(quantized.bytes) / Double(quantized.parameters)
    let list = rows.map { row -> JSON in
      [
        "role": .string(row.part.rawValue), "encoding": .string("\(row.assignment.encoding)"),
        "quantizer": .string(row.assignment.quantizer ?? "carried"), "tensors": JSON(row.tensors),
        "parameters": JSON(row.parameters), "bytes": JSON(row.bytes),
      ]
    }
    var result: JSONObject = [
      "recipe": .string(plan.name), "format": .string(format.name), "bytes": JSON(bytes),
      "tensorBytes": JSON(quantized.bytes),
      "sourceBytes": JSON(model.bytes), "bitsPerWeight": JSON(bits), "rows": .array(list),
    ]
    let printed = JSON.object(result)
    try page.write {
      result["model"] = model.planRecord
      result["parts"] = ByteRecord(rows).json
      result["expertBits"] = quantized.expertBits
      return RecipePage(.object(result)).html
    }
    if json.json {
      print(printed.text(indented: true))
      return
    }
    var table = Table(["role", "encoding", "quantizer", "tensors", "bytes", "bits/weight"], left: [0, 1, 2])
    for row in rows {
      table.add([
        row.part.rawValue, "\(row.assignment.encoding)", row.assignment.quantizer ?? "carried",
        grouped(row.tensors),
        grouped(row.bytes), fixed(8 * Double(row.bytes) / Double(max(row.parameters, 1)), 3),
      ])
    }
    print(table.text)
    print(
      """

      recipe \(plan.name): \(fixed(bits, 3)) bits per weight
      source \(grouped(model.bytes)) bytes of tensors (\(decimal(model.bytes)))
      output \(grouped(bytes)) bytes (\(decimal(bytes)), \(fixed(100 * Double(bytes) / Double(model.bytes), 1)) % of the source)
      """)
  }
}
