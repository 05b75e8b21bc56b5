import ArgumentParser
import IngotInference
import IngotModels
import IngotPlanning
import IngotReports
import IngotServing
import IngotSystem
import IngotWorkflows

struct Verify: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how far a model drifted from its original.",
    usage: "ingot verify <candidate> --against <original> --text <file> ... [options]",
    discussion: """
      Runs the reference forward pass of both models on the same text, one layer at a time, and \
      compares their predictions and the experts they choose. Each text is cut into consecutive \
      contexts; as in llama-perplexity, the second half of each is scored (255 predictions of 512 \
      tokens).
      Exit code 2: a figure is outside a given tolerance or, with --plan, the size is not the planned \
      one or the KL divergence is above the predicted interval.
      An interrupted run resumes when the same command is run again.
      """)

  @Argument(
    help: "Model to verify: folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.",
    completion: .path)
  var candidate: String

  @Option(
    name: .long, help: ArgumentHelp("The model it was made from.", valueName: "original"), completion: .path)
  var against: String

  @OptionGroup var texts: TextOptions

  @Flag(
    name: .long,
    help:
      "Score each conversation as a context of its own, of --context tokens at most, from its second token on."
  )
  var conversations = false

  @Flag(
    name: .long,
    help: "Round the candidate's activations to 8 bits as generate --fast does; the original's stay in F32.")
  var fast = false

  @Flag(name: .long, help: "Add the result to the candidate's model card, README.md in its folder.")
  var card = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Where to save the state after each layer (default: beside the candidate, every 30 s).",
      valueName: "path"), completion: .path)
  var state: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Compare size and KL divergence with the prediction of this plan.", valueName: "plan.json"),
    completion: .json)
  var plan: String?

  @Option(
    name: .long, help: ArgumentHelp("How many of the most diverging predictions to show.", valueName: "n"))
  var worst: Int = 20

  @OptionGroup var page: PageOption

  @Flag(name: .long, help: "Replace an existing --html page.")
  var force = false

  @OptionGroup var answers: AnswerOptions
  @OptionGroup var tolerances: ToleranceOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard (0...1000).contains(worst) else { throw ValidationError("--worst must be 0 to 1000.") }
  }

  func run() async throws {
    var selection = texts.selection
    selection.cutsByConversation = conversations
    var request = VerifyRequest(candidate, against: against, texts: selection)
    request.state = state
    request.plan = plan
    request.isFast = fast
    let page = page.writer(force: force, inputs: request.inputs)
    try page.check()
    request.worst = worst
    request.tolerances = tolerances.tolerances
    request.reading = reading.options
    request.writesCard = card
    request.command = calledCommand
    let json = json.json
    // First: the drift is delivered with it, and its state kept until then.
    let answers = try await compareAnswers()
    let result = try await Progress.showing("verify", work) { control, finish in
      try await request.run(control) { result throws(FormatError) in
        finish()
        let plan = result.outcome.map { "\n\n" + $0.text } ?? ""
        let fast = result.fast.map { "\n\ncandidate: " + $0.text } ?? ""
        let more = answers.map { "\n\n" + $0.text } ?? ""
        var object = result.json.object ?? [:]
        if let answers {
          object["answers"] = answers.json
          object["violations"] = .array(
            (result.violations + self.answers.violations(answers)).map { .string($0) })
        }
        try Terminal.output(
          json ? JSON.object(object).text(indented: true) : result.report.table + fast + plan + more)
        // Last: the next run refuses a page that exists.
        try page.write { () throws(FormatError) in VerificationPage(result.json).html }
      }
    }
    let violations = result.violations + self.answers.violations(answers)
    for violation in violations { Terminal.error("outside tolerance: \(violation)") }
    if !violations.isEmpty { throw ExitCode(2) }
  }

  private func compareAnswers() async throws -> AnswerComparison? {
    guard let count = answers.generate else { return nil }
    var request = CompareAnswersRequest(
      candidate, against: against, conversations: texts.selection.paths, prompts: count)
    request.maximum = answers.maxTokens
    request.chatTemplate = texts.selection.chatTemplate
    request.reading = reading.options
    return try await Progress.showing("answer", work, isInBytes: false) { try await request.run($0) }
  }
}

/// Figures a candidate must keep to.
struct ToleranceOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Maximum mean KL divergence, in nats.", valueName: "x"))
  var maxKld: Double?
  @Option(name: .long, help: ArgumentHelp("Maximum 99th percentile of the KL divergence.", valueName: "x"))
  var maxKldP99: Double?
  @Option(name: .long, help: ArgumentHelp("Maximum perplexity ratio, candidate / original.", valueName: "x"))
  var maxPplRatio: Double?
  @Option(
    name: .long, help: ArgumentHelp("Maximum RMS change of the next token's probability.", valueName: "x"))
  var maxDeltaP: Double?
  @Option(name: .long, help: ArgumentHelp("Minimum share of equal top tokens, in percent.", valueName: "x"))
  var minTop1: Double?
  @Option(
    name: .long,
    help: ArgumentHelp("Minimum mean expert-set overlap in any layer, in percent.", valueName: "x"))
  var minRouterOverlap: Double?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Minimum share of the tool names that greedy decoding of the original reproduces and the candidate too, in percent.",
      valueName: "x"))
  var minToolNames: Double?
  @Option(name: .long, help: ArgumentHelp("The same of tools' arguments.", valueName: "x"))
  var minToolArguments: Double?

  var tolerances: Tolerances {
    var tolerances = Tolerances()
    tolerances.divergence = maxKld
    tolerances.divergenceP99 = maxKldP99
    tolerances.perplexityRatio = maxPplRatio
    tolerances.deltaP = maxDeltaP
    tolerances.sameTop = minTop1
    tolerances.routerOverlap = minRouterOverlap
    tolerances.toolNames = minToolNames
    tolerances.toolArguments = minToolArguments
    return tolerances
  }
}

extension PlanOutcome {
  var text: String {
    var table = Table(["plan \(file.name)", "predicted", "", "measured", "ratio"], left: [0, 2])
    table.add([
      "bytes", grouped(predicted.bytes), "", grouped(bytes),
      bytes == predicted.bytes ? "equal" : fixed(Double(bytes) / Double(max(predicted.bytes, 1)), 6),
    ])
    if let interval {
      table.add([
        "KL divergence", significant(interval.mean),
        "\(significant(interval.low)) to \(significant(interval.high))", significant(divergence.value),
        fixed(divergence.value / max(interval.mean, 1e-300), 3),
      ])
      if let other = interval.other {
        table.add([
          "  text of another kind", significant(other.mean),
          "\(significant(other.low)) to \(significant(other.high))", "",
          fixed(divergence.value / max(other.mean, 1e-300), 3),
        ])
      }
    }
    guard let planned = predicted.divergence, let interval, interval != planned else { return table.text }
    return table.text
      + "\nthe plan's \(significant(planned.mean)) is for text of which the original is unsure by "
      + "\(fixed(planned.uncertainty ?? 0, 3)); here it is by \(fixed(interval.uncertainty ?? 0, 3))"
  }
}
