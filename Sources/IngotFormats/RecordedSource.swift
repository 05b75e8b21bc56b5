import IngotModels
import IngotSystem
import IngotTensors

/// What an artifact says that it was made from.
public struct RecordedSource: Hashable, Sendable {
  public struct File: Hashable, Sendable {
    public var name: String
    public var bytes: Int
    /// In hexadecimal; nil where it was not recorded.
    public var sha256: String?
  }

  /// Of a folder or file, or `ORGANIZATION/NAME` of a repository on the Hub.
  public var name: String
  /// The repository's commit.
  public var revision: String?
  /// Weight files; none where only a model card names the model.
  public var files: [File]

  /// - Parameter source: `source` of an artifact's record.
  init?(_ source: JSON) {
    guard let name = source["name"]?.string else { return nil }
    self.name = name
    revision = source["revision"]?.string
    files = (source["files"]?.array ?? []).compactMap { file in
      guard let name = file["name"]?.string, let bytes = file["bytes"]?.int else { return nil }
      return File(name: name, bytes: bytes, sha256: file["sha256"]?.string)
    }
  }

  /// - Parameter card: text of a README.md.
  init?(card: String) {
    let lines = card.split(separator: "\n", omittingEmptySubsequences: false).map { $0.trimmingEnd }
    guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---"),
      let key = lines[1..<end].firstIndex(where: { $0.hasPrefix("base_model:") })
    else { return nil }
    var values = [lines[key].dropFirst("base_model:".count).trimmingStart]
    if values[0].isEmpty {
      values = lines[(key + 1)..<end].prefix { $0.trimmingStart.hasPrefix("-") }
        .map { $0.trimmingStart.dropFirst().trimmingStart }
    }
    // A merge of several has no original.
    guard values.count == 1, let value = values.first else { return nil }
    name = String(value.trimming { $0 == "\"" || $0 == "'" })
    files = []
  }
}

extension Model {
  /// The models that this one was made from, without those that were quantized themselves: the one that all began with comes
  /// first. By the artifact's record, or by the model card where there is none.
  public var recordedSources: [RecordedSource] {
    var sources: [RecordedSource] = []
    var record = provenance
    while let source = record?["source"] {
      record = source["provenance"]
      if let known = RecordedSource(source), !Model.isQuantized(record) { sources.append(known) }
    }
    if !sources.isEmpty || provenance != nil { return sources.reversed() }
    guard let card = sideFile(ModelCard.name), card.bytes.count < 1 << 20 else { return [] }
    return RecordedSource(card: String(decoding: card.bytes.array, as: UTF8.self)).map { [$0] } ?? []
  }

  /// Whether a model of this record, or one that it came from, is not what the first of them was.
  private static func isQuantized(_ record: JSON?) -> Bool {
    var record = record
    while let known = record {
      if known["recipe"] != nil || known[DroppedExperts.key] != nil { return true }
      record = known["source"]?["provenance"]
    }
    return false
  }
}

extension Substring {
  fileprivate func trimming(_ isLeft: (Character) -> Bool) -> Substring {
    var rest = drop(while: isLeft)
    while let last = rest.last, isLeft(last) { rest.removeLast() }
    return rest
  }
  fileprivate var trimmingStart: Substring { drop { $0 == " " } }
  fileprivate var trimmingEnd: Substring {
    var rest = self
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return rest
  }
}
