import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

/// Writes the logits that the reference forward pass gives for token ids, for comparison with other engines.
public struct LogitsRequest: Sendable {
  /// Folder, file or name in the Hugging Face cache.
  public var model: String
  /// JSON file: an array of contexts, each an array of ids, all of one length.
  public var tokens: String
  /// SafeTensors file with `ids`, I64 (contexts, tokens), and `logits`, F32 (contexts, tokens, vocabulary).
  public var output: String
  public var force = false
  public var reading = ReadOptions()

  public init(_ model: String, tokens: String, to output: String) {
    self.model = model
    self.tokens = tokens
    self.output = output
  }
}

extension LogitsRequest {
  /// - Returns: shape of the logits.
  /// - Throws: FormatError for what is wrong with files, RequestError for an output whose name says another kind of file.
  public func run(_ control: RunControl = RunControl()) async throws -> [Int] {
    let contexts = try Context.reading(tokens)
    var inputs = InputFiles()
    inputs.add("the token file", tokens)
    inputs.add(model: self.model)
    try inputs.requireApart(output)
    try OutputKind.logits.requireName(output)
    try WholeFile.check(output, force: force, inputs: inputs)
    let model = try Model.read(model, reading)
    inputs.add(model)
    let logits = try await logits(of: model, contexts, workers: control.workers)
    let vocabulary = model.blueprint.vocabulary
    try WholeFile.write(
      LogitsRequest.content(logits, contexts, vocabulary, of: model.sourceName), to: output, force: force,
      inputs: inputs)
    return [contexts.count, contexts[0].tokens.count, vocabulary]
  }

  /// The SafeTensors file: its two tensors lie in the order of their names, which is also that of their width.
  private static func content(
    _ logits: consuming [[Float]], _ contexts: [Context], _ vocabulary: Int, of name: String
  ) -> [UInt8] {
    let (count, tokens) = (contexts.count, contexts[0].tokens.count)
    let idsEnd = 8 * count * tokens
    let end = idsEnd + 4 * count * tokens * vocabulary
    let shape: [JSON] = [JSON(count), JSON(tokens)]
    let entries: JSON = [
      "__metadata__": ["reference": .string(Tool.name), "model": .string(name)],
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
