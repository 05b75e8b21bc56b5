import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotReports
import IngotSystem
import IngotTensors

/// The best artifact for a machine, from the model to a verified file: calibrates, measures, plans, quantizes and verifies, as far
/// as the hours allow.
///
///     var request = FitArtifactRequest("MiniMaxAI/MiniMax-M2", to: "m2-for-mac-128")
///     request.machine = "mac-128"
///     let result = try await request.run()
///
/// A run that was interrupted goes on when the same request is run again: what is finished lies in the output's folder.
public struct FitArtifactRequest: Sendable {
  /// Folder, file or name in the Hugging Face cache.
  public var model: String
  /// Folder for the artifact, its model card and page, and what they were made by.
  public var output: String
  /// Name of a machine, or a size such as 96GB that the model may take; nil for this machine.
  public var machine: String?
  /// A YAML file with machines beside the built-in ones.
  public var machines: String?
  public var engine: Engine?
  /// Tokens; nil for the model's longest, at most 32,768.
  public var context: Int?
  public var cache = CachePrecision.f16
  /// Texts that say what the model is used for; they join the project's own.
  public var texts: [String] = []
  /// A file that conversations are rendered by instead of the model's chat template.
  public var chatTemplate: String?
  /// Time that all of it may take on this machine, about.
  public var hours = 8.0
  /// Let experts be left out where that is better than fewer bits.
  public var allowsDrops = false
  /// Discard what another request left in the folder.
  public var force = false
  public var reading = ReadOptions()

  public init(_ model: String, to output: String) {
    self.model = model
    self.output = output
  }
}

/// What was made.
public struct FitArtifactResult: Sendable {
  public var decision: FitDecision
  /// The artifact.
  public var artifact: String
  public var page: String?
  /// By `verify`; nil for a family without a forward pass.
  public var verified: VerifyResult?
  public var json: JSON
}

extension FitArtifactRequest {
  /// What would be done, without doing it: what an earlier run has decided, where it left something.
  public func decided(workers: Int = RunControl().workers) throws -> FitDecision {
    try FitDecision(
      try Model.read(model, reading), self, texts: texts.count + ShippedText.all(heldOut: false).count,
      workers: workers, known: force ? nil : Files.decision(in: output))
  }

  /// - Parameter began: hears of each step before it runs, and whether it was finished by an earlier run.
  /// - Throws: FormatError for what is wrong with files, a resumable one when the run was stopped; RequestError when nothing fits.
  public func run(
    _ control: RunControl = RunControl(), began: (FitDecision.Step, _ isDone: Bool) -> Void = { _, _ in }
  ) async throws -> FitArtifactResult {
    let source = try Model.read(model, reading)
    let decision = try decided(workers: control.workers)
    let files = try Files(self, source, decision)
    try files.prepare(self, decision)
    for step in decision.steps {
      let isDone = files.isDone(step.kind)
      began(step, isDone)
      if isDone { continue }
      switch step.kind {
      case .calibrate: try await calibrate(files, decision, control)
      case .sensitivity: try await measure(files, decision, control)
      case .plan: try plan(files, decision, source)
      case .quantize: try await quantize(files, decision, control)
      case .verify: break
      }
    }
    let verified =
      decision.steps.contains { $0.kind == .verify } ? try await verify(files, decision, control) : nil
    if verified == nil { try files.writeCard(nil, decision) }
    let record = files.record(self, decision, verified)
    try WholeFile.write(Array(record.text(indented: true).utf8), to: files.record, force: true)
    return FitArtifactResult(
      decision: decision, artifact: files.artifact, page: verified == nil ? nil : files.page,
      verified: verified,
      json: record)
  }

  private func selection(_ paths: [String], chunks: Int) -> TextSelection {
    var selection = TextSelection(paths, context: FitDecision.contextTokens, chunks: chunks)
    selection.chatTemplate = chatTemplate
    return selection
  }

  private func calibrate(_ files: Files, _ decision: FitDecision, _ control: RunControl) async throws {
    var request = CalibrateRequest(
      model, texts: selection(try files.texts() + texts, chunks: decision.calibrationChunks),
      to: files.statistics)
    request.reading = reading
    _ = try await request.run(control)
  }

  private func measure(_ files: Files, _ decision: FitDecision, _ control: RunControl) async throws {
    var request = SensitivityRequest(
      model, texts: selection(try files.texts() + texts, chunks: FitDecision.sensitivityChunks),
      to: files.sensitivity)
    request.importance = files.statistics
    request.formats = [decision.format.name]
    request.effort.quick = decision.road == .measuredQuickly
    request.reading = reading
    _ = try await request.run(control)
  }

  private func plan(_ files: Files, _ decision: FitDecision, _ source: Model) throws {
    var options = WriteOptions()
    options.provenance["tool"] = .string(Tool.name)
    let making = try PlanMaking(
      source, files.sensitivity, format: decision.format.name, drop: allowsDrops ? .best : nil, options)
    let (made, _) = try making.plan(
      decision.machine, decision.engine, context: decision.context, cache: cache)
    try WholeFile.write(Array(making.file(made).text.utf8), to: files.plan, force: true)
  }

  private func quantize(_ files: Files, _ decision: FitDecision, _ control: RunControl) async throws {
    var request = QuantizeRequest(model, to: files.artifact)
    request.format = decision.format.name
    switch decision.road {
    case .measured, .measuredQuickly: request.choice = .plan(files.plan)
    case .calibratedRecipe, .recipe: request.choice = .recipe(decision.recipe)
    }
    if decision.road != .recipe { request.importance = files.statistics }
    if decision.follows {
      request.sequentialTexts = try files.texts() + texts
      request.sequentialChunks = decision.calibrationChunks
      request.chatTemplate = chatTemplate
    }
    request.reading = reading
    _ = try await request.run(control)
  }

  private func verify(_ files: Files, _ decision: FitDecision, _ control: RunControl) async throws
    -> VerifyResult
  {
    var request = VerifyRequest(
      files.artifact, against: model,
      texts: selection(try files.heldOutTexts(), chunks: decision.verifyChunks))
    request.reading = reading
    if decision.road == .measured || decision.road == .measuredQuickly { request.plan = files.plan }
    return try await request.run(control) { result throws(FormatError) in
      try WholeFile.write(Array(VerificationPage(result.json).html.utf8), to: files.page, force: true)
      try files.writeCard(result, decision)
    }
  }
}

/// What lies in the output's folder.
private struct Files {
  let folder: String
  let artifact: String
  private let identity: JSON
  /// Name of the model.
  private let source: String

  var statistics: String { folder + "/model.calib" }
  var sensitivity: String { folder + "/model.sens" }
  var plan: String { folder + "/plan.json" }
  var page: String { folder + "/report.html" }
  var record: String { folder + "/fit.json" }
  private var card: String { folder + "/README.md" }

  init(_ request: FitArtifactRequest, _ source: Model, _ decision: FitDecision) throws(FormatError) {
    folder = request.output
    self.source = source.sourceName
    artifact = folder + "/" + decision.format.suggestedName("model")
    identity = [
      "model": .string(source.sourceName), "machine": .string(decision.machine.name),
      "engine": .string(decision.engine.rawValue), "context": JSON(decision.context),
      "cache": .string(request.cache.rawValue), "texts": .array(request.texts.map { .string($0) }),
      "hours": JSON(request.hours), "allowsDrops": .bool(request.allowsDrops),
    ]
  }

  /// What an earlier run decided; nil for none.
  static func decision(in folder: String) -> JSON? {
    let path = folder + "/fit.json"
    guard let bytes = try? Bytes.mapping(path) else { return nil }
    return (try? JSON.parse(bytes.array, path: path))?["decision"]
  }

  /// Makes the folder, or recognizes that of an earlier run of the same request.
  func prepare(_ request: FitArtifactRequest, _ decision: FitDecision) throws(FormatError) {
    if Folder.exists(folder) {
      let known = try? JSON.parse(Bytes.mapping(record).array, path: record)
      guard let known, known["request"] != nil else {
        // Of a run that was killed while it wrote the record there may be a part.
        guard try Folder.names(folder).allSatisfy({ $0.hasPrefix(Folder.name(of: record)) }) else {
          throw FormatError(
            path: folder, expected: "a new folder, or one of an earlier run",
            found: "other files; name another one")
        }
        return try writeRecord(request, decision)
      }
      guard known["request"] == identity || request.force else {
        throw FormatError(
          path: folder, expected: "a run of the same request: \(identity.text())",
          found: "one of \(known["request"]!.text()); name another folder", remedy: .discard)
      }
      if known["request"] != identity {
        for path in [statistics, sensitivity, plan, artifact, page] { Folder.remove(path) }
      }
    } else {
      try Folder.create(folder)
    }
    try writeRecord(request, decision)
  }

  private func writeRecord(_ request: FitArtifactRequest, _ decision: FitDecision) throws(FormatError) {
    try WholeFile.write(
      Array(record(request, decision, nil).text(indented: true).utf8), to: record, force: true)
  }

  func record(_ request: FitArtifactRequest, _ decision: FitDecision, _ verified: VerifyResult?) -> JSON {
    var object: JSONObject = [
      "tool": .string(Tool.name), "request": identity, "decision": decision.json,
      "artifact": .string(Folder.name(of: artifact)),
    ]
    if let verified {
      object["verification"] = [
        "klDivergence": verified.json["klDivergence"]?["mean"] ?? .null,
        "perplexityRatio": verified.json["perplexity"]?["ratio"] ?? .null,
        "sameTop": verified.json["sameTop"] ?? .null,
        "outsidePrediction": .array(verified.violations.map { .string($0) }),
      ]
    }
    return .object(object)
  }

  func isDone(_ step: FitDecision.Step.Kind) -> Bool {
    switch step {
    case .calibrate: Folder.exists(statistics)
    case .sensitivity: Folder.exists(sensitivity)
    case .plan: Folder.exists(plan)
    case .quantize: Folder.exists(artifact)
    case .verify: false
    }
  }

  func texts() throws(FormatError) -> [String] { try text(heldOut: false) }
  func heldOutTexts() throws(FormatError) -> [String] { try text(heldOut: true) }

  private func text(heldOut: Bool) throws(FormatError) -> [String] {
    let place = folder + "/text"
    if !Folder.exists(place) { try Folder.create(place) }
    return try ShippedText.write(heldOut: heldOut, into: place)
  }

  /// A card beside the artifact; a folder of an engine's has one of its own, which gets the figures.
  func writeCard(_ result: VerifyResult?, _ decision: FitDecision) throws(FormatError) {
    var lines = [
      "---", "base_model: \(JSON.string(source).text())", "base_model_relation: quantized",
      "pipeline_tag: text-generation", "tags:", "- ingot", "---", "", "# \(Folder.name(of: folder))", "",
    ]
    lines.append(
      "Made from \(source) by \(Tool.name), for \(decision.machine.name) with \(decision.engine.rawValue).")
    lines += ["", "| | | why |", "|---|---|---|"]
    for choice in decision.choices {
      lines.append("| \(choice.what) | \(choice.choice) | \(choice.reason) |")
    }
    if let result {
      lines += [
        "", "Against the original, on text that nothing was chosen by:", "", "```", result.report.table,
        "```",
      ]
    }
    try WholeFile.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: card, force: true)
  }
}
