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
    usage: "ingot verify <candidate> ... [--against <original>] [--text <file> ...] [options]",
    discussion: """
      Runs the reference forward pass of both models on the same text, one layer at a time, and \
      compares their predictions and the experts they choose. Each text is cut into consecutive \
      contexts; as in llama-perplexity, the second half of each is scored (255 predictions of 512 \
      tokens). Several candidates are verified one after the other, and compared in a table.
      The original is found by what the artifact says it was made from: beside it, in the current folder, in \
      the Hugging Face cache or on the Hub. Its files must be those that are on record.
      Exit code 2: a figure is outside a given tolerance or, with --plan, the size is not the planned \
      one or the KL divergence is above the predicted interval.
      An interrupted run resumes when the same command is run again.
      """)

  @Argument(
    help: ArgumentHelp(
      "Models to verify: folders, .safetensors, .gguf or .ingot files, or names on the HF Hub.",
      valueName: "candidate"), completion: .path)
  var candidates: [String]

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The model they were made from (default: the one on record).", valueName: "original"),
    completion: .path)
  var against: String?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Texts in UTF-8, .jsonl with one text or conversation per line, or .json with a list of conversations "
        + "(default: held-out text that is part of ingot).", valueName: "file"), completion: .path)
  var text: [String] = []

  @OptionGroup var contexts: ContextOptions

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

  @OptionGroup var sharing: VerifyShareOptions

  @Flag(name: .long, help: "Replace an existing --html page or share, and discard an unfinished share.")
  var force = false

  @OptionGroup var answers: AnswerOptions
  @OptionGroup var tolerances: ToleranceOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard (0...1000).contains(worst) else { throw ValidationError("--worst must be 0 to 1000.") }
    if text.isEmpty, conversations || answers.generate != nil {
      throw ValidationError("--conversations and --generate need --text <file>, conversations.")
    }
    if candidates.count > 1, plan != nil || state != nil || page.html != nil {
      throw ValidationError("--plan, --state and --html take one candidate.")
    }
    if Set(candidates).count < candidates.count {
      throw ValidationError("A candidate is given twice.")
    }
    try requireShareable()
  }

  func run() async throws {
    let found = try findOriginal()
    if let share = try sharing.share() {
      say(found)
      return try await run(share, request(candidates[0], found))
    }
    let page = page.writer(force: force, inputs: request(candidates[0], found).inputs)
    try page.check()
    say(found)
    var results: [Verified] = []
    for candidate in candidates {
      let isAlone = candidates.count == 1
      if !isAlone, !json.json {
        try Terminal.output((results.isEmpty ? "" : "\n") + "\(printable(candidate))\n")
      }
      results.append(try await verified(candidate, found, isAlone ? page : nil))
    }
    if candidates.count > 1 {
      let comparison = CandidateComparison(results)
      try Terminal.output(json.json ? comparison.json.text(indented: true) : "\n" + comparison.table)
      // Not before all is delivered: until then an interrupted comparison has what each candidate had.
      for candidate in candidates { request(candidate, found).removeState() }
    }
    var isOutside = false
    for result in results {
      for violation in result.violations {
        isOutside = true
        let name = candidates.count > 1 ? "\(printable(result.candidate)): " : ""
        Terminal.error("outside tolerance: \(name)\(violation)")
      }
    }
    if isOutside { throw ExitCode(2) }
  }

  /// The one that all candidates say they were made from; nil where one was named.
  func findOriginal() throws -> FoundOriginal? {
    if against != nil { return nil }
    var first: FoundOriginal?
    for candidate in candidates {
      let found = try FoundOriginal(of: candidate, reading.options) { try hub.locate($0) }
      if let first, first.path != found.path {
        throw FormatError(
          path: candidate, expected: "the same original as \(candidates[0]) has, \(first.path)",
          found: found.path, remedy: .nameOriginal)
      }
      first = first ?? found
    }
    return first
  }

  /// What is taken because nothing was named.
  private func say(_ found: FoundOriginal?) {
    if let found { Terminal.error("original: \(found.text)") }
    if text.isEmpty {
      Terminal.error("text: \(selection.names.joined(separator: ", ")), which are part of ingot")
    }
  }

  private var selection: TextSelection {
    var selection = contexts.selection(text)
    if text.isEmpty {
      selection = .shippedHeldOut(context: contexts.context, chunks: contexts.chunks)
    }
    selection.cutsByConversation = conversations
    return selection
  }

  /// What the options say.
  func request(_ candidate: String, _ found: FoundOriginal?) -> VerifyRequest {
    var request =
      found.map { VerifyRequest(candidate, against: $0, texts: selection) }
      ?? VerifyRequest(candidate, against: against ?? candidate, texts: selection)
    request.state = state
    request.plan = plan
    request.isFast = fast
    request.worst = worst
    request.tolerances = tolerances.tolerances
    request.reading = reading.options
    request.writesCard = card
    request.keepsState = candidates.count > 1
    request.command = calledCommand
    return request
  }

  /// - Parameter page: nil for one of several candidates, of which JSON is printed together.
  private func verified(_ candidate: String, _ found: FoundOriginal?, _ page: PageWriter?) async throws
    -> Verified
  {
    let request = request(candidate, found)
    let printsJSON = json.json
    // First: the drift is delivered with it, and its state kept until then.
    let answers = try await compareAnswers(candidate, request.original)
    var complete: Verified?
    _ = try await Progress.showing("verify", work) { control, finish in
      try await request.run(control) { result throws(FormatError) in
        finish()
        let verified = Verified(candidate, result, answers, self.answers.violations(answers))
        if printsJSON {
          if page != nil { try Terminal.output(verified.json.text(indented: true)) }
        } else {
          try Terminal.output(verified.text)
        }
        // Last: the next run refuses a page that exists.
        try page?.write { () throws(FormatError) in VerificationPage(verified.json).html }
        complete = verified
      }
    }
    return complete!
  }

  private func compareAnswers(_ candidate: String, _ original: String) async throws -> AnswerComparison? {
    guard let count = answers.generate else { return nil }
    var request = CompareAnswersRequest(
      candidate, against: original, conversations: text, prompts: count)
    request.maximum = answers.maxTokens
    request.chatTemplate = contexts.template.chatTemplate
    request.reading = reading.options
    return try await Progress.showing("answer", work, isInBytes: false) { try await request.run($0) }
  }
}

extension Verify: ReadsModels {
  static var models: [WritableKeyPath<Verify, String>] { [] }
  var hub: HubOptions { reading.hub }

  mutating func locateModels() throws {
    watchNetwork()
    candidates = try candidates.map { try hub.locate($0) }
    against = try against.map { try hub.locate($0) }
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
