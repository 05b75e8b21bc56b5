import IngotSystem
import IngotTensors

extension ModelCard {
  private static let begin = "<!-- drift, by ingot verify -->"
  private static let end = "<!-- /drift -->"

  /// Writes what was measured into the model card of an artifact that is a folder, in place of what an earlier
  /// measurement left. The card is replaced by rename: it is there whole, old or new, at every moment.
  ///
  /// - Parameter report: text in Markdown.
  /// - Throws: FormatError when there is no README.md, or for what the system says.
  public static func record(_ report: String, inFolder folder: String) throws(FormatError) {
    let path = folder + "/" + name
    guard Folder.kind(folder) == .folder, Folder.kind(path) == .file else {
      throw FormatError(path: path, expected: "a model card to write into", found: "no such file")
    }
    guard var card = String(validating: try Bytes.mapping(path).array, as: UTF8.self) else {
      throw FormatError(path: path, expected: "text in UTF-8", found: "other bytes")
    }
    if let old = card.range(from: begin, through: end + "\n") { card.removeSubrange(old) }
    while card.hasSuffix("\n\n") { card.removeLast() }
    card += "\n\(begin)\n\(report)\n\(end)\n"
    let temporary = path + ".partial"
    let file = try File(creating: temporary)
    do throws(FormatError) {
      try file.write(Array(card.utf8), at: 0)
      try file.synchronize()
      try Folder.rename(temporary, to: path)
    } catch {
      Folder.remove(temporary)
      throw error
    }
  }
}

extension String {
  /// From where `first` begins to where `last` ends after it; nil when one is missing.
  fileprivate func range(from first: String, through last: String) -> Range<Index>? {
    guard let begin = firstRange(of: first),
      let end = self[begin.upperBound...].firstRange(of: last)
    else { return nil }
    return begin.lowerBound..<end.upperBound
  }
}
