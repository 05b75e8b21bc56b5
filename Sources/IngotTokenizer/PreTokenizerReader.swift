import IngotSystem

extension PreTokenizer {
  /// Reads `pre_tokenizer`: ByteLevel, or a Sequence of Split and Digits that ends in ByteLevel.
  init(_ place: JSONPlace) throws(FormatError) {
    var parts = [place]
    if place["type"].json.string == "Sequence" { parts = try place["pretokenizers"].elements() }
    guard let last = parts.popLast() else { throw place.error("ByteLevel, or a Sequence that ends in it") }
    guard last["type"].json.string == "ByteLevel" else {
      throw last["type"].error("ByteLevel, or a Sequence that ends in it")
    }
    for part in parts { steps.append(try Self.step(part)) }
    addsSpace = try last["add_prefix_space"].bool()
    if addsSpace, !steps.isEmpty {
      throw last["add_prefix_space"].error("false behind another step")
    }
    if try last["use_regex"].bool(default: true) {
      steps.append(Step(pattern: try Self.pattern(Self.gpt2, last), behavior: .isolated, inverted: false))
    }
  }

  private static func step(_ place: JSONPlace) throws(FormatError) -> Step {
    switch place["type"].json.string {
    case "Split":
      let named = place["behavior"]
      guard let behavior = named.json.string.flatMap(Behavior.init) else {
        throw named.error("one of \(Behavior.allCases.map(\.rawValue).joined(separator: ", "))")
      }
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
    default: throw place["type"].error("Split, Digits or ByteLevel (no other is supported)")
    }
  }

  private static func escaped(_ scalar: Unicode.Scalar) -> String {
    ".*+?()[]{}|\\^$".unicodeScalars.contains(scalar) ? "\\\(scalar)" : String(scalar)
  }

  private static func pattern(_ source: String, _ place: JSONPlace) throws(FormatError) -> Pattern {
    do throws(PatternError) {
      return try Pattern(source)
    } catch {
      throw place.error("\(error.expected), at character \(error.at) of the expression", error.found)
    }
  }
}
