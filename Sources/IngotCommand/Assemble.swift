import ArgumentParser
import IngotFormats
import IngotHub
import IngotModels
import IngotSystem
import IngotWorkflows

struct Assemble: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put the shares of 'ingot quantize', 'ingot calibrate' or 'ingot verify' together.",
    usage: """
      ingot assemble <folder> --output <path> [options]
      ingot assemble <folder> [--html <file>] [--max-kld <x>] ...
      """,
    discussion: """
      The shares of one artifact are made by 'ingot quantize <model> … --shard i/n -o <folder>' on any \
      machines and in any order, and copied together. The artifact is byte-identical to that of one \
      'ingot quantize', whatever n is. Shares that are missing, damaged or of another artifact are named.
      The shares hold the quantize command; model and calibration file must be where it says, or be \
      given here.
      An output that ends in .calib is put together of the shares of 'ingot calibrate --shard': the \
      statistics of all contexts, equal to those of one run but for the rounding of sums.
      Of the shares of 'ingot verify --shard' the report is printed, with the figures of one run, bit for bit; \
      an --output that ends in .json gets what --json prints. Exit code 2: a figure is outside a tolerance \
      given here. Models and texts must be where the verify command says; no weights are read.
      """)

  @Argument(help: "Folder of shares.", completion: .directory)
  var folder: String

  @Option(
    name: .long, help: ArgumentHelp("The model, where it is not where the shares say.", valueName: "model"),
    completion: .path)
  var model: String?

  @Option(
    name: .long,
    help: ArgumentHelp("The calibration file, where it is not where the shares say.", valueName: "file"),
    completion: .path)
  var importance: String?

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Output path; of a verification the report as JSON.", valueName: "path"),
    completion: .path)
  var output: String?

  @OptionGroup var writing: WritingOptions
  @OptionGroup var report: AssembledReportOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    if VerificationShares.recognizes(folder), output?.hasSuffix(".json") ?? true {
      return try await assembleVerification()
    }
    guard let output else {
      throw ValidationError("Give an --output <path>; only reports of 'ingot verify --shard' need none.")
    }
    guard !report.isUsed else {
      throw ValidationError(
        "--html, --card, --plan, --candidate and tolerances are for shares of 'ingot verify'.")
    }
    if output.hasSuffix(".calib") { return try assembleCalibration(to: output) }
    if CalibrationShares.recognizes(folder), !ShareSet.recognizes(folder) {
      throw ValidationError("\(folder) has shares of statistics: name the output so that it ends in .calib.")
    }
    let shares = try ShareSet(folder)
    guard let arguments = shares.extras[0]["arguments"]?.array?.compactMap(\.string) else {
      throw FormatError(path: folder, expected: "shares with the command that made them", found: "none")
    }
    var command = try Quantize.parse(arguments + ["--output", output])
    if let model { command.model = model }
    if let importance { command.importance = importance }
    try requireModel(command.model)
    try command.locateModels()
    var request = try command.request()
    request.assembled = folder
    var options = writing.options
    if options.splitSize == nil { options.splitSize = request.writing.splitSize }
    request.writing = options
    request.writing.hashSource = command.output.options.hashSource
    let result = try await Progress.showing("assemble", work) { try await request.run($0) }
    if json.json {
      print(result.json.text(indented: true))
    } else {
      command.show(result)
    }
  }

  /// Refuses a model that is no longer where the shares say.
  func requireModel(_ path: String, _ option: String = "--model") throws(FormatError) {
    guard Hub.isName(path) || Folder.kind(path) != .nothing else {
      throw FormatError(
        path: path, expected: "the model that the shares were made of",
        found: "nothing there; say with \(option) where it is now")
    }
  }

  private func assembleCalibration(to output: String) throws {
    guard importance == nil else {
      throw ValidationError("--importance has nothing to do with shares of statistics.")
    }
    guard writing.layout.splitSize == nil else {
      throw ValidationError("--split-size has nothing to do with statistics, which are one file.")
    }
    var request = AssembleCalibrationRequest(folder, to: output)
    let source = try model ?? CalibrationShares(folder).source
    try requireModel(source)
    request.model = try HubOptions.parse([]).locate(source)
    request.force = writing.force
    let result = try request.run()
    if json.json {
      print(result.json.text(indented: true))
    } else {
      print(
        "\(grouped(result.tokens)) tokens in \(grouped(result.contexts)) contexts, of \(result.shares) shares"
      )
      print(result.output)
    }
  }
}
