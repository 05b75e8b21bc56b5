import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// A model that answers: its files, its tokenizer and what it made of the tokens so far.
///
///     var model = try TextGenerator("SmolLM2-135M-Instruct")
///     let prompt = try model.prompt([["role": "user", "content": "What is an ingot?"]])
///     let answer = try await model.generate(prompt) { print($0, terminator: "") }
public struct TextGenerator: Sendable {
  /// What a caller may ask for; nil for what the model advises.
  public struct Options: Sendable {
    public var temperature: Double?
    public var topK: Int?
    public var topP: Double?
    public var minP: Double?
    public var repetitionPenalty: Double?
    public var seed: UInt64 = 0
    /// Tokens at most; nil for as many as the context has room for.
    public var maximum: Int?
    /// Texts that end the answer and are not part of it.
    public var stops: [String] = []
    /// Whether tokens such as `<think>` that the tokenizer calls special are part of the text.
    public var showsSpecialTokens = false

    public init() {}
  }

  public let model: Model
  public let tokenizer: Tokenizer
  private let defaults: GenerationDefaults
  private var generator: Generator
  private let workers: Int
  private let cache: CacheType
  private let chatTemplate: String?
  /// Which weights are multiplied with rounded activations; nil where none are.
  public let fast: FastWeights?

  /// - Parameters:
  ///   - path: folder, file or name in the Hugging Face cache.
  ///   - context: tokens of prompts and answers together, at most; nil for the model's own limit, at most 32,768.
  ///   - isFast: whether activations are rounded to 8 bits where weights allow it.
  ///   - memory: bytes of weights that may be in memory, experts that were not used lately being given up; nil for what the system allows.
  ///   - chatTemplate: a file to take instead of the model's own template.
  /// - Throws: FormatError for files that cannot be read and models that cannot be run.
  public init(
    _ path: String, context: Int? = nil, cache: CacheType = .f32, isFast: Bool = false,
    memory: Int? = nil, chatTemplate: String? = nil, reading: ReadOptions = ReadOptions(),
    _ control: RunControl = RunControl()
  ) throws(FormatError) {
    model = try Model.read(path, reading)
    tokenizer = try Tokenizer(of: model)
    defaults = try GenerationDefaults(model, tokenizer)
    workers = control.workers
    self.cache = cache
    self.chatTemplate = chatTemplate
    fast = isFast ? FastWeights(model) : nil
    generator = try Generator(
      model, capacity: context ?? min(model.blueprint.contextLength, 1 << 15), workers: workers, cache: cache,
      isFast: isFast, memory: memory)
  }

  /// Tokens that prompts and answers can have together.
  public var capacity: Int { generator.capacity }
  /// Bytes that are kept of the tokens so far.
  public var cacheBytes: Int { generator.cacheBytes }

  /// Whether the model has a template for conversations, or was given one.
  public var hasChatTemplate: Bool {
    chatTemplate != nil || (try? ChatTemplates(of: model).templates.isEmpty) == false
  }

  /// The tokens of a conversation, up to where the model is to answer.
  ///
  /// - Throws: FormatError for messages that the model's template refuses, or without a template.
  public func prompt(_ conversation: Conversation) throws(FormatError) -> [Int] {
    var conversation = conversation
    conversation.addGenerationPrompt = true
    var renderer = try ConversationRenderer(model, tokenizer, template: chatTemplate)
    let text = try renderer.text(of: conversation)
    // The template writes the begin token where it wants one.
    return tokenizer.encode(text, addingSpecialTokens: false)
  }

  /// The tokens of a text that the model is to continue.
  public func prompt(continuing text: String) -> [Int] { tokenizer.encode(text) }

  /// Continues a prompt. What the last call made of tokens that both begin with is used again.
  ///
  /// - Parameters:
  ///   - shouldStop: asked after each token.
  ///   - emit: gets the text in pieces as it comes.
  /// - Throws: FormatError for a prompt that leaves no room for an answer, and for what goes wrong on the way.
  public mutating func generate(
    _ prompt: [Int], _ options: Options = Options(), shouldStop: () -> Bool = { false },
    emit: (String) -> Void = { _ in }
  ) async throws(FormatError) -> Generation {
    guard !prompt.isEmpty else {
      throw FormatError(path: model.path, expected: "a prompt of at least one token", found: "none")
    }
    guard prompt.count < capacity else {
      throw FormatError(
        path: model.path, expected: "a prompt shorter than the context of \(grouped(capacity)) tokens",
        found: "\(grouped(prompt.count)); give a shorter one, or a longer context")
    }
    let begin = ContinuousClock.now
    if !prompt.starts(with: generator.tokens) || prompt.count == generator.tokens.count {
      generator.reset()
    }
    let fed = prompt.count - generator.tokens.count
    var logits = try await generator.feed(Array(prompt.dropFirst(generator.tokens.count)))
    let start = ContinuousClock.now
    var sampler = Sampler(defaults.sampling(options))
    var streamed = StreamedText(
      tokenizer, stops: options.stops, showsSpecialTokens: options.showsSpecialTokens)
    var seen = Set(prompt)
    var tokens: [Int] = []
    var finish = Generation.Finish.length
    let room = min(options.maximum ?? Int.max, capacity - prompt.count)
    while tokens.count < room {
      let token = sampler.choose(logits, seen: seen)
      tokens.append(token)
      seen.insert(token)
      if defaults.ends.contains(token) {
        finish = .end
        break
      }
      let piece = streamed.add(token)
      if !piece.isEmpty { emit(piece) }
      if streamed.isStopped {
        finish = .stop
        break
      }
      if shouldStop() {
        finish = .interrupted
        break
      }
      if tokens.count < room { logits = try await generator.feed([token]) }
    }
    let rest = streamed.end()
    if !rest.isEmpty { emit(rest) }
    return Generation(
      text: streamed.text, tokens: tokens, finish: streamed.isStopped ? .stop : finish,
      promptTokens: prompt.count, fedTokens: fed, promptSeconds: (start - begin).seconds,
      seconds: (ContinuousClock.now - start).seconds, cacheBytes: cacheBytes, fast: fast,
      experts: generator.expertReads)
  }
}

/// What a model said.
public struct Generation: Sendable {
  /// Why it ended.
  public enum Finish: String, Sendable {
    /// A token that ends answers.
    case end
    /// A text that the caller gave.
    case stop
    case length
    case interrupted
  }

  public var text: String
  /// With the token that ended it.
  public var tokens: [Int]
  public var finish: Finish
  public var promptTokens: Int
  /// Tokens of the prompt that were new.
  public var fedTokens: Int
  /// Time to the first token.
  public var promptSeconds: Double
  /// Time from there on.
  public var seconds: Double
  public var cacheBytes: Int
  /// Which weights were multiplied with rounded activations; nil where none were.
  public var fast: FastWeights?
  /// What experts' weights took since the model was opened; nil where they fit in memory and no bound was given.
  public var experts: ExpertReads?

  /// The result under the names that programs read.
  public var json: JSON {
    [
      "text": .string(text), "tokens": .array(tokens.map { JSON($0) }), "finish": .string(finish.rawValue),
      "promptTokens": JSON(promptTokens), "promptSeconds": JSON(promptSeconds), "seconds": JSON(seconds),
      "tokensPerSecond": JSON(tokensPerSecond), "promptTokensPerSecond": JSON(promptRate),
      "cacheBytes": JSON(cacheBytes), "fast": fast?.json ?? .null,
      "experts": experts?.json ?? .null,
    ]
  }

  /// Of those after the first, which came with the prompt.
  public var tokensPerSecond: Double { seconds > 0 ? Double(max(tokens.count - 1, 0)) / seconds : 0 }
  public var promptRate: Double { promptSeconds > 0 ? Double(fedTokens) / promptSeconds : 0 }
}
