import ArgumentParser
import Formats
import Models
import Quantization
import Tensors

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what a recipe makes of a model, and the exact size, before a weight is read.",
    usage: "ingot plan <model> [--recipe <recipe>] [options]")

  @Argument(help: "Folder, .safetensors, .gguf or .ingot file, or name in the HF cache.")
  var model: String

  @OptionGroup var recipe: RecipeOption
  @OptionGroup var format: FormatOption
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var json: JSONOption

  func run() throws {
    let recipe = try recipe.read()
    let model = try Model.read(model, reading.options)
    let plan = try recipe.plan(for: model)
    let quantized = try model.quantized(by: plan)
    var options = layout.options
    options.provenance["recipe"] = recipe.provenance
    let format = try format.format(forOutput: "plan.ingot", recipe)
    let bytes = try quantized.plannedBytes(as: format, options)
    let rows = plan.rows(model)
    let bits = 8 * Double(quantized.bytes) / Double(quantized.parameters)
    if json.json {
      let list = rows.map { row -> JSON in
        [
          "role": .string(row.part.rawValue), "encoding": .string("\(row.assignment.encoding)"),
          "quantizer": .string(row.assignment.quantizer ?? "carried"), "tensors": JSON(row.tensors),
          "parameters": JSON(row.parameters), "bytes": JSON(row.bytes),
        ]
      }
      let result: JSON = [
        "recipe": .string(plan.name), "format": .string(format.name), "bytes": JSON(bytes),
        "tensorBytes": JSON(quantized.bytes),
        "sourceBytes": JSON(model.bytes), "bitsPerWeight": JSON(bits), "rows": .array(list),
      ]
      print(result.text(indented: true))
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
