import IngotKernels
import IngotModels
import IngotSystem

/// A share that is one piece of bytes with a description at its end, written whole.
package enum ShareFile {
  package static let suffix = ".ingotpart"
  /// Behind the path of a share, where the run that makes it keeps what it resumes from.
  package static let state = ".partial.pass"

  /// What a file of a share holds.
  ///
  /// - Parameters:
  ///   - facts: what all shares of the work have in common; `ShareFiles` compares them.
  ///   - extra: what else the share says.
  package static func content(_ share: Share, _ bytes: [UInt8], facts: JSONObject, extra: JSONObject)
    -> [UInt8]
  {
    bytes
      + ShareTrailer.encoded([
        "share": JSON(share.index), "shares": JSON(share.count), "facts": .object(facts),
        "extra": .object(extra), "bytes": JSON(bytes.count),
        "xxh3": .string(hexDigits(XXH3.hash(Bytes(bytes).span))),
      ])
  }

  /// What a share says of itself.
  package static func description(_ path: String) throws(FormatError) -> JSON { try ShareTrailer.read(path) }

  /// The bytes of a share, which are those that it was written with.
  ///
  /// - Parameter json: its description.
  /// - Throws: FormatError for a damaged file.
  package static func bytes(_ path: String, _ json: JSON) throws(FormatError) -> Bytes {
    let all = try Bytes.mapping(path)
    guard let count = json["bytes"]?.int, count >= 0, count <= all.count, let sum = json["xxh3"]?.string
    else {
      throw FormatError(path: path, expected: "a share of this version", found: "another description")
    }
    let bytes = all[0..<count]
    let found = hexDigits(XXH3.hash(bytes.span))
    guard found == sum else {
      throw FormatError(
        path: path, expected: "\(count) bytes of XXH3 \(sum)", found: "\(found); make this share again")
    }
    return bytes
  }
}
