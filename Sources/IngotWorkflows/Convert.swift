import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

/// Repacks a model into another format without touching a number, or decodes it.
public struct ConvertRequest: Sendable {
  /// Folder, file or name in the Hugging Face cache.
  public var model: String
  public var output: String
  /// Name of the output's format; nil for the one that the output's name says.
  public var format: String?
  /// Turns quantized tensors into dense values of this type, which rounds.
  public var decoded: DType?
  /// Copy NaN and infinities of the source, or replace them by 0 when decoding, instead of throwing at the first.
  public var allowsNonfinite = false
  public var reading = ReadOptions()
  public var writing = WriteOptions()

  public init(_ model: String, to output: String) {
    self.model = model
    self.output = output
  }
}

/// What was written.
public struct ConvertResult: Sendable {
  public var written: Written
  public var format: String
  /// Tensors whose codes and scales are the source's, bit for bit.
  public var carried: Int
  /// Tensors that were decoded.
  public var rounded: Int
  public var seconds: Double

  /// The result under the names that programs read.
  public var json: JSON {
    var json: JSONObject = [
      "format": .string(format), "files": .array(written.files.map { .string($0) }),
      "bytes": JSON(written.bytes), "carried": JSON(carried), "rounded": JSON(rounded),
      "seconds": JSON(seconds),
    ]
    written.addChanges(to: &json)
    return .object(json)
  }
}

extension Written {
  /// What the format has no place for, and what it rounds, under the names that programs read.
  func addChanges(to json: inout JSONObject) {
    for (key, names) in [("leftOut", leftOut), ("roundedByFormat", rounded)] where !names.isEmpty {
      json[key] = .array(names.map { .string($0) })
    }
  }
}

extension ConvertRequest {
  /// - Throws: FormatError for what is wrong with files or cannot be in the format, RequestError for an unknown format.
  public func run(_ control: RunControl = RunControl()) async throws -> ConvertResult {
    let format = try Format.chosen(format, forOutput: output)
    let source = try Model.read(model, reading)
    try await source.requireWholeFiles(control)
    var inputs = InputFiles()
    inputs.add(source)
    inputs.add(model: model)
    try inputs.requireApart(output)
    var allowed = QuantizationOptions()
    allowed.allowNonfinite = allowsNonfinite
    let result =
      try decoded.map { try source.decoded(to: $0, allowed) }
      ?? (allowsNonfinite ? source : try source.checkedForFinite())
    var options = writing.controlled(by: control)
    options.inputs = inputs
    options.identity["allow-nonfinite"] = .bool(allowsNonfinite)
    if let decoded { options.provenance["decoded"] = .string(decoded.rawValue.lowercased()) }
    if let remark = source.remark { control.warning(remark) }
    if let line = format.leftOut(of: result) { control.warning(line) }
    options.progress = control.counter(total: result.bytes)
    let start = ContinuousClock.now
    let written = try await result.write(output, as: format, options)
    let changed = zip(source.tensors, result.tensors).count { $0.encoding != $1.encoding }
    return ConvertResult(
      written: written, format: format.name,
      carried: source.tensors.count - changed - written.leftOut.count - written.rounded.count,
      rounded: changed,
      seconds: (ContinuousClock.now - start).seconds)
  }
}
