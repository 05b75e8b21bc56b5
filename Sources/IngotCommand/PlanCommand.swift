import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors
import IngotWorkflows

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract:
      "Show which recipes fit which machines, or the size of a recipe's result, without reading weights.",
    usage: """
      ingot plan <model> [--recipe <recipe> | --machine <name> | --fit <name or size>] [options]
      ingot plan <model> --sensitivity <file> (--bits <x> | --size <size> | --fit <name>) -o <plan>
      ingot plan <model> --sensitivity <file> --recipe <recipe> --allow-drop <n> -o <plan>
      ingot plan <model> --plan <plan.json>
      """,
    discussion: """
      Without --recipe: a table of built-in recipes and machines, with the longest context that fits.
      With --machine: what each recipe needs on that machine: weights, cache and buffers.
      With --fit: the recipe with the most bits that fits a machine or a size, and how to make it.
      With --recipe: the encoding of each tensor, and the exact size.
      With --sensitivity: the encoding of each tensor that drifts least from the model within a \
      budget; 'ingot quantize --plan' makes it. Formats differ in their smallest unit: in .ingot each \
      expert's projection, in GGUF and MLX a stack of all experts.
      With --allow-drop, a plan may also drop the experts that contribute least to a layer's outputs, \
      the same number in every layer, where that is better than fewer bits for all. With --recipe it \
      drops that many experts for any format; 'keep' as encoding leaves the others unchanged.
      With --plan: the size and prediction of an edited plan.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp("Name of a recipe (see 'ingot recipes') or path of a YAML file.", valueName: "recipe"),
    completion: .recipe)
  var recipe: String?

  @Flag(
    name: .long, help: "Choose the same codes as mlx_lm.convert, bit for bit, instead of closer ones.")
  var matchMlx = false

  @Option(name: .long, help: ArgumentHelp("Plan file to show.", valueName: "plan.json"), completion: .json)
  var plan: String?

  @OptionGroup var budget: BudgetOptions
  @OptionGroup var format: FormatOption
  @OptionGroup var fit: FitOptions
  @OptionGroup var layout: LayoutOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var json: JSONOption
  @OptionGroup var page: PageOption

  /// What is read, by the paths that were given.
  private var inputs: InputFiles {
    var inputs = InputFiles()
    inputs.add(model: model)
    inputs.add("the plan", plan)
    inputs.add("the sensitivity file", budget.sensitivity)
    inputs.add("the file of machines", fit.machines)
    inputs.add("the recipe", recipe.flatMap { Folder.kind($0) == .file ? $0 : nil })
    return inputs
  }

  var writer: PageWriter { page.writer(force: budget.force, inputs: inputs) }

  /// Writes the plan file.
  func write(plan text: String, to output: String) throws(FormatError) {
    try WholeFile.write(Array(text.utf8), to: output, force: budget.force, inputs: inputs)
  }

  func validate() throws {
    guard [recipe, fit.machine, fit.fit, plan].compactMap({ $0 }).count <= 1 else {
      throw ValidationError("--recipe, --machine, --fit and --plan exclude each other.")
    }
    guard budget.sensitivity != nil else { return }
    if budget.allowDrop != nil, plan != nil {
      throw ValidationError("--allow-drop and --plan exclude each other: the plan says what is dropped.")
    }
    let budgets = [budget.bits != nil, budget.size != nil, fit.fit != nil, plan != nil, recipe != nil]
      .count { $0 }
    guard budgets == 1, fit.machine == nil else {
      throw ValidationError("--sensitivity goes with one of --bits, --size, --fit, --recipe and --plan.")
    }
    guard recipe == nil || budget.allowDrop?.isNumber == true && !matchMlx else {
      throw ValidationError(
        "--recipe with --sensitivity plans for fewer experts: --allow-drop N says how many, without --match-mlx."
      )
    }
  }

  func run() throws {
    try writer.check()
    if let output = budget.output {
      try inputs.requireApart(output)
      try OutputKind.plan.requireName(output)
      if let page = page.html, page == output {
        throw ValidationError("-o and --html name the same file.")
      }
    }
    if let plan {
      try showPlan(plan)
      return
    }
    if let path = budget.sensitivity {
      if let recipe { try planRecipe(.named(recipe), path) } else { try make(path) }
      return
    }
    guard let recipe else {
      try FitTables(model: Model.read(model, reading.options), options: fit, format: format.format)
        .show(json: json.json, page: writer)
      return
    }
    try show(matchMlx ? Recipe.named(recipe).matchingMLX() : Recipe.named(recipe))
  }

  /// Finds the best plan for the budget.
  private func make(_ path: String) throws {
    let model = try Model.read(model, reading.options)
    let making = try PlanMaking(
      model, path, format: format.format, drop: budget.allowDrop, excluded: budget.exclude,
      layout.options)
    var notes: [String] = []
    let made: PlanMaking.Made
    if let bits = budget.bits {
      made = try making.plan(bits: bits)
    } else if let size = budget.size {
      made = try making.plan(bytes: size.bytes, "\(decimal(size.bytes))")
    } else {
      let (machine, context) = try FitTables.demand(fit, model)
      let engine = fit.engine ?? Engine.usual(making.format, on: machine)
      let found = try making.plan(machine, engine, context: context, cache: fit.cache)
      made = found.0
      notes.append(
        "on \(machine.name) with \(engine.rawValue): weights \(decimal(found.1.weights)), cache "
          + "\(decimal(found.1.cache)) for \(context) tokens,")
      notes.append("buffers \(decimal(found.1.buffers)); \(decimal(found.1.left)) to spare")
    }
    let file = making.file(made)
    if let output = budget.output {
      try write(plan: file.text, to: output)
    }
    let table = PlanTable(file: file, plan: made.result.plan, model: model, left: made.left)
    try writer.write { () throws(FormatError) in
      try PlanRecord(
        file: file, plan: made.result.plan, model: model, left: made.left, errors: file.errors, table.json
      ).html
    }
    if json.json {
      var object = table.json
      object["output"] = budget.output.map { .string($0) } ?? .null
      print(JSON.object(object).text(indented: true))
      return
    }
    print(([table.text] + notes).joined(separator: "\n"))
    guard let output = budget.output else { return }
    let importance = making.importance.map { " --importance \(printable($0))" } ?? ""
    print("\n  ingot quantize \(self.model) --plan \(output)\(importance) -o \(making.suggestedOutput)")
  }

  /// The tensors of a recipe's plan and the size of its artifact.
  private func show(_ recipe: Recipe) throws {
    let model = try Model.read(model, reading.options)
    let format = try Format.known(format.format ?? recipe.format ?? Format.ingot.name)
    let plan = try format.requireFitted(recipe.plan(for: model), model)
    let quantized = try model.quantized(by: plan)
    var options = layout.options
    options.provenance["recipe"] = recipe.provenance
    let fallbacks = RowFallback.all(plan, model)
    let bytes = try quantized.plannedBytes(as: format, options)
    let rows = plan.rows(model)
    let bits = 8 * Double(quantized.bytes) / Double(quantized.parameters)
    let list = rows.map { row -> JSON in
      var object: JSONObject = [
        "role": .string(row.kind.rawValue), "encoding": .string("\(row.assignment.encoding)"),
        "quantizer": .string(row.assignment.quantizer ?? "carried"), "tensors": JSON(row.tensors),
        "parameters": JSON(row.parameters), "bytes": JSON(row.bytes),
      ]
      object["asked"] = row.asked.map { .string("\($0)") }
      return .object(object)
    }
    var result: JSONObject = [
      "recipe": .string(plan.name), "format": .string(format.name), "bytes": JSON(bytes),
      "tensorBytes": JSON(quantized.bytes),
      "sourceBytes": JSON(model.bytes), "bitsPerWeight": JSON(bits), "rows": .array(list),
    ]
    if !fallbacks.isEmpty { result["fallbacks"] = .array(fallbacks.map(\.json)) }
    let printed = JSON.object(result)
    try writer.write {
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
        row.kind.rawValue, "\(row.assignment.encoding)" + (row.asked.map { " for \($0)" } ?? ""),
        row.assignment.quantizer ?? "passthrough",
        grouped(row.tensors),
        grouped(row.bytes), fixed(8 * Double(row.bytes) / Double(max(row.parameters, 1)), 3),
      ])
    }
    print(table.text)
    print(
      """

      recipe \(plan.name): \(fixed(bits, 3)) bits per weight
      source \(grouped(model.bytes)) bytes of tensors (\(decimal(model.bytes)))
      output \(grouped(bytes)) bytes in files (\(decimal(bytes)), \(fixed(100 * Double(bytes) / Double(model.bytes), 1)) % of the source)
      """)
    for fallback in fallbacks { print(fallback.line) }
  }
}
