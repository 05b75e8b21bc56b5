import ArgumentParser
import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

struct Logits: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the logits that the reference forward pass gives for token ids.",
    usage: "ingot logits <model> --tokens <file> --output <path> [options]",
    discussion: """
      For comparison with other engines. The file of tokens holds a JSON array of contexts, each an \
      array of ids, all of one length. The output is a SafeTensors file with ids, I64 (contexts, \
      tokens), and logits, F32 (contexts, tokens, vocabulary). All of it is held in memory:
      4 bytes x vocabulary a token, which for MiniMax-M2 is 800 kB.
      """)

  @Argument(help: "Model to run: folder, .safetensors or .ingot file, or name in the Hugging Face cache.")
  var model: String

  @Option(name: .long, help: ArgumentHelp("Token ids, JSON.", valueName: "file"))
  var tokens: String

  @Option(name: [.short, .long], help: ArgumentHelp("SafeTensors file to write.", valueName: "path"))
  var output: String

  @Flag(name: .long, help: "Replace what stands at the output path, and discard an unfinished output there.")
  var force = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    restartWithBetterBLAS()
    let contexts = try Context.reading(tokens)
    try WholeFile.check(output, force: force)
    let model = try Model.read(model, reading.options)
    let progress = Progress("logits", total: 0)
    defer { progress.finish() }
    let logits = try await logits(of: model, contexts, workers: work.workers)
    let vocabulary = model.blueprint.vocabulary
    try WholeFile.write(
      Logits.content(logits, contexts, vocabulary), to: output, force: force)
    progress.finish()
    let shape = [contexts.count, contexts[0].tokens.count, vocabulary]
    if json.json {
      let result: JSON = [
        "file": .string(output), "shape": .array(shape.map { JSON($0) }), "seconds": JSON(progress.seconds),
      ]
      print(result.text(indented: true))
    } else {
      print("\(output)\nlogits of \(grouped(shape[0] * shape[1])) tokens x \(grouped(vocabulary)) entries")
    }
  }

  /// The SafeTensors file: its two tensors lie in the order of their names, which is also that of their width.
  private static func content(_ logits: consuming [[Float]], _ contexts: [Context], _ vocabulary: Int)
    -> [UInt8]
  {
    let (count, tokens) = (contexts.count, contexts[0].tokens.count)
    let idsEnd = 8 * count * tokens
    let end = idsEnd + 4 * count * tokens * vocabulary
    let shape: [JSON] = [JSON(count), JSON(tokens)]
    let entries: JSON = [
      "__metadata__": ["reference": .string("ingot \(RootCommand.version)")],
      "ids": ["dtype": "I64", "shape": .array(shape), "data_offsets": [0, JSON(idsEnd)]],
      "logits": [
        "dtype": "F32", "shape": .array(shape + [JSON(vocabulary)]),
        "data_offsets": [JSON(idsEnd), JSON(end)],
      ],
    ]
    var header = Array(entries.text().utf8)
    while header.count % 8 != 0 { header.append(0x20) }
    var content: [UInt8] = []
    content.reserveCapacity(8 + header.count + end)
    func put<T: FixedWidthInteger>(_ value: T) {
      for byte in 0..<MemoryLayout<T>.size { content.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
    }
    put(UInt64(header.count))
    content += header
    for context in contexts { for id in context.tokens { put(Int64(id)) } }
    for index in logits.indices {
      for value in logits[index] { put(value.bitPattern) }
      // Both are not held at once.
      logits[index] = []
    }
    return content
  }
}

extension Context {
  /// Contexts of token ids in a JSON file: an array of arrays of integers, all of one length.
  fileprivate static func reading(_ path: String) throws(FormatError) -> [Context] {
    let json = try JSON.parse(try Bytes.mapping(path).array, path: path)
    func fault(_ found: String) -> FormatError {
      FormatError(path: path, expected: "an array of arrays of token ids, all of one length", found: found)
    }
    guard let rows = json.array else { throw fault(json.kind) }
    var contexts: [Context] = []
    for row in rows {
      guard let values = row.array else { throw fault("\(row.kind) among the contexts") }
      var ids: [Int] = []
      for value in values {
        guard let id = value.int else { throw fault("\(value.kind) in context \(contexts.count)") }
        ids.append(id)
      }
      if let first = contexts.first, first.tokens.count != ids.count {
        throw fault("\(first.tokens.count) tokens in context 0, \(ids.count) in context \(contexts.count)")
      }
      contexts.append(Context(ids))
    }
    guard let first = contexts.first, !first.tokens.isEmpty else { throw fault("no tokens") }
    return contexts
  }
}
