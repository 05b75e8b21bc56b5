import IngotSystem
import IngotTensors

/// What an earlier run has filled, out of the journal's records.
struct FilledBefore {
  /// Checksums of the planes of each placement that is filled, by its index; none where the format stores none.
  private(set) var checksums: [Int: [UInt64]] = [:]
  /// SHA-256 of the source's files, as far as they are known, by path.
  private(set) var digests: [String: String] = [:]

  init(_ records: [JSON]) {
    for record in records {
      if let unit = record["tensors"]?.array {
        for entry in unit {
          guard let values = entry.array, let index = values.first?.int else { continue }
          checksums[index] = values.dropFirst().compactMap { $0.string.flatMap { UInt64($0, radix: 16) } }
        }
      } else if let path = record["file"]?.string, let digest = record["sha256"]?.string {
        digests[path] = digest
      }
    }
  }

  /// A unit that has been written: indices of its tensors with their checksums.
  static func record(_ unit: [(Int, [UInt64])]) -> JSON {
    ["tensors": .array(unit.map { .array([JSON($0.0)] + $0.1.map { .string(hexDigits($0)) }) })]
  }

  /// A file of the source that has been read to its end.
  static func record(_ path: String, _ digest: String) -> JSON {
    ["file": .string(path), "sha256": .string(digest)]
  }
}
