import IngotModels
import IngotSystem
import IngotTensors

// The importance matrix as llama.cpp wrote it before it used GGUF. Entry count, then for each entry its name, the number
// of calls, and values that are means times that number; then the number of chunks and the data set's name. All
// integers are i32, texts have their length before them. An expert that no token reached stands there with ones, which
// nothing tells from a measured one but that no measurement gives ones only.
extension ImportanceFile {
  static let entryLimit = 1 << 20

  mutating func readLegacy(_ source: GGUFCursor) throws(FormatError) -> [Entry] {
    var cursor = source
    let count = try cursor.positive("the number of entries", limit: ImportanceFile.entryLimit)
    var entries: [Entry] = []
    var names = Set<String>()
    for _ in 0..<count {
      let start = cursor.position
      let name = try cursor.text("an entry's name", limit: GGUFHeader.keyLimit)
      guard names.insert(name).inserted else {
        throw cursor.error(
          "names that occur once", "'\(printable(name, limit: 80))' a second time", at: start)
      }
      let calls = try cursor.integer(Int32.self, "the number of calls")
      let values = try cursor.positive("the number of values", limit: Int(Int32.max))
      var means = ImportanceFile.floats(
        try cursor.take(4 * values, "values of '\(printable(name, limit: 80))'"))
      if calls > 0 { for index in means.indices { means[index] /= Float(calls) } }
      entries.append(Entry(name: name, means: means, counts: [nil], offset: UInt64(start)))
    }
    // The chunks and the name of the data came later than the form itself.
    if !cursor.isAtEnd {
      chunks = Int(max(try cursor.integer(Int32.self, "the number of chunks"), 0))
      if !cursor.isAtEnd {
        let text = try cursor.text("the data set's name", limit: GGUFHeader.keyLimit)
        if !text.isEmpty { datasets = [text] }
      }
    }
    guard cursor.isAtEnd else { throw cursor.error("the end of the file", "more bytes") }
    return entries
  }
}

extension GGUFCursor {
  var isAtEnd: Bool { position == bytes.count }

  /// A count of 32 bits from 1 to `limit`.
  fileprivate mutating func positive(_ what: String, limit: Int) throws(FormatError) -> Int {
    let start = position
    let value = try integer(Int32.self, what)
    guard value > 0, value <= limit else { throw error("\(what) from 1 to \(limit)", "\(value)", at: start) }
    return Int(value)
  }

  /// A text with 32 bits of length before it.
  fileprivate mutating func text(_ what: String, limit: Int) throws(FormatError) -> String {
    let start = position
    let length = try integer(Int32.self, "the length of \(what)")
    guard length >= 0, length <= limit else {
      throw error("a length of \(what) up to \(limit)", "\(length)", at: start)
    }
    guard let text = String(validating: try take(Int(length), what).array, as: UTF8.self) else {
      throw error("\(what) in UTF-8", "other bytes", at: start)
    }
    return text
  }
}
