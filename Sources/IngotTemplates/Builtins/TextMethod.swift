/// Methods of Python's `str`, without those that chat templates have no use for (`casefold`, `encode`, `expandtabs`, `format_map`,
/// `isidentifier`, `istitle`, `maketrans`, `swapcase`, `translate`).
enum TextMethod: String {
  case capitalize, center, count, endswith, find, format, index, isalnum, isalpha, isascii, isdecimal, isdigit
  case islower, isnumeric, isprintable, isspace, isupper, join, ljust, lower, lstrip, partition, removeprefix
  case removesuffix, replace, rfind, rindex, rjust, rpartition, rsplit, rstrip, split, splitlines
  case startswith, strip, title, upper, zfill
}

extension Text {
  func call(_ method: TextMethod, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    try run.spend(1)
    try run.spend(bytes: bytes.count)
    switch method {
    case .strip: return try strip(.both, method, arguments, run)
    case .lstrip: return try strip(.leading, method, arguments, run)
    case .rstrip: return try strip(.trailing, method, arguments, run)
    case .split, .rsplit: return try split(method, arguments, run)
    case .splitlines:
      let keeps = try arguments.bound("splitlines", ["keepends"])[0]?.asInt("keepends") ?? 0
      return try list(lines(keepingEnds: keeps != 0), run)
    case .startswith, .endswith: return try begins(method, arguments, run)
    case .find, .rfind, .index, .rindex, .count: return try find(method, arguments, run)
    case .replace: return try replace(arguments, run)
    case .removeprefix, .removesuffix:
      let part = try arguments.bound(method.rawValue, ["part"], required: 1, positionalOnly: !isMarkup)[0]!
        .asText("what is removed")
      guard !part.isEmpty, method == .removeprefix ? hasPrefix(part.bytes) : hasSuffix(part.bytes) else {
        return .text(self)
      }
      return made(
        method == .removeprefix
          ? Text(bytes.dropFirst(part.bytes.count)) : Text(bytes.dropLast(part.bytes.count)))
    case .partition, .rpartition: return try partition(method, arguments, run)
    case .join: return try join(arguments, run)
    case .format: return .text(try FormatText(self, arguments, run).expanded().marked(isMarkup))
    case .center, .ljust, .rjust: return try pad(method, arguments, run)
    case .zfill: return try zeroFill(arguments, run)
    default:
      _ = try arguments.bound(method.rawValue, [])
      try run.spend(slow: bytes.count)
      return try plain(method, run)
    }
  }

  /// Methods without parameters.
  private func plain(_ method: TextMethod, _ run: Rendering) throws(Fault) -> Value {
    switch method {
    case .lower: made(lowercased)
    case .upper: made(uppercased)
    case .capitalize: made(capitalized)
    case .title: made(titlecased)
    case .isalnum: .bool(isAll(\.isPythonAlphanumeric))
    case .isalpha: .bool(isAll(\.isPythonLetter))
    case .isascii: .bool(isASCII)
    case .isdecimal: .bool(isAll(\.isPythonDecimal))
    case .isdigit: .bool(isAll(\.isPythonDigit))
    case .isnumeric: .bool(isAll(\.isPythonNumeric))
    case .isspace: .bool(isAll(\.isPythonSpace))
    case .isprintable: .bool(isEmpty || isAll(\.isPythonPrintable))
    case .islower: .bool(isLower)
    case .isupper: .bool(isUpper)
    default: preconditionFailure("\(method) has parameters")
    }
  }

  /// A result that is markup when this is.
  func made(_ text: Text) -> Value { .text(text.marked(isMarkup)) }

  func list(_ parts: [Text], _ run: Rendering) throws(Fault) -> Value {
    try run.list(parts.map { .text($0.marked(isMarkup)) })
  }

  /// What an argument of a method of markup becomes.
  func escapedWithin(_ text: Text) -> Text { isMarkup ? text.escaped : text }

  private func strip(_ ends: Ends, _ method: TextMethod, _ arguments: Arguments, _ run: Rendering)
    throws(Fault) -> Value
  {
    let chars = try arguments.bound(method.rawValue, ["chars"], positionalOnly: !isMarkup)[0] ?? .null
    if chars.isNull { return made(stripped(nil, ends)) }
    let set = try chars.asText("what is stripped")
    try run.spend(bytes: set.bytes.count * 64)
    return made(stripped(set, ends))
  }

  private func split(_ method: TextMethod, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound(method.rawValue, ["sep", "maxsplit"])
    let most = try values[1]?.asInt("maxsplit") ?? -1
    let limit = most < 0 ? Int.max : most
    guard let separator = values[0], !separator.isNull else {
      return try list(method == .split ? words(limit: limit) : wordsFromRight(limit: limit), run)
    }
    let text = try separator.asText("a separator")
    guard !text.isEmpty else { throw Fault(expected: "a separator", found: "an empty text") }
    return try list(
      method == .split ? split(text, limit: limit) : splitFromRight(text, limit: limit), run)
  }

  private func replace(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound("replace", ["old", "new", "count"], required: 2, positionalOnly: true)
    let old = try values[0]!.asText("what is replaced")
    let new = escapedWithin(try values[1]!.asText("a replacement"))
    return made(try replacing(old, with: new, count: try values[2]?.asInt("count") ?? -1, run))
  }

  /// Replaces at most `count` times, or always when that is negative; the result is counted first.
  func replacing(_ old: Text, with new: Text, count: Int, _ run: Rendering) throws(Fault) -> Text {
    let limit = count < 0 ? Int.max : count
    let times = old.isEmpty ? min(self.count + 1, limit) : occurrences(of: old, limit: limit)
    try run.spend(times >> 2)
    if times == 0 { return Text(bytes) }
    if new.bytes.count > old.bytes.count {
      try run.make(times, of: new.bytes.count - old.bytes.count)
      try run.make(bytes: bytes.count, after: times * (new.bytes.count - old.bytes.count))
    }
    return replacing(old, with: new, limit: limit)
  }

  private func partition(_ method: TextMethod, _ arguments: Arguments, _ run: Rendering)
    throws(Fault) -> Value
  {
    let separator = try arguments.bound(method.rawValue, ["sep"], required: 1, positionalOnly: true)[0]!
      .asText("a separator")
    guard !separator.isEmpty else { throw Fault(expected: "a separator", found: "an empty text") }
    let isLast = method == .rpartition
    let found = isLast ? findLast(separator.bytes, in: 0..<bytes.count) : find(separator)
    guard let found else {
      return try run.tuple(isLast ? [made(""), made(""), .text(self)] : [.text(self), made(""), made("")])
    }
    return try run.tuple([
      made(Text(bytes[..<found])), made(separator), made(Text(bytes[(found + separator.bytes.count)...])),
    ])
  }

  private func join(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let source = try arguments.bound("join", ["iterable"], required: 1, positionalOnly: true)[0]!
    var parts: [Text] = []
    for item in try source.items(run) {
      if isMarkup {
        parts.append(try item.escaped(run))
      } else {
        parts.append(try item.asText("what is joined"))
      }
    }
    return made(try joined(parts, run))
  }

  /// `parts` with this between them.
  func joined(_ parts: [Text], _ run: Rendering) throws(Fault) -> Text {
    var length = 0
    for part in parts {
      try run.make(bytes: part.bytes.count + bytes.count, after: length)
      length += part.bytes.count + bytes.count
    }
    var out: [UInt8] = []
    out.reserveCapacity(length)
    for (index, part) in parts.enumerated() {
      if index > 0 { out.append(contentsOf: bytes) }
      out.append(contentsOf: part.bytes)
    }
    return Text(out)
  }
}
