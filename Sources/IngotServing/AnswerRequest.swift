import IngotInference
import IngotSystem
import IngotToolCalls
import IngotWorkflows

/// What a client asks for, whatever API it speaks.
public struct AnswerRequest: Sendable {
  public enum Prompt: Sendable {
    case conversation(Conversation)
    /// A text to continue.
    case text(String)
    case tokens([Int])
  }

  public enum ToolChoice: Hashable, Sendable {
    case none, auto
    /// Some tool is to be called.
    case required
    case named(String)
  }

  /// What the answer has to be.
  public enum Form: Hashable, Sendable {
    case text
    /// Some JSON object.
    case json
    /// JSON by a schema.
    case schema(JSON)
  }

  public var prompt: Prompt
  /// Of sampling, nil for what the model advises.
  public var temperature: Double?
  public var topK: Int?
  public var topP: Double?
  public var minP: Double?
  public var repetitionPenalty: Double?
  public var presencePenalty = 0.0
  public var frequencyPenalty = 0.0
  /// Added to logits, by token.
  public var logitBias: [Int: Float] = [:]
  /// nil for another one with each request.
  public var seed: UInt64?
  /// Tokens of the answer at most; nil for as many as the context has room for.
  public var maximum: Int?
  public var stops: [String] = []
  public var streams = false
  /// Whether a stream ends with the numbers of tokens.
  public var streamsUsage = false
  /// How many of the most likely tokens are told beside each token's probability; nil to tell none.
  public var logprobs: Int?
  public var tools: [ToolDefinition] = []
  public var toolChoice = ToolChoice.auto
  public var form = Form.text
  /// Whether the prompt is part of the answer.
  public var echoes = false

  public init(_ prompt: Prompt) { self.prompt = prompt }
}

/// Tokens that an answer took.
public struct AnswerUsage: Hashable, Sendable {
  public var prompt: Int
  /// Of the prompt's, those that had been computed for an earlier request.
  public var cached: Int
  public var answer: Int

  public init(prompt: Int, cached: Int = 0, answer: Int = 0) {
    (self.prompt, self.cached, self.answer) = (prompt, cached, answer)
  }
}

/// Why an answer ended.
public enum AnswerFinish: Hashable, Sendable {
  case end
  /// A text that the client gave.
  case stop(String)
  case length
}

/// How likely a token was.
public struct TokenProbability: Hashable, Sendable {
  /// What the token is written as; U+FFFD where that is no UTF-8.
  public var text: String
  /// Natural logarithm.
  public var logprob: Double
  /// The most likely tokens there, the first first.
  public var top: [(text: String, logprob: Double)]

  public static func == (one: TokenProbability, other: TokenProbability) -> Bool {
    one.text == other.text && one.logprob == other.logprob
      && one.top.elementsEqual(other.top) { $0 == $1 }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(text)
    hasher.combine(logprob)
  }
}

/// What comes of an answer as it is made.
public enum AnswerEvent: Sendable {
  case pieces([AnswerPiece], [TokenProbability])
  case end(AnswerFinish, AnswerUsage)
  case failed(ServingError)
}
