import ArgumentParser
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotWorkflows

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

struct Generate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Let a model answer: one prompt, a conversation, or a chat.",
    usage: """
      ingot generate <model>
      ingot generate <model> --prompt <text> [options]
      ingot generate <model> --messages <chat.json> [options]
      """,
    discussion: """
      Without --prompt and --messages it is a chat: a line is a message, /reset begins anew, /exit ends. \
      Conversations are written by the model's own chat template. What --temperature and the others leave out \
      is as generation_config.json says; without one, the most likely token is taken.
      The text goes to standard output, rates and memory to standard error. A model runs from what is stored: \
      weights stay mapped, and experts that no token goes to are not read.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "A message, or with --raw a text to continue; - reads standard input.", valueName: "text"))
  var prompt: String?

  @Option(
    name: .long,
    help: ArgumentHelp("A conversation as chat APIs have it, with tools or without.", valueName: "json"),
    completion: .json)
  var messages: String?

  @Option(name: .long, help: ArgumentHelp("Message that says how to answer.", valueName: "text"))
  var system: String?

  @Flag(name: .long, help: "Continue the prompt as it is, without chat template.")
  var raw = false

  @Flag(name: .long, inversion: .prefixedNo, help: "Ask the template for thinking, or for none.")
  var thinking: Bool?

  @OptionGroup(title: "Sampling") var sampling: SamplingOptions
  @OptionGroup var template: ChatTemplateOption

  @Option(
    name: .long, help: ArgumentHelp("Tokens of prompt and answer together, at most.", valueName: "n"))
  var context: Int?

  @OptionGroup var running: RunningOptions

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard prompt == nil || messages == nil else { throw ValidationError("--prompt excludes --messages.") }
    guard !raw || (messages == nil && system == nil && thinking == nil) else {
      throw ValidationError("--raw continues a --prompt alone.")
    }
    guard !raw || prompt != nil else { throw ValidationError("--raw needs a --prompt to continue.") }
    guard !json.json || prompt != nil || messages != nil else {
      throw ValidationError("--json needs --prompt or --messages.")
    }
    guard context.map({ $0 >= 2 }) ?? true else { throw ValidationError("--context must be at least 2.") }
  }

  func run() async throws {
    Interrupt.handle()
    var control = RunControl()
    control.workers = work.workers
    var model = try TextGenerator(
      model, context: context, cache: running.cache, isFast: running.fast,
      memory: running.memory?.bytes,
      chatTemplate: template.chatTemplate, reading: reading.options, control)
    if let fast = model.fast, !json.json { Terminal.error(fast.text) }
    guard prompt != nil || messages != nil else { return try await chat(&model) }
    let tokens = try firstPrompt(model)
    let isPrinted = !json.json
    let result = try await model.generate(tokens, sampling.options, shouldStop: Interrupt.isRequested) {
      if isPrinted { Terminal.piece($0) }
    }
    if json.json {
      print(result.json.text(indented: true))
    } else {
      Terminal.piece("\n")
      Terminal.error(summary(result))
    }
    if result.finish == .interrupted { throw ExitCode(130) }
  }

  /// - Throws: FormatError where the prompt cannot be read or is refused by the template.
  private func firstPrompt(_ model: TextGenerator) throws -> [Int] {
    if let messages {
      var conversation = try Conversation(reading: messages)
      if let system { conversation.messages.insert(message("system", system), at: 0) }
      return try model.prompt(asked(conversation))
    }
    let text = prompt == "-" ? Terminal.input() : prompt!
    if raw || !model.hasChatTemplate {
      if !raw && system != nil {
        throw FormatError(path: self.model, expected: "a chat template for --system", found: "none")
      }
      return model.prompt(continuing: text)
    }
    return try model.prompt(conversation([message("user", text)]))
  }

  /// A conversation on the terminal.
  private func chat(_ model: inout TextGenerator) async throws {
    guard model.hasChatTemplate else {
      throw FormatError(
        path: self.model, expected: "a chat template",
        found: "none: continue a text with --raw --prompt TEXT",
        remedy: .giveTemplate)
    }
    var history: [JSON] = []
    if Terminal.isAsked {
      Terminal.error("A line is a message; /reset begins anew, /exit ends.")
    }
    while let line = Terminal.ask("> ") {
      switch line {
      case "": continue
      case "/exit", "/quit": return
      case "/reset":
        history = []
        continue
      default: break
      }
      history.append(message("user", line))
      let tokens = try model.prompt(conversation(history))
      let result = try await model.generate(tokens, sampling.options, shouldStop: Interrupt.isRequested) {
        Terminal.piece($0)
      }
      Terminal.piece("\n")
      if Terminal.isAsked { Terminal.error(summary(result)) }
      if result.finish == .interrupted { return }
      history.append(message("assistant", result.text))
    }
  }

  private func message(_ role: String, _ content: String) -> JSON {
    ["role": .string(role), "content": .string(content)]
  }

  private func conversation(_ messages: [JSON]) throws(FormatError) -> Conversation {
    let all = (system.map { [message("system", $0)] } ?? []) + messages
    return asked(try Conversation(.array(all), place: "the conversation"))
  }

  private func asked(_ conversation: Conversation) -> Conversation {
    var conversation = conversation
    if let thinking {
      conversation.variables += [("enable_thinking", .bool(thinking)), ("thinking", .bool(thinking))]
    }
    return conversation
  }

  private func summary(_ result: Generation) -> String {
    let reason =
      switch result.finish {
      case .end, .stop: ""
      case .length: ", cut at its limit"
      case .interrupted: ", interrupted"
      }
    return
      "[\(grouped(result.tokens.count)) tokens\(reason), \(fixed(result.tokensPerSecond, 1))/s; prompt "
      + "\(grouped(result.promptTokens)), \(fixed(result.promptRate, 1))/s; cache \(decimal(result.cacheBytes))]"
  }
}

/// How tokens are chosen, and when an answer ends.
struct SamplingOptions: ParsableArguments {
  @Option(
    name: [.customShort("n"), .customLong("max-tokens")],
    help: ArgumentHelp("Tokens of the answer, at most.", valueName: "n"))
  var maximum: Int?

  @Option(name: .long, help: ArgumentHelp("0 takes the most likely token.", valueName: "t"))
  var temperature: Double?

  @Option(name: .long, help: ArgumentHelp("Of the n most likely tokens only.", valueName: "n"))
  var topK: Int?

  @Option(
    name: .long, help: ArgumentHelp("Of the most likely that have this probability together.", valueName: "p")
  )
  var topP: Double?

  @Option(
    name: .long, help: ArgumentHelp("Of those with this share of the most likely one's.", valueName: "p"))
  var minP: Double?

  @Option(
    name: .long, help: ArgumentHelp("Above 1 makes tokens that occurred less likely.", valueName: "x"))
  var repetitionPenalty: Double?

  @Option(name: .long, help: ArgumentHelp("The same seed gives the same text.", valueName: "n"))
  var seed: UInt64 = 0

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp("Text that ends the answer; may be repeated.", valueName: "text"))
  var stop: [String] = []

  @Flag(name: .long, help: "Show special tokens such as <|im_end|>.")
  var showSpecial = false

  func validate() throws {
    func check(_ name: String, _ value: Double?, _ range: ClosedRange<Double>) throws {
      guard let value else { return }
      guard range.contains(value) else {
        throw ValidationError(
          "--\(name) must be \(fixed(range.lowerBound, 0)) to \(fixed(range.upperBound, 0)).")
      }
    }
    try check("temperature", temperature, 0...100)
    try check("top-p", topP, 0...1)
    try check("min-p", minP, 0...1)
    guard repetitionPenalty.map({ $0 > 0 && $0 <= 100 }) ?? true else {
      throw ValidationError("--repetition-penalty must be above 0, at most 100.")
    }
    guard topK.map({ $0 >= 0 }) ?? true else { throw ValidationError("--top-k must be at least 0.") }
    guard maximum.map({ $0 >= 1 }) ?? true else { throw ValidationError("--max-tokens must be at least 1.") }
  }

  var options: TextGenerator.Options {
    var options = TextGenerator.Options()
    options.maximum = maximum
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.repetitionPenalty = repetitionPenalty
    options.seed = seed
    options.stops = stop
    options.showsSpecialTokens = showSpecial
    return options
  }
}

extension CacheType: ExpressibleByArgument {}

extension Terminal {
  /// Whether a person types what is read.
  static var isAsked: Bool { isatty(0) == 1 && isWatched }

  /// A line of standard input, without its end; nil at its end.
  static func ask(_ prompt: String) -> String? {
    if isAsked { errorPiece(prompt) }
    return readLine(strippingNewline: true)
  }

  /// All of standard input.
  static func input() -> String {
    var lines: [String] = []
    while let line = readLine(strippingNewline: false) { lines.append(line) }
    return lines.joined()
  }
}
