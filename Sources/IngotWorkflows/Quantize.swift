import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Quantizes a model's files to an artifact.
///
///     var request = QuantizeRequest("Qwen3-30B-A3B", to: "model.gguf")
///     request.choice = .recipe("q4_k_m")
///     let result = try await request.run()
public struct QuantizeRequest: Sendable {
  /// Folder, file or name in the Hugging Face cache.
  public var model: String
  public var output: String
  public var choice = PlanChoice.recipe("int4")
  /// Name of the output's format; nil for the recipe's, else the one that the output's name says.
  public var format: String?
  /// Calibration file or importance matrix of llama.cpp.
  public var importance: String?
  public var techniques = CalibrationTechniques()
  /// Texts that layers are calibrated on anew, each on what the quantized layers before it make of them.
  public var sequentialTexts: [String] = []
  /// Contexts of each of these texts, at most; nil for all.
  public var sequentialChunks: Int?
  /// A file that conversations among them are rendered by instead of the model's chat template.
  public var chatTemplate: String?
  /// Refit the router bias; applied only where it restores more of the original routing on held-out contexts.
  public var refitsBias = false
  /// Replace NaN and infinities of the source by 0 instead of throwing at the first.
  public var allowsNonfinite = false
  /// Chooses codes of integers in place of rounding and search; nil for these.
  public var custom: CustomCodes?
  /// Make this share alone, into a file in `output`, a folder; nil for the artifact.
  public var share: Share?
  /// The command line that makes it, for `ingot assemble`; empty when a program asks.
  package var shareArguments: [String] = []
  /// A folder of shares that the artifact is assembled from; nil to make it.
  public var assembled: String?
  public var reading = ReadOptions()
  public var writing = WriteOptions()

  public init(_ model: String, to output: String) {
    self.model = model
    self.output = output
  }
}

/// What was written.
public struct QuantizeResult: Sendable {
  public var written: Written
  public var format: String
  public var plan: String
  /// `recipe` or `plan`.
  public var planKind: String
  public var sourceBytes: Int
  /// Over all tensors.
  public var bitsPerWeight: Double
  public var replacedNonfinite: Int
  /// What got another encoding than the recipe asks for, since its rows do not divide.
  package var fallbacks: [RowFallback] = []
  /// Blocks whose scales are rounded coarsely.
  package var coarse = CoarseScales()
  package var calibration: CalibrationOutcome?
  package var routerBias: SequentialRun.Refits?
  /// The share that this is; nil for an artifact.
  public var share: Share?
  public var seconds: Double

  /// The result under the names that programs read.
  public var json: JSON {
    var json: JSONObject = [
      "recipe": .string(plan), "format": .string(format),
      "files": .array(written.files.map { .string($0) }),
      "bytes": JSON(written.bytes), "sourceBytes": JSON(sourceBytes), "bitsPerWeight": JSON(bitsPerWeight),
      "replacedNonfinite": JSON(replacedNonfinite), "seconds": JSON(seconds),
      "calibration": calibration?.json ?? .null, "routerBias": routerBias?.json ?? .null,
    ]
    json["coarseScales"] = coarse.json
    if let share { json["share"] = ["number": JSON(share.index + 1), "of": JSON(share.count)] }
    if !fallbacks.isEmpty { json["fallbacks"] = .array(fallbacks.map(\.json)) }
    written.addChanges(to: &json)
    return .object(json)
  }
}

extension QuantizeRequest {
  /// - Throws: FormatError for what is wrong with files, RequestError for a request that contradicts itself.
  public func run(_ control: RunControl = RunControl()) async throws -> QuantizeResult {
    try prepareShare()
    let source = try Model.read(model, reading)
    if let remark = source.remark { control.warning(remark) }
    let inputs = inputs(source)
    let output = try target()
    try inputs.requireApart(output)
    try await source.requireWholeFiles(control)
    var chosen = try choice.chosen(for: source)
    // A share is in a folder, whatever the artifact will be.
    let format =
      try share == nil
      ? Format.chosen(format, forOutput: output, suggested: chosen.format)
      : Format.known(format ?? chosen.format ?? Format.ingot.name)
    try chosen.fit(format, source)
    let fallbacks = RowFallback.all(chosen.plan, source)
    for fallback in fallbacks { control.warning(fallback.line) }
    if chosen.format != format.name {
      let made = try source.dropping(chosen.plan.dropped).quantized(by: chosen.plan)
      try format.requireHolds(made, chosen.kind, chosen.plan)
    }
    if let line = chosen.missingImportance(importance) { control.warning(line) }
    if importance == nil, assembled == nil, let line = chosen.plan.lackOfImportance { control.warning(line) }
    if let line = source.requantized(by: chosen.plan) { control.warning(line) }
    if let line = importance.flatMap({ CalibrationFile.tokenizerRemark($0, for: source) }) {
      control.warning(line)
    }
    let isCalibrated = importance.map { CalibrationFile.recognizes($0) } ?? false
    try requireCalibration(isCalibrated)
    var texts = TextSelection(sequentialTexts)
    texts.chatTemplate = chatTemplate
    // The contexts that 'calibrate' takes of the same texts, so that statistics say what was seen.
    let contexts =
      sequentialTexts.isEmpty
      ? []
      : try texts.calibrationContexts(Tokenizer(of: source), of: source, chunks: sequentialChunks).flatMap(
        \.used)
    let replaced = Replacements()
    var quantization = QuantizationOptions()
    quantization.allowNonfinite = allowsNonfinite
    quantization.custom = custom
    let coarse = CoarseScales()
    let notes = RunNotes { note in
      coarse.recall(note)
      replaced.recall(note)
    }
    quantization.replaced = { tensor, count in
      notes.add(replaced.add(tensor, count))
      control.warning(
        "tensor '\(printable(tensor.name))' (\(tensor.role)): \(count) values not finite, replaced by 0")
    }
    quantization.coarse = { notes.add(coarse.add($0, $1)) }
    var options = try writeOptions(control)
    options.notes = notes
    options.inputs = inputs
    var plan = chosen.plan
    let left = try source.dropping(plan.dropped)
    let shared = try sharedFacts(source, chosen, format)
    let shares = try assembled.map { folder throws(FormatError) in try ShareSet(folder) }
    try shares?.require(shared)
    let roles = share?.roles(of: left, isCalibrated: isCalibrated)
    var model = left
    let live = sequentialTexts.isEmpty ? nil : SequentialRun.Live()
    var calibrated: CalibratedRun?
    var scales: ScaleJournal?
    if let importance, isCalibrated {
      scales = try scaleJournal(options, chosen, source)
      let run: CalibratedRun
      do throws(FormatError) {
        let statistics = try CalibrationFile.read(importance, for: source).dropping(plan.dropped, of: source)
        run = try await CalibratedRun(
          importance, left, plan, techniques, control, known: statistics, scales,
          choices: shares?.scaleChoices ?? [:], layers: roles.map { Set($0.compactMap(\.layer)) })
      } catch {
        throw scales?.abandoned(error) ?? error
      }
      (plan, model) = (run.plan, run.model)
      quantization.importance = run.importance
      quantization.calibration = run.calibration
      if let live { quantization.calibration = run.calibration.following { live.get() } }
      options.provenance["importance"] = run.provenance(following: contexts)
      if refitsBias { options.provenance["refit-bias"] = .bool(true) }
      calibrated = run
    } else if let importance {
      let file = try WrittenFile.importance(importance, for: source).dropping(plan.dropped)
      quantization.importance = file.importance
      options.provenance["importance"] = file.provenance(name: Folder.name(of: importance))
      for warning in file.warnings(plan, left) { control.warning("\(importance): \(warning)") }
    }
    var quantized = try model.quantized(by: plan, quantization)
    var refits: SequentialRun.Refits?
    options.provenance[DroppedExperts.key] = plan.dropped?.json
    if let live, calibrated != nil {
      let run = try SequentialRun(
        model, quantized, live, contexts, refitsBias: refitsBias, workers: control.workers)
      quantized = try run.quantized()
      refits = refitsBias ? run.refits : nil
    }
    options.provenance["recipe"] = chosen.provenance
    if let custom { options.provenance["quantizer"] = .string(custom.name) }
    if let line = format.leftOut(of: quantized) { control.warning(line) }
    let wanted =
      roles.map { roles in quantized.tensors.filter { roles.contains($0.role) } } ?? quantized.tensors
    options.progress = control.counter(total: wanted.reduce(0) { $0 + $1.bytes })
    if let shares {
      quantized = try shares.tensors(of: quantized)
      for path in source.weightFiles { options.knownHashes[path] = shares.digests[Folder.name(of: path)] }
      for note in shares.notes { notes.add(note) }
    }
    let start = ContinuousClock.now
    let written: Written
    do throws(FormatError) {
      if let share, let roles {
        written = try await quantized.writeShare(
          share, roles, in: self.output, facts: shared,
          extra: shareRecord(calibrated, roles), options)
      } else {
        written = try await quantized.write(output, as: format, options)
      }
    } catch {
      throw scales?.abandoned(error) ?? error
    }
    scales?.end()
    if let line = coarse.line { control.warning(line) }
    return QuantizeResult(
      written: written, format: format.name, plan: plan.name, planKind: chosen.kind,
      sourceBytes: source.bytes, bitsPerWeight: 8 * Double(quantized.bytes) / Double(quantized.parameters),
      replacedNonfinite: replaced.total, fallbacks: fallbacks, coarse: coarse,
      calibration: calibrated?.outcome,
      routerBias: refits, share: share, seconds: (ContinuousClock.now - start).seconds)
  }

  /// What is read, beside which the output must be.
  private func inputs(_ source: Model) -> InputFiles {
    var inputs = InputFiles()
    inputs.add(source)
    inputs.add(model: model)
    inputs.add("the calibration file", importance)
    inputs.add(choice.file.what, choice.file.path)
    for text in sequentialTexts { inputs.add("a text", text) }
    return inputs
  }

  private func requireCalibration(_ isCalibrated: Bool) throws(RequestError) {
    let needs = "needs a calibration file (.calib) as importance"
    if techniques.rescueOverflow && !isCalibrated { throw RequestError(.rescueOverflow, needs) }
    if !sequentialTexts.isEmpty && !isCalibrated { throw RequestError(.sequential, needs) }
    if refitsBias && sequentialTexts.isEmpty {
      throw RequestError(
        .refitBias, "needs texts for sequential calibration: a bias is fitted to what quantized layers give")
    }
  }

  /// With everything that decides the bytes as identity of an unfinished output.
  private func writeOptions(_ control: RunControl) throws(FormatError) -> WriteOptions {
    var options = writing.controlled(by: control)
    options.identity["allow-nonfinite"] = .bool(allowsNonfinite)
    if let importance { options.identity["importance"] = try fileIdentity(importance) }
    if let custom { options.identity["quantizer"] = .string(custom.name) }
    options.identity["techniques"] = .array(
      techniques.identity + [.bool(techniques.rescueOverflow)])
    if !sequentialTexts.isEmpty {
      options.identity["sequential"] = .array(
        try sequentialTexts.map { path throws(FormatError) in try fileIdentity(path) })
      options.identity["refit-bias"] = .bool(refitsBias)
      if let chatTemplate { options.identity["chat-template"] = try fileIdentity(chatTemplate) }
    }
    return options
  }

  /// Nil where channels are not rescaled, or where no journal can be.
  private func scaleJournal(_ options: WriteOptions, _ chosen: PlanChoice.Chosen, _ source: Model)
    throws(FormatError) -> ScaleJournal?
  {
    guard techniques.has(.scaling), assembled == nil, Folder.kind(Folder.parent(of: try target())) == .folder
    else { return nil }
    var identity = options.identity
    identity["recipe"] = chosen.provenance
    identity["source"] = .array(
      try source.weightFiles.map { path throws(FormatError) in try fileIdentity(path) })
    return try ScaleJournal(
      beside: try target(), identity: identity, takeOver: writing.takeOver,
      shouldStop: options.shouldStop ?? { false })
  }
}

extension PlanChoice.Chosen {
  /// What to say when a plan is carried out without the statistics that it was measured with: its prediction is of
  /// codes chosen by them.
  fileprivate func missingImportance(_ path: String?) -> String? {
    guard let name = importance?["name"]?.string, path.map(Folder.name) != name else { return nil }
    let given = path.map { "with \(Folder.name(of: $0))" } ?? "without any"
    return
      "the plan was measured with calibration statistics, \(printable(name)), and is carried out \(given): "
      + "expect a larger KL divergence than predicted, or give \(printable(name)) as importance"
  }
}

extension WriteOptions {
  /// As a workflow writes: by its threads, with the tool's name in the artifact.
  func controlled(by control: RunControl) -> WriteOptions {
    var options = self
    options.workers = control.workers
    options.shouldStop = control.shouldStop
    options.provenance["tool"] = .string(Tool.name)
    return options
  }
}

extension ImportanceFile {
  /// What an artifact says of the importance that its codes were chosen with.
  func provenance(name: String) -> JSON {
    [
      "name": .string(name), "sha256": .string(sha256), "entries": JSON(entries), "chunks": JSON(chunks),
      "datasets": .array(datasets.map { .string($0) }),
    ]
  }

  /// What a user should know: tensors that are quantized without importance, and entries that nothing uses.
  func warnings(_ plan: Plan, _ model: Model) -> [String] {
    var lines: [String] = []
    if !unseen.isEmpty {
      lines.append(
        "\(grouped(unseen.count)) of the experts' tensors were reached by no token, such as \(unseen[0]); "
          + "their columns count the same")
    }
    let known = Set(unseen)
    let missing = model.tensors.filter { tensor in
      plan.assignments[tensor.role]?.quantizer != nil && ![.embedding, .head].contains(tensor.role.kind)
        && importance.columns[tensor.role] == nil && !known.contains(tensor.role)
    }
    if let first = missing.first {
      lines.append(
        "\(grouped(missing.count)) tensors are not in it, such as \(first.role); their columns count the same"
      )
    }
    if !ignored.isEmpty {
      lines.append("\(ignored.count) entries name no tensor of the model, such as '\(printable(ignored[0]))'")
    }
    return lines
  }
}
