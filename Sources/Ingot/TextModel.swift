import IngotInference
import IngotModels
import IngotSystem
import IngotWorkflows

/// A model that answers. Weights stay mapped; experts that no token goes to are not read.
///
///     var model = try TextModel("qwen3.ingot")
///     let answer = try await model.answer("What is a mixture of experts?") { print($0, terminator: "") }
public struct TextModel: Sendable {
  private var generator: TextGenerator

  /// - Parameters:
  ///   - name: folder, file, or name on the Hub.
  ///   - contextLength: tokens of prompts and answers together, at most; nil for the model's own, at most 32,768.
  ///   - memory: bytes of weights that may be in memory; nil for what the system allows.
  ///   - options: of these, its threads.
  /// - Throws: IngotError for files that cannot be read and models that cannot be run.
  public init(
    _ name: String, contextLength: Int? = nil, memory: Int? = nil, _ options: RunOptions = RunOptions()
  ) throws(IngotError) {
    generator = try translatingNow {
      try TextGenerator(try located(name), context: contextLength, memory: memory, options.control)
    }
  }

  /// How tokens are chosen; what is nil is as the model's generation_config.json says.
  public struct Sampling: Sendable {
    /// 0 takes the most likely token.
    public var temperature: Double?
    /// Of so many most likely tokens only.
    public var topK: Int?
    /// Of the most likely tokens that have this probability together.
    public var topP: Double?
    /// The same seed gives the same text, for any number of threads.
    public var seed: UInt64 = 0
    /// Tokens of the answer, at most.
    public var maximumTokens: Int?
    /// Texts that end the answer, which they are no part of.
    public var stops: [String] = []

    public init() {}
  }

  /// Answers a message, written by the model's chat template.
  ///
  /// - Parameters:
  ///   - message: the user's.
  ///   - system: says how to answer.
  ///   - sampling: how tokens are chosen.
  ///   - emit: gets the text in pieces as it comes.
  /// - Throws: IngotError without a chat template, and for a prompt that leaves no room.
  public mutating func answer(
    _ message: String, system: String? = nil, sampling: Sampling = Sampling(),
    emit: (String) -> Void = { _ in }
  ) async throws(IngotError) -> Answer {
    let prompt = try translatingNow {
      let messages: [JSON] =
        (system.map { [["role": "system", "content": .string($0)]] } ?? [])
        + [["role": "user", "content": .string(message)]]
      return try generator.prompt(Conversation(.array(messages), place: "the message"))
    }
    return try await generate(prompt, sampling, emit)
  }

  /// Continues a text.
  ///
  /// - Throws: IngotError for a text without tokens, or one that leaves no room.
  public mutating func continuation(
    of text: String, sampling: Sampling = Sampling(), emit: (String) -> Void = { _ in }
  ) async throws(IngotError) -> Answer {
    try await generate(generator.prompt(continuing: text), sampling, emit)
  }

  private mutating func generate(_ prompt: [Int], _ sampling: Sampling, _ emit: (String) -> Void)
    async throws(IngotError) -> Answer
  {
    var options = TextGenerator.Options()
    (options.temperature, options.topK, options.topP) = (sampling.temperature, sampling.topK, sampling.topP)
    (options.seed, options.maximum, options.stops) = (sampling.seed, sampling.maximumTokens, sampling.stops)
    do throws(FormatError) {
      let result = try await generator.generate(prompt, options, emit: emit)
      return Answer(
        text: result.text, tokenCount: result.tokens.count, isComplete: result.finish != .length,
        tokensPerSecond: result.tokensPerSecond)
    } catch {
      throw IngotError(error)
    }
  }
}

/// What a model said.
public struct Answer: Sendable {
  /// Without what ended it.
  public let text: String
  /// Its tokens.
  public let tokenCount: Int
  /// Whether the model ended it, or a text of `stops`; else it was cut.
  public let isComplete: Bool
  /// How fast it came.
  public let tokensPerSecond: Double
}
