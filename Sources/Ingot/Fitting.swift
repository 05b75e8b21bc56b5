import IngotPlanning
import IngotSystem
import IngotWorkflows

/// Makes the best artifact for a machine: calibrates, measures, plans, quantizes and verifies, as far as the time allows.
public struct Fitting: Sendable {
  /// Folder, file, or name on the Hub.
  public var model: String
  /// A folder for the artifact, its model card, the report and what is kept for the next run.
  public var output: String
  /// Name of a machine, such as `mac-128`; nil for this one.
  public var machine: String?
  /// `llama.cpp`, `MLX`, `vLLM`, `transformers` or `ingot`; nil for what the machine runs best.
  public var engine: String?
  /// Texts beside those that are part of the program.
  public var texts: [String] = []
  /// Hours that it may take on this machine.
  public var hours = 8.0

  public init(of model: String, to output: String, machine: String? = nil) {
    (self.model, self.output, self.machine) = (model, output, machine)
  }

  /// An interrupted run resumes when the same call is made again.
  ///
  /// - Throws: IngotError for what is wrong with files, where nothing fits, and a resumable one when the run was stopped.
  public func run(_ options: RunOptions = RunOptions()) async throws(IngotError) -> Fit {
    try await translating {
      var request = FitArtifactRequest(try located(model), to: output)
      (request.machine, request.texts, request.hours) = (machine, texts, hours)
      if let engine {
        guard let known = Engine.allCases.first(where: { $0.rawValue.lowercased() == engine.lowercased() })
        else {
          throw RequestError(
            .engine,
            "'\(engine)' is none of \(Engine.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        request.engine = known
      }
      let result = try await request.run(options.control)
      return Fit(
        artifact: result.artifact, page: result.page,
        drift: result.verified.map { Drift($0.report, json: $0.json.text()) }, json: result.json.text())
    }
  }
}

/// What was made for a machine.
public struct Fit: Sendable {
  /// Path of the artifact.
  public let artifact: String
  /// Path of the report; nil where it was not verified.
  public let page: String?
  /// How it differs from the original; nil where there was no time, or no forward pass.
  public let drift: Drift?
  /// Every choice and its reason: what fit.json has.
  public let json: String
}
