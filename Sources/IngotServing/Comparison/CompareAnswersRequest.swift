import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotToolCalls
import IngotWorkflows

/// Lets two models answer the same prompts with tools, each greedily by its own tokenizer and template, and compares what they call.
///
///     let request = CompareAnswersRequest("model.gguf", against: "MiniMax-M2", conversations: ["agents.jsonl"], prompts: 100)
///     print(try await request.run().sameCall.value)
public struct CompareAnswersRequest: Sendable {
  public var candidate: String
  public var original: String
  /// Files with conversations. Prompts are conversations with tools, up to the first message that calls one.
  public var conversations: [String]
  /// How many of them, at most.
  public var prompts: Int
  /// Tokens of an answer, at most.
  public var maximum = 256
  /// Answers that are made at once.
  public var parallel = 8
  /// A file to take instead of both models' own chat templates.
  public var chatTemplate: String?
  public var reading = ReadOptions()

  public init(_ candidate: String, against original: String, conversations: [String], prompts: Int) {
    self.candidate = candidate
    self.original = original
    self.conversations = conversations
    self.prompts = prompts
  }

  /// - Throws: FormatError for files without conversations that call tools, and for models that cannot be run or whose template has
  ///   no place for tools.
  public func run(_ control: RunControl = RunControl()) async throws -> AnswerComparison {
    let prompts = try toolPrompts()
    var done = 0
    // One after the other: both in memory at once would be too much for many machines.
    let original = try await answers(of: original, prompts, control) {
      done += 1
      control.progress(done, 2 * prompts.count)
    }
    let candidate = try await answers(of: candidate, prompts, control) {
      done += 1
      control.progress(done, 2 * prompts.count)
    }
    return AnswerComparison(original: original, candidate: candidate, prompts, maximum: maximum)
  }

  private func toolPrompts() throws(FormatError) -> [ToolPrompt] {
    var found: [ToolPrompt] = []
    for path in conversations {
      for conversation in try Conversation.all(in: path) where found.count < prompts {
        if let prompt = ToolPrompt(conversation, maximum: maximum) { found.append(prompt) }
      }
    }
    guard !found.isEmpty else {
      throw FormatError(
        path: conversations.first ?? "", expected: "conversations with \"tools\" and messages that call them",
        found: "none; give a file of such as --text, .jsonl with one per line")
    }
    return found
  }

  private func answers(
    of path: String, _ prompts: [ToolPrompt], _ control: RunControl, answered: () -> Void
  ) async throws -> [ToolAnswer] {
    let model = try ServedModel(path, chatTemplate: chatTemplate, reading: reading, control)
    guard model.toolCalls != nil else {
      throw FormatError(
        path: path,
        expected: "a model whose chat template has a place for tools, and calls in a format that is known",
        found: "none; --chat-template gives another template")
    }
    var options = ServingService.Options()
    options.limits.parallel = parallel
    options.limits.queue = prompts.count
    options.limits.timeout = .seconds(1 << 30)
    let service = ServingService(model, options)
    return try await withThrowingTaskGroup(of: (Int, ToolAnswer).self) { group in
      var answers = [ToolAnswer](repeating: ToolAnswer(), count: prompts.count)
      var next = 0
      func start() {
        guard next < prompts.count else { return }
        let index = next
        next += 1
        group.addTask { (index, try await service.toolAnswer(prompts[index].request)) }
      }
      for _ in 0..<parallel { start() }
      while let (index, answer) = try await group.next() {
        answers[index] = answer
        answered()
        if control.shouldStop() {
          group.cancelAll()
          var error = FormatError(path: path, expected: "the run to continue", found: "a request to stop")
          error.cause = .stopped
          throw error
        }
        start()
      }
      return answers
    }
  }
}

extension ServingService {
  /// The whole of an answer.
  fileprivate func toolAnswer(_ request: AnswerRequest) async throws -> ToolAnswer {
    var answer = ToolAnswer()
    for await event in try await events(request) {
      switch event {
      case .pieces(let pieces, _): for piece in pieces { answer.add(piece) }
      case .end(let finish, _): answer.isCutOff = finish == .length
      case .failed(let error): throw error
      }
    }
    return answer
  }
}

extension ToolPrompt {
  /// - Returns: nil for a conversation without tools, or without a call of one.
  fileprivate init?(_ conversation: Conversation, maximum: Int) {
    let tools = ToolDefinition.all(in: conversation.tools ?? [])
    let place = conversation.messages.firstIndex { $0["tool_calls"]?.array?.isEmpty == false }
    guard !tools.isEmpty, let place, place > 0 else { return nil }
    expected = ToolCall.all(in: conversation.messages[place]["tool_calls"]?.array ?? [])
    var prompt = conversation
    prompt.messages = Array(conversation.messages[..<place])
    prompt.addGenerationPrompt = true
    request = AnswerRequest(.conversation(prompt))
    request.tools = tools
    request.temperature = 0
    request.repetitionPenalty = 1
    request.seed = 0
    request.maximum = maximum
  }
}
