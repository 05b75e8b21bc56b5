import ArgumentParser
import IngotFormats
import IngotModels
import IngotSystem
import IngotWorkflows

struct Quantize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Quantize a model, expert by expert, straight from its files to the target format.",
    usage: "ingot quantize <model> --output <path> [--recipe <recipe> | --plan <plan.json>] [options]",
    discussion: """
      The output appears under its name only when it is complete. An interrupted run (signal, crash, \
      full disk) resumes when the same command is run again; the output is byte-identical, for any \
      number of threads too.
      """)

  @Argument(help: "Folder, .safetensors, .gguf or .ingot file, or name in the HF cache.")
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Calibration file (.calib) or llama.cpp imatrix (.gguf or .dat).", valueName: "file")
  )
  var importance: String?

  @OptionGroup var techniques: TechniqueOptions
  @OptionGroup var sequential: SequentialOptions

  @Flag(name: .long, help: "Replace NaN and infinities in the source by 0 instead of aborting at the first.")
  var allowNonfinite = false

  @OptionGroup var recipe: RecipeOption
  @OptionGroup var format: FormatOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    var request = QuantizeRequest(model, to: output.output)
    request.choice = recipe.choice(forOutput: output.output, format: format.format)
    request.format = format.format
    request.importance = importance
    request.techniques = techniques.techniques
    request.sequentialTexts = sequential.sequential
    request.chatTemplate = sequential.template.chatTemplate
    request.refitsBias = sequential.refitBias
    request.allowsNonfinite = allowNonfinite
    request.reading = reading.options
    request.writing = output.options
    let result = try await Progress.showing("quantize", work) { try await request.run($0) }
    if json.json {
      print(result.json.text(indented: true))
      return
    }
    if let calibration = result.calibration { print(calibration.table) }
    if let refits = result.routerBias { print(refits.table) }
    for line in result.written.changes { print(line) }
    let files = result.written.files
    print(
      """
      \(files.count == 1 ? files[0] : "\(files.count) files from \(files[0])")
      \(result.planKind) \(result.plan), \(fixed(result.bitsPerWeight, 3)) bits per weight, \
      \(grouped(result.written.bytes)) bytes \
      (\(fixed(100 * Double(result.written.bytes) / Double(result.sourceBytes), 1)) % of \(decimal(result.sourceBytes)))
      \(duration(result.seconds)), \
      \(decimal(Int(Double(result.sourceBytes) / max(result.seconds, 1e-3)))) of source a second
      """)
  }
}
