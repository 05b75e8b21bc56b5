import ArgumentParser
import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

struct Calibrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gather evidence of what goes into each linear layer and each expert.",
    usage: "ingot calibrate <model> --text <file> ... --output <file.calib> [options]",
    discussion: """
      Runs the reference forward pass over the texts, one layer at a time, and keeps what quantizers \
      need: 'ingot quantize --importance FILE' uses it. A text ends in .txt, or in .jsonl with an \
      object a line: {"text": ...} or {"messages": [...], "tools": [...]} as chat APIs take them, \
      which become conversations in MiniMax-M2's form.
      An output that ends in .gguf or .dat is llama.cpp's importance matrix, new form or old.
      A run that was stopped, by a signal, a fault or a full disk, is continued by the same command \
      after the last layer that it finished.
      Never calibrate on the text you measure with.
      """)

  @Argument(help: "Model: folder, .safetensors or .ingot file, or name in the Hugging Face cache.")
  var model: String

  @OptionGroup var texts: TextOptions

  @Option(name: [.short, .long], help: ArgumentHelp("File to write.", valueName: "file"))
  var output: String

  @Flag(name: .long, help: "Replace what stands at the output path, and discard an unfinished output there.")
  var force = false

  @Flag(
    name: .long, help: "Continue an unfinished output of a run on another host, which must have ended.")
  var takeOver = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Tokens that every expert is to be seen with: more contexts than --chunks are used where the texts have them, "
        + "then tokens are sent to experts that lack them, to be looked at only.", valueName: "n"))
  var untilCovered: Int?

  @Flag(name: .long, help: "Print a line for every expert.")
  var experts = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard untilCovered.map({ (1...1 << 24).contains($0) }) ?? true else {
      throw ValidationError("--until-covered must be 1 to 16777216.")
    }
  }

  func run() async throws {
    restartWithBetterBLAS()
    let source = try Model.read(model, reading.options)
    try source.requireForwardPass()
    let form: ImportanceFile.Form? =
      output.hasSuffix(".gguf") ? .gguf : output.hasSuffix(".dat") ? .legacy : nil
    if form != nil && Folder.kind(output) != .nothing && !force {
      throw FormatError(
        path: output, expected: "a new path (--force replaces)", found: "something there already")
    }
    var writing = WriteOptions()
    (writing.force, writing.takeOver) = (force, takeOver)
    Interrupt.handle()
    // An importance matrix is made from evidence beside it, of which some fields are enough.
    let writer = try CalibrationFile.Writer(
      form == nil ? output : output + ".evidence", for: source, texts: texts.names,
      fields: form == nil ? Set(LayerEvidence.Field.allCases) : LayerEvidence.importanceFields,
      identity: CalibrationRun.identity(source, texts, coverage: untilCovered), writing)
    let progress = Progress("calibrate", total: 0)
    defer { progress.finish() }
    var options = CalibrationOptions()
    options.workers = work.workers
    options.coverage = untilCovered
    options.progress = { progress.set($0.bytes, of: $0.totalBytes) }
    let run: CalibrationRun
    do throws(FormatError) {
      var going = try CalibrationRun(source, texts, writer, options, shouldStop: Interrupt.isRequested)
      try await going.run()
      if let form {
        try going.importance(source, texts).write(output, for: source, as: form, force: force)
        writer.discard()
      } else {
        try writer.commit()
      }
      run = going
    } catch {
      progress.finish()
      let error = writer.abandoned(error)
      if !error.isResumable && writer.layers > 0 {
        Terminal.error(
          "evidence of \(writer.layers) of \(source.blueprint.layerCount) layers is kept beside the output: the same "
            + "command goes on behind it, --force begins anew")
      }
      throw error
    }
    progress.finish()
    for line in run.ledger.overflows { Terminal.error("warning: \(line)") }
    let coverage = untilCovered.map { CoverageReport(wanted: $0, run) }
    if json.json {
      var object = run.ledger.json
      object["output"] = .string(output)
      object["tokens"] = JSON(run.tokens)
      object["contexts"] = JSON(run.contexts.count)
      object["coverage"] = coverage?.json ?? .null
      object["seconds"] = JSON(progress.seconds)
      print(JSON.object(object).text(indented: true))
    } else {
      print(run.ledger.table(experts: experts))
      if let coverage { print(coverage.text) }
      print(
        "\(grouped(run.tokens)) tokens in \(grouped(run.contexts.count)) contexts, \(duration(progress.seconds))"
      )
      print(output)
    }
  }
}

extension CalibrationRun {
  /// An importance matrix out of the evidence that is there.
  fileprivate func importance(_ model: Model, _ texts: TextOptions) throws(FormatError) -> ImportanceFile {
    var importance = Importance()
    for layer in 0..<writer.layers {
      let found = try writer.layer(layer).importance(model.blueprint)
      importance.columns.merge(found.columns) { $1 }
      importance.tokens.merge(found.tokens) { $1 }
    }
    return ImportanceFile(
      importance, datasets: texts.names, chunks: contexts.count, chunkSize: texts.context)
  }
}

/// What `--until-covered` did.
struct CoverageReport {
  let wanted: Int
  /// Contexts after each round of drawing.
  let drawn: [Int]
  let contexts: Int
  /// Experts that tokens were sent to, and those that have too few even so: there are no more tokens.
  let starved: [EvidenceLedger.Entry]
  let uncovered: [EvidenceLedger.Entry]

  init(wanted: Int, _ run: CalibrationRun) {
    self.wanted = wanted
    drawn = run.drawn
    contexts = run.contexts.count
    starved = run.ledger.entries.filter { $0.forced > 0 }
    uncovered = run.ledger.entries.filter { $0.tokens + $0.forced < wanted }
  }

  private var forced: Int { starved.reduce(0) { $0 + $1.forced } }

  var text: String {
    var lines: [String] = []
    if drawn.count > 1 {
      lines.append("drawn: \(grouped(contexts)) contexts instead of \(grouped(drawn[0]))")
    }
    if let most = starved.max(by: { $0.forced < $1.forced }) {
      lines.append(
        "forced: \(grouped(forced)) tokens to \(grouped(starved.count)) experts, most to expert \(most.expert) of layer "
          + "\(most.layer): \(grouped(most.forced)) beside \(grouped(most.tokens)) of its own")
    }
    if !uncovered.isEmpty {
      lines.append(
        "\(grouped(uncovered.count)) experts have fewer than \(grouped(wanted)): the texts have no more tokens"
      )
    } else {
      lines.append("every expert was seen with at least \(grouped(wanted)) tokens")
    }
    return lines.joined(separator: "\n")
  }

  var json: JSON {
    func list(_ entries: [EvidenceLedger.Entry]) -> JSON {
      .array(
        entries.map {
          [
            "layer": JSON($0.layer), "expert": JSON($0.expert), "tokens": JSON($0.tokens),
            "forcedTokens": JSON($0.forced),
          ]
        })
    }
    return [
      "wanted": JSON(wanted), "contextsDrawn": .array(drawn.map { JSON($0) }), "contexts": JSON(contexts),
      "forcedTokens": JSON(forced), "forced": list(starved), "uncovered": list(uncovered),
    ]
  }
}
