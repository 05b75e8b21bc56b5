import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension VerifyRequest {
  /// What a reader of the figures should know of how they came about: the candidate, or the plan it was made by, saw the
  /// contexts, or was made from another model.
  ///
  /// - Parameter plan: `sensitivity` of the plan's file; nil for none.
  func remarks(_ candidate: Model, _ original: Model, _ contexts: [Context], plan: JSON?) -> [String] {
    var lines: [String] = []
    if let line = calibrationRemark(candidate.provenance?["importance"], contexts) { lines.append(line) }
    let measured = ["measured", "judged"].compactMap { SeenContexts(plan?["contexts"]?[$0]) }
    if let again = SeenAgain(contexts, measured.reduce(into: []) { $0.formUnion($1.hashes) }) {
      lines.append(
        "\(again.text): the plan's prediction was measured on them, so they say little of how it does on other text: "
          + "verify on contexts that 'ingot sensitivity' has not seen")
    }
    if let name = candidate.otherSource(than: original) {
      lines.append(
        "the candidate says that it was made from \(printable(name, limit: 100)), and \(printable(original.path)) has other "
          + "files of weights: the figures hold only if both are the same model")
    }
    return lines
  }
}

extension VerifyRequest {
  /// A word where the candidate's codes were chosen on contexts that are verified on, or may have been: an artifact's record
  /// has their hashes, older ones and importance matrices only names of texts.
  ///
  /// - Parameter importance: what the candidate says of its calibration.
  private func calibrationRemark(_ importance: JSON?, _ contexts: [Context]) -> String? {
    let recorded = SeenContexts(importance?["contexts"])
    let hashes = [recorded, SeenContexts(importance?["sequential"])].compactMap { $0?.hashes }
    if let again = SeenAgain(contexts, hashes.reduce(into: []) { $0.formUnion($1) }) {
      return
        "\(again.text): the candidate was calibrated on them, so the figures are better than on other text: "
        + "verify on text that calibration has not seen"
    }
    if let recorded, recorded.length == texts.context { return nil }
    let seen = Set(
      (importance?["texts"]?.array ?? importance?["datasets"]?.array ?? [])
        .compactMap { $0.string.map { Folder.name(of: $0) } })
    let again = texts.names.filter(seen.contains)
    if again.isEmpty { return nil }
    return
      "\(printable(again.joined(separator: ", "), limit: 200)): the candidate was calibrated on a text of this name"
      + (recorded.map {
        ", in contexts of \(grouped($0.length)) tokens instead of \(grouped(texts.context)), so which parts it has seen cannot be told"
      } ?? "")
      + ", so the figures may be better than on other text: verify on text that calibration has not seen"
  }
}

/// Contexts that were used before, in words.
private struct SeenAgain {
  let text: String

  /// - Returns: nil where there are none.
  init?(_ contexts: [Context], _ hashes: Set<UInt64>) {
    let again = contexts.filter { hashes.contains(SeenContexts.hash($0.tokens)) }
    if again.isEmpty { return nil }
    var names: [String] = []
    for name in again.compactMap(\.text) where !names.contains(name) { names.append(name) }
    text =
      "\(grouped(again.count)) of \(grouped(contexts.count)) contexts"
      + (names.isEmpty ? "" : " (\(printable(names.joined(separator: ", "), limit: 200)))")
  }
}

extension Model {
  /// Names and sizes of weight files.
  private struct Files: Hashable {
    var entries: Set<String>

    /// - Parameter source: `source` of an artifact's record.
    init?(_ source: JSON?) {
      guard let files = source?["files"]?.array, !files.isEmpty else { return nil }
      entries = Set(files.map { "\($0["name"]?.string ?? "") \($0["bytes"]?.int ?? 0)" })
    }

    init?(of model: Model) {
      guard !model.weightFiles.isEmpty else { return nil }
      entries = []
      for path in model.weightFiles {
        guard let size = try? File(reading: path).size() else { return nil }
        entries.insert("\(Folder.name(of: path)) \(size)")
      }
    }
  }

  /// The files that a model was made from, by its record: those of its source, of the source's source and so on.
  private func sources(_ record: JSON?) -> [Files] {
    var (record, files) = (record, [Files]())
    while let source = record?["source"] {
      if let known = Files(source) { files.append(known) }
      record = source["provenance"]
    }
    return files
  }

  /// The name of what a model was made from, when neither it nor what it came from is `other` or what that came from; nil
  /// where that cannot be told.
  func otherSource(than other: Model) -> String? {
    let mine = Set(sources(provenance) + [Files(of: self)].compactMap { $0 })
    guard provenance?["source"]?["files"] != nil, let name = provenance?["source"]?["name"]?.string,
      let files = Files(of: other)
    else { return nil }
    return mine.isDisjoint(with: sources(other.provenance) + [files]) ? name : nil
  }

  /// A word where a plan quantizes anew what a tool has quantized: its errors come on top. Codes that a model was trained
  /// or published with in a checkpoint are the original.
  ///
  /// - Parameter plan: for this model.
  func requantized(by plan: Plan) -> String? {
    let isArtifact = provenance?["recipe"] != nil || provenance?["importance"] != nil
    var codes: [String: Int] = [:]
    for tensor in tensors
    where plan.assignments[tensor.role].map({ $0.quantizer != nil && $0.encoding != tensor.encoding })
      ?? false
    {
      switch tensor.encoding {
      case .ggml, .columnPacked, .affine, .trellis, .tiles:
        codes["\(tensor.encoding)", default: 0] += tensor.count
      case .microScaled, .blockScaled:
        if isArtifact { codes["\(tensor.encoding)", default: 0] += tensor.count }
      case .dense: break
      }
    }
    // What llm-compressor and MoonshotAI publish in compressed-tensors may be all there is of a model.
    guard let most = codes.max(by: { ($0.value, $1.key) < ($1.value, $0.key) })?.key,
      isArtifact || format != Format.compressedTensors.name
    else { return nil }
    return
      "\(printable(path)) is quantized already (\(most), \(fixed(8 * Double(bytes) / Double(max(parameters, 1)), 2)) bits per "
      + "weight): quantizing it again adds errors to those it has; quantize the original model where you have it"
  }
}
