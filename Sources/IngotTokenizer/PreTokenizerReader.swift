import IngotSystem

extension PreTokenizer {
  /// Reads `pre_tokenizer`: null, a step, or a Sequence of steps.
  init(_ place: JSONPlace) throws(FormatError) {
    if !place.json.isNull { try add(place) }
  }

  private mutating func add(_ place: JSONPlace) throws(FormatError) {
    let type = place["type"].json.string
    if type == "Sequence" {
      for part in try place["pretokenizers"].elements() { try add(part) }
      return
    }
    if isByteLevel {
      guard type != "ByteLevel", type != "Metaspace" else {
        throw place["type"].error("a step that may follow ByteLevel: Split, Digits, Punctuation", type)
      }
      if !stages.contains(where: { if case .alphabet = $0 { true } else { false } }) { add(.alphabet) }
    }
    switch type {
    case "ByteLevel":
      if try place["add_prefix_space"].bool() { add(.space) }
      if try place["use_regex"].bool(default: true) {
        add(.cut(Step(pattern: try Self.pattern(Self.gpt2, place), behavior: .isolated, inverted: false)))
      }
      endInBytes()
    case "Metaspace": add(.metaspace(try Metaspace(place)))
    default: add(.cut(try Self.step(place)))
    }
  }

  private static func step(_ place: JSONPlace) throws(FormatError) -> Step {
    switch place["type"].json.string {
    case "Split":
      let behavior = try behavior(place["behavior"])
      let source: String
      if let literal = place["pattern"]["String"].json.string {
        source = literal.unicodeScalars.map { escaped($0) }.joined()
      } else {
        source = try place["pattern"]["Regex"].string()
      }
      return Step(
        pattern: try pattern(source, place["pattern"]), behavior: behavior,
        inverted: try place["invert"].bool())
    case "Digits":
      let single = try place["individual_digits"].bool()
      return Step(
        pattern: try pattern("\\p{N}", place), behavior: single ? .isolated : .contiguous, inverted: false)
    case "Punctuation":
      let named = place["behavior"]
      return Step(
        pattern: try pattern(punctuation, place),
        behavior: named.json.isNull ? .isolated : try behavior(named), inverted: false)
    case "WhitespaceSplit":
      return Step(pattern: try pattern("\\s", place), behavior: .removed, inverted: false)
    case "Whitespace":
      return Step(pattern: try pattern(words, place), behavior: .removed, inverted: true)
    case "CharDelimiterSplit":
      let delimiter = escaped(try place["delimiter"].scalar())
      return Step(pattern: try pattern(delimiter, place), behavior: .removed, inverted: false)
    default:
      throw place["type"].error(
        "ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit, CharDelimiterSplit or Sequence "
          + "(no other is supported; conversions do not need it)")
    }
  }

  private static func behavior(_ place: JSONPlace) throws(FormatError) -> Behavior {
    guard let behavior = place.json.string.flatMap(Behavior.init) else {
      throw place.error("one of \(Behavior.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return behavior
  }

  /// One of what Punctuation takes: ASCII's by its own list, others by an older Unicode's category P.
  private static let punctuation =
    "[\\p{P}\(members(NormalizationTable.morePunctuation))&&[^\(members(NormalizationTable.notPunctuation))]]"

  /// A word, or a run of what is neither word nor space; word characters are those of Rust's expressions.
  private static let words: String = {
    let word = "\\w\\x{200C}\\x{200D}"
    let not = "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"
    return "[\(word)&&[^\(not)]]+|(?:[^\\s\(word)]|[\(not)])+"
  }()

  /// Ranges of a table as members of a set.
  private static func members(_ ranges: String) -> String {
    ranges.split(separator: " ").map { range in
      range.split(separator: "-").map { "\\x{\($0)}" }.joined(separator: "-")
    }.joined()
  }

  private static func escaped(_ scalar: Unicode.Scalar) -> String {
    ".*+?()[]{}|\\^$".unicodeScalars.contains(scalar) ? "\\\(scalar)" : String(scalar)
  }

  static func pattern(_ source: String, _ place: JSONPlace) throws(FormatError) -> Pattern {
    do throws(PatternError) {
      return try Pattern(source)
    } catch {
      throw place.error("\(error.expected), at character \(error.at) of the expression", error.found)
    }
  }
}
