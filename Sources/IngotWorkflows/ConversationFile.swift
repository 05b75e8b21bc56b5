import IngotModels
import IngotSystem
import IngotTensors

/// Files of JSON that hold texts and conversations.
enum ConversationFile {
  enum Entry {
    case text(String)
    case conversation(Conversation)
  }

  /// Whether a file of this name holds JSON: `.jsonl` and `.ndjson` a value per line, `.json` one value.
  static func isNamed(_ path: String) -> Bool { isLines(path) || path.lowercased().hasSuffix(".json") }

  private static func isLines(_ path: String) -> Bool {
    [".jsonl", ".ndjson"].contains { path.lowercased().hasSuffix($0) }
  }

  /// Calls `body` with each entry, until it returns false.
  ///
  /// A line is an entry. A file of one value is a list of entries, or a single one. An entry is an object with `text`, or a
  /// conversation.
  /// - Throws: `FormatError` naming the line or the number of the entry.
  static func read(_ bytes: Bytes, path: String, _ body: (Entry) throws(FormatError) -> Bool)
    throws(FormatError)
  {
    guard isLines(path) else {
      let json = try JSON.parse(bytes.array, path: path)
      guard let entries = json.array, entries.first?["role"] == nil, entries.first?["from"] == nil else {
        _ = try body(try entry(json, place: path))
        return
      }
      for (index, item) in entries.enumerated() {
        guard try body(try entry(item, place: "\(path), entry \(index + 1)")) else { return }
      }
      return
    }
    let lines = bytes.array.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let blank: Set<UInt8> = [UInt8(ascii: " "), UInt8(ascii: "\r"), UInt8(ascii: "\t")]
    for (index, line) in lines.enumerated() where !line.allSatisfy(blank.contains) {
      let place = "\(path), line \(index + 1)"
      guard try body(try entry(try JSON.parse(Array(line), path: place), place: place)) else { return }
    }
  }

  private static func entry(_ json: JSON, place: String) throws(FormatError) -> Entry {
    if json.array != nil || Conversation.isWritten(in: json) {
      return .conversation(try Conversation(json, place: place))
    }
    if let text = json["text"]?.string { return .text(text) }
    throw FormatError(
      path: place,
      expected:
        "an object with \"text\", or a conversation with \"messages\" (to read the file as plain text, "
        + "give it a name in .txt)",
      found: json.object.map { "an object with " + list($0.keys) } ?? json.kind)
  }

  private static func list(_ keys: [String]) -> String {
    keys.isEmpty
      ? "no members" : keys.prefix(6).map { "\"\(printable($0, limit: 40))\"" }.joined(separator: ", ")
  }
}

extension Conversation {
  /// The conversations of a file; texts among them are passed over.
  ///
  /// - Throws: FormatError for a file that has no name of JSON, or something else in it.
  package static func all(in path: String) throws(FormatError) -> [Conversation] {
    guard ConversationFile.isNamed(path) else { return [] }
    var found: [Conversation] = []
    try ConversationFile.read(try Bytes.mapping(path), path: path) { entry throws(FormatError) in
      if case .conversation(let conversation) = entry { found.append(conversation) }
      return true
    }
    return found
  }
}
