import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import IngotToolCalls
import IngotWorkflows
import Synchronization

/// A model that answers requests: its files, its tokenizer, and how its family writes conversations.
public final class ServedModel: Sendable {
  /// What clients call it.
  public let name: String
  public let continued: ContinuedModel
  public let tokenizer: Tokenizer
  /// How it writes calls of tools; nil where its template has no place for tools.
  public let toolCalls: ToolCallFormat?
  public let reasoning: ReasoningMarks?
  /// Which weights are multiplied with rounded activations; nil where none are.
  public let fast: FastWeights?
  public let hasChatTemplate: Bool
  let defaults: GenerationDefaults
  let path: String
  private let writer: PromptWriter
  /// Special tokens that are no part of a text.
  private let hidden: Set<Int>
  private let specials: Set<Int>
  /// Bytes of the longest token.
  private let longestToken: Int
  /// Made when an answer is first kept to a grammar.
  private let tokenBytes = Mutex<TokenBytes?>(nil)

  /// - Parameters:
  ///   - path: folder, file or name in the Hugging Face cache.
  ///   - name: what clients call it; nil for the last part of the path.
  ///   - context: tokens of a prompt and its answer together, at most; nil for the model's own limit, at most 32,768.
  ///   - isFast: whether activations are rounded to 8 bits where weights allow it.
  ///   - memory: bytes of weights that may be in memory, experts that were not used lately being given up; nil for what the system allows.
  ///   - chatTemplate: a file to take instead of the model's own template.
  /// - Throws: FormatError for files that cannot be read and models that cannot be run.
  public init(
    _ path: String, name: String? = nil, context: Int? = nil, cache: CacheType = .f32,
    isFast: Bool = false, memory: Int? = nil,
    chatTemplate: String? = nil, reading: ReadOptions = ReadOptions(), _ control: RunControl = RunControl()
  ) throws(FormatError) {
    let model = try Model.read(path, reading)
    self.path = path
    self.name = name ?? String(path.split(separator: "/").last ?? "model")
    tokenizer = try Tokenizer(of: model)
    defaults = try GenerationDefaults(model, tokenizer)
    continued = try ContinuedModel(
      model, capacity: context ?? min(model.blueprint.contextLength, 1 << 15), workers: control.workers,
      cache: cache, isFast: isFast, memory: memory)
    fast = isFast ? FastWeights(model) : nil
    var renderer = try ConversationRenderer(model, tokenizer, template: chatTemplate)
    let source = renderer.source(withTools: true)
    hasChatTemplate = source != nil
    let takesTools = Self.takesTools(&renderer)
    let format = source.flatMap { ToolCallFormat(template: $0) }
    let marks = source.flatMap { ReasoningMarks(template: $0) }
    (toolCalls, reasoning) = (takesTools || format == .harmony ? format : nil, marks)
    writer = PromptWriter(renderer)
    specials = Set(tokenizer.addedTokens.filter(\.isSpecial).map(\.id))
    let kept = Set((toolCalls?.marks ?? []) + (marks.map { [$0.open, $0.close] } ?? []))
    hidden = Set(tokenizer.addedTokens.filter { $0.isSpecial && !kept.contains($0.content) }.map(\.id))
    longestToken = tokenizer.tokens.reduce(1) { max($0, $1?.utf8.count ?? 0) }
  }

  /// Tokens of a prompt and its answer together.
  public var capacity: Int { continued.capacity }

  /// Whether a template writes tools into a conversation.
  private static func takesTools(_ renderer: inout ConversationRenderer) -> Bool {
    let messages: JSON = [["role": "user", "content": "?"]]
    guard var conversation = try? Conversation(messages, place: "") else { return false }
    conversation.addGenerationPrompt = true
    let without = try? renderer.text(of: conversation)
    conversation.tools = [
      [
        "type": "function",
        "function": [
          "name": "lookup", "description": "Looks up.",
          "parameters": ["type": "object", "properties": ["key": ["type": "string"]], "required": ["key"]],
        ],
      ]
    ]
    guard let with = try? renderer.text(of: conversation) else { return false }
    return with != without
  }

  // ---- prompts --------------------------------------------------------------------------------------------------------

  struct PreparedPrompt: Sendable {
    var tokens: [Int]
    /// Whether it ends within what the model thinks.
    var startsReasoning = false
    var text = ""
  }

  /// The tokens of a request's prompt.
  ///
  /// - Throws: ServingError for messages that the template refuses, and for what does not fit into the context.
  func prompt(_ request: AnswerRequest) async throws(ServingError) -> PreparedPrompt {
    var prepared: PreparedPrompt
    switch request.prompt {
    case .tokens(let tokens):
      prepared = PreparedPrompt(tokens: tokens)
      if request.echoes { prepared.text = tokenizer.decode(tokens, skippingSpecialTokens: true) }
    case .text(let text):
      try checkLength(text)
      prepared = PreparedPrompt(tokens: tokenizer.encode(text), text: text)
    case .conversation(let conversation):
      guard hasChatTemplate else {
        throw ServingError(
          .invalid,
          "the model has no chat template: /v1/completions continues texts, and --chat-template gives one",
          parameter: "messages")
      }
      guard request.tools.isEmpty || toolCalls != nil else {
        throw ServingError(
          .invalid,
          "the model's chat template has no place for tools, or for calls that this server can read",
          parameter: "tools")
      }
      let text: String
      do throws(FormatError) {
        text = try await writer.text(of: conversation)
      } catch {
        throw ServingError(error, as: .invalid, parameter: "messages")
      }
      try checkLength(text)
      // The template writes the begin token where it wants one.
      prepared = PreparedPrompt(
        tokens: tokenizer.encode(text, addingSpecialTokens: false),
        startsReasoning: reasoning?.areOpen(in: text) ?? false, text: text)
    }
    guard !prepared.tokens.isEmpty else {
      throw .invalid("prompt", expected: "at least one token", found: "none")
    }
    guard prepared.tokens.count < capacity else { throw tooLong("\(prepared.tokens.count)") }
    do throws(FormatError) {
      try continued.check(prepared.tokens, after: 0)
    } catch {
      throw ServingError(error, as: .invalid, parameter: "prompt")
    }
    return prepared
  }

  /// Refuses a text that cannot fit before it is divided into tokens.
  private func checkLength(_ text: String) throws(ServingError) {
    guard text.utf8.count / longestToken < capacity else {
      throw tooLong("at least \(text.utf8.count / longestToken)")
    }
  }

  private func tooLong(_ found: String) -> ServingError {
    ServingError(
      .contextLength,
      "the prompt has \(found) tokens, and the context has room for \(capacity), the answer among them",
      parameter: "messages")
  }

  // ---- answers --------------------------------------------------------------------------------------------------------

  func answerText(_ request: AnswerRequest, startsReasoning: Bool) -> AnswerText {
    var parser: AnswerParser?
    var hidden = specials
    if case .conversation = request.prompt {
      hidden = self.hidden
      // Without tools nothing is a call, but a message of harmony is divided all the same.
      let format = request.tools.isEmpty && toolCalls != .harmony ? nil : toolCalls
      parser = AnswerParser(
        format, reasoning: reasoning, startsReasoning: startsReasoning, tools: request.tools)
    }
    return AnswerText(
      StreamedText(tokenizer, stops: request.stops, showsSpecialTokens: true), parser, hidden: hidden)
  }

  /// What keeps an answer to what a request asks for; nil where that is any text.
  ///
  /// - Throws: ServingError for schemas that cannot be enforced.
  func constraint(_ request: AnswerRequest) throws(ServingError) -> AnswerConstraint? {
    guard let grammar = try request.grammar(toolCalls) else { return nil }
    let bytes = tokenBytes.withLock { bytes in
      let known = bytes ?? TokenBytes(tokenizer, hidden: hidden)
      bytes = known
      return known
    }
    return AnswerConstraint(grammar, bytes, ends: defaults.ends)
  }

  func sampling(_ request: AnswerRequest) -> Sampling {
    var options = TextGenerator.Options()
    options.temperature = request.temperature
    options.topK = request.topK
    options.topP = request.topP
    options.minP = request.minP
    options.repetitionPenalty = request.repetitionPenalty
    options.seed = request.seed ?? UInt64.random(in: .min ... .max)
    return defaults.sampling(options)
  }
}
