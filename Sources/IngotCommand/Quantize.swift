import ArgumentParser
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization

struct Quantize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Quantize a model, expert by expert, straight from its files to the target.",
    usage: "ingot quantize <model> --output <path> [--recipe <recipe> | --plan <plan.json>] [options]",
    discussion: """
      Nothing appears under the output's name before it is complete. A run that was stopped, by a \
      signal, a fault or a full disk, is continued by the same command.
      The bytes are the same for any number of workers.
      """)

  @Argument(help: "Folder, .safetensors, .gguf or .ingot file, or name in the HF cache.")
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "What 'ingot calibrate' gathered, or an imatrix file of llama.cpp, either form.", valueName: "file")
  )
  var importance: String?

  @OptionGroup var techniques: TechniqueOptions
  @OptionGroup var sequential: SequentialOptions

  @Flag(name: .long, help: "Replace NaN and infinities of the source by 0 instead of stopping at the first.")
  var allowNonfinite = false

  @OptionGroup var recipe: RecipeOption
  @OptionGroup var format: FormatOption
  @OptionGroup var output: OutputOptions
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let source = try Model.read(model, reading.options)
    let chosen = try recipe.read(for: source)
    let format = try format.format(forOutput: output.output, named: chosen.format)
    var plan = chosen.plan
    let left = try source.dropping(plan.dropped)
    var model = left
    var quantization = QuantizationOptions()
    quantization.allowNonfinite = allowNonfinite
    let replaced = Replacements()
    quantization.replaced = { tensor, count in
      replaced.count.add(count, ordering: .relaxed)
      Terminal.error(
        "warning: tensor '\(printable(tensor.name))' (\(tensor.role)): \(count) values not finite, replaced by 0"
      )
    }
    let isCalibrated = importance.map { CalibrationFile.recognizes($0) } ?? false
    if techniques.rescueOverflow && !isCalibrated {
      throw ValidationError(
        "--rescue-overflow goes by what 'ingot calibrate' gathered: --importance X.calib.")
    }
    if !sequential.sequential.isEmpty && !isCalibrated {
      throw ValidationError(
        "--sequential goes by what 'ingot calibrate' gathered as well: --importance X.calib.")
    }
    if sequential.refitBias && sequential.sequential.isEmpty {
      throw ValidationError(
        "--refit-bias needs --sequential: a bias is fitted to what quantized layers give.")
    }
    let contexts = sequential.sequential.isEmpty ? [] : try sequential.contexts(source)
    var options = output.options(work.workers)
    options.identity["allow-nonfinite"] = .bool(allowNonfinite)
    if let importance { options.identity["importance"] = try fileIdentity(importance) }
    options.identity["techniques"] = .array(
      techniques.without.map { .string($0.rawValue) } + [.bool(techniques.rescueOverflow)])
    if !sequential.sequential.isEmpty {
      options.identity["sequential"] = .array(
        try sequential.sequential.map { path throws(FormatError) in try fileIdentity(path) })
      options.identity["refit-bias"] = .bool(sequential.refitBias)
    }
    let live = sequential.sequential.isEmpty ? nil : SequentialRun.Live()
    var calibrated: CalibratedRun?
    var scales: ScaleJournal?
    if let importance, isCalibrated {
      if techniques.has(.scaling), Folder.kind(Folder.parent(of: output.output)) == .folder {
        var identity = options.identity
        identity["recipe"] = chosen.provenance
        identity["source"] = .array(
          try source.weightFiles.map { path throws(FormatError) in try fileIdentity(path) })
        scales = try ScaleJournal(beside: output.output, identity: identity, takeOver: output.takeOver)
      }
      let run: CalibratedRun
      do throws(FormatError) {
        let evidence = try CalibrationFile.read(importance, for: source).dropping(plan.dropped, of: source)
        run = try await CalibratedRun(
          importance, left, plan, techniques, workers: work.workers, known: evidence, scales)
      } catch {
        throw scales?.abandoned(error) ?? error
      }
      (plan, model) = (run.plan, run.model)
      quantization.importance = run.importance
      quantization.calibration = run.calibration
      if let live { quantization.calibration = run.calibration.following { live.get() } }
      options.provenance["importance"] = run.provenance
      if sequential.refitBias { options.provenance["refit-bias"] = .bool(true) }
      calibrated = run
    } else if let importance {
      let file = try ImportanceFile(importance, for: source).dropping(plan.dropped)
      quantization.importance = file.importance
      options.provenance["importance"] = file.provenance(name: Folder.name(of: importance))
      for warning in file.warnings(plan, left) { Terminal.error("warning: \(importance): \(warning)") }
    }
    var quantized = try model.quantized(by: plan, quantization)
    var refits: SequentialRun.Refits?
    options.provenance[DroppedExperts.key] = plan.dropped?.json
    if let live, calibrated != nil {
      let run = try SequentialRun(
        model, quantized, plan, live, contexts, refitsBias: sequential.refitBias, workers: work.workers)
      quantized = run.quantized
      refits = sequential.refitBias ? run.refits : nil
      options.beforeLayer = { try await run.prepare($0) }
    }
    options.provenance["recipe"] = chosen.provenance
    let progress = Progress("quantize", total: quantized.bytes)
    defer { progress.finish() }
    options.progress = { progress.add($0) }
    let written: Written
    do throws(FormatError) {
      written = try await quantized.write(output.output, as: format, options)
    } catch {
      throw scales?.abandoned(error) ?? error
    }
    scales?.end()
    progress.finish()
    let bits = 8 * Double(quantized.bytes) / Double(quantized.parameters)
    let seconds = progress.seconds
    if json.json {
      let result: JSON = [
        "recipe": .string(plan.name), "format": .string(format.name),
        "files": .array(written.files.map { .string($0) }),
        "bytes": JSON(written.bytes), "sourceBytes": JSON(source.bytes), "bitsPerWeight": JSON(bits),
        "replacedNonfinite": JSON(replaced.count.load(ordering: .relaxed)), "seconds": JSON(seconds),
        "calibration": calibrated?.json ?? .null, "routerBias": refits?.json ?? .null,
      ]
      print(result.text(indented: true))
    } else {
      if let calibrated { print(calibrated.table) }
      if let refits { print(refits.table) }
      print(
        """
        \(written.files.count == 1 ? written.files[0] : "\(written.files.count) files from \(written.files[0])")
        \(chosen.kind) \(plan.name), \(fixed(bits, 3)) bits per weight, \(grouped(written.bytes)) bytes \
        (\(fixed(100 * Double(written.bytes) / Double(source.bytes), 1)) % of \(decimal(source.bytes)))
        \(duration(seconds)), \(decimal(Int(Double(source.bytes) / max(seconds, 1e-3)))) of source a second
        """)
    }
  }

  /// Counts values that were replaced, from any task.
  private final class Replacements: Sendable { let count = Atomic<Int>(0) }
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
        "\(grouped(missing.count)) tensors stand nowhere in it, such as \(first.role); their columns count the same"
      )
    }
    if !ignored.isEmpty {
      lines.append("\(ignored.count) entries name no tensor of the model, such as '\(printable(ignored[0]))'")
    }
    return lines
  }
}
