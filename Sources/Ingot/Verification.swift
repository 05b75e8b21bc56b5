import IngotInference
import IngotModels
import IngotSystem
import IngotWorkflows

/// Measures how far a quantized model drifted from its original, by the forward pass of both on the same texts.
///
///     let report = try await Verification(of: "qwen3.ingot", against: "Qwen/Qwen3-0.6B", texts: ["held-out.txt"]).run()
///     print(report.divergence, report.sameTopToken)
public struct Verification: Sendable {
  /// Folder, file, or name on the Hub.
  public var candidate: String
  /// The model that it was made from.
  public var original: String
  /// Files in UTF-8 that nothing was calibrated on.
  public var texts: [String]
  /// Tokens of a context; the second half of each is scored.
  public var contextLength = 512
  /// Contexts of each text, at most; nil for all.
  public var maximumContexts: Int?

  public init(of candidate: String, against original: String, texts: [String]) {
    (self.candidate, self.original, self.texts) = (candidate, original, texts)
  }

  /// - Throws: IngotError for what is wrong with files, a resumable one when the run was stopped.
  public func run(_ options: RunOptions = RunOptions()) async throws(IngotError) -> Drift {
    try await translating {
      let request = VerifyRequest(
        try located(candidate), against: try located(original),
        texts: TextSelection(texts, context: contextLength, chunks: maximumContexts))
      let result = try await request.run(options.control)
      return Drift(result.report, json: result.json.text())
    }
  }
}

/// How a model differs from its original.
public struct Drift: Sendable {
  /// Predictions that were compared.
  public let tokenCount: Int
  /// Mean KL divergence of the next token's distribution from the original's, in nats.
  public let divergence: Double
  /// Standard error of the mean over contexts; nil for a single one.
  public let divergenceError: Double?
  /// 99th percentile of the divergence, in nats.
  public let divergence99: Double
  /// Perplexity over the original's.
  public let perplexityRatio: Double
  /// Share of predictions whose most likely token is the original's.
  public let sameTopToken: Double
  /// Share of tokens that went to other experts than in the original, mean over layers; nil without experts.
  public let changedExperts: Double?
  /// What the command prints with `--json`.
  public let json: String

  init(_ report: VerificationReport, json: String) {
    (tokenCount, divergence99) = (report.tokens, report.divergence.p99)
    (divergence, divergenceError) = (report.divergence.mean.value, report.divergence.mean.standardError)
    (perplexityRatio, sameTopToken) = (report.perplexity.ratio.value, report.sameTop)
    let changed = report.layers.compactMap { $0.router?.changed }
    changedExperts = changed.isEmpty ? nil : changed.reduce(0, +) / Double(changed.count)
    self.json = json
  }
}
