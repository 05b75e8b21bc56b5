import ArgumentParser
import Formats
import Inference
import Models
import Tensors

struct Calibrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gather evidence of what goes into each linear layer and each expert.",
    usage: "ingot calibrate <model> --text <file> ... --output <file.calib> [options]",
    discussion: """
      Runs the reference forward pass over the texts, one layer at a time, and keeps what quantizers
      need: 'ingot quantize --importance FILE' uses it. A text ends in .txt, or in .jsonl with an
      object a line: {"text": ...} or {"messages": [{"role": ..., "content": ...}, ...]}.
      An output that ends in .gguf or .dat is llama.cpp's importance matrix, new form or old.
      Never calibrate on the text you measure with.
      """)

  @Argument(help: "Model: folder, .safetensors or .ingot file, or name in the Hugging Face cache.")
  var model: String

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Texts in UTF-8, one or more.", valueName: "file"))
  var text: [String]

  @Option(name: [.short, .long], help: ArgumentHelp("File to write.", valueName: "file"))
  var output: String

  @Flag(name: .long, help: "Replace what stands at the output path, and discard an unfinished output there.")
  var force = false

  @Option(name: .long, help: ArgumentHelp("Tokens in each context.", valueName: "n"))
  var context: Int = 512

  @Option(name: .long, help: ArgumentHelp("At most so many contexts of each text.", valueName: "n"))
  var chunks: Int?

  @Flag(name: .long, help: "Print a line for every expert.")
  var experts = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard context >= 4, context <= 1 << 20 else { throw ValidationError("--context must be 4 to 1048576.") }
    guard chunks.map({ $0 >= 1 }) ?? true else { throw ValidationError("--chunks must be at least 1.") }
  }

  func run() async throws {
    let source = try Model.read(model, reading.options)
    let contexts = try calibrationContexts(source)
    let tokens = contexts.reduce(0) { $0 + $1.tokens.count }
    let names = text.map { Folder.name(of: $0) }
    let form: ImportanceFile.Form? =
      output.hasSuffix(".gguf") ? .gguf : output.hasSuffix(".dat") ? .legacy : nil
    if Folder.kind(output) != .nothing && !force {
      throw FormatError(
        path: output, expected: "a new path (--force replaces)", found: "something there already")
    }
    let writer =
      form == nil
      ? try CalibrationFile.Writer(output, for: source, tokens: tokens, texts: names, force: force) : nil
    var importance = Importance()
    var ledger = EvidenceLedger(source.hyperparameters)
    let progress = Progress("calibrate", total: 0)
    defer { progress.finish() }
    var options = CalibrationOptions()
    options.workers = work.workers
    options.progress = { progress.set($0.bytes, of: $0.totalBytes) }
    do {
      try await calibrate(source, contexts, options) { evidence throws(FormatError) in
        try writer?.write(evidence)
        if form != nil {
          let layer = evidence.importance(source.hyperparameters)
          importance.columns.merge(layer.columns) { $1 }
          importance.tokens.merge(layer.tokens) { $1 }
        }
        ledger.add(evidence)
      }
      try writer?.commit()
    } catch {
      writer?.discard()
      throw error
    }
    if let form {
      let file = ImportanceFile(importance, datasets: names, chunks: contexts.count, chunkSize: context)
      try file.write(output, for: source, as: form, force: force)
    }
    progress.finish()
    if json.json {
      var object = ledger.json
      object["output"] = .string(output)
      object["tokens"] = JSON(tokens)
      object["contexts"] = JSON(contexts.count)
      object["seconds"] = JSON(progress.seconds)
      print(JSON.object(object).text(indented: true))
    } else {
      print(ledger.table(experts: experts))
      print("\(grouped(tokens)) tokens in \(grouped(contexts.count)) contexts, \(duration(progress.seconds))")
      print(output)
    }
  }

  private func calibrationContexts(_ model: Model) throws(FormatError) -> [Context] {
    let tokenizer = try Tokenizer(of: model)
    var contexts: [Context] = []
    for path in text {
      let bytes = try Bytes.mapping(path)
      let content = path.hasSuffix(".jsonl") ? try ChatLines.text(of: bytes, path: path) : bytes
      let needed = chunks.map { min($0, 1 << 40 / context) * context } ?? Int.max
      let ids = try tokenizer.encode(content, path: path, atLeast: needed)
      let cut = Context.cut(ids, length: context, text: Folder.name(of: path))
      guard !cut.isEmpty else {
        throw FormatError(
          path: path, expected: "at least \(context) tokens of text (--context)", found: "\(ids.count)")
      }
      contexts += chunks.map { Array(cut.prefix($0)) } ?? cut
    }
    return contexts
  }
}
