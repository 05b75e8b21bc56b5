import IngotSystem
import IngotTensors

/// The tables of formats/ingot/SPEC.md, and an artifact's records read by them and by nothing else.
struct Specification {
  static let path = repository + "/formats/ingot/SPEC.md"

  /// One line of a table that begins with a byte.
  struct Field {
    var offset: Int
    /// `u32`, `i32`, `8 bytes`, `4 × u64`…
    var type: String
    var meanings: [String]

    var size: Int {
      let words = type.split(separator: " ").map(String.init)
      let widths = ["u8": 1, "u16": 2, "u32": 4, "i32": 4, "u64": 8, "bytes": 1]
      guard let width = widths[words.last ?? ""] else { return 0 }
      return (words.count > 1 ? Int(words[0]) ?? 0 : 1) * width
    }
  }

  /// Lines of the specification by heading.
  private var sections: [String: [String]] = [:]

  init() throws {
    let text = String(decoding: try content(Specification.path), as: UTF8.self)
    var heading = ""
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line.hasPrefix("#") {
        heading = String(line.drop { $0 == "#" || $0 == " " })
      } else {
        sections[heading, default: []].append(line)
      }
    }
  }

  func text(_ heading: String) -> String { (sections[heading] ?? []).joined(separator: " ") }

  /// The heading that begins with `start`.
  func heading(_ start: String) -> String? { sections.keys.first { $0.hasPrefix(start) } }

  /// The table under the heading that begins with `start`.
  func fields(_ start: String) -> [Field] {
    (sections[heading(start) ?? ""] ?? []).compactMap { line in
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
        String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
      }
      guard cells.count > 4, let offset = Int(cells[1]) else { return nil }
      return Field(offset: offset, type: cells[2], meanings: Array(cells[3..<cells.count - 1]))
    }
  }

  /// Numbers and names of a list such as `0 F64, 1 F32, …` that stands in a section after `start`.
  func list(_ heading: String, after start: String) -> [Int: String] {
    var text = self.text(self.heading(heading) ?? "")[...]
    guard let begin = text.range(of: start) else { return [:] }
    text = text[begin.upperBound...]
    let end = text.firstIndex(of: ".") ?? text.endIndex
    let pairs = text[..<end].split(separator: ",").compactMap { item -> (Int, String)? in
      let words = item.split(separator: " ")
      guard words.count == 2, let number = Int(words[0]) else { return nil }
      return (number, String(words[1]))
    }
    return Dictionary(uniqueKeysWithValues: pairs)
  }

  /// The first words of a list such as `a, b, c; d for …` that stands in a section after `start`.
  func names(_ heading: String, after start: String) -> [String] {
    let text = self.text(self.heading(heading) ?? "")[...]
    guard let begin = text.range(of: start) else { return [] }
    let list = text[begin.upperBound...]
    return list[..<(list.firstIndex(of: ".") ?? list.endIndex)].split(whereSeparator: { ",;".contains($0) })
      .compactMap { $0.split(separator: " ").first.map(String.init) }
  }
}

/// An artifact of one file, its records read with the offsets of the specification's tables.
struct SpecifiedArtifact {
  struct Record {
    var bytes: [UInt8]
    var fields: [Specification.Field]

    /// The integer that the field whose meaning begins with `meaning` holds; `index` for repeated ones.
    func callAsFunction(_ meaning: String, _ index: Int = 0) -> Int {
      let field = fields.first { $0.meanings[0].hasPrefix(meaning) }!
      let count = field.type.contains("×") ? Int(field.type.split(separator: " ")[0])! : 1
      let width = field.size / count
      let start = field.offset + index * width
      let value = bytes[start..<start + width].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      return field.type == "i32" ? Int(Int32(bitPattern: UInt32(value))) : Int(truncatingIfNeeded: value)
    }
  }

  var bytes: [UInt8]
  var header: Record
  var counts: Record
  var encodings: [[UInt8]]
  var kinds: [String]
  var tensors: [Record]
  var files: [Record]
  var names: [UInt8]

  init(_ bytes: [UInt8], _ specification: Specification) {
    self.bytes = bytes
    func records(_ count: Int, _ start: String, _ at: inout Int) -> [Record] {
      let fields = specification.fields(start)
      let size = fields.map { $0.offset + $0.size }.max()!
      defer { at += count * size }
      return (0..<count).map { [at] in
        Record(bytes: Array(bytes[at + $0 * size..<at + ($0 + 1) * size]), fields: fields)
      }
    }
    var at = 0
    header = records(1, "Header", &at)[0]
    at = header("where the directory starts")
    counts = records(1, "Directory", &at)[0]
    encodings = records(counts("encodings"), "Encoding record", &at).map(\.bytes)
    kinds = records(counts("kinds"), "Kind record", &at).map {
      String(decoding: $0.bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    tensors = records(counts("tensors"), "Tensor record", &at)
    files = records(counts("files"), "File record", &at)
    names = Array(bytes[at..<at + counts("bytes of names")])
  }

  func kind(_ record: Record) -> String { kinds[record("index of its kind")] }

  func name(_ record: Record) -> String {
    let start = record("start of its name")
    return String(decoding: names[start..<start + record("bytes of its name")], as: UTF8.self)
  }
}

extension Substring {
  /// Where `text` first stands.
  fileprivate func range(of text: String) -> Range<Index>? {
    var rest = self
    while !rest.isEmpty {
      if rest.hasPrefix(text) { return rest.startIndex..<index(rest.startIndex, offsetBy: text.count) }
      rest = rest.dropFirst()
    }
    return nil
  }
}
