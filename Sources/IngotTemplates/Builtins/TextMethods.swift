/// Methods of texts that look for something, and those that fill up to a width.
extension Text {
  func begins(_ method: TextMethod, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound(
      method.rawValue, ["affix", "start", "end"], required: 1, positionalOnly: true)
    let part = try part(values[1], values[2])
    func matches(_ affix: Text) -> Bool {
      // A start beyond the end leaves nothing, not even the empty text.
      guard let part else { return false }
      return method == .startswith ? part.hasPrefix(affix.bytes) : part.hasSuffix(affix.bytes)
    }
    if case .tuple(let list) = values[0]! {
      for item in list.items {
        guard case .text(let affix) = item else {
          throw Fault(expected: "texts in the tuple for \(method.rawValue)", found: item.typeName)
        }
        if matches(affix) { return .bool(true) }
      }
      return .bool(false)
    }
    return .bool(matches(try values[0]!.asText("what \(method.rawValue) compares with")))
  }

  func find(_ method: TextMethod, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound(
      method.rawValue, ["sub", "start", "end"], required: 1, positionalOnly: true)
    let needle = try values[0]!.asText("what is looked for")
    let range = try byteRange(values[1], values[2])
    if method == .count {
      guard let range else { return .int(0) }
      if needle.isEmpty { return .int(Text(bytes[range]).count + 1) }
      return .int(Text(bytes[range]).occurrences(of: needle))
    }
    let isLast = method == .rfind || method == .rindex
    var found: Int?
    if let range {
      if needle.isEmpty {
        found = isLast ? range.upperBound : range.lowerBound
      } else {
        found = isLast ? findLast(needle.bytes, in: range) : find(needle.bytes, in: range)
      }
    }
    if let found { return .int(Text(bytes[..<found]).count) }
    guard method == .find || method == .rfind else {
      throw Fault(expected: "a part that occurs, for \(method.rawValue)", found: "one that does not")
    }
    return .int(-1)
  }

  /// The bytes between two code points, counted as slices are; nil when the start is beyond the end.
  private func byteRange(_ start: Value?, _ end: Value?) throws(Fault) -> Range<Int>? {
    if start == nil && end == nil { return 0..<bytes.count }
    let count = self.count
    func place(_ value: Value?, otherwise: Int) throws(Fault) -> Int {
      guard let value, !value.isNull else { return otherwise }
      let index = try value.asInt("a position")
      return index < 0 ? max(index + count, 0) : index
    }
    let from = try place(start, otherwise: 0)
    let to = min(try place(end, otherwise: count), count)
    guard from <= to else { return nil }
    let lower = offset(of: from)
    return lower..<offset(of: to - from, from: lower)
  }

  private func part(_ start: Value?, _ end: Value?) throws(Fault) -> Text? {
    if start == nil && end == nil { return self }
    return try byteRange(start, end).map { Text(bytes[$0]) }
  }

  func pad(_ method: TextMethod, _ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let values = try arguments.bound(
      method.rawValue, ["width", "fillchar"], required: 1, positionalOnly: !isMarkup)
    let width = try values[0]!.asInt("a width")
    let fill = escapedWithin(try values[1]?.asText("what is filled with") ?? " ")
    guard fill.count == 1 else { throw Fault(expected: "one character to fill with", found: "\(fill.count)") }
    let count = count
    guard width > count else { return .text(self) }
    let missing = width - count
    switch method {
    case .ljust: return made(try padded(left: 0, right: missing, fill, run))
    case .rjust: return made(try padded(left: missing, right: 0, fill, run))
    default: return made(try centered(width, fill, run))
    }
  }

  func centered(_ width: Int, _ fill: Text, _ run: Rendering) throws(Fault) -> Text {
    let count = count
    guard width > count else { return self }
    let missing = width - count
    // Of an odd number the larger half stands left when the width is odd too.
    let left = missing / 2 + (missing & width & 1)
    return try padded(left: left, right: missing - left, fill, run)
  }

  func padded(left: Int, right: Int, _ fill: Text, _ run: Rendering) throws(Fault) -> Text {
    let (total, overflow) = max(left, 0).addingReportingOverflow(max(right, 0))
    try run.make(overflow ? .max : total, of: fill.bytes.count)
    try run.make(bytes: bytes.count, after: total * fill.bytes.count)
    var out = Text.repeated(fill, max(left, 0))
    out.append(self)
    out.append(Text.repeated(fill, max(right, 0)))
    return out
  }

  /// `count` times one character.
  private static func repeated(_ fill: Text, _ count: Int) -> Text {
    if fill.bytes.count == 1 { return Text([UInt8](repeating: fill.bytes[0], count: count)) }
    var out = Text()
    for _ in 0..<count { out.append(fill) }
    return out
  }

  func zeroFill(_ arguments: Arguments, _ run: Rendering) throws(Fault) -> Value {
    let width = try arguments.bound("zfill", ["width"], required: 1, positionalOnly: !isMarkup)[0]!
      .asInt("a width")
    let count = count
    guard width > count else { return .text(self) }
    let missing = width - count
    let hasSign = bytes.first == UInt8(ascii: "-") || bytes.first == UInt8(ascii: "+")
    let sign = Text(bytes.prefix(hasSign ? 1 : 0))
    var out = sign
    out.append(try Text(bytes.dropFirst(hasSign ? 1 : 0)).padded(left: missing, right: 0, "0", run))
    return made(out)
  }

  var isIdentifier: Bool {
    let scalars = scalars
    guard let first = scalars.first else { return false }
    return (first == "_" || first.properties.isXIDStart) && scalars.allSatisfy { $0.properties.isXIDContinue }
  }
}
