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
    guard Folder.kind(output) != .file else {
      throw FormatError(path: output, expected: "a folder for shares", found: "a file")
    }
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
    if share != nil, Folder.kind(output) == .nothing { try Folder.create(output) }
  }

  /// What decides the artifact's bytes, wherever its shares are made: of files names, sizes and some of their bytes.
  func sharedFacts(_ source: Model, _ chosen: PlanChoice.Chosen, _ format: Format) throws(FormatError)
    -> JSONObject
  {
    guard share != nil || assembled != nil else { return [:] }
    var files: JSONObject = [:]
    for path in source.weightFiles { files[Folder.name(of: path)] = .string(try contentFingerprint(path)) }
    var sides: JSONObject = [:]
    for file in source.sideFiles { sides[file.name] = .string(hexDigits(XXH3.hash(file.bytes.span))) }
    var plan = XXH3()
    for tensor in source.tensors {
      guard let assignment = chosen.plan.assignments[tensor.role] else { continue }
      let line = "\(tensor.role) \(tensor.shape) \(assignment.encoding) \(assignment.quantizer ?? "")\n"
      plan.update(Bytes(Array(line.utf8)).span)
    }
    var facts: JSONObject = [
      "tool": .string(Tool.name), "format": .string(format.name), "model": .object(files),
      "side files": .object(sides), "recipe": chosen.provenance, "plan": .string(hexDigits(plan.digest())),
      "dropped experts": chosen.plan.dropped?.json ?? .null,
      "techniques": .array(techniques.identity),
      "allow non-finite": .bool(allowsNonfinite), "source hashes": .bool(writing.hashSource),
    ]
    if let custom { facts["quantizer"] = .string(custom.name) }
    if let importance { facts["importance"] = .string(try contentFingerprint(importance, whole: true)) }
    return facts
  }
}

/// What tells a file's content from others on any machine: its size and XXH3-64, of all of it or of its first, middle and last bytes.
func contentFingerprint(_ path: String, whole: Bool = false) throws(FormatError) -> String {
  let file = try File(reading: path)
  let size = try file.size()
  var hash = XXH3()
  let starts =
    whole ? Array(stride(from: 0, to: size, by: 1 << 24)) : [0, size / 2, max(size - (1 << 16), 0)]
  for start in starts {
    let bytes = try file.read(min(whole ? 1 << 24 : 1 << 16, size - start), at: start)
    hash.update(bytes.span)
  }
  return "\(size) bytes, \(hexDigits(hash.digest()))"
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
