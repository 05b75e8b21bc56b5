import IngotSystem

/// The `model` of tokenizer.json as it stands there. Read piece by piece: it is most of the file.
struct BPEModel {
  private(set) var vocabulary: [(piece: String, id: UInt64)] = []
  private(set) var merges: [(left: [UInt8], right: [UInt8])] = []
  private(set) var unknown: String?
  private(set) var fusesUnknown = false
  private(set) var ignoresMerges = false
  /// Whether a character without a token becomes the tokens `<0x00>` to `<0xFF>` of its bytes.
  private(set) var fallsBackToBytes = false

  init(_ scanner: inout JSONScanner, path: String) throws(FormatError) {
    var seen: Set<String> = []
    try scanner.beginObject()
    while let key = try scanner.nextKey() {
      guard seen.insert(key).inserted else {
        throw FormatError(path: path, expected: "one model.\(key)", found: "two")
      }
      switch key {
      case "vocab": try read(vocabulary: &scanner, path)
      case "merges": try read(merges: &scanner, path)
      default:
        let value = try scanner.value()
        try take(JSONPlace(path: path, name: "model.\(key)", json: value), key)
      }
    }
    for key in ["vocab", "merges"] where !seen.contains(key) {
      throw FormatError(path: path, expected: "model.\(key) (the model must be BPE)", found: "nothing")
    }
  }

  /// Reads vocab.json, an object of numbers by piece, and merges.txt, a line for each merge behind one of its version.
  init(vocabulary: [UInt8], _ path: String, merges: [UInt8], _ mergesPath: String) throws(FormatError) {
    var scanner = JSONScanner(vocabulary, path: path)
    try read(vocabulary: &scanner, path)
    try scanner.end()
    guard String(validating: merges, as: UTF8.self) != nil else {
      throw FormatError(path: mergesPath, expected: "UTF-8 text", found: "other bytes")
    }
    var lines = merges.split(separator: 0x0A, omittingEmptySubsequences: false)
    if lines.last?.isEmpty ?? false { lines.removeLast() }
    for (index, line) in lines.enumerated() where !line.starts(with: "#version".utf8) {
      let line = line.last == 0x0D ? line.dropLast() : line
      let parts = line.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        throw FormatError(
          path: mergesPath, expected: "line \(index + 1): two pieces with a space between them",
          found: "'\(printable(String(decoding: line, as: UTF8.self), limit: 60))'")
      }
      self.merges.append((parts[0], parts[1]))
    }
  }

  private mutating func take(_ place: JSONPlace, _ key: String) throws(FormatError) {
    switch key {
    case "type":
      guard place.json.string == "BPE" else { throw place.error("\"BPE\" (no other model is supported)") }
    case "unk_token": if !place.json.isNull { unknown = try place.string() }
    case "fuse_unk": fusesUnknown = try place.bool(default: false)
    case "ignore_merges": ignoresMerges = try place.bool(default: false)
    case "byte_fallback": fallsBackToBytes = try place.bool(default: false)
    case "dropout":
      guard place.json.isNull || place.json.double == 0 else { throw place.error("null or 0") }
    case "continuing_subword_prefix", "end_of_word_suffix":
      guard place.json.isNull || place.json.string == "" else { throw place.error("null or \"\"") }
    default: break
    }
  }

  private mutating func read(vocabulary scanner: inout JSONScanner, _ path: String) throws(FormatError) {
    try scanner.beginObject()
    while let piece = try scanner.nextKey() { vocabulary.append((piece, try scanner.unsignedInteger())) }
  }

  /// Each merge is `"left right"` or `["left", "right"]`.
  private mutating func read(merges scanner: inout JSONScanner, _ path: String) throws(FormatError) {
    try scanner.beginArray()
    while try scanner.nextElement() {
      let place = JSONPlace(path: path, name: "model.merges[\(merges.count)]", json: try scanner.value())
      let parts: [[UInt8]]
      switch place.json {
      case .string(let text):
        if text.utf8.starts(with: "#version".utf8) { continue }
        parts = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      case .array(let pair): parts = pair.compactMap { $0.string.map { Array($0.utf8) } }
      default: parts = []
      }
      guard parts.count == 2, place.json.array.map({ $0.count == 2 }) ?? true else {
        throw place.error("two pieces: \"a b\" or [\"a\", \"b\"]")
      }
      merges.append((parts[0], parts[1]))
    }
  }
}
