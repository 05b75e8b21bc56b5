import Kernels
import Models
import Tensors

extension CalibrationFile {
  /// Where a field stands in a file, and the XXH3-64 of its stored bytes.
  public struct Place: Hashable, Sendable {
    var field: LayerEvidence.Field
    var layer: Int
    /// Bytes of the file.
    var range: Range<Int>
    var checksum: UInt64

    var name: String { CalibrationFile.name(field, layer) }
  }

  /// A file being written, layer by layer in order; it appears under its name when all are in it.
  public final class Writer {
    private let output: Output
    private let file: File
    private let numbers: Hyperparameters
    private let tokens: Int
    private let texts: [String]
    private let headerLength: Int
    private var places: [Place] = []
    private var forced: [Int] = []
    private var end: Int { places.last?.range.upperBound ?? headerLength }

    /// - Throws: FormatError when something stands at `path` and `force` does not replace it, or there is no room.
    public init(
      _ path: String, for model: Model, tokens: Int, texts: [String], mostForced: Int = 0, force: Bool
    ) throws(FormatError) {
      numbers = model.hyperparameters
      self.tokens = tokens
      self.texts = texts
      headerLength = Writer.headerLength(numbers, tokens: tokens, texts: texts)
      var options = WriteOptions()
      options.force = force
      let size = try Writer.bound(numbers, tokens: tokens, mostForced, path) + headerLength
      output = try Output(path, parts: [(path, size)], identity: ["begun": .string("\(ContinuousClock.now)")], options)
      file = output.files[0]
    }

    /// Bytes that are enough for the evidence of all layers.
    private static func bound(_ numbers: Hyperparameters, tokens: Int, _ forced: Int, _ path: String)
      throws(FormatError) -> Int
    {
      var total = 0
      for layer in 0..<numbers.layers {
        for field in LayerEvidence.fields(layer: layer, numbers, isForced: true) {
          let size = CalibrationFile.packedSize(field, numbers, tokens: tokens, forced: forced)
          // What does not shrink grows by a little for each piece.
          let room = size.map { $0 + CompressedField.headLength + ($0 >> 20 + 1) * 1024 + $0 >> 7 }
          let (sum, overflow) = total.addingReportingOverflow(room ?? 0)
          guard room != nil, !overflow else {
            throw FormatError(
              path: path, expected: "evidence that can be counted", found: "\(tokens) tokens")
          }
          total = sum
        }
      }
      return total
    }

    /// Appends the evidence of the next layer.
    public func write(_ evidence: LayerEvidence) throws(FormatError) {
      precondition(evidence.layer == forced.count, "layers come in order")
      for field in LayerEvidence.fields(layer: evidence.layer, numbers, isForced: evidence.forcedCount > 0) {
        let bytes = evidence.fields[field]!
        let shape = field.shape(numbers, tokens: tokens, forced: evidence.forcedCount)
        precondition(
          bytes.count == elementCount(shape)! * field.dtype.bits / 8,
          "\(field.rawValue) of layer \(evidence.layer) has its size")
        let packed = field.isSymmetric ? Triangle.pack(bytes, n: shape[0]) : bytes
        let stored = CompressedField.compress(packed, width: field.dtype.bits / 8)
        try file.write(stored.span, at: end)
        places.append(
          Place(
            field: field, layer: evidence.layer, range: end..<end + stored.count,
            checksum: XXH3.hash(stored.span)))
      }
      forced.append(evidence.forcedCount)
    }

    /// Gives the complete file its name.
    public func commit() throws(FormatError) {
      precondition(forced.count == numbers.layers, "all layers are in it")
      try file.write(
        Writer.header(places, tokens: tokens, texts: texts, forced: forced, length: headerLength), at: 0)
      try file.truncate(to: end)
      try output.commit()
    }

    public func discard() { output.discard() }

    /// Bytes of the header: enough for whatever places and counts turn out to be.
    private static func headerLength(_ numbers: Hyperparameters, tokens: Int, texts: [String]) -> Int {
      let most = 1 << 52
      var places: [Place] = []
      for layer in 0..<numbers.layers {
        for field in LayerEvidence.fields(layer: layer, numbers, isForced: true) {
          places.append(Place(field: field, layer: layer, range: most..<2 * most, checksum: 0))
        }
      }
      let forced = [Int](repeating: most, count: numbers.layers)
      return header(places, tokens: tokens, texts: texts, forced: forced, length: 0).count
    }

    /// Length and JSON, spaces up to `length` bytes in all.
    private static func header(
      _ places: [Place], tokens: Int, texts: [String], forced: [Int], length: Int
    ) -> [UInt8] {
      var header: JSONObject = [
        "__metadata__": [
          "format": .string(CalibrationFile.label), "version": .string(CalibrationFile.version),
          "tokens": .string("\(tokens)"), "layers": .string("\(forced.count)"),
          "texts": .string(JSON.array(texts.map { .string($0) }).text()),
          "forced": .string(JSON.array(forced.map { JSON($0) }).text()),
        ]
      ]
      for place in places {
        header[place.name] = [
          "dtype": "U8", "shape": [JSON(place.range.count)],
          "data_offsets": [JSON(place.range.lowerBound - length), JSON(place.range.upperBound - length)],
        ]
      }
      var text = Array(JSON.object(header).text().utf8)
      while text.count + 8 < length || text.count % 8 != 0 { text.append(0x20) }
      var bytes = ByteWriter()
      bytes.put(UInt64(text.count))
      bytes.put(text)
      return bytes.bytes
    }
  }
}
