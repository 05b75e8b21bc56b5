/// A regular expression as a tree.
indirect enum PatternNode {
  enum Greed { case greedy, lazy, possessive }

  case sequence([PatternNode])
  case choice([PatternNode])
  /// One code point out of a set.
  case one(CodePoints)
  case repeated(PatternNode, atLeast: Int, atMost: Int?, Greed)
  /// `(?=[…])`, and `(?![…])` when negated: also true at the end of the text.
  case ahead(CodePoints, negated: Bool)
  /// `$`: at the end of the text or before a line feed.
  case lineEnd
  /// `\z`
  case textEnd

  /// Whether the empty string matches.
  var canBeEmpty: Bool {
    switch self {
    case .sequence(let parts): parts.allSatisfy(\.canBeEmpty)
    case .choice(let parts): parts.contains(where: \.canBeEmpty)
    case .one: false
    case .repeated(let body, let atLeast, _, _): atLeast == 0 || body.canBeEmpty
    case .ahead, .lineEnd, .textEnd: true
    }
  }
}

/// Why a pattern is refused; `at` counts code points from the pattern's start.
package struct PatternError: Error {
  package var at: Int
  package var expected: String
  package var found: String
}

/// Reads the part of Oniguruma's (Ruby) syntax that pre-tokenizers are written in, and refuses the rest.
///
/// Refused on purpose, because the meaning would be subtle and no tokenizer needs it: loops whose body can
/// be empty, atomic groups and possessive loops over more than one character set, lookahead for more than
/// one character, lookbehind, captures by name, back references, anchors but `$` and `\z`, and
/// case-insensitive text outside ASCII or with a multi-character folding (`ss` and ß).
struct PatternParser {
  private let text: [Unicode.Scalar]
  private var at = 0
  private var depth = 0
  private var foldsCase = false
  /// The case-insensitive literal just before, if any: pairs of them may have a folding of their own.
  private var literalBefore: Unicode.Scalar?

  private static let deepest = 64
  private static let mostRepeats = 1000

  private init(_ pattern: String) { text = Array(pattern.unicodeScalars) }

  static func parse(_ pattern: String) throws(PatternError) -> PatternNode {
    var parser = PatternParser(pattern)
    let tree = try parser.choice()
    if let extra = parser.peek { throw parser.error("the end of the pattern", "'\(extra)'") }
    return tree
  }

  // MARK: Scanning

  private var peek: Unicode.Scalar? { at < text.count ? text[at] : nil }

  private func error(_ expected: String, _ found: String? = nil) -> PatternError {
    PatternError(at: at, expected: expected, found: found ?? peek.map { "'\($0)'" } ?? "the end")
  }

  private mutating func skip(_ literal: String) -> Bool {
    let wanted = Array(literal.unicodeScalars)
    guard text[at...].starts(with: wanted) else { return false }
    at += wanted.count
    return true
  }

  private mutating func next(_ expected: String) throws(PatternError) -> Unicode.Scalar {
    guard let scalar = peek else { throw error(expected) }
    at += 1
    return scalar
  }

  // MARK: Grammar

  private mutating func choice() throws(PatternError) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepest { throw error("at most \(Self.deepest) groups inside each other", "more") }
    var branches = [try sequence()]
    while skip("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(PatternError) -> PatternNode {
    literalBefore = nil
    if at == 0, skip("(?i)") { foldsCase = true }
    var parts: [PatternNode] = []
    while let scalar = peek, scalar != "|", scalar != ")" {
      let atom = try self.atom()
      try parts.append(quantified(atom))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom() throws(PatternError) -> PatternNode {
    let scalar = try next("an expression")
    let before = literalBefore
    literalBefore = nil
    switch scalar {
    case "(": return try group()
    case "[": return .one(try bracket())
    case ".": return .one(CodePoints("\n").inverted)
    case "$": return .lineEnd
    case "\\":
      if skip("z") { return .textEnd }
      let (set, literal) = try escape()
      if let literal { return .one(try folded(literal, after: before)) }
      return .one(set)
    case "*", "+", "?", "{", "^":
      at -= 1
      throw error("an expression that can begin here (a literal '\(scalar)' is written '\\\(scalar)')")
    default: return .one(try folded(scalar, after: before))
    }
  }

  /// The set a literal stands for, under the case rule in force.
  private mutating func folded(
    _ scalar: Unicode.Scalar, after before: Unicode.Scalar?
  ) throws(PatternError) -> CodePoints {
    guard foldsCase else { return CodePoints(scalar) }
    guard scalar.isASCII else { throw error("ASCII where case is ignored", "'\(scalar)'") }
    let lower = Unicode.Scalar(UInt8(scalar.value | 0x20))
    if let before, ["ss", "st", "ff", "fi", "fl"].contains("\(before)\(lower)") {
      throw error("no pair with a folding of its own where case is ignored", "'\(before)\(lower)'")
    }
    literalBefore = lower
    return CodePoints(scalar).foldingASCII
  }

  private mutating func group() throws(PatternError) -> PatternNode {
    let outer = foldsCase
    defer { foldsCase = outer }
    var ahead: Bool?
    if skip("?") {
      if skip(":") {
      } else if skip("i:") {
        foldsCase = true
      } else if skip("-i:") {
        foldsCase = false
      } else if skip("=") {
        ahead = false
      } else if skip("!") {
        ahead = true
      } else {
        throw error("a group of the kinds (…) (?:…) (?i:…) (?=…) (?!…)")
      }
    }
    let body = try choice()
    guard skip(")") else { throw error("')'") }
    literalBefore = nil
    guard let negated = ahead else { return body }
    guard case .one(let set) = body else { throw error("lookahead for one character set", "more") }
    return .ahead(set, negated: negated)
  }

  // MARK: Quantifiers

  private mutating func quantified(_ body: PatternNode) throws(PatternError) -> PatternNode {
    guard let sign = peek else { return body }
    let bounds: (Int, Int?)
    var result: PatternNode
    switch sign {
    case "*": bounds = (0, nil)
    case "+": bounds = (1, nil)
    case "?": bounds = (0, 1)
    case "{":
      literalBefore = nil
      at += 1
      let (low, high, exact) = try interval()
      result = try loop(body, low, high, !exact && skip("?") ? .lazy : .greedy)
      // To Oniguruma `{1,3}+` is a loop of loops, not a possessive one.
      if skip("+") { result = try loop(result, 1, nil, .greedy) }
      return try only(result)
    default: return body
    }
    literalBefore = nil
    at += 1
    let greed: PatternNode.Greed = skip("+") ? .possessive : skip("?") ? .lazy : .greedy
    return try only(loop(body, bounds.0, bounds.1, greed))
  }

  /// Refuses a quantifier on a quantifier.
  private func only(_ node: PatternNode) throws(PatternError) -> PatternNode {
    if let sign = peek, "*+?{".unicodeScalars.contains(sign) { throw error("one quantifier") }
    return node
  }

  private func loop(
    _ body: PatternNode, _ low: Int, _ high: Int?, _ greed: PatternNode.Greed
  ) throws(PatternError) -> PatternNode {
    switch body {
    case .ahead, .lineEnd, .textEnd: throw error("no quantifier on an assertion", "one")
    case .one: break
    default:
      if greed == .possessive { throw error("a possessive loop over one character set", "over a group") }
    }
    if body.canBeEmpty, (high ?? 2) > 1 {
      throw error("a loop whose body always takes a character", "a body that can be empty")
    }
    return .repeated(body, atLeast: low, atMost: high, greed)
  }

  private mutating func interval() throws(PatternError) -> (low: Int, high: Int?, exact: Bool) {
    let low = try number()
    var high = low
    let exact = !skip(",")
    if !exact { high = try number() }
    guard skip("}"), low != nil || high != nil else { throw error("an interval such as {1,3}") }
    if let low, let high, low > high { throw error("an interval that rises", "{\(low),\(high)}") }
    return (low ?? 0, high, exact)
  }

  private mutating func number() throws(PatternError) -> Int? {
    var value: Int?
    while let scalar = peek, ("0"..."9").contains(scalar) {
      value = (value ?? 0) * 10 + Int(scalar.value - 0x30)
      if value! > Self.mostRepeats { throw error("at most \(Self.mostRepeats) repetitions", "more") }
      at += 1
    }
    return value
  }

  // MARK: Sets

  /// What follows a backslash: a set, and the scalar if it is a literal.
  private mutating func escape() throws(PatternError) -> (CodePoints, Unicode.Scalar?) {
    let scalar = try next("an escaped character")
    let control: [Unicode.Scalar: Unicode.Scalar] = [
      "n": "\n", "r": "\r", "t": "\t", "f": "\u{C}", "v": "\u{B}", "a": "\u{7}", "e": "\u{1B}",
    ]
    switch scalar {
    case "s": return (.whitespace, nil)
    case "S": return (CodePoints.whitespace.inverted, nil)
    case "d": return (.digits, nil)
    case "D": return (CodePoints.digits.inverted, nil)
    case "w": return (.word, nil)
    case "W": return (CodePoints.word.inverted, nil)
    case "p", "P": return (try property(negated: scalar == "P"), nil)
    case "x", "u":
      let literal = try hexadecimal(scalar)
      return (CodePoints(literal), literal)
    default:
      if let literal = control[scalar] { return (CodePoints(literal), literal) }
      if scalar.isASCII, scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) {
        at -= 1
        throw error("one of the escapes n r t f v a e s S d D w W p P x u z or an escaped sign")
      }
      return (CodePoints(scalar), scalar)
    }
  }

  private mutating func property(negated: Bool) throws(PatternError) -> CodePoints {
    guard skip("{") else { throw error("'{' after \\p") }
    var inverted = negated
    if skip("^") { inverted.toggle() }
    var name = ""
    while let scalar = peek, scalar != "}" {
      if name.utf8.count > 40 { throw error("a property's name", "more than 40 characters") }
      name.unicodeScalars.append(scalar)
      at += 1
    }
    guard skip("}") else { throw error("'}'") }
    guard let set = CodePoints.property(name) else {
      throw error("a general category, or one of the scripts \(UnicodeTable.scriptNames)", "\\p{\(name)}")
    }
    return inverted ? set.inverted : set
  }

  /// `\uHHHH`, `\x{H…}`, or `\xHH` within ASCII (above it that would be a byte, not a code point).
  private mutating func hexadecimal(_ kind: Unicode.Scalar) throws(PatternError) -> Unicode.Scalar {
    let wanted = "a code point in hexadecimal: \\uHHHH, \\x{H…} or \\xHH up to 7F"
    let braced = kind == "x" && skip("{")
    let most = braced ? 6 : kind == "x" ? 2 : 4
    var value: UInt32 = 0
    var digits = 0
    while digits < most, let scalar = peek, scalar.isASCII, let digit = Character(scalar).hexDigitValue {
      value = value << 4 | UInt32(digit)
      digits += 1
      at += 1
    }
    guard digits == most || (braced && digits > 0), let scalar = Unicode.Scalar(value),
      most != 2 || scalar.isASCII, !braced || skip("}")
    else { throw error(wanted) }
    return scalar
  }

  /// The inside of `[…]`: members, ranges, nested sets and `&&`.
  private mutating func bracket() throws(PatternError) -> CodePoints {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepest { throw error("at most \(Self.deepest) sets inside each other", "more") }
    literalBefore = nil
    let negated = skip("^")
    var whole: CodePoints?
    var part = CodePoints.none
    var members: [ClosedRange<UInt32>] = []
    var first = true
    func merged(_ set: CodePoints) -> CodePoints { whole.map { $0.intersection(set) } ?? set }
    while true {
      if skip("]") {
        if first { throw error("a set with members ('[]' is not supported)", "none") }
        break
      }
      first = false
      if skip("&&") {
        whole = merged(part.union(CodePoints(members)))
        part = .none
        members = []
        continue
      }
      if skip("[") {
        if peek == ":" { throw error("a set without POSIX brackets", "'[:'") }
        part = part.union(try bracket())
        continue
      }
      let (set, literal) = try member()
      guard let low = literal else {
        part = part.union(set)
        if peek == "-", at + 1 < text.count, text[at + 1] != "]" { throw error("no range after a set") }
        continue
      }
      var range = low.value...low.value
      if peek == "-", at + 1 < text.count, text[at + 1] != "]" {
        at += 1
        if peek == "[" { throw error("a range that ends in a character") }
        let (_, end) = try member()
        guard let end, end.value >= low.value else { throw error("a range that rises") }
        range = low.value...end.value
      }
      members.append(contentsOf: try foldedMembers(range))
    }
    let result = merged(part.union(CodePoints(members)))
    return negated ? result.inverted : result
  }

  private mutating func foldedMembers(_ range: ClosedRange<UInt32>) throws(PatternError) -> [ClosedRange<
    UInt32
  >] {
    guard foldsCase else { return [range] }
    guard range.upperBound < 0x80 else { throw error("ASCII where case is ignored", "more") }
    return CodePoints([range]).foldingASCII.ranges
  }

  private mutating func member() throws(PatternError) -> (CodePoints, Unicode.Scalar?) {
    let scalar = try next("']'")
    guard scalar == "\\" else { return (CodePoints(scalar), scalar) }
    let kind = peek
    let (set, literal) = try escape()
    if foldsCase, literal == nil, let kind, !"sSdD".unicodeScalars.contains(kind) {
      throw error("no property inside a set where case is ignored", "\\\(kind)")
    }
    return (set, literal)
  }
}
