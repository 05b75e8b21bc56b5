/// Filters that make texts of texts. Most take any value, as it is printed.
extension Filters {
  /// A value as text: markup stays markup.
  static func soft(_ value: Value, _ run: Rendering) throws(Fault) -> Text {
    if case .text(let text) = value {
      try run.spend(bytes: text.bytes.count)
      return text
    }
    return try value.printed(run)
  }

  static func text(
    _ value: Value, _ arguments: Arguments, _ name: String, _ run: Rendering, _ change: (Text) -> Text
  ) throws(Fault) -> Value {
    _ = try arguments.bound(name, [])
    let text = try soft(value, run)
    try run.spend(slow: text.bytes.count)
    return .text(change(text).marked(text.isMarkup))
  }

  static let string: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("string", [])
    return .text(try soft(value, run))
  }

  static let safe: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("safe", [])
    return .text(try soft(value, run).marked(true))
  }

  static let escape: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("escape", [])
    return .text(try value.escaped(run))
  }

  static let trim: Filter = { (value, arguments, run) throws(Fault) in
    let text = try soft(value, run)
    let chars = try arguments.bound("trim", ["chars"])[0] ?? .null
    if chars.isNull { return .text(text.stripped()) }
    return .text(text.stripped(try chars.asText("what is trimmed")).marked(text.isMarkup))
  }

  static let center: Filter = { (value, arguments, run) throws(Fault) in
    let text = try soft(value, run)
    let width = try arguments.bound("center", ["width"])[0]?.asInt("a width") ?? 80
    return .text(try text.centered(width, " ", run).marked(text.isMarkup))
  }

  static let format: Filter = { (value, arguments, run) throws(Fault) in
    guard arguments.positional.isEmpty || arguments.named.isEmpty else {
      throw Fault(expected: "arguments for format by place or by name", found: "both")
    }
    let text = try soft(value, run)
    if arguments.named.isEmpty {
      return .text(try PercentFormat(text, try run.tuple(arguments.positional), run).expanded())
    }
    var builder = DictBuilder()
    for (name, value) in arguments.named { builder.set(Text(name), value) }
    return .text(try PercentFormat(text, .dict(builder.dict), run).expanded())
  }

  static let replace: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("replace", ["old", "new", "count"], required: 2)
    let text = try value.printed(run)
    let old = try values[0]!.printed(run)
    let new = try values[1]!.printed(run)
    var count = -1
    if let given = values[2], !given.isNull { count = try given.asInt("count") }
    try run.spend(bytes: text.bytes.count)
    return .text(try text.replacing(old, with: new, count: count, run))
  }

  static let join: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("join", ["d", "attribute"])
    let path = AttributePath(values[1] ?? .null)
    let separator = try values[0]?.printed(run) ?? ""
    var parts: [Text] = []
    for item in try value.items(run) { parts.append(try path.of(item, run).printed(run)) }
    return .text(try separator.joined(parts, run))
  }

  static let indent: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("indent", ["width", "first", "blank"])
    let text = try value.asText("what is indented")
    try run.spend(bytes: text.bytes.count)
    var space: Text
    if case .text(let own) = values[0] {
      space = own
    } else {
      let width = Swift.max(try values[0]?.asInt("a width") ?? 4, 0)
      try run.make(bytes: width)
      space = Text([UInt8](repeating: 0x20, count: width))
    }
    let first = try values[1]?.isTrue(run) ?? false
    let blank = try values[2]?.isTrue(run) ?? false
    var ended = text
    ended.append("\n")
    var lines = ended.lines()
    try run.make(lines.count, of: space.bytes.count)
    for index in lines.indices where index > 0 && (blank || !lines[index].isEmpty) {
      lines[index] = Text(space.bytes + lines[index].bytes)
    }
    var out = first ? space : Text()
    out.append(try Text("\n").joined(lines, run))
    return .text(out.marked(text.isMarkup))
  }

  static let truncate: Filter = { (value, arguments, run) throws(Fault) in
    let values = try arguments.bound("truncate", ["length", "killwords", "end", "leeway"])
    let length = try values[0]?.asInt("a length") ?? 255
    let end = try values[2]?.asText("an end") ?? "..."
    var leeway = 5
    if let given = values[3], !given.isNull { leeway = try given.asInt("a leeway") }
    guard length >= end.count, leeway >= 0 else {
      throw Fault(expected: "a length of at least \(end.count) and a leeway of at least 0", found: "less")
    }
    guard let count = try value.length(run) else {
      throw Fault(expected: "something to shorten", found: "a value of type \(value.typeName)")
    }
    if count <= length || count - length <= leeway { return value }
    let text = try value.asText("what is shortened")
    var kept = text.codePoints(0..<(length - end.count))
    if try !(values[1]?.isTrue(run) ?? false) {
      kept = kept.splitFromRight(" ", limit: 1)[0]
    }
    return try kept.marked(text.isMarkup).plus(end, run)
  }

  static let wordCount: Filter = { (value, arguments, run) throws(Fault) in
    _ = try arguments.bound("wordcount", [])
    var count = 0
    var isWithin = false
    let text = try soft(value, run)
    try run.spend(slow: text.bytes.count)
    for scalar in text.scalars {
      if scalar.isWord && !isWithin { count += 1 }
      isWithin = scalar.isWord
    }
    return .int(count)
  }
}

extension Text {
  /// The filter `title`: large letters where words begin, by other rules than the method's.
  var filterTitle: Text {
    var out = Text()
    var word: [Unicode.Scalar] = []
    func close() {
      guard let first = word.first else { return }
      out.append(Text(first).uppercased)
      out.append(Text(word.dropFirst()).lowercased)
      word = []
    }
    var isBetween = false
    for scalar in scalars {
      let separates =
        switch scalar {
        case "-", "(", "{", "[", "<": true
        default: scalar.isPythonSpace
        }
      if separates != isBetween { close() }
      isBetween = separates
      word.append(scalar)
    }
    close()
    return out
  }
}
