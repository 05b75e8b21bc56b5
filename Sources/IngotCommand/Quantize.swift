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

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Calibration file (.calib) or llama.cpp imatrix (.gguf or .dat).", valueName: "file"),
    completion: .path)
  var importance: String?

  @OptionGroup var techniques: TechniqueOptions
  @OptionGroup var sequential: SequentialOptions

  @Flag(name: .long, help: "Replace NaN and infinities in the source by 0 instead of aborting at the first.")
  var allowNonfinite = false

  @OptionGroup var recipe: RecipeOption
  @OptionGroup var format: FormatOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var sharing: ShareOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws { _ = try sharing.share() }

  /// What the options say.
  func request() throws -> QuantizeRequest {
    var request = QuantizeRequest(model, to: output.output)
    request.share = try sharing.share()
    request.choice = recipe.choice(
      forOutput: request.share == nil ? output.output : "artifact.ingot", format: format.format)
    request.format = format.format
    request.importance = importance
    request.techniques = techniques.techniques
    request.sequentialTexts = sequential.sequential
    request.chatTemplate = sequential.template.chatTemplate
    request.refitsBias = sequential.refitBias
    request.allowsNonfinite = allowNonfinite
    request.reading = reading.options
    request.writing = output.options
    return request
  }

  func run() async throws {
    var request = try request()
    // The command's own name is first.
    if request.share != nil {
      request.shareArguments = SharedArguments.of(Array(CommandLine.arguments.dropFirst(2)))
    }
    let made = request
    let result = try await Progress.showing("quantize", work) { try await made.run($0) }
    if json.json {
      print(result.json.text(indented: true))
    } else {
      show(result)
    }
  }

  func show(_ result: QuantizeResult) {
    if let calibration = result.calibration { print(calibration.table) }
    if let refits = result.routerBias { print(refits.table) }
    for line in result.written.changes { print(line) }
    let files = result.written.files
    if let share = result.share {
      print(
        """
        \(files[0])
        \(share.description), \(grouped(result.written.bytes)) bytes, \(duration(result.seconds)); \
        when all are made: ingot assemble \(Folder.parent(of: files[0])) -o OUT
        """)
      return
    }
    print(
      """
      \(files.count == 1 ? files[0] : "\(files.count) files from \(files[0])")
      \(result.planKind) \(result.plan), \(fixed(result.bitsPerWeight, 3)) bits per weight, \
      \(grouped(result.written.bytes)) bytes in files \
      (\(fixed(100 * Double(result.written.bytes) / Double(result.sourceBytes), 1)) % of \(decimal(result.sourceBytes)))
      \(duration(result.seconds)), \
      \(decimal(Int(Double(result.sourceBytes) / max(result.seconds, 1e-3)))) of source a second
      """)
  }
}
