/// Reads JSON strictly (RFC 8259), value by value, without building what is not asked for.
///
/// Stricter than most: the text is valid UTF-8, keys of an object are unique in `value()`, surrogate
/// escapes come in pairs, nothing follows the value, and nesting has a limit. Every error names the
/// file and the byte.
public struct JSONScanner: Sendable {
  /// Deepest nesting of arrays and objects that is read.
  public static let depthLimit = 128

  private let bytes: [UInt8]
  private let path: String
  private let base: UInt64
  private var at = 0
  /// One entry per open array or object: whether an element has been read.
  private var open: [Bool] = []

  /// - Parameters:
  ///   - bytes: the text.
  ///   - path: the file it comes from, for errors.
  ///   - base: where the text starts in that file, in bytes.
  public init(_ bytes: [UInt8], path: String, base: UInt64 = 0) {
    self.bytes = bytes
    self.path = path
    self.base = base
  }

  /// Position of the next byte in the file.
  public var offset: UInt64 { base + UInt64(at) }

  // MARK: Structure

  public mutating func beginObject() throws(FormatError) { try begin(UInt8(ascii: "{"), "an object") }

  public mutating func beginArray() throws(FormatError) { try begin(UInt8(ascii: "["), "an array") }

  /// The next key of the open object, its colon read; nil when the object ends here.
  public mutating func nextKey() throws(FormatError) -> String? {
    guard try advance(to: UInt8(ascii: "}")) else { return nil }
    guard peek() == UInt8(ascii: "\"") else { throw error("a key in double quotes") }
    let key = try string()
    skipSpace()
    guard peek() == UInt8(ascii: ":") else { throw error("':' after the key '\(printable(key))'") }
    at += 1
    return key
  }

  /// Whether the open array has one more element, which is to be read next.
  public mutating func nextElement() throws(FormatError) -> Bool {
    try advance(to: UInt8(ascii: "]"))
  }

  /// Ends the text: only white space may follow.
  public mutating func end() throws(FormatError) {
    skipSpace()
    guard at == bytes.count else { throw error("the end of the JSON text") }
  }

  // MARK: Values

  /// The next value as a tree.
  public mutating func value() throws(FormatError) -> JSON {
    skipSpace()
    switch peek() {
    case UInt8(ascii: "{"):
      try beginObject()
      var object = JSONObject()
      while true {
        let start = offset
        guard let key = try nextKey() else { break }
        guard object.insert(key, try value()) else {
          throw FormatError(
            path: path, offset: start, expected: "keys that occur once in an object",
            found: "'\(printable(key))' a second time")
        }
      }
      return .object(object)
    case UInt8(ascii: "["):
      try beginArray()
      var array: [JSON] = []
      while try nextElement() { array.append(try value()) }
      return .array(array)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"):
      try word("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try word("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try word("null")
      return .null
    default: return .number(try number())
    }
  }

  /// The next value, an unsigned integer written in plain digits.
  public mutating func unsignedInteger() throws(FormatError) -> UInt64 {
    skipSpace()
    let start = at
    var result: UInt64 = 0
    while let digit = peek(), digit >= 0x30, digit <= 0x39 {
      let (high, overflow) = result.multipliedReportingOverflow(by: 10)
      let (sum, carry) = high.addingReportingOverflow(UInt64(digit - 0x30))
      guard !overflow && !carry else {
        at = start
        throw error("an integer below 2^64")
      }
      result = sum
      at += 1
    }
    let digits = at - start
    let next = peek() ?? 0
    guard digits > 0, digits == 1 || bytes[start] != 0x30, next != UInt8(ascii: "."),
      next != UInt8(ascii: "e"), next != UInt8(ascii: "E")
    else {
      at = start
      throw error("an unsigned integer")
    }
    return result
  }

  /// The next value, a string.
  public mutating func string() throws(FormatError) -> String {
    skipSpace()
    guard peek() == UInt8(ascii: "\"") else { throw error("a string") }
    at += 1
    let start = at
    while at < bytes.count {
      let byte = bytes[at]
      if byte == UInt8(ascii: "\"") {
        let text = try utf8(bytes[start..<at], from: start)
        at += 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
      guard byte >= 0x20 else { throw error("no control character in a string") }
      at += 1
    }
    throw error("'\"' at the end of a string")
  }

  /// Whether the next value is null, which is then read.
  public mutating func null() throws(FormatError) -> Bool {
    skipSpace()
    guard peek() == UInt8(ascii: "n") else { return false }
    try word("null")
    return true
  }

  // MARK: Parts

  private func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x09, 0x0A, 0x0D: at += 1
      default: return
      }
    }
  }

  private mutating func begin(_ byte: UInt8, _ what: String) throws(FormatError) {
    skipSpace()
    guard peek() == byte else { throw error(what) }
    guard open.count < JSONScanner.depthLimit else {
      throw error("at most \(JSONScanner.depthLimit) levels of nesting")
    }
    at += 1
    open.append(false)
  }

  /// Moves to the next element of the innermost array or object; false (and it is closed) at `end`.
  private mutating func advance(to end: UInt8) throws(FormatError) -> Bool {
    precondition(!open.isEmpty, "no array or object is open")
    skipSpace()
    if peek() == end {
      at += 1
      open.removeLast()
      return false
    }
    if open[open.count - 1] {
      guard peek() == UInt8(ascii: ",") else {
        throw error("',' or '\(Character(Unicode.Scalar(end)))'")
      }
      at += 1
      skipSpace()
    }
    open[open.count - 1] = true
    return true
  }

  private mutating func word(_ text: String) throws(FormatError) {
    for byte in text.utf8 {
      guard peek() == byte else { throw error("'\(text)'") }
      at += 1
    }
  }

  private mutating func number() throws(FormatError) -> JSONNumber {
    let start = at
    func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }
    if peek() == UInt8(ascii: "-") { at += 1 }
    guard isDigit(peek()) else {
      at = start
      throw error("a value")
    }
    if peek() == 0x30 {
      at += 1
      guard !isDigit(peek()) else { throw error("a number without leading zeros") }
    }
    while isDigit(peek()) { at += 1 }
    if peek() == UInt8(ascii: ".") {
      at += 1
      guard isDigit(peek()) else { throw error("a digit after the decimal point") }
      while isDigit(peek()) { at += 1 }
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      at += 1
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { at += 1 }
      guard isDigit(peek()) else { throw error("a digit in the exponent") }
      while isDigit(peek()) { at += 1 }
    }
    return JSONNumber(checked: String(decoding: bytes[start..<at], as: UTF8.self))
  }

  /// Reads on from the first escape in a string that began at `start`.
  private mutating func escapedString(from start: Int) throws(FormatError) -> String {
    var out = Array(bytes[start..<at])
    while let byte = peek() {
      switch byte {
      case UInt8(ascii: "\""):
        let text = try utf8(out[...], from: start)
        at += 1
        return text
      case UInt8(ascii: "\\"):
        at += 1
        try escape(into: &out)
      case 0..<0x20: throw error("no control character in a string")
      default:
        out.append(byte)
        at += 1
      }
    }
    throw error("'\"' at the end of a string")
  }

  private mutating func escape(into out: inout [UInt8]) throws(FormatError) {
    guard let letter = peek() else { throw error("a character after '\\'") }
    at += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(letter)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hex4()
      if (0xD800..<0xDC00).contains(code), peek() == UInt8(ascii: "\\"), at + 1 < bytes.count,
        bytes[at + 1] == UInt8(ascii: "u")
      {
        at += 2
        let low = try hex4()
        guard (0xDC00..<0xE000).contains(low) else { throw error("the low half of a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error("surrogate escapes in pairs") }
      out.append(contentsOf: Array(String(Character(scalar)).utf8))
    default:
      at -= 1
      throw error("one of \" \\ / b f n r t u after '\\'")
    }
  }

  private mutating func hex4() throws(FormatError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80
      else { throw error("four hexadecimal digits after \\u") }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }

  private func utf8(_ slice: ArraySlice<UInt8>, from start: Int) throws(FormatError) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw FormatError(
        path: path, offset: base + UInt64(start), expected: "valid UTF-8",
        found: "a string that is not")
    }
    return text
  }

  /// The error at the next byte.
  public func error(_ expected: String) -> FormatError {
    let found =
      if at >= bytes.count {
        "the end of the text"
      } else if bytes[at] > 0x20 && bytes[at] < 0x7F {
        "'\(Character(Unicode.Scalar(bytes[at])))'"
      } else {
        "byte 0x\(String(bytes[at], radix: 16))"
      }
    // Not JSON at all: perhaps it can be told what it is.
    if open.isEmpty, base == 0, let other = StandIn.description(Bytes(Array(bytes.prefix(2048)))) {
      return FormatError(path: path, expected: "JSON", found: other)
    }
    return FormatError(path: path, offset: offset, expected: expected, found: found)
  }
}

extension JSON {
  /// Parses one JSON text.
  /// - Parameters:
  ///   - bytes: the whole text in UTF-8, without a byte order mark.
  ///   - path: the file it comes from, for errors.
  public static func parse(_ bytes: [UInt8], path: String) throws(FormatError) -> JSON {
    var scanner = JSONScanner(bytes, path: path)
    let value = try scanner.value()
    try scanner.end()
    return value
  }
}
