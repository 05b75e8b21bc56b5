import ArgumentParser
import IngotFormats
import IngotHub
import IngotModels
import IngotSystem
import IngotWorkflows

struct Assemble: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put the shares of 'ingot quantize', 'calibrate', 'sensitivity' or 'verify' together.",
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
      An output that ends in .sens is put together of the shares of 'ingot sensitivity --shard': the bytes of \
      one run. Plans are chosen by all measurements and run whole here, a quarter of the work or more; model, \
      texts and calibration file must be where the sensitivity command says.
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
      try requireArtifact()
      throw ValidationError("Give an --output <path>; only reports of 'ingot verify --shard' need none.")
    }
    guard !report.isUsed else {
      throw ValidationError(
        "--html, --card, --plan, --candidate and tolerances are for shares of 'ingot verify'.")
    }
    if output.hasSuffix(".calib") { return try assembleCalibration(to: output) }
    if output.hasSuffix(".sens") || (SensitivityShares.recognizes(folder) && output.hasSuffix(".json")) {
      return try await assembleSensitivity(to: output)
    }
    try requireArtifact()
    let shares = try ShareSet(folder)
    let arguments = try known(shares.extras[0]["arguments"]?.array?.compactMap(\.string))
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

  /// Refuses shares of something else than an artifact, which the output's name does not ask for.
  private func requireArtifact() throws {
    guard !ShareSet.recognizes(folder) else { return }
    let others = [
      (CalibrationShares.recognizes(folder), "statistics", ".calib"),
      (SensitivityShares.recognizes(folder), "a sensitivity measurement", ".sens"),
    ]
    guard let (_, what, suffix) = others.first(where: \.0) else { return }
    throw ValidationError("\(folder) has shares of \(what): name the output so that it ends in \(suffix).")
  }

  /// The arguments of the command that made the shares.
  func known(_ arguments: [String]?) throws(FormatError) -> [String] {
    guard let arguments else {
      throw FormatError(path: folder, expected: "shares with the command that made them", found: "none")
    }
    return arguments
  }

  /// Refuses a model that is no longer where the shares say.
  func requireModel(_ path: String, _ option: String = "--model") throws(FormatError) {
    if Hub.isName(path) { return }
    try requireThere(path, "the model that the shares were made of", option)
  }

  /// Refuses a path where nothing is any more.
  func requireThere(_ path: String, _ what: String, _ option: String) throws(FormatError) {
    guard Folder.kind(path) != .nothing else {
      throw FormatError(
        path: path, expected: what, found: "nothing there; say with \(option) where it is now")
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
