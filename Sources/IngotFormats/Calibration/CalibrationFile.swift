import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Statistics in a file: SafeTensors, with tensors `layers.N.…` named as in `LayerStatistics.Field` and, in its metadata, the
/// tokens and the texts they came from. Each tensor is U8, what `CompressedField` makes of a field, whose type and shape
/// follow from the model and the number of tokens; of symmetric matrices the lower triangle is kept, row by row.
///
/// Layers follow each other as they are gathered. The header's place is kept free until all sizes are known. A last tensor,
/// `contexts`, says which contexts all this is of: JSON (`SeenContexts`) and behind it its XXH3-64. Files of older versions have
/// none.
public struct CalibrationFile: Sendable {
  package static let label = "ingot calibration"
  static let version = "2"

  /// Name of the tensor that says which contexts the statistics are of.
  package static let contexts = "contexts"

  /// Whether a file says that it holds statistics.
  public static func recognizes(_ path: String) -> Bool {
    guard let header = try? SafeTensorsHeader(path: path) else { return false }
    return header.metadata["format"] == label
  }

  static func name(_ field: LayerStatistics.Field, _ layer: Int) -> String {
    "layers.\(layer).\(field.rawValue)"
  }

  /// Bytes of a field before compression: of a symmetric matrix, one triangle.
  static func packedSize(
    _ field: LayerStatistics.Field, _ blueprint: Blueprint, layer: Int, tokens: Int, forced: Int
  )
    -> Int?
  {
    let shape = field.shape(blueprint, layer: layer, tokens: tokens, forced: forced)
    guard let count = elementCount(shape) else { return nil }
    return field.dtype.bytes(count: field.isSymmetric ? shape[0] * (shape[0] + 1) / 2 : count)
  }

  /// Reads statistics gathered from a model of this shape. A layer is decompressed when it is asked for or loaded.
  ///
  /// - Parameter takesShare: whether a share of statistics will do.
  /// - Throws: FormatError for a broken file, or one of a model with other shapes.
  public static func read(_ path: String, for model: Model, takesShare: Bool = false) throws(FormatError)
    -> CalibrationStatistics
  {
    let header = try SafeTensorsHeader(path: path)
    guard header.metadata["format"] == label, header.metadata["version"] == version else {
      throw FormatError(
        path: path,
        expected: "calibration statistics of version \(version), as 'ingot calibrate' writes them",
        found: header.metadata["format"] == label
          ? "version \(header.metadata["version"] ?? "none"): collect them anew with 'ingot calibrate'"
          : "tensors that say \(header.metadata["format"].map { "'\(printable($0, limit: 40))'" } ?? "nothing")"
      )
    }
    if !takesShare, let share = header.metadata["share"] {
      throw FormatError(
        path: path, expected: "whole statistics",
        found: "share \(printable(share, limit: 20)) of them; put all together with 'ingot assemble "
          + "\(printable(Folder.parent(of: path))) -o model.calib'")
    }
    try Origin.require(header.metadata, model, path)
    guard let tokens = header.metadata["tokens"].flatMap({ Int($0) }), tokens > 0, tokens < 1 << 32 else {
      throw FormatError(
        path: path, expected: "the number of tokens in its metadata",
        found: header.metadata["tokens"] ?? "none")
    }
    let blueprint = model.blueprint
    func list(_ key: String) -> [JSON] {
      (try? JSON.parse(Array((header.metadata[key] ?? "").utf8), path: path))?.array ?? []
    }
    let forced = list("forced").compactMap(\.int)
    guard forced.count == blueprint.layerCount,
      forced.allSatisfy({ (0...tokens * max(blueprint.experts.count, 1)).contains($0) })
    else {
      throw FormatError(
        path: path,
        expected: "statistics of \(printable(model.path)), with a number of forced tokens for each of "
          + "\(blueprint.layerCount) layers; collect them from this model with 'ingot calibrate'",
        found: "\(forced.count) layers: \(header.metadata["forced"] ?? "none")")
    }
    var stored: [String: SafeTensorsHeader.Entry] = [:]
    for entry in header.entries { stored[entry.name] = entry }
    let mapping = try Bytes.mapping(path)
    var places = [[(field: LayerStatistics.Field, bytes: Bytes)]](repeating: [], count: blueprint.layerCount)
    for layer in 0..<blueprint.layerCount {
      for field in LayerStatistics.fields(layer: layer, blueprint, isForced: forced[layer] > 0) {
        let found = stored[name(field, layer)]
        guard let found, found.dtype == .u8, found.shape.count == 1 else {
          throw FormatError(
            path: path, tensor: name(field, layer),
            expected:
              "a field of type U8 with one dimension, as \(printable(model.path)) needs it; collect statistics from "
              + "this model with 'ingot calibrate'",
            found: found.map { "\($0.dtype.rawValue) \($0.shape)" } ?? "none")
        }
        places[layer].append((field, mapping[found.range]))
      }
    }
    let all = places
    return CalibrationStatistics(
      tokens: tokens, layers: blueprint.layerCount, texts: list("texts").compactMap(\.string),
      contexts: try contexts(stored[contexts], mapping, path)
    ) { layer throws(FormatError) in
      var statistics = LayerStatistics(layer: layer, tokens: tokens, fields: [:])
      for (field, bytes) in all[layer] {
        statistics.fields[field] = try unpack(
          bytes, field, blueprint, layer: layer, tokens: tokens, forced: forced[layer],
          wrong: {
            FormatError(
              path: path, tensor: name(field, layer), expected: $0,
              found: "\($1): damaged, or of another model; collect statistics anew with 'ingot calibrate'")
          })
      }
      return statistics
    }
  }

  /// The contexts that statistics are of, from their tensor.
  ///
  /// - Returns: nil for a file without.
  private static func contexts(_ entry: SafeTensorsHeader.Entry?, _ mapping: Bytes, _ path: String)
    throws(FormatError) -> SeenContexts?
  {
    guard let entry else { return nil }
    let text = mapping[entry.range.lowerBound..<max(entry.range.upperBound - 8, entry.range.lowerBound)]
    guard entry.dtype == .u8, entry.range.count > 8,
      XXH3.hash(text.span) == mapping.span.littleEndian(UInt64.self, at: entry.range.upperBound - 8),
      let json = try? JSON.parse(text.array, path: path), let found = SeenContexts(json)
    else {
      throw FormatError(
        path: path, tensor: contexts,
        expected:
          "JSON with the length of contexts and, for each text, its name and the hashes of its contexts, and the checksum of that",
        found: "something else: damaged; collect statistics anew with 'ingot calibrate'")
    }
    return found
  }

  /// Bytes of a field out of what is stored.
  static func unpack(
    _ stored: Bytes, _ field: LayerStatistics.Field, _ blueprint: Blueprint, layer: Int, tokens: Int,
    forced: Int,
    wrong: (_ expected: String, _ found: String) -> FormatError
  ) throws(FormatError) -> Bytes {
    guard let size = packedSize(field, blueprint, layer: layer, tokens: tokens, forced: forced) else {
      throw wrong("statistics that can be counted", "\(tokens) tokens")
    }
    let bytes = try CompressedField.decompress(
      stored, size: size, width: field.dtype.bits / 8, wrong: wrong)
    return field.isSymmetric
      ? Triangle.unpack(bytes, n: field.shape(blueprint, layer: layer, tokens: tokens)[0]) : bytes
  }
}

/// Lower triangles of symmetric matrices of 4-byte values, row by row.
enum Triangle {
  static func pack(_ matrix: Bytes, n: Int) -> Bytes {
    Bytes(count: 2 * n * (n + 1)) { out in
      var position = 0
      for row in 0..<n {
        for column in 0...row {
          let value = matrix.span.littleEndian(UInt32.self, at: 4 * (row * n + column))
          out.storeBytes(of: value.littleEndian, toByteOffset: position, as: UInt32.self)
          position += 4
        }
      }
    }
  }

  static func unpack(_ triangle: Bytes, n: Int) -> Bytes {
    Bytes(count: 4 * n * n) { out in
      var position = 0
      for row in 0..<n {
        for column in 0...row {
          let value = triangle.span.littleEndian(UInt32.self, at: position).littleEndian
          out.storeBytes(of: value, toByteOffset: 4 * (row * n + column), as: UInt32.self)
          out.storeBytes(of: value, toByteOffset: 4 * (column * n + row), as: UInt32.self)
          position += 4
        }
      }
    }
  }
}
