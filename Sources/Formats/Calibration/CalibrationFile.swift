import Models
import Tensors

/// Evidence in a file: SafeTensors, so that anything reads it, with tensors `layers.N.…` named as in
/// `LayerEvidence.Field` and, in its metadata, the tokens and the texts they came from.
///
/// Sizes follow from the model and the number of tokens, so the file is laid out first and filled layer by layer.
public struct CalibrationFile: Sendable {
  static let label = "ingot calibration"
  static let version = "1"
  static let suffix = ".calib"

  /// Whether a file says that it holds evidence.
  public static func recognizes(_ path: String) -> Bool {
    guard let header = try? SafeTensorsHeader(path: path) else { return false }
    return header.metadata["format"] == label
  }

  private struct Entry {
    var field: LayerEvidence.Field
    var layer: Int
    var shape: [Int]
    var range: Range<Int>
    var name: String { "layers.\(layer).\(field.rawValue)" }
  }

  /// Where everything stands. Wide types come first so that each tensor is aligned to its type.
  private static func layout(_ numbers: Hyperparameters, tokens: Int) throws(FormatError) -> [Entry] {
    var entries: [Entry] = []
    var position = 0
    for wide in [true, false] {
      for layer in 0..<numbers.layers {
        for field in LayerEvidence.fields(layer: layer, numbers) where (field.dtype.bits == 32) == wide {
          let shape = field.shape(numbers, tokens: tokens)
          guard let count = elementCount(shape), let bytes = field.dtype.bytes(count: count) else {
            throw FormatError(path: "", expected: "evidence that can be counted", found: "\(tokens) tokens")
          }
          entries.append(Entry(field: field, layer: layer, shape: shape, range: position..<position + bytes))
          position += bytes
        }
      }
    }
    return entries
  }

  /// A file being written; it appears under its name when all layers are in it.
  public final class Writer {
    private let output: Output
    private let entries: [Entry]
    private let start: Int

    /// - Throws: FormatError when something stands at `path` and `force` does not replace it, or there is no room.
    public init(_ path: String, for model: Model, tokens: Int, texts: [String], force: Bool)
      throws(FormatError)
    {
      let numbers = model.hyperparameters
      entries = try CalibrationFile.layout(numbers, tokens: tokens)
      var header: JSONObject = [
        "__metadata__": [
          "format": .string(CalibrationFile.label), "version": .string(CalibrationFile.version),
          "tokens": .string("\(tokens)"), "layers": .string("\(numbers.layers)"),
          "texts": .string(JSON.array(texts.map { .string($0) }).text()),
        ]
      ]
      for entry in entries {
        header[entry.name] = [
          "dtype": .string(entry.field.dtype.rawValue), "shape": .array(entry.shape.map { JSON($0) }),
          "data_offsets": [JSON(entry.range.lowerBound), JSON(entry.range.upperBound)],
        ]
      }
      var text = Array(JSON.object(header).text().utf8)
      while text.count % 8 != 0 { text.append(0x20) }
      var bytes = ByteWriter()
      bytes.put(UInt64(text.count))
      bytes.put(text)
      start = bytes.bytes.count
      var options = WriteOptions()
      options.force = force
      let size = start + (entries.map(\.range.upperBound).max() ?? 0)
      output = try Output(
        path, parts: [(path, size)], identity: ["header": .string(String(decoding: text, as: UTF8.self))],
        options)
      try output.files.first?.write(bytes.bytes, at: 0)
    }

    public func write(_ evidence: LayerEvidence) throws(FormatError) {
      for entry in entries where entry.layer == evidence.layer {
        let bytes = evidence.fields[entry.field]!
        precondition(bytes.count == entry.range.count, "\(entry.name) has its size")
        try output.files[0].write(bytes.span, at: start + entry.range.lowerBound)
      }
    }

    /// Gives the complete file its name.
    public func commit() throws(FormatError) { try output.commit() }

    public func discard() { output.discard() }
  }

  /// Reads evidence gathered from a model of this shape; layers are read when they are asked for.
  ///
  /// - Throws: FormatError for a broken file, or one of a model with other shapes.
  public static func read(_ path: String, for model: Model) throws(FormatError) -> Evidence {
    let header = try SafeTensorsHeader(path: path)
    guard header.metadata["format"] == label, header.metadata["version"] == version else {
      throw FormatError(
        path: path, expected: "metadata \"format\": \"\(label)\", \"version\": \"\(version)\"",
        found: "\(header.metadata["format"] ?? "none") \(header.metadata["version"] ?? "")")
    }
    guard let tokens = header.metadata["tokens"].flatMap({ Int($0) }), tokens > 0, tokens < 1 << 32 else {
      throw FormatError(
        path: path, expected: "a number of tokens", found: header.metadata["tokens"] ?? "none")
    }
    let numbers = model.hyperparameters
    var stored: [String: SafeTensorsHeader.Entry] = [:]
    for entry in header.entries { stored[entry.name] = entry }
    let mapping = try Bytes.mapping(path)
    var layers = [[LayerEvidence.Field: Bytes]](repeating: [:], count: numbers.layers)
    for entry in try layout(numbers, tokens: tokens) {
      guard let found = stored[entry.name], found.dtype == entry.field.dtype, found.shape == entry.shape
      else {
        throw FormatError(
          path: path, tensor: entry.name, expected: "\(entry.field.dtype.rawValue) \(entry.shape)",
          found: stored[entry.name].map { "\($0.dtype.rawValue) \($0.shape)" } ?? "none")
      }
      layers[entry.layer][entry.field] = mapping[found.range]
    }
    let names = (try? JSON.parse(Array((header.metadata["texts"] ?? "").utf8), path: path))?.array ?? []
    let all = layers
    return Evidence(tokens: tokens, layers: numbers.layers, texts: names.compactMap { $0.string }) { layer in
      LayerEvidence(layer: layer, tokens: tokens, fields: all[layer])
    }
  }
}
