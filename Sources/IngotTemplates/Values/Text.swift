/// A string as Python has it: a sequence of code points. Two texts are equal when their code points are;
/// Swift's `String` would also hold composed and decomposed letters for equal.
struct Text: Sendable {
  /// UTF-8, always valid.
  var bytes: [UInt8]
  /// Whether this is markup: text that counts as escaped for HTML, which escapes what is joined to it.
  var isMarkup = false

  init(_ bytes: [UInt8] = [], isMarkup: Bool = false) {
    self.bytes = bytes
    self.isMarkup = isMarkup
  }

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }

  init(_ string: String) { bytes = Array(string.utf8) }

  init(_ scalar: Unicode.Scalar) {
    bytes = []
    append(scalar)
  }

  init(_ scalars: some Sequence<Unicode.Scalar>) {
    bytes = []
    for scalar in scalars { append(scalar) }
  }

  var string: String { String(decoding: bytes, as: UTF8.self) }
  var isEmpty: Bool { bytes.isEmpty }

  /// The number of code points.
  var count: Int {
    var continuations = 0
    for byte in bytes where byte & 0xC0 == 0x80 { continuations += 1 }
    return bytes.count - continuations
  }

  var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }

  var scalars: [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(bytes.count)
    var at = 0
    while at < bytes.count { result.append(next(&at)) }
    return result
  }

  /// The code point that begins at byte `at`, which is moved behind it.
  func next(_ at: inout Int) -> Unicode.Scalar {
    let lead = bytes[at]
    at += 1
    if lead < 0x80 { return Unicode.Scalar(lead) }
    let more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3
    var value = UInt32(lead) & (0x3F >> UInt32(more))
    for _ in 0..<more {
      value = value << 6 | UInt32(bytes[at] & 0x3F)
      at += 1
    }
    return Unicode.Scalar(value)!
  }

  /// The code point that ends before byte `at`, which is moved to where it begins.
  func previous(_ at: inout Int) -> Unicode.Scalar {
    repeat { at -= 1 } while bytes[at] & 0xC0 == 0x80
    var end = at
    return next(&end)
  }

  /// The byte at which code point `index` begins; the end when there are fewer.
  func offset(of index: Int, from start: Int = 0) -> Int {
    var left = index
    var at = start
    while at < bytes.count && left > 0 {
      at += 1
      while at < bytes.count && bytes[at] & 0xC0 == 0x80 { at += 1 }
      left -= 1
    }
    return at
  }

  mutating func append(_ scalar: Unicode.Scalar) {
    if scalar.isASCII {
      bytes.append(UInt8(scalar.value))
    } else {
      bytes.append(contentsOf: UTF8.encode(scalar)!)
    }
  }

  mutating func append(_ other: Text) { bytes.append(contentsOf: other.bytes) }

  mutating func append(_ other: String) { bytes.append(contentsOf: other.utf8) }

  /// Code points `range` of this text.
  func codePoints(_ range: Range<Int>) -> Text {
    let start = offset(of: range.lowerBound)
    return Text(bytes[start..<offset(of: range.count, from: start)])
  }

  func marked(_ isMarkup: Bool) -> Text { Text(bytes, isMarkup: isMarkup) }
}

extension Text: Hashable {
  static func == (a: Text, b: Text) -> Bool { a.bytes == b.bytes }

  func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

  /// By code points; bytes of UTF-8 are in the same order.
  static func < (a: Text, b: Text) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
}

extension Text: ExpressibleByStringLiteral {
  init(stringLiteral value: String) { self.init(value) }
}
