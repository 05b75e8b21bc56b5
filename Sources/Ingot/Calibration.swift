import IngotSystem
import IngotWorkflows

/// Gathers what goes into each layer and expert while a model reads texts, for ``Quantization/importance``.
public struct Calibration: Sendable {
  /// Folder, file, or name on the Hub.
  public var model: String
  /// Files in UTF-8; `.jsonl` has a text or conversation per line. Never the texts that you verify with.
  public var texts: [String]
  /// A `.calib` file, or with the ending `.gguf` or `.dat` an importance matrix of llama.cpp.
  public var output: String
  /// Tokens of a context.
  public var contextLength = 512
  /// Contexts of each text, at most; nil for all.
  public var maximumContexts: Int?
  /// Tokens that every expert is to see.
  public var tokensPerExpert: Int?
  /// Replace what is at the output's path.
  public var overwrites = false

  public init(of model: String, texts: [String], to output: String) {
    (self.model, self.texts, self.output) = (model, texts, output)
  }

  /// - Throws: IngotError for what is wrong with files, a resumable one when the run was stopped.
  public func run(_ options: RunOptions = RunOptions()) async throws(IngotError) -> Statistics {
    try await translating {
      var request = CalibrateRequest(
        try located(model), texts: TextSelection(texts, context: contextLength, chunks: maximumContexts),
        to: output)
      (request.coverage, request.force) = (tokensPerExpert, overwrites)
      let result = try await request.run(options.control)
      return Statistics(
        tokenCount: result.tokens, contextCount: result.contexts, json: result.json.text())
    }
  }

  /// What was gathered.
  public struct Statistics: Sendable {
    /// Tokens that were read.
    public let tokenCount: Int
    /// Contexts that they are of.
    public let contextCount: Int
    /// What the command prints with `--json`.
    public let json: String
  }
}
