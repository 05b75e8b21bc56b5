import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension QuantizeRequest {
  /// The file that is written: the share's, in a folder that is made where it is not, or the artifact.
  func target() throws(FormatError) -> String {
    guard let share else { return output }
    try ShareFiles.requireFolder(output)
    return share.path(in: output)
  }

  /// Makes the folder of shares.
  ///
  /// - Throws: RequestError for what cannot be done by shares.
  func prepareShare() throws {
    guard share != nil || assembled != nil else { return }
    if !sequentialTexts.isEmpty {
      throw RequestError(
        .sequential, "layers follow one another there, so that the work cannot be done by shares")
    }
    if techniques.rescueOverflow {
      throw RequestError(.rescueOverflow, "it looks at all layers, and is not done by shares")
    }
    if share != nil { try ShareFiles.makeFolder(output) }
  }

  /// What decides the artifact's bytes, wherever its shares are made: of files names, sizes and some of their bytes.
  func sharedFacts(_ source: Model, _ chosen: PlanChoice.Chosen, _ format: Format) throws(FormatError)
    -> JSONObject
  {
    guard share != nil || assembled != nil else { return [:] }
    var plan = XXH3()
    for tensor in source.tensors {
      guard let assignment = chosen.plan.assignments[tensor.role] else { continue }
      let line = "\(tensor.role) \(tensor.shape) \(assignment.encoding) \(assignment.quantizer ?? "")\n"
      plan.update(Bytes(Array(line.utf8)).span)
    }
    var facts: JSONObject = [
      "tool": .string(Tool.name), "format": .string(format.name), "model": try source.weightFacts(),
      "side files": source.sideFacts, "recipe": chosen.provenance, "plan": .string(hexDigits(plan.digest())),
      "dropped experts": chosen.plan.dropped?.json ?? .null,
      "techniques": .array(techniques.identity),
      "allow non-finite": .bool(allowsNonfinite), "source hashes": .bool(writing.hashSource),
    ]
    if let custom { facts["quantizer"] = .string(custom.name) }
    if let importance { facts["importance"] = .string(try contentFingerprint(importance, whole: true)) }
    return facts
  }
}

extension QuantizeRequest {
  /// What a share says beside its tensors: the command that makes it, and the scales that were searched for its layers.
  func shareRecord(_ run: CalibratedRun?, _ roles: Set<Role>) -> JSONObject {
    let choices = run?.choices ?? []
    let layers = Set(roles.compactMap(\.layer)).sorted().filter { choices.indices.contains($0) }
    return [
      "arguments": .array(shareArguments.map { .string($0) }),
      "scales": .array(
        layers.map { ["layer": JSON($0), "choices": .array(choices[$0].map(\.json))] }),
    ]
  }
}

extension ShareSet {
  /// The choices of channel scales of all layers.
  var scaleChoices: [Int: [ChannelScales.Choice]] {
    var layers: [Int: [ChannelScales.Choice]] = [:]
    for record in extras.flatMap({ $0["scales"]?.array ?? [] }) {
      guard let layer = record["layer"]?.int, let entries = record["choices"]?.array else { continue }
      layers[layer] = entries.compactMap { ChannelScales.Choice($0) }
    }
    return layers
  }
}

extension WrittenFile {
  static func share(_ path: String) throws(FormatError) -> WrittenFile {
    let json = try ShareSet.description(path)
    let facts = json["facts"]
    return WrittenFile(
      .share, tool: facts?["tool"]?.string, model: nil,
      [
        ("share", "\((json["share"]?.int ?? 0) + 1) of \(json["shares"]?.int ?? 0)"),
        ("format", facts?["format"]?.string), ("tensors", "\(json["tensors"]?.array?.count ?? 0)"),
      ])
  }
}
