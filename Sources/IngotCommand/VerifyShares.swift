import ArgumentParser
import IngotFormats
import IngotInference
import IngotModels
import IngotReports
import IngotSystem
import IngotTensors
import IngotWorkflows

/// A share of a comparison, and where it goes.
struct VerifyShareOptions: ParsableArguments {
  @OptionGroup var sharing: ShareOptions

  @Option(
    name: [.short, .long], help: ArgumentHelp("With --shard: folder of the shares.", valueName: "folder"),
    completion: .directory)
  var output: String?

  @Flag(
    name: .long, help: "With --shard: resume an unfinished share of another host, whose run must have ended.")
  var takeOver = false

  func validate() throws {
    let isShare = try sharing.share() != nil
    guard isShare == (output != nil) else {
      throw ValidationError(
        isShare
          ? "--shard needs --output <folder>, where the shares are."
          : "--output needs --shard i/n; a report is printed.")
    }
    guard isShare || !takeOver else { throw ValidationError("--take-over needs --shard.") }
  }

  func share() throws -> Share? { try sharing.share() }
}

extension Verify {
  /// Refuses options that are for all contexts.
  func requireShareable() throws {
    guard try sharing.share() != nil else { return }
    let whole: [(name: String, isGiven: Bool)] = [
      ("--html", page.html != nil), ("--card", card), ("--plan", plan != nil),
      ("tolerances", tolerances.areGiven),
    ]
    if let option = whole.first(where: \.isGiven) {
      throw ValidationError(
        "\(option.name): give this to 'ingot assemble', which has the figures of all shares.")
    }
    guard candidates.count == 1 else {
      throw ValidationError("--shard takes one candidate.")
    }
    guard state == nil else {
      throw ValidationError("--state: with --shard the state is beside the share, in --output.")
    }
    guard answers.generate == nil else {
      throw ValidationError("--generate compares answers to whole conversations, and is not done by shares.")
    }
  }

  /// Makes a share.
  func run(_ share: Share, _ request: VerifyRequest) async throws {
    let folder = sharing.output ?? ""
    // The command's own name is first.
    let arguments = SharedArguments.of(Array(CommandLine.arguments.dropFirst(2)))
    let (force, takeOver) = (force, sharing.takeOver)
    let result = try await Progress.showing("verify", work) {
      try await request.run(
        share, in: folder, arguments: arguments, force: force, takeOver: takeOver, $0)
    }
    if json.json {
      print(result.json.text(indented: true))
      return
    }
    print(
      """
      \(result.output)
      \(share.description), \(grouped(result.tokens)) predictions in \(grouped(result.contexts)) contexts, \
      \(duration(result.seconds)); when all are made: ingot assemble \(folder)
      """)
  }
}

/// What is said of a comparison that is put together.
struct AssembledReportOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The candidate of a verification, where it is not where the shares say.", valueName: "model"),
    completion: .path)
  var candidate: String?

  @OptionGroup var page: PageOption

  @Flag(name: .long, help: "Add the result to the candidate's model card, README.md in its folder.")
  var card = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Compare size and KL divergence with the prediction of this plan.", valueName: "plan.json"),
    completion: .json)
  var plan: String?

  @OptionGroup var tolerances: ToleranceOptions

  /// Whether something is asked that only a verification has.
  var isUsed: Bool {
    candidate != nil || page.html != nil || card || plan != nil || tolerances.areGiven
  }
}

extension ToleranceOptions {
  /// Whether there is one.
  var areGiven: Bool {
    [maxKld, maxKldP99, maxPplRatio, maxDeltaP, minTop1, minRouterOverlap, minToolNames, minToolArguments]
      .contains { $0 != nil }
  }
}

extension Assemble {
  /// Puts a report together: printed, and written where that is asked for.
  func assembleVerification() async throws {
    guard importance == nil else {
      throw ValidationError("--importance has nothing to do with shares of a verification.")
    }
    guard writing.layout.splitSize == nil else {
      throw ValidationError("--split-size has nothing to do with a report.")
    }
    let shares = try VerificationShares(folder)
    var command = try Verify.parse(known(shares.arguments))
    if let model { command.against = model }
    if let candidate = report.candidate { command.candidates = [candidate] }
    try requireModel(command.candidates[0], "--candidate")
    if let against = command.against { try requireModel(against) }
    try command.locateModels()
    var request = command.request(command.candidates[0], try command.findOriginal())
    request.plan = report.plan
    request.tolerances = report.tolerances.tolerances
    request.writesCard = report.card
    request.command = calledCommand
    var inputs = request.inputs
    inputs.add("the shares", folder)
    let page = report.page.writer(force: writing.force, inputs: inputs)
    try page.check()
    if let output { try WholeFile.check(output, force: writing.force, inputs: inputs) }
    let made = request
    let (json, output, force) = (json.json, output, writing.force)
    let result = try await Progress.showing("assemble", work) { control, finish in
      try made.assemble(shares, control) { result throws(FormatError) in
        finish()
        let text = result.json.text(indented: true)
        let plan = result.outcome.map { "\n\n" + $0.text } ?? ""
        let fast = result.fast.map { "\n\ncandidate: " + $0.text } ?? ""
        try Terminal.output(
          json ? text : result.report.table + fast + plan + "\n\n" + result.report.verdict)
        if let output {
          try WholeFile.write(Array((text + "\n").utf8), to: output, force: force, inputs: inputs)
        }
        try page.write { () throws(FormatError) in VerificationPage(result.json).html }
      }
    }
    for violation in result.violations { Terminal.error("outside tolerance: \(violation)") }
    if !result.violations.isEmpty { throw ExitCode(2) }
  }
}
