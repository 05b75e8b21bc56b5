import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotPlanning
import IngotSystem
import IngotTensors

/// What `sensitivity` measured by shares of the layers, in a folder: one file a share.
///
/// A share has the perturbed runs that begin in its layers, which follow those of the share before; the last one has embedding, head and
/// models of one encoding too. No run knows of the others, so what is put together has the bytes of one run. Plans are run whole by
/// whoever puts the shares together, since they are chosen by all layers' measurements.
public struct SensitivityShares: Sendable {
  private let files: ShareFiles

  static let kind = ShareFiles.Kind.parts(
    "sensitivity", command: "ingot sensitivity", whole: "measurement")

  /// Whether there are shares of a measurement in a folder.
  public static func recognizes(_ folder: String) -> Bool { kind.isIn(folder) }

  public var folder: String { files.folder }
  public var count: Int { files.count }
  package var arguments: [String]? { files.arguments }

  /// - Throws: FormatError for shares that are missing, damaged, twice there or of different measurements, naming what differs.
  public init(_ folder: String) throws(FormatError) { files = try ShareFiles(folder, Self.kind) }

  /// Refuses shares of another measurement.
  func require(_ facts: JSONObject) throws(FormatError) { try files.require(facts) }

  /// What tells the shares from others, made anew.
  var identity: JSON { .array(files.files.map { $0.json["xxh3"] ?? .null }) }

  /// What all shares measured, by layers.
  ///
  /// - Parameter uniform: how many models of one encoding were measured.
  /// - Throws: FormatError for a share that is damaged or not of its layers.
  func measured(of model: Model, uniform: Int) throws(FormatError) -> MeasuredTensors {
    let ranges = LayerRanges.shares(count, of: model, uniform: uniform)
    var all = MeasuredTensors(layers: [], groups: [], uniform: [])
    for (index, (path, json)) in files.files.enumerated() {
      let content = try JSON.parse(try ShareFile.bytes(path, json).array, path: path)
      guard let part = MeasuredTensors(content), part.layers.count == ranges?[index].count,
        part.uniform.count == (index == count - 1 ? uniform : 0)
      else {
        throw FormatError(
          path: path, expected: "what was measured of the layers of share \(index + 1)",
          found: "something else; make this share again")
      }
      all.layers += part.layers
      all.groups += part.groups
      all.uniform += part.uniform
    }
    return all
  }
}

/// A share of a measurement that was made.
public struct SensitivityShareResult: Sendable {
  public var output: String
  public var share: Share
  /// That were measured.
  public var layers: Range<Int>
  public var contexts: Int
  public var tokens: Int
  public var seconds: Double

  /// The result under the names that programs read.
  public var json: JSON {
    [
      "output": .string(output), "share": JSON(share.index + 1), "shares": JSON(share.count),
      "firstLayer": JSON(layers.lowerBound), "layers": JSON(layers.count), "contexts": JSON(contexts),
      "tokens": JSON(tokens), "seconds": JSON(seconds),
    ]
  }
}

extension SensitivityRequest {
  /// Measures a share of the layers, into a file in `output`, a folder, which is made where there is none.
  ///
  /// - Parameter arguments: the command that makes the share, for whoever puts shares together.
  /// - Throws: as `run`.
  public func run(_ share: Share, arguments: [String] = [], _ control: RunControl = RunControl()) async throws
    -> SensitivityShareResult
  {
    let start = ContinuousClock.now
    try ShareFiles.requireFolder(output)
    let path = SensitivityShares.kind.path(share, in: output)
    let sources = try await sources(apartFrom: ["", ShareFile.state].map { path + $0 }, control)
    guard
      let ranges = LayerRanges.shares(
        share.count, of: sources.model, uniform: sources.choice.uniform.count)
    else {
      throw FormatError(
        path: sources.model.path, expected: "a layer for each of \(share.count) shares",
        found: "\(sources.model.blueprint.layerCount) layers; use fewer shares")
    }
    let layers = ranges[share.index]
    let facts = try sharedFacts(sources)
    try ShareFiles.makeFolder(output)
    try requireFree(path)
    let run = try await run(sources, measuring: layers, control)
    var identity = facts
    identity["share"] = .string(share.description)
    let bytes = sources.model.bytes
    _ = try await written(to: path, identity: identity, sources.inputs, control) {
      journal throws(FormatError) in
      try await run.measure(journal, total: bytes)
    } content: { measured in
      ShareFile.content(
        share, Array(measured.json.text().utf8), facts: facts,
        extra: [
          "kind": "sensitivity", "layers": [JSON(layers.lowerBound), JSON(layers.upperBound)],
          "arguments": .array(arguments.map { .string($0) }),
        ])
    }
    let contexts = sources.split.choosing
    return SensitivityShareResult(
      output: path, share: share, layers: layers, contexts: contexts.count,
      tokens: contexts.reduce(0) { $0 + $1.tokens.count }, seconds: (ContinuousClock.now - start).seconds)
  }

  /// Puts the measurement together out of the shares in a folder and runs plans whole, to the bytes that `run` has in one.
  ///
  /// Model, texts and statistics must be there, as they were for the shares.
  ///
  /// - Throws: FormatError for shares that are missing, damaged or of another measurement, naming what differs; otherwise as `run`.
  public func assemble(_ shares: SensitivityShares, _ control: RunControl = RunControl()) async throws
    -> SensitivityResult
  {
    let start = ContinuousClock.now
    try OutputKind.sensitivity.requireName(output)
    let sources = try await sources(apartFrom: [output], control)
    var identity = try sharedFacts(sources)
    try shares.require(identity)
    let measured = try shares.measured(of: sources.model, uniform: sources.choice.uniform.count)
    try requireFree(output)
    identity["put together of"] = shares.identity
    let completion = completion(sources, control)
    let sensitivity = try await written(to: output, identity: identity, sources.inputs, control) {
      journal throws(FormatError) in
      try await completion.complete(measured, path: shares.folder, journal, passed: 0)
    } content: {
      Array($0.text.utf8)
    }
    return result(sensitivity, sources, since: start)
  }

  /// What decides the result, wherever shares are made.
  private func sharedFacts(_ sources: Sources) throws(FormatError) -> JSONObject {
    let (choice, split) = (sources.choice, sources.split)
    /// By name, so that an error names the one that differs.
    func names(_ encodings: [Encoding]) -> JSON {
      .object(
        encodings.enumerated().reduce(into: [:]) { $0[$1.element.description] = JSON($1.offset) })
    }
    var facts: JSONObject = [
      "tool": .string(Tool.name), "model": try sources.model.weightFacts(),
      "side files": sources.model.sideFacts, "contexts": JSON(split.choosing.count),
      "tokens of the contexts": contextFacts(split.choosing),
      "contexts for plans": JSON(split.judging.count),
      "tokens of the contexts for plans": contextFacts(split.judging),
      "candidates": names(choice.candidates), "reference": .string(choice.reference.description),
      "whole models": names(choice.uniform), "formats": .array(choice.formats.map { .string($0) }),
      "sample": JSON(effort.sample), "quick": .bool(effort.quick),
      "techniques": .array(techniques.identity),
    ]
    if let importance { facts["importance"] = .string(try contentFingerprint(importance, whole: true)) }
    return facts
  }
}
