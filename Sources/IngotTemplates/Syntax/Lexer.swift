/// Cuts a template into tokens. White space around tags is treated as transformers sets it: a line end behind
/// a block or comment goes (`trim_blocks`), and so does white space between the start of a line and one
/// (`lstrip_blocks`); `-` takes all white space, `+` keeps it.
struct Lexer {
  /// The template with line feeds alone for ends of lines, without one at its end.
  let source: Text
  private(set) var at = 0
  private(set) var line = 1
  private(set) var tokens: [Token] = []
  /// Brackets that are open within a tag.
  private var open: [UInt8] = []
  /// Whether the piece before ended with a line.
  private var isLineStart = true

  init(_ text: String) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    var wasReturn = false
    for byte in text.utf8 {
      if byte == 0x0A && wasReturn {
        wasReturn = false
        continue
      }
      wasReturn = byte == 0x0D
      bytes.append(wasReturn ? 0x0A : byte)
    }
    if bytes.last == 0x0A { bytes.removeLast() }
    source = Text(bytes)
  }

  static func tokens(_ text: String) throws(Fault) -> [Token] {
    var lexer = Lexer(text)
    try lexer.run()
    lexer.add(.end)
    return lexer.tokens
  }

  mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

  func fault(_ expected: String, _ found: String) -> Fault {
    Fault(expected: expected, found: found, line: line)
  }

  var bytes: [UInt8] { source.bytes }

  func byte(_ index: Int) -> UInt8? { index < source.bytes.count ? source.bytes[index] : nil }

  /// Moves to byte `end`, counting lines.
  mutating func advance(to end: Int) {
    for byte in source.bytes[at..<end] where byte == 0x0A { line += 1 }
    if end > at { isLineStart = source.bytes[end - 1] == 0x0A }
    at = end
  }

  /// Where white space from byte `start` on ends.
  func spaceEnd(_ start: Int) -> Int {
    var end = start
    while end < source.bytes.count {
      var next = end
      guard source.next(&next).isPythonSpace else { break }
      end = next
    }
    return end
  }

  private func stands(_ text: StaticString, at index: Int) -> Bool {
    let wanted = Text("\(text)").bytes
    return index + wanted.count <= source.bytes.count
      && source.bytes[index..<(index + wanted.count)].elementsEqual(wanted)
  }

  private func isSign(_ byte: UInt8?) -> Bool { byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") }

  private mutating func run() throws(Fault) {
    while at < bytes.count {
      guard let start = nextTag(at) else {
        add(.data(Text(bytes[at...])))
        return
      }
      let kind = bytes[start + 1]
      let sign = isSign(byte(start + 2)) ? byte(start + 2) : nil
      addData(until: start, sign, isVariable: kind == UInt8(ascii: "{"))
      switch kind {
      case UInt8(ascii: "#"): try comment(start + 2 + (sign == nil ? 0 : 1))
      case UInt8(ascii: "{"):
        add(.variableBegin)
        advance(to: start + 2 + (sign == nil ? 0 : 1))
        try tag(isBlock: false)
      default:
        if let end = rawBegin(start) {
          advance(to: end)
          try raw()
        } else {
          add(.blockBegin)
          advance(to: start + 2 + (sign == nil ? 0 : 1))
          try tag(isBlock: true)
        }
      }
    }
  }

  private func nextTag(_ from: Int) -> Int? {
    var index = from
    while index + 1 < bytes.count {
      if bytes[index] == UInt8(ascii: "{") {
        let next = bytes[index + 1]
        if next == UInt8(ascii: "%") || next == UInt8(ascii: "{") || next == UInt8(ascii: "#") {
          return index
        }
      }
      index += 1
    }
    return nil
  }

  /// The text before a tag, without the white space that the tag takes.
  private mutating func addData(until end: Int, _ sign: UInt8?, isVariable: Bool) {
    var text = Text(bytes[at..<end])
    if sign == UInt8(ascii: "-") {
      text = text.stripped(nil, .trailing)
    } else if sign == nil && !isVariable {
      let lineStart = (text.bytes.lastIndex(of: 0x0A) ?? -1) + 1
      if lineStart > 0 || isLineStart, lineStart < text.bytes.count,
        Text(text.bytes[lineStart...]).isAll(\.isPythonSpace)
      {
        text = Text(text.bytes[..<lineStart])
      }
    }
    if !text.isEmpty { add(.data(text)) }
    advance(to: end)
  }

  private mutating func comment(_ start: Int) throws(Fault) {
    guard let end = source.find("#}", from: start) else {
      throw fault("'#}' at the end of a comment", "the end of the template")
    }
    let before = end > start ? bytes[end - 1] : 0
    var after = end + 2
    if before == UInt8(ascii: "-") {
      after = spaceEnd(after)
    } else if before != UInt8(ascii: "+"), byte(after) == 0x0A {
      after += 1
    }
    advance(to: after)
  }

  /// Where `{% raw %}` ends, if that is what begins at byte `start`.
  private func rawBegin(_ start: Int) -> Int? {
    var index = start + 2
    if isSign(byte(index)) { index += 1 }
    index = spaceEnd(index)
    guard stands("raw", at: index) else { return nil }
    index = spaceEnd(index + 3)
    if stands("-%}", at: index) { return spaceEnd(index + 3) }
    return stands("%}", at: index) ? index + 2 : nil
  }

  /// Text up to `{% endraw %}`, taken as it is.
  private mutating func raw() throws(Fault) {
    var from = at
    while let start = source.find("{%", from: from) {
      from = start + 1
      var index = start + 2
      let sign = isSign(byte(index)) ? byte(index) : nil
      if sign != nil { index += 1 }
      index = spaceEnd(index)
      guard stands("endraw", at: index) else { continue }
      index = spaceEnd(index + 6)
      var end: Int?
      if stands("+%}", at: index) { end = index + 3 }
      if stands("-%}", at: index) { end = spaceEnd(index + 3) }
      if stands("%}", at: index) { end = byte(index + 2) == 0x0A ? index + 3 : index + 2 }
      guard let end else { continue }
      addData(until: start, sign, isVariable: false)
      advance(to: end)
      return
    }
    throw fault("'{% endraw %}'", "the end of the template")
  }

  /// The tokens of a tag, and its end.
  private mutating func tag(isBlock: Bool) throws(Fault) {
    let close = UInt8(ascii: isBlock ? "%" : "}")
    while true {
      if open.isEmpty, let end = tagEnd(close, isBlock: isBlock) {
        add(isBlock ? .blockEnd : .variableEnd)
        advance(to: end)
        return
      }
      let end = spaceEnd(at)
      if end > at {
        advance(to: end)
        continue
      }
      guard at < bytes.count else {
        // Nothing is missing for the lexer; the parser sees that the tag has no end.
        return
      }
      try token()
    }
  }

  private func tagEnd(_ close: UInt8, isBlock: Bool) -> Int? {
    var index = at
    let sign = byte(index)
    if sign == UInt8(ascii: "-") || isBlock && sign == UInt8(ascii: "+") { index += 1 }
    guard byte(index) == close, byte(index + 1) == UInt8(ascii: "}") else { return nil }
    if index > at && sign == UInt8(ascii: "-") { return spaceEnd(index + 2) }
    if isBlock && index == at && byte(index + 2) == 0x0A { return index + 3 }
    return index + 2
  }

  private mutating func token() throws(Fault) {
    if let end = try number() {
      advance(to: end)
    } else if let end = nameEnd() {
      let name = Text(bytes[at..<end])
      guard name.isIdentifier else { throw fault("a name", "'\(name.string)'") }
      add(.name(name.string))
      advance(to: end)
    } else if bytes[at] == UInt8(ascii: "'") || bytes[at] == UInt8(ascii: "\"") {
      try text()
    } else {
      try symbol()
    }
  }

  private func nameEnd() -> Int? {
    var end = at
    while end < bytes.count {
      var next = end
      let scalar = source.next(&next)
      guard scalar.isWord || (!scalar.isASCII && scalar.properties.isXIDContinue) else { break }
      end = next
    }
    return end > at ? end : nil
  }

  private mutating func text() throws(Fault) {
    let quote = bytes[at]
    var end = at + 1
    while true {
      guard let next = byte(end) else {
        throw fault("a quotation mark at the end of a text", "the end of the template")
      }
      if next == quote { break }
      end += next == UInt8(ascii: "\\") ? 2 : 1
    }
    do {
      add(.text(try StringEscapes.resolved(Text(bytes[(at + 1)..<end]))))
    } catch {
      throw fault(error.expected, error.found)
    }
    advance(to: end + 1)
  }

  private mutating func symbol() throws(Fault) {
    let two = at + 1 < bytes.count ? Token.Symbol(rawValue: Text(bytes[at..<(at + 2)]).string) : nil
    guard let symbol = two ?? Token.Symbol(rawValue: String(Unicode.Scalar(bytes[at]))) else {
      var next = at
      throw fault("an expression", "the character '\(Character(source.next(&next)))'")
    }
    switch symbol {
    case .open: open.append(UInt8(ascii: ")"))
    case .openBracket: open.append(UInt8(ascii: "]"))
    case .openBrace: open.append(UInt8(ascii: "}"))
    case .close, .closeBracket, .closeBrace:
      guard open.popLast() == symbol.rawValue.utf8.first else {
        throw fault("brackets that match", "'\(symbol.rawValue)'")
      }
    default: break
    }
    add(.symbol(symbol))
    advance(to: at + symbol.rawValue.utf8.count)
  }
}
