import IngotSystem

/// Shards that are numbered in their names, NAME-00001-of-00004.safetensors: without an index, their headers say what is
/// where, and the names whether all are there.
enum ShardSet {
  /// The files of the one numbered set among `names`; nil when there is none, or more than one.
  ///
  /// - Throws: FormatError naming the first file of the set that is missing.
  static func only(_ names: [String], in folder: String) throws(FormatError) -> [String]? {
    var sets: [String: Set<String>] = [:]
    var counts: [String: (stem: Substring, count: Int, digits: Int)] = [:]
    for name in names {
      guard
        let match = name.wholeMatch(
          of: /(?<stem>.+)-(?<number>[0-9]{5,6})-of-(?<count>[0-9]{5,6})\.safetensors/),
        let count = Int(match.count), count >= 1
      else { continue }
      let key = "\(match.stem)/\(match.count)"
      sets[key, default: []].insert(name)
      counts[key] = (match.stem, count, match.count.count)
    }
    guard sets.count == 1, let (key, found) = sets.first, let (stem, count, digits) = counts[key] else {
      return nil
    }
    func padded(_ number: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    for number in 1...count {
      let name = "\(stem)-\(padded(number))-of-\(padded(count)).safetensors"
      guard found.contains(name) else {
        throw FormatError(
          path: folder + "/" + name, expected: "\(count) shards, as the names of \(found.count) say",
          found: "none of this name, and no \(CheckpointLocation.indexName)")
      }
    }
    return found.sorted()
  }
}
